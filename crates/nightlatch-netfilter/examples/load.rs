//! Loads random networks into a set of a fresh network namespace, and tells time and memory.
//!
//! `load [COUNT] [4|6] [how]`, where `how` is `netlink` (ours), `load` (ours, loading only), `nft` (`nft -f -`) or `ipset`
//! (`ipset restore`), so that all can be measured in one run. Needs root, or `unshare -rn`
//! around it with `net.core.wmem_max` raised. With `LISTEN=all` in the environment somebody
//! listens to the changes meanwhile; with `LISTEN=pause` as the daemon does. With
//! `SHUFFLE` the networks come in random order, as lists do; ours then sorts them first.

#![expect(
    unsafe_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measuring program, which stops at any error"
)]

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::mem;
use std::process::{Command, Stdio};
use std::time::Instant;

use nightlatch_netfilter::{Kind, Monitor, Netlink, Set, text};
use nightlatch_parse::address::{AddrRange, Family, merge};

const STRUCTURE: &str = "
table inet t {
    set four { type ipv4_addr; flags interval; }
    set six { type ipv6_addr; flags interval; }
}";

const RULES: &str = "
table inet t {
    chain input {
        type filter hook input priority 0; policy accept;
        ct state new ip saddr @four counter drop
        ct state new ip6 saddr @six counter drop
        tcp dport { 22, 443 } accept
    }
}";

fn main() {
    let mut arguments = env::args().skip(1);
    let count: usize = arguments.next().map_or(600_000, |text| text.parse().unwrap());
    let family = match arguments.next().as_deref() {
        Some("6") => Family::V6,
        _ => Family::V4,
    };
    let how = arguments.next().unwrap_or_else(|| "netlink".to_owned());
    // SAFETY: takes a number only; no other thread runs yet.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "needs root");
    let networks = Networks { family, count };
    match how.as_str() {
        "netlink" | "load" => netlink(&networks, &how),
        "nft" => nft(&networks),
        "ipset" => ipset(&networks),
        other => eprintln!("{other}: not netlink, nft or ipset"),
    }
}

/// Loads, compares, changes one in a hundred, replaces, each timed.
fn netlink(networks: &Networks, how: &str) {
    text::load(STRUCTURE).unwrap();
    let name = if networks.family == Family::V4 { "four" } else { "six" };
    let set = Set::new("t", name, Kind::Ranges(networks.family));
    let mut netlink = Netlink::open().unwrap();
    let listener = env::var("LISTEN").map(|which| {
        let monitor = Monitor::open().unwrap();
        if which == "pause" {
            monitor.pause_for(&mut netlink);
        }
        monitor
    });

    let started = Instant::now();
    let mut transaction = netlink.transaction();
    if shuffled() {
        transaction.add(&set, merge(networks.in_order()));
    } else {
        transaction.add(&set, networks.iter());
    }
    let built = started.elapsed();
    transaction.commit().unwrap();
    report("load", started);
    println!("  of that writing the messages {:.2} s", built.as_secs_f64());
    println!("  peak memory {} MB", peak_of("self"));
    if how == "load" {
        return;
    }

    let started = Instant::now();
    let mut transaction = netlink.transaction();
    transaction.delete(&set, networks.iter().step_by(200));
    transaction.add(&set, networks.iter().skip(1).step_by(200).map(neighbour));
    transaction.commit().unwrap();
    report("change 1 % (half deleted, half added)", started);

    let started = Instant::now();
    text::load(&format!("add table inet t\nflush table inet t\n{STRUCTURE}{RULES}")).unwrap();
    report("structure anew by nft, elements kept", started);

    let started = Instant::now();
    let mut transaction = netlink.transaction();
    transaction.flush(&set).add(&set, networks.iter());
    transaction.commit().unwrap();
    report("replace whole", started);

    let started = Instant::now();
    assert!(netlink.matches(&set, networks.iter()).unwrap());
    report("compare whole", started);
    println!("  peak memory {} MB", peak_of("self"));
    drop(listener);
}

fn nft(networks: &Networks) {
    text::load(STRUCTURE).unwrap();
    let name = if networks.family == Family::V4 { "four" } else { "six" };
    let mut text = format!("add element inet t {name} {{\n");
    for network in networks.in_order() {
        writeln!(text, "{network},").unwrap();
    }
    text.push_str("}\n");
    feed("nft", &["-f", "-"], &text);
}

fn ipset(networks: &Networks) {
    let family = if networks.family == Family::V4 { "inet" } else { "inet6" };
    let mut text = format!("create x hash:net family {family} maxelem 2000000\n");
    for network in networks.in_order() {
        writeln!(text, "add x {network}").unwrap();
    }
    feed("ipset", &["restore"], &text);
}

fn feed(program: &str, arguments: &[&str], text: &str) {
    let started = Instant::now();
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    report(program, started);
    println!("  peak memory {} MB", children_peak());
}

fn report(what: &str, started: Instant) {
    println!("{what}: {:.3} s", started.elapsed().as_secs_f64());
}

/// Networks at random places, disjoint, ascending; never the same twice.
struct Networks {
    family: Family,
    count: usize,
}

impl Networks {
    fn iter(&self) -> impl Iterator<Item = AddrRange> + use<> {
        let family = self.family;
        // One network in each equal share of the addresses, of random size and place in it.
        let share = family.highest() / (self.count as u128 + 1);
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        (0..self.count as u128).map(move |number| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let size = 1_u128 << (u128::from(seed >> 32) % u128::from(share.ilog2() - 1));
            let first = (number * share).next_multiple_of(size);
            AddrRange::new(family, first, first + size - 1).unwrap()
        })
    }
}

impl Networks {
    /// As a tool gets them: ascending, or shuffled.
    fn in_order(&self) -> Vec<AddrRange> {
        let mut all: Vec<AddrRange> = self.iter().collect();
        if shuffled() {
            all.sort_unstable_by_key(|range| {
                let number = (range.first() >> 64) ^ range.first();
                number.wrapping_mul(0x9e37_79b9_7f4a_7c15) & u128::from(u64::MAX)
            });
        }
        all
    }
}

fn shuffled() -> bool {
    env::var_os("SHUFFLE").is_some()
}

/// The address behind a network and a gap, which none of the networks holds.
fn neighbour(range: AddrRange) -> AddrRange {
    AddrRange::new(range.family(), range.last() + 1, range.last() + 1).unwrap()
}

fn peak_of(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn children_peak() -> i64 {
    // SAFETY: all zeroes is a valid `rusage`, and the kernel fills the live variable.
    let usage = unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    usage.ru_maxrss / 1024
}
