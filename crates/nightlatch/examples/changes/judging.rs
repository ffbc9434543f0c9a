//! One judgement, a pure function of this version.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use nightlatch_core::config::Rules;
use nightlatch_core::features::{State, accounts, firewall};
use nightlatch_core::policy::{Packet, What, World, judge};
use nightlatch_core::posture::{Mode, Protection, Site};
use nightlatch_core::signalling::{FirstBytes, Learned, LearnedBy, Peer};
use nightlatch_core::time::Time;

use crate::Bench;
use crate::place::address;
use crate::stand::account;
use crate::table::{Aim, row};

const ACCOUNTS: u32 = 100_000;
const PEERS: u32 = 10_000;
/// How long each kind of packet is judged.
const FOR: Duration = Duration::from_secs(1);
const NOW: Time = Time::from_millis(1);

pub(crate) fn measure(_: &Bench) {
    let (rules, site) = (Rules::default(), Site::default());
    let (state, learned) = (state(), learned());
    let catalogue = rules.catalogue(&site);
    let world = World {
        state: &state,
        rules: &rules,
        catalogue: &catalogue,
        learned: &learned,
        assume_listed: None,
        now: NOW,
    };
    let account: fn(u32) -> IpAddr = |number| address((number % ACCOUNTS) as usize).into();
    let stranger: fn(u32) -> IpAddr =
        |number| Ipv4Addr::from((21 << 24) + number % (1 << 24)).into();
    for (what, source) in
        [("an account", account), ("a known peer", peer), ("a stranger", stranger)]
    {
        let what = format!("`judge`, 100,000 accounts, 10,000 known peers: {what}");
        row(&what, (" µs", 2), None, Some(time(&world, source)), Aim::AtMost(2.0));
    }
}

fn state() -> State {
    let mut state = State::default();
    let _ = state.apply(firewall::set_mode(Mode::Open));
    let _ = state.apply(firewall::set_protection(Protection::On { since: Time::from_millis(0) }));
    for number in 0..ACCOUNTS {
        let _ = state.apply(accounts::put(account(number as usize, 1)));
    }
    state
}

fn learned() -> Learned {
    let until = NOW.after(Duration::from_secs(3600));
    let known = |number| {
        let (port, local_port) = (5060, 5060);
        (Peer { by: LearnedBy::Registered, address: peer(number), port, local_port }, until)
    };
    (0..PEERS).map(known).collect()
}

fn peer(number: u32) -> IpAddr {
    Ipv4Addr::from((22 << 24) + number % PEERS).into()
}

/// Microseconds for one call, with a request from ever other sources.
fn time(world: &World<'_>, source: fn(u32) -> IpAddr) -> f64 {
    let begin = Instant::now();
    let mut calls = 0_u32;
    while begin.elapsed() < FOR {
        // Calls in small groups, so that reading the clock costs little.
        for _ in 0..16 {
            // A prime, so that neighbours do not follow each other.
            let from = source(calls.wrapping_mul(7919));
            let mut packet = Packet::new(from, What::Udp { from: 5060, port: 5060 });
            packet.first = FirstBytes::of(b"INVITE sip:1@192.0.2.1");
            let _ = black_box(judge(black_box(world), &packet));
            calls += 1;
        }
    }
    begin.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}
