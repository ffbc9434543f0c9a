//! The daemon's memory some time after a change.

use std::path::Path;
use std::time::Duration;

use nightlatch_core::api::Request;
use nightlatch_core::features::accounts::{self, NewAccount};

use crate::Bench;
use crate::client::{block, stranger, unblock};
use crate::stand::{self, LARGE, Load, SMALL, Stand, account};
use crate::table::{Aim, median, row};

/// When to look, after the last change.
const AFTER: Duration = Duration::from_secs(8);
const MB: (&str, usize) = (" MB", 1);

/// Resident now and at the peak, in megabytes.
type Memory = (f64, f64);

pub(crate) fn measure(bench: &Bench) {
    let shown = |what: &str, aim, (old, own): (Vec<Memory>, Vec<Memory>)| {
        let of = |rounds: &[Memory], which: fn(&Memory) -> f64| {
            median(rounds.iter().map(which).collect())
        };
        row(&format!("{what}: resident"), MB, of(&old, |m| m.0), of(&own, |m| m.0), aim);
        row(&format!("{what}: at the peak"), MB, of(&old, |m| m.1), of(&own, |m| m.1), Aim::None);
    };
    let what = "100 accounts of 1,000 addresses, added one after the other";
    shown(what, Aim::Under(45.0), bench.in_turn(|program| grown(program)));
    let what = "the same, after a restart";
    shown(what, Aim::Under(45.0), bench.in_turn(|program| loaded(program, LARGE)));
    let many = Load { accounts: 100_000, addresses: 1, listed: false };
    let what = "100,000 accounts of one address, after a restart";
    shown(what, Aim::Under(80.0), bench.in_turn(|program| loaded(program, many)));
}

/// All accounts by requests.
fn grown(program: &Path) -> Memory {
    let nothing = Load { accounts: 0, ..SMALL };
    stand::with(program, nothing, |stand| {
        let mut client = stand.client();
        for number in 0..LARGE.accounts {
            client.ask(allow(number, LARGE.addresses));
        }
        after_a_change(stand)
    })
}

/// All accounts from the disk.
fn loaded(program: &Path, load: Load) -> Memory {
    stand::with(program, load, after_a_change)
}

fn allow(number: usize, addresses: usize) -> Request {
    let account = account(number, addresses);
    Request::of(accounts::Request::Allow(NewAccount {
        hours: None,
        name: account.name,
        entries: account.entries,
        services: account.services,
        lasts: None,
        until: None,
        note: String::new(),
        hosts: accounts::HostOptions::default(),
    }))
}

fn after_a_change(stand: &Stand<'_>) -> Memory {
    let mut client = stand.client();
    client.ask(block(stranger(0)));
    client.ask(unblock(stranger(0)));
    std::thread::sleep(AFTER);
    let status = std::fs::read_to_string(format!("/proc/{}/status", stand.process())).unwrap();
    let megabytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kilobytes / 1024.0
    };
    (megabytes("VmRSS"), megabytes("VmHWM"))
}
