//! What many leases cost: one more and one less, the daemon at rest, a restart, a flush.
//!
//! `leases [COUNT] [ROUNDS]`: COUNT leases (default 10,000), four for each user, are written into the
//! database, as requests for as many would take minutes; then ROUNDS (default 51) leases are opened and
//! closed by requests at the control socket.
//!
//! The program measured is the `nightlatch` beside this one's folder. `bench/run.sh` builds both.
//! Needs root, nft.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program, which stops at any error"
)]

#[path = "../changes/client.rs"]
#[expect(dead_code, reason = "some of it is only for the benchmark of changes")]
mod client;
#[path = "../reaction/place.rs"]
#[expect(dead_code, reason = "some of it is only for the benchmark of reaction")]
mod place;
#[path = "../reaction/whole.rs"]
mod whole;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use nightlatch_core::api::Request;
use nightlatch_core::condition::{LEASE, LEASE_END};
use nightlatch_core::features::leases::{self, Lease, LeaseKey};
use nightlatch_core::features::users;
use nightlatch_core::ruleset::TABLE;
use nightlatch_core::service::Grant;
use nightlatch_lab::stage::{Host, SERVER, Stage};
use nightlatch_netfilter::{Kind, Netlink, Set};
use nightlatch_parse::address::Family;
use rusqlite::{Connection, params};

use client::Client;
use place::Place;

/// How long something may take before it is taken for broken.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Over how long the daemon at rest is measured.
const REST: Duration = Duration::from_secs(60);
/// How many addresses a user has.
const OF_A_USER: usize = 4;
/// As configured by default.
const IDLE: Duration = Duration::from_secs(8 * 3600);
const MAX_DURATION: Duration = Duration::from_secs(7 * 86_400);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: usize| arguments.next().map_or(default, |text| text.parse().unwrap());
    let (count, rounds) = (number(10_000), number(51));
    let program = std::env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap().join("nightlatch");
    let stage = Stage::standard().unwrap();
    let server = stage.host(SERVER).unwrap();
    let place = Place::new(&program, server);
    let daemon = place.daemon();
    place.must(&["up", "--yes"]);
    place.must(&["user", "add", "anna", "--services", "sip", "--keys", "none"]);
    std::thread::sleep(Duration::from_secs(12));
    let (idle, small) = (share(daemon.id()), megabytes(daemon.id(), "VmRSS:"));
    let (few_open, few_close) = changes(&place, rounds);
    daemon.kill();
    write(&place, count);

    println!("\n{count} leases, {OF_A_USER} for each user:\n");
    println!("| | |\n|---|---:|");
    let begin = Instant::now();
    let daemon = place.daemon();
    when_leased(server, count);
    row("start, when the kernel has none of them: until all are in force", begin.elapsed());
    // Until the sets were read, and every lease examined.
    std::thread::sleep(Duration::from_secs(45));
    let busy = share(daemon.id());
    let (now, peak) = (megabytes(daemon.id(), "VmRSS:"), megabytes(daemon.id(), "VmHWM:"));
    println!("| CPU time of the daemon at rest, share of a core | {busy:.2} % |");
    println!("| the same without leases, before | {idle:.2} % |");
    println!("| memory of the daemon (RSS); at the peak | {now} MB; {peak} MB |");
    println!("| memory without leases, before | {small} MB |");
    let (open, close) = changes(&place, rounds);
    row("open one more, median", open);
    row("close it, median", close);
    row("open one where there is no other, median", few_open);
    row("close it, median", few_close);
    let begin = Instant::now();
    assert!(server.command("nft").args(["flush", "ruleset"]).status().unwrap().success());
    when_leased(server, count);
    row("from a flush by another program until all are in force again", begin.elapsed());
    std::thread::sleep(Duration::from_secs(15));
    daemon.kill();
    let begin = Instant::now();
    let daemon = place.daemon();
    row("restart, when the kernel has all of them: until the daemon is ready", begin.elapsed());
    when_leased(server, count);
    drop(daemon);
}

fn row(what: &str, took: Duration) {
    println!("| {what} | {:.1} ms |", took.as_secs_f64() * 1000.0);
}

/// Addresses of their own, apart from each other.
fn address(number: usize) -> IpAddr {
    place::address(number).into()
}

/// Writes leases into the database.
fn write(place: &Place<'_>, count: usize) {
    let now = nightlatch::shell::clock::now();
    let path = place.folder().join("state/nightlatch.db");
    let mut connection = Connection::open(path).unwrap();
    let transaction = connection.transaction().unwrap();
    let command = "INSERT INTO records (feature, key, body) VALUES ('leases', ?1, ?2)";
    let mut insert = transaction.prepare(command).unwrap();
    for number in 0..count {
        let user = format!("user-{}", number / OF_A_USER);
        let lease = Lease {
            key: LeaseKey {
                user: user.as_str().into(),
                address: address(number),
                permanent: false,
            },
            credential: "knock".to_owned(),
            services: Grant::parse("sip").unwrap(),
            hours: None,
            idle: IDLE.as_secs(),
            since: now,
            until: Some(now.after(MAX_DURATION)),
        };
        let body = serde_json::to_string(&lease).unwrap();
        insert.execute(params![lease.key.to_string(), body]).unwrap();
    }
    drop(insert);
    transaction.commit().unwrap();
}

/// Opens and closes an address so many times: the medians of both.
fn changes(place: &Place<'_>, rounds: usize) -> (Duration, Duration) {
    let mut client = Client::connect(&socket(place.folder()));
    let address = IpAddr::from(Ipv4Addr::new(203, 0, 113, 77));
    let (mut opened, mut closed) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let name = "anna".parse().unwrap();
        let (lasts, permanent, services) = (None, false, None);
        let open = users::Open { name, address, lasts, permanent, services };
        let open = users::Request::Open(open);
        opened.push(client.ask(Request::of(open)));
        closed.push(client.ask(Request::of(leases::Request::Close { address })));
    }
    (median(opened), median(closed))
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

fn socket(folder: &Path) -> std::path::PathBuf {
    folder.join("run/control.sock")
}

/// Waits until the kernel has that many leases, and the addresses to which they belong.
fn when_leased(server: &Host, count: usize) {
    server
        .run(|| {
            whole::when_whole(count, Duration::from_millis(5), TIMEOUT);
            let mut netlink = Netlink::open().unwrap();
            let begin = Instant::now();
            for spec in [&LEASE, &LEASE_END] {
                let name = spec.name_of(Family::V4);
                let set = Set::new(TABLE, name, Kind::Addresses(Family::V4));
                while netlink.count(&set).unwrap() < count {
                    assert!(begin.elapsed() < TIMEOUT, "the kernel does not have all leases");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        })
        .unwrap();
}

/// The CPU time of a process at rest, in percent of a core: of all its threads, by the scheduler's count.
fn share(process: u32) -> f64 {
    let (before, begin) = (cpu(process), Instant::now());
    std::thread::sleep(REST);
    (cpu(process) - before) / begin.elapsed().as_secs_f64() * 100.0
}

fn cpu(process: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let all = threads.map(|thread| {
        let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat"));
        let text = text.unwrap_or_default();
        text.split(' ').next().unwrap_or_default().parse::<u64>().unwrap_or(0)
    });
    Duration::from_nanos(all.sum()).as_secs_f64()
}

fn megabytes(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1000
}
