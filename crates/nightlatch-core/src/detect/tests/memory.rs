//! Memory is bounded, and what is worth most stays.

use super::*;

fn numbered(n: u32) -> String {
    std::net::Ipv4Addr::from_bits(0xc612_0000 + n).to_string()
}

fn small() -> Bench {
    Bench::with(Settings { max_sources: 1000, ..Settings::default() })
}

#[test]
fn a_flood_of_forged_sources_pushes_nobody_else_out() {
    let mut bench = small();
    bench.all((-DAY..0).step_by(3600).map(|at| success("203.0.113.20", at, "200")));
    bench.all((0..4).map(|n| wrong("198.51.100.66", n, "root").ssh()));
    one_attack(&bench.all((0..5).map(|n| wrong("198.51.100.67", n, "root").ssh())));
    bench.see(&wrong("198.51.100.68", 0, "root").ssh());
    bench.all((0..100_000).map(|n| wrong(&numbered(n), 10, "204").claimed()));
    assert!(bench.judge.sources() <= 1000);
    one_attack(&bench.see(&wrong("198.51.100.66", 20, "root").ssh()));
    one_attack(&bench.all((20..24).map(|n| wrong("198.51.100.68", n, "root").ssh())));
    let office =
        bench.all((0..5).map(|n| wrong("203.0.113.20", n, ["1", "2", "3"][n as usize % 3])));
    assert!(one_attack(&office).trusted_since.is_some());
}

#[test]
fn a_flood_of_real_attackers_leaves_room_for_others() {
    let mut bench = small();
    bench.all((-DAY..0).step_by(3600).map(|at| success("203.0.113.20", at, "200")));
    bench.all((0..100_000).map(|n| wrong(&numbered(n / 5), 10, "root").ssh()));
    assert!(bench.judge.sources() <= 1000);
    // A new attacker is found out, though there is no room: each worth has a share of its own.
    bench.see(&wrong("198.51.100.66", 20, "root").ssh());
    bench.all((0..500).map(|n| wrong(&numbered(100_000 + n / 5), 20, "root").ssh()));
    one_attack(&bench.all((21..25).map(|n| wrong("198.51.100.66", n, "root").ssh())));
    let office =
        bench.all((0..5).map(|n| wrong("203.0.113.20", n, ["1", "2", "3"][n as usize % 3])));
    assert!(one_attack(&office).trusted_since.is_some());
}

#[test]
fn the_lists_stay_whole() {
    let mut bench = small();
    let mut stored = std::collections::BTreeMap::new();
    for n in 0..20_000_u32 {
        let source = numbered(n.wrapping_mul(2_654_435_761) % 3000);
        let at = i64::from(n);
        match n % 7 {
            0 => bench.see(&success(&source, at, "204")),
            1 => bench.see(&unknown(&source, at, "204").claimed()),
            2 => bench.see(&wrong(&format!("2001:db8:{:x}::1", n % 500), at, "204")),
            _ => bench.see(&wrong(&source, at, "root").ssh()),
        };
        if n % 500 == 0 {
            bench.pass(at);
            store(bench.judge.save(), &mut stored);
            assert_eq!(stored.len(), bench.judge.sources() + 1);
        }
    }
    bench.judge.memory.check();
    bench.pass(30 * DAY);
    bench.pass(30 * DAY);
    assert_eq!(bench.judge.sources(), 0);
    bench.judge.memory.check();
    store(bench.judge.save(), &mut stored);
    assert_eq!(stored.len(), 1);
}

#[test]
fn few_sources_with_many_attempts_stay_in_bounds_too() {
    let mut bench = small();
    // 19 attempts in a week each, and nobody attacks.
    for round in 0..19 {
        bench.all((0..1000).map(|n| wrong(&numbered(n), round * 8 * HOUR, "root").ssh()));
    }
    assert!(bench.judge.bytes() < 1000 * 600, "{}", bench.judge.bytes());
    bench.judge.memory.check();
}
