//! Changes of a long account: one entry added, and dropped again, among many others.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use nightlatch_core::api::Request;
use nightlatch_core::features::accounts::{self, AccountName, Entry};

use crate::Bench;
use crate::client::stranger;
use crate::stand::{self, Load};
use crate::table::{Aim, latencies};

/// How many changes are timed each round, one half adds and one half drops.
const CHANGES: u16 = 1_000;

/// The table has as many addresses in both cases: what differs is only to how many of them the account
/// that changes belongs. An older version has no such change.
pub(crate) fn measure(bench: &Bench) {
    for (what, load) in [
        ("1,000 accounts of 10", Load { accounts: 1_000, addresses: 10, listed: false }),
        ("an account of 10,000", Load { accounts: 1, addresses: 10_000, listed: false }),
    ] {
        let rounds = (0..bench.rounds).map(|_| changes(&bench.own, load));
        let (adds, drops): (Vec<_>, Vec<_>) = rounds.unzip();
        let aims = [Some(Aim::None), Some(Aim::None), Some(Aim::None)];
        latencies(&format!("`account add`, {what}"), Vec::new(), adds.concat(), aims);
        latencies(&format!("`account drop`, {what}"), Vec::new(), drops.concat(), aims);
    }
}

fn changes(program: &Path, load: Load) -> (Vec<Duration>, Vec<Duration>) {
    stand::with(program, load, |stand| {
        let mut client = stand.client();
        let mut timed = |number: u16| {
            let stranger = stranger(u8::try_from(number % 200).unwrap());
            let entries = || vec![Entry::Range(IpAddr::from(stranger).into())];
            let name = || -> AccountName { "account-0".parse().unwrap() };
            let add = accounts::Request::Add { name: name(), entries: entries() };
            let drop = accounts::Request::Drop { name: name(), entries: entries() };
            (client.ask(Request::of(add)), client.ask(Request::of(drop)))
        };
        // The first changes after a start are no measure for those after it.
        for number in 0..5 {
            timed(number);
        }
        (0..CHANGES / 2).map(timed).unzip()
    })
}
