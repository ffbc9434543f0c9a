//! The exchange of a whole list, with requests of others and a flush meanwhile.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nightlatch_core::api::Request;
use nightlatch_core::ruleset::TABLE;
use nightlatch_netfilter::Netlink;

use crate::Bench;
use crate::client::{block, stranger, unblock};
use crate::stand::{self, Load, SMALL, Stand};
use crate::table::{Aim, latencies};

/// How often each other client asks.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long the daemon may be busy after an exchange.
const SETTLING: Duration = Duration::from_secs(4);

#[derive(Default)]
struct Exchange {
    block: Vec<Duration>,
    status: Vec<Duration>,
    took: Vec<Duration>,
    /// How long the table was gone in a later exchange.
    gone: Duration,
}

pub(crate) fn measure(bench: &Bench) {
    let (old, own) = bench.in_turn(|program| exchange(program));
    let all = |of: fn(&Exchange) -> &[Duration]| {
        let every = |rounds: &[Exchange]| rounds.iter().flat_map(of).copied().collect();
        (every(&old), every(&own))
    };
    let aims = [Some(Aim::None), Some(Aim::Under(50.0)), Some(Aim::None)];
    let (before, now) = all(|round| &round.block);
    latencies("`block` while 600,000 networks are exchanged", before, now, aims);
    let (before, now) = all(|round| &round.status);
    latencies("`status` meanwhile", before, now, aims);
    let (before, now) = all(|round| &round.took);
    latencies(
        "the exchange, until its command returns",
        before,
        now,
        [Some(Aim::None), None, None],
    );
    let (before, now) = all(|round| std::slice::from_ref(&round.gone));
    let aims = [Some(Aim::Under(50.0)), None, Some(Aim::None)];
    latencies("flush in the middle of an exchange, until the table is there", before, now, aims);
}

fn exchange(program: &Path) -> Exchange {
    let load = Load { listed: true, ..SMALL };
    stand::with(program, load, |stand| {
        let mut exchange = Exchange::default();
        for changed in [true, false] {
            stand.write_list(changed);
            exchange.watched(stand);
            std::thread::sleep(SETTLING);
        }
        exchange.gone = flush(stand, exchange.took[0] / 2);
        exchange
    })
}

impl Exchange {
    fn watched(&mut self, stand: &Stand<'_>) {
        let ended = &OnceLock::new();
        std::thread::scope(|scope| {
            let begin = Instant::now();
            let block = scope.spawn(move || ask_regularly(stand, ended, begin, blocking));
            let status =
                scope.spawn(move || ask_regularly(stand, ended, begin, |_| Request::Status));
            assert!(stand.refresh());
            ended.set(Instant::now()).unwrap();
            self.took.push(begin.elapsed());
            self.block.extend(block.join().unwrap());
            self.status.extend(status.join().unwrap());
        });
    }
}

/// Blocks and unblocks in turn.
fn blocking(number: u32) -> Request {
    let address = stranger(u8::try_from(number / 2 % 100).unwrap());
    if number.is_multiple_of(2) { block(address) } else { unblock(address) }
}

/// Asks at regular times until the time `ended`. What counts is the time from when a request was due, so that
/// one that waits for the one before counts as well.
fn ask_regularly(
    stand: &Stand<'_>,
    ended: &OnceLock<Instant>,
    begin: Instant,
    request: fn(u32) -> Request,
) -> Vec<Duration> {
    let mut client = stand.client();
    let mut took = Vec::new();
    for number in 0.. {
        let due = begin + INTERVAL * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // Those that were due before the end but had to wait count as well.
        if ended.get().is_some_and(|end| *end <= due) {
            break;
        }
        client.ask(request(number));
        took.push(due.elapsed());
    }
    took
}

/// Flushes the ruleset so long after the begin of an exchange, and tells how long the table was
/// gone.
fn flush(stand: &Stand<'_>, after: Duration) -> Duration {
    stand.write_list(true);
    std::thread::scope(|scope| {
        // It may fail, because its change was flushed away.
        let refresh = scope.spawn(|| stand.refresh());
        std::thread::sleep(after);
        let watch = scope.spawn(|| stand.server.run(watch).unwrap());
        stand.flush();
        let gone = watch.join().unwrap();
        refresh.join().unwrap();
        gone
    })
}

/// From when the table is gone until it is there again; zero where it is never seen to be gone.
fn watch() -> Duration {
    let mut netlink = Netlink::open().unwrap();
    let begin = Instant::now();
    let mut wait = |there: bool, patience| {
        while begin.elapsed() < patience {
            if netlink.table_exists(TABLE).unwrap() == there {
                return Some(Instant::now());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    };
    let Some(gone) = wait(false, Duration::from_secs(10)) else { return Duration::ZERO };
    wait(true, crate::TIMEOUT).unwrap() - gone
}
