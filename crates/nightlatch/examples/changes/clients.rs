//! Many clients at once.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::client::{Client, block, stranger, unblock};
use crate::stand::{self, Load, SMALL, Stand};
use crate::table::{Aim, median, row};

const CLIENTS: u8 = 50;
/// How many addresses of its own each client has.
const ADDRESSES: u8 = 4;
/// How long they ask.
const FOR: Duration = Duration::from_secs(5);

pub(crate) fn measure(bench: &Bench) {
    let many = Load { accounts: 50, addresses: 1_000, listed: false };
    for (addresses, load) in [("10", SMALL), ("50,000", many)] {
        let (old, own) = bench.in_turn(|program| rate(program, load));
        let what = format!("changes a second by {CLIENTS} clients, {addresses} addresses");
        row(&what, ("", 0), median(old), median(own), Aim::AtLeast(2_000.0));
    }
}

/// How many changes a second are acknowledged.
fn rate(program: &Path, load: Load) -> f64 {
    stand::with(program, load, |stand| {
        let begin = Instant::now();
        let changes: u32 = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| scope.spawn(move || changes(stand, number, begin)))
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        f64::from(changes) / FOR.as_secs_f64()
    })
}

/// How many changes of one client were acknowledged in time.
fn changes(stand: &Stand<'_>, client: u8, begin: Instant) -> u32 {
    let mut changes = 0;
    let is_over = || begin.elapsed() >= FOR;
    while !is_over() {
        // A version may serve fewer clients than these at once. So each makes room after some
        // changes, as commands do after one.
        let mut connection = Client::connect(&stand.socket());
        for address in 0..ADDRESSES {
            let address = stranger(client * ADDRESSES + address);
            for request in [block(address), unblock(address)] {
                connection.ask(request);
                if is_over() {
                    return changes;
                }
                changes += 1;
            }
        }
    }
    changes
}
