//! What it costs: CPU time, memory, and how long much of it takes.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nightlatch_lab::stage::Host;

use super::lines::Log;
use super::place::{self, Place};
use super::probe::{Prober, source};
use super::watcher::{self, Watcher};
use super::{TIMEOUT, probe};

/// How long the program has before its memory is read.
const SETTLING: Duration = Duration::from_secs(20);
/// How many networks the list has.
const NETWORKS: u32 = 600_000;
/// The number of the source that attacks after all other lines.
const LAST: usize = 1_000_000;

/// Writes many lines at once, then an attack: when that is refused, all are read.
pub(crate) fn lines(count: usize, prober: &Prober, log: &Log, watcher: &Watcher<'_>) {
    let lines = log.besides(0..u64::try_from(count).unwrap());
    let (begin, busy) = (Instant::now(), watcher.cpu());
    log.write(&lines);
    let is_refused = prober.refused_after(LAST, log).is_some();
    let (took, busy) = (begin.elapsed().as_secs_f64(), watcher.cpu() - busy);
    let note = if is_refused { "" } else { ", not read within two minutes" };
    println!("| {} | {count}{note} | {took:.2} s | {busy:.2} s |", watcher.name());
}

/// Probes while a list of networks is replaced again and again.
pub(crate) fn lists(probes: usize, prober: &Prober, log: &Log, watcher: &Watcher<'_>) {
    let place = watcher.place().unwrap();
    let path = place.folder().join("networks");
    let write = |number: u32| std::fs::write(&path, networks(number)).unwrap();
    write(0);
    place.must(&["feed", "add", "many", path.to_str().unwrap()]);
    let (ends, begin) = (AtomicBool::new(false), Instant::now());
    let row = std::thread::scope(|scope| {
        let replacing = scope.spawn(|| {
            let mut times = 0;
            while !ends.load(Ordering::Relaxed) {
                times += 1;
                write(times);
                place.must(&["feed", "refresh", "many"]);
            }
            times
        });
        let row = probe(probes, prober, log, watcher);
        ends.store(true, Ordering::Relaxed);
        (replacing.join().unwrap(), row)
    });
    let (times, row) = row;
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "| {} | {NETWORKS} networks replaced {times} times in {seconds:.0} s {row}",
        watcher.name()
    );
}

/// Networks that lie apart: three quarters single addresses, the others of 256. None of them is in another
/// list of an adjacent number.
fn networks(number: u32) -> String {
    let (first, step) = (40_u32 << 24, (190 << 24) / NETWORKS);
    let mut text = String::new();
    for place in 0..NETWORKS {
        let address = Ipv4Addr::from(first + place * step + number % 8 * 512);
        let length = if place % 4 == 0 { "/24" } else { "" };
        let address =
            if place % 4 == 0 { Ipv4Addr::from(u32::from(address) & !255) } else { address };
        writeln!(text, "{address}{length}").unwrap();
    }
    text
}

/// The memory of the program that watches nothing, that watches a log without lines, and after many sources.
pub(crate) fn memory(server: &Host, log: &Log) {
    println!("| nightlatch | resident | proportional | private | threads |");
    for (what, watched, sources) in [
        ("watches nothing", None, 0),
        ("watches a log without lines", Some(log.path()), 0),
        ("after 100,000 sources", Some(log.path()), 100_000_u64),
        ("after 1,000,000 sources", Some(log.path()), 1_000_000),
    ] {
        let (place, daemon) = watcher::protect(server, watched);
        // Half of the lines are failures, each from another source.
        log.write(&log.besides(0..sources * 2));
        std::thread::sleep(SETTLING);
        println!("| {what} | {} |", place::memory(daemon.id()));
        daemon.kill();
        place.must(&["down", "--yes"]);
    }
}

/// Bans many sources, then kills the program and starts it again; the second time with an empty kernel, as after
/// a boot.
pub(crate) fn restart(bans: usize, server: &Host, log: &Log) {
    let (place, mut daemon) = watcher::protect(server, Some(log.path()));
    log.write(&log.attacks((1..=bans).map(source)));
    let begin = Instant::now();
    while count(&place) < bans {
        assert!(begin.elapsed() < TIMEOUT, "{} of {bans} bans", count(&place));
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("| {bans} bans | {:.1} s |", begin.elapsed().as_secs_f64());
    let last = source(bans);
    let look = format!("nft get element inet nightlatch ban4 '{{ {last} }}'");
    for (what, before) in [("restart", "true"), ("restart, empty kernel", "nft flush ruleset")] {
        std::thread::sleep(Duration::from_secs(3));
        daemon.kill();
        assert!(server.command("sh").args(["-c", before]).status().unwrap().success());
        let begin = Instant::now();
        daemon = place.daemon();
        let ready = begin.elapsed().as_secs_f64();
        let output = server.command("sh").args(["-c", &look]).output().unwrap();
        assert!(output.status.success(), "{last} is not in the kernel");
        assert_eq!(count(&place), bans);
        println!("| {what} | {ready:.2} s |");
    }
}

fn count(place: &Place<'_>) -> usize {
    let output = place.command().args(["bans", "--json"]).output().unwrap();
    let bans: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    usize::try_from(bans["count"].as_u64().unwrap()).unwrap()
}
