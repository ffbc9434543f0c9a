//! `nft flush ruleset` with many accounts.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::stand::{self, LARGE};
use crate::table::{Aim, latencies};

/// How often in each round.
const FLUSHES: usize = 3;
/// How long the daemon may be busy after a flush.
const SETTLING: Duration = Duration::from_secs(5);
/// How often to look whether all are back. To count them takes the kernel some milliseconds.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) fn measure(bench: &Bench) {
    let (old, own) = bench.in_turn(|program| flushes(program));
    let what = "flush with 100,000 addresses, until all accounts are in again";
    let aims = [Some(Aim::Under(500.0)), None, Some(Aim::None)];
    latencies(what, old.concat(), own.concat(), aims);
}

fn flushes(program: &Path) -> Vec<Duration> {
    stand::with(program, LARGE, |stand| {
        let flush = |_| {
            std::thread::sleep(SETTLING);
            let begin = Instant::now();
            stand.flush();
            stand.when_whole(PAUSE) - begin
        };
        (0..FLUSHES).map(flush).collect()
    })
}
