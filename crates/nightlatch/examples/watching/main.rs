//! How long it takes from the lines of a log to the first packet that is refused.
//!
//! `watching [PROBES] [LINES] [PROGRAM]`: PROBES sources (default 1,000) attack one after the other, while LINES
//! lines a second come besides (default 0), and PROGRAM watches: `nightlatch` (default), `fail2ban`,
//! `fail2ban-rs` or `fail2zig`, the latter two by their path in `FAIL2BAN_RS` or `FAIL2ZIG`.
//! `watching many SOURCES [PROGRAM]`: so many sources attack at once.
//! `watching lines LINES [PROGRAM]`: so many lines come at once; the CPU time until they are read.
//! `watching lists [PROBES]`: as the first, while a list of 600,000 networks is replaced again and again.
//! `watching memory`: what is needed for it, without lines and after them.
//! `watching restart BANS`: how long it takes until they are in force again.
//!
//! The server has begun a UDP flow to each source, in which the source sends a packet about every 100
//! microseconds. Then the lines of six failed logins are written at once. The time from the writing to the first
//! packet that the server does not get is what counts.
//!
//! The lines that come besides are of sshd: half of them failures, each from another source, half of them others.
//!
//! The program measured is the `nightlatch` beside this one's folder. `bench/run.sh` builds both.
//! Needs root, nft.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a measuring program, which stops at any error"
)]

#[path = "../reaction/place.rs"]
#[expect(dead_code, reason = "some of it is only for the benchmark of reaction")]
mod place;

mod lines;
mod probe;
mod size;
mod watcher;

use std::time::{Duration, Instant};

use nightlatch_lab::stage::{SERVER, Stage};

use lines::{Flood, Log};
use probe::Prober;
use watcher::Watcher;

/// How long something may take before it is taken for broken.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Between two probes.
const PAUSE: Duration = Duration::from_millis(10);
/// How long lines come before the first probe.
const WARM_UP: Duration = Duration::from_secs(3);
/// What takes longer than this all together is broken off.
const MAX_RUN: Duration = Duration::from_secs(400);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let first = arguments.first().map_or("", String::as_str);
    let number =
        |at: usize, default: usize| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let name = arguments.get(2).map_or("nightlatch", String::as_str);
    let stage = Stage::standard().unwrap();
    let (server, attacker) = (stage.host(SERVER).unwrap(), stage.host("attacker").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(folder.path().join("auth.log"));
    match first {
        "memory" => return size::memory(server, &log),
        "restart" => return size::restart(number(1, 100_000), server, &log),
        _ => {}
    }
    let watcher = Watcher::start(name, server, folder.path(), log.path());
    let prober = Prober::new(server, attacker);
    std::thread::sleep(Duration::from_secs(2));
    match first {
        "many" => many(number(1, 10_000), &prober, &log, &watcher),
        "lines" => size::lines(number(1, 200_000), &prober, &log, &watcher),
        "lists" => size::lists(number(1, 1_000), &prober, &log, &watcher),
        _ => single(number(0, 1_000), number(1, 0), &prober, &log, &watcher),
    }
}

fn single(probes: usize, rate: usize, prober: &Prober, log: &Log, watcher: &Watcher<'_>) {
    let flood = Flood::begin(log, rate);
    if rate > 0 {
        std::thread::sleep(WARM_UP);
    }
    let begin = Instant::now();
    let row = probe(probes, prober, log, watcher);
    let seconds = (begin.elapsed() + WARM_UP).as_secs_f64();
    let written = flood.map_or(0.0, |flood| flood.end() / seconds);
    println!("| {} | {written:.0} {row}", watcher.name());
}

/// Probes one source after the other. Cells: how many, how many were not refused, the median, 99 of 100, the
/// most, and the CPU time.
fn probe(probes: usize, prober: &Prober, log: &Log, watcher: &Watcher<'_>) -> String {
    let (begin, busy) = (Instant::now(), watcher.cpu());
    let (mut took, mut missed) = (Vec::new(), 0);
    for probe in 1..=probes {
        if begin.elapsed() > MAX_RUN {
            break;
        }
        match prober.refused_after(probe, log) {
            Some(after) => took.push(after),
            None => missed += 1,
        }
        std::thread::sleep(PAUSE);
    }
    let seconds = begin.elapsed().as_secs_f64();
    let busy = (watcher.cpu() - busy) / seconds * 100.0;
    took.sort_unstable();
    let at = |part: usize| {
        let place = (took.len() * part / 1000).min(took.len().saturating_sub(1));
        took.get(place)
            .map_or_else(String::new, |it| format!("{:.2} ms", it.as_secs_f64() * 1000.0))
    };
    format!(
        "| {} | {missed} | {} | {} | {} | {busy:.0} % |",
        took.len(),
        at(500),
        at(990),
        at(1000),
    )
}

fn many(sources: usize, prober: &Prober, log: &Log, watcher: &Watcher<'_>) {
    let busy = watcher.cpu();
    let took = prober.all_refused_after(sources, log);
    let busy = watcher.cpu() - busy;
    match took {
        Some(took) => {
            let (name, took) = (watcher.name(), took.as_secs_f64());
            println!("| {name} | {sources} | {took:.2} s | {busy:.2} s |");
        }
        None => println!(
            "| {} | {sources} | not all within two minutes | {busy:.2} s |",
            watcher.name()
        ),
    }
}
