//! IPv6: a /64 is one source, and networks around it attack when several within do.

use super::*;

fn address(network: u16, host: u16) -> String {
    format!("2001:db8:66:{network:x}::{host:x}")
}

#[test]
fn a_64_is_one_source() {
    let mut bench = Bench::new();
    let found: Vec<Vec<Finding>> = (1..10)
        .map(|host| bench.see(&wrong(&address(1, host), i64::from(host) * 20, "204")))
        .collect();
    let banned = found.iter().position(|found| !attacks(found).is_empty());
    assert_eq!(banned, Some(4), "after the fifth in all");
    assert_eq!(one_attack(&found[4]).source.to_string(), "2001:db8:66:1::/64");
}

#[test]
fn when_several_64_attack_the_56_around_them_does() {
    let mut bench = Bench::new();
    let mut found = Vec::new();
    for network in 0..3 {
        found.extend(bench.all((0..5).map(|n| wrong(&address(network, 1), n, "root").ssh())));
    }
    let sources: Vec<String> =
        attacks(&found).iter().map(|attack| attack.source.to_string()).collect();
    assert_eq!(
        sources,
        ["2001:db8:66::/64", "2001:db8:66:1::/64", "2001:db8:66:2::/64", "2001:db8:66::/56"]
    );
}

#[test]
fn when_several_56_attack_the_48_around_them_does() {
    let mut bench = Bench::new();
    let mut found = Vec::new();
    for network in [0, 1, 2, 0x100, 0x101, 0x102, 0x200, 0x201, 0x202] {
        found.extend(bench.all((0..5).map(|n| wrong(&address(network, 1), n, "root").ssh())));
    }
    let wide: Vec<String> = attacks(&found)
        .iter()
        .map(|attack| attack.source.to_string())
        .filter(|source| !source.ends_with("/64"))
        .collect();
    assert_eq!(wide, ["2001:db8:66::/56", "2001:db8:66:100::/56", "2001:db8:66::/48"]);
}

#[test]
fn a_network_of_sources_that_try_once_each() {
    // Each attempt comes from another /64 of one /56.
    let mut bench = Bench::new();
    let found = bench.all((0..10).map(|n| wrong(&address(n, 1), i64::from(n), "204")));
    let attack = one_attack(&found);
    assert_eq!(attack.source.to_string(), "2001:db8:66::/56");
    assert_eq!((attack.evidence.attempts, attack.evidence.threshold), (10, (10, 600)));
    // Each comes from another /56 of one /48.
    let mut bench = Bench::new();
    let found = bench.all((0..20).map(|n| wrong(&address(n << 8, 1), i64::from(n), "204")));
    assert_eq!(one_attack(&found).source.to_string(), "2001:db8:66::/48");
    // From other /48 it is nobody's fault.
    let mut bench = Bench::new();
    no_attack(&bench.all((0..200).map(|n| wrong(&format!("2001:db8:{n:x}::1"), n, "204"))));
}

#[test]
fn bad_phones_of_a_carrier_ban_none_of_its_networks() {
    let mut bench = Bench::new();
    let mut found = Vec::new();
    for n in 0..300 {
        for network in 0..9 {
            found.extend(bench.see(&wrong(&address(network, 1), n * 61, "204")));
        }
    }
    no_attack(&found);
    assert_eq!(found.len(), 9, "a notice for each of them");
}

#[test]
fn from_where_people_log_in_a_network_is_limited() {
    let mut bench = Bench::new();
    bench.see(&success(&address(0x77, 1), -DAY, "200"));
    let found = bench.all((0..10).map(|n| wrong(&address(n, 1), i64::from(n), "204")));
    assert_eq!(one_attack(&found).trusted_since, Some(second(-DAY)));
}
