//! How fast a judge counts, and how much memory it needs: `cargo run --release -p nightlatch-core --example
//! judge_speed`.
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use nightlatch_core::attack::{Outcome, Service};
use nightlatch_core::detect::{Finding, Judge, Settings, Sighting, Trust};
use nightlatch_core::time::Time;
use nightlatch_parse::log::{Attempt, Proof};

const LINES: u32 = 1_000_000;

fn main() {
    println!("{:<44} {:>9} {:>9} {:>9}", "", "ns/line", "sources", "MB");
    measure("one source, one session each", |_| v4(0), |n| n, Outcome::WrongPassword, 0);
    measure("one source, six lines a session", |_| v4(0), |n| n / 6, Outcome::WrongPassword, 0);
    measure("1,000 sources", |n| v4(n % 1000), |n| n, Outcome::WrongPassword, 0);
    measure(
        "20,000 sources, 19 attempts each in a week",
        |n| v4(n % 20_000),
        |n| n,
        Outcome::WrongPassword,
        12_000,
    );
    measure(
        "100,000 sources, 10 attempts each",
        |n| v4(n % 100_000),
        |n| n,
        Outcome::WrongPassword,
        120,
    );
    measure("1,000,000 sources", v4, |n| n, Outcome::WrongPassword, 0);
    measure("1,000,000 IPv6 networks", v6, |n| n, Outcome::WrongPassword, 0);
    measure("100 sources that log in", |n| v4(n % 100), |n| n, Outcome::Succeeded, 1);
    restart();
}

/// Shows a million lines; `pause` milliseconds lie between two of them.
fn measure(
    name: &str,
    source: impl Fn(u32) -> IpAddr,
    session: impl Fn(u32) -> u32,
    outcome: Outcome,
    pause: i64,
) {
    let before = resident();
    let mut judge = Judge::new(Settings::default(), [3; 16]);
    let mut found = Vec::new();
    let began = cpu();
    for n in 0..LINES {
        see(&mut judge, source(n), session(n), outcome, i64::from(n) * pause, &mut found);
        found.clear();
    }
    let each = (cpu() - began) / u64::from(LINES);
    let megabytes = resident().saturating_sub(before) / 1_000_000;
    println!("{name:<44} {each:>9} {:>9} {megabytes:>9}", judge.sources());
}

/// How long it takes to save and load 100,000 sources.
fn restart() {
    let mut judge = Judge::new(Settings::default(), [3; 16]);
    let mut found = Vec::new();
    for n in 0..300_000 {
        see(&mut judge, v4(n % 100_000), n, Outcome::WrongPassword, i64::from(n), &mut found);
    }
    let began = Instant::now();
    let saved = judge.save();
    let save = began.elapsed();
    let bytes: usize = saved.rows.iter().map(|(key, body)| key.len() + body.len()).sum();
    let began = Instant::now();
    let rows = saved.rows.iter().map(|(key, body)| (key.as_slice(), body.as_slice()));
    let loaded = Judge::new(Settings::default(), [4; 16]).load(rows);
    println!(
        "{} rows, {bytes} bytes: save {save:?}, load {:?} {loaded:?}",
        saved.rows.len(),
        began.elapsed()
    );
}

fn see(
    judge: &mut Judge,
    source: IpAddr,
    session: u32,
    outcome: Outcome,
    at: i64,
    found: &mut Vec<Finding>,
) {
    let call_id = session.to_le_bytes();
    let sighting = Sighting {
        at: Time::from_millis(1_795_000_000_000 + at),
        attempt: Attempt {
            stamp: None,
            source,
            port: None,
            service: Service::Sip,
            outcome,
            proof: Proof::Answered,
            account: Some(b"1001"),
            session: Some(&call_id),
            agent: None,
            dialled: None,
        },
        trust: Trust::Full,
        log: "/var/log/asterisk/security",
        line: b"[2026-11-20 08:36:32] SECURITY[3085] res_security_log.c: SecurityEvent=\"ChallengeResponseFailed\",EventTV=\"2026-11-20T08:36:32.581+0000\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"1001\"",
        filter: None,
    };
    judge.see(&sighting, found);
}

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0xc612_0000_u32.wrapping_add(number)).into()
}

fn v6(number: u32) -> IpAddr {
    let bits = 0x2001_0db8_0000_0000_0000_0000_0000_0001_u128
        | u128::from(number.wrapping_mul(2_654_435_761)) << 64;
    Ipv6Addr::from_bits(bits).into()
}

/// The memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize =
        status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4096
}

/// Nanoseconds for which this thread has had a processor: others may use the machine too.
fn cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or_default()
}
