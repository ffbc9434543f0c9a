//! One block at a time.

use std::path::Path;
use std::time::Duration;

use crate::Bench;
use crate::client::{block, stranger, unblock};
use crate::stand::{self, LARGE, Load, SMALL};
use crate::table::{Aim, latencies};

/// How many blocks are timed each round.
const BLOCKS: u8 = 50;

pub(crate) fn measure(bench: &Bench) {
    let full = Load { listed: true, ..LARGE };
    for (what, load, aim) in [
        ("one `block`, 10 addresses", SMALL, Aim::None),
        ("one `block`, 100,000 addresses and 600,000 listed networks", full, Aim::Under(5.0)),
    ] {
        let (old, own) = bench.in_turn(|program| blocks(program, load));
        latencies(what, old.concat(), own.concat(), [Some(aim), Some(Aim::None), None]);
    }
}

fn blocks(program: &Path, load: Load) -> Vec<Duration> {
    stand::with(program, load, |stand| {
        let mut client = stand.client();
        let mut timed = |number| {
            let took = client.ask(block(stranger(number)));
            client.ask(unblock(stranger(number)));
            took
        };
        // The first changes after a start are no measure for those after it.
        for number in 0..5 {
            timed(number);
        }
        (0..BLOCKS).map(timed).collect()
    })
}
