//! Countries, with the table of Debian's `tor-geoipdb`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use nightlatch_lab::stage::Plan;
use nightlatch_parse::address::from_number;
use nightlatch_parse::country::{CountryCode, CountryTable, Layout, Reader};

use super::{Probes, open};
use crate::support;

const TABLE: &str = "/usr/share/tor";

fn table() -> CountryTable {
    let mut reader = Reader::new(Layout::Auto, 4_000_000);
    reader.push(&std::fs::read(format!("{TABLE}/geoip")).unwrap()).unwrap();
    let mut four = reader.finish().unwrap().builder;
    let mut reader = Reader::new(Layout::Auto, 4_000_000);
    reader.push(&std::fs::read(format!("{TABLE}/geoip6")).unwrap()).unwrap();
    for (range, code) in reader.finish().unwrap().build().iter() {
        four.add(range, code);
    }
    four.build()
}

/// Addresses of each country from all over the table: first, last and middle of ranges.
fn samples(table: &CountryTable, codes: &[&str]) -> BTreeMap<CountryCode, Vec<IpAddr>> {
    let of = |code: &&str| {
        let code: CountryCode = code.parse().unwrap();
        let mut found = Vec::new();
        for v4 in [true, false] {
            let ranges: Vec<_> =
                table.ranges(code).filter(|range| range.first_address().is_ipv4() == v4).collect();
            for range in ranges.iter().step_by((ranges.len() / 5).max(1)) {
                let middle = range.first() + (range.last() - range.first()) / 2;
                found.extend([
                    range.first_address(),
                    range.last_address(),
                    from_number(range.family(), middle),
                ]);
            }
        }
        (code, found)
    };
    codes.iter().map(of).collect()
}

#[test]
fn the_real_table_shuts_countries_out() {
    if !Path::new(TABLE).join("geoip6").exists() {
        support::skip("not installed: tor-geoipdb");
        return;
    }
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let (nightlatch, daemon) = open(server, office, "");
    let probes = Probes::from(attacker, server, office);
    let of = samples(&table(), &["CN", "RU", "US", "DE"]);
    let all: Vec<IpAddr> = of.values().flatten().copied().collect();
    let passing = || -> BTreeSet<String> {
        let heard = probes.passing(&all);
        of.iter()
            .filter(|(_, addresses)| {
                let came = addresses.iter().filter(|address| heard.contains(address)).count();
                assert!(came == 0 || came == addresses.len(), "{came} of {addresses:?}");
                came > 0
            })
            .map(|(code, _)| code.to_string())
            .collect()
    };
    let codes = |codes: &[&str]| codes.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(passing(), codes(&["CN", "DE", "RU", "US"]));

    let told = nightlatch.must(&["country", "block", "CN", "Russia"]);
    assert!(told.contains("China") && told.contains("ranges of /usr/share/tor"), "{told}");
    assert_eq!(passing(), codes(&["DE", "US"]));
    // Not an address that is accepted later: a removed account is denied in open mode too.
    let IpAddr::V4(first) = of.values().next().unwrap()[0] else { panic!("{of:?}") };
    let chinese = Ipv4Addr::from_bits(first.to_bits() + 1).to_string();
    let why = nightlatch.must_exit(1, &["why", &chinese, "--to", "udp/5060"]);
    assert!(why.contains("strangers from China (CN) are blocked"), "{why}");
    let list = nightlatch.json(&["country", "list"]);
    assert_eq!(list["rules"]["blocked"], serde_json::json!(["CN", "RU"]));
    assert!(list["sizes"][0]["v4_addresses"].as_u64().unwrap() > 100_000_000, "{list}");
    assert!(nightlatch.must(&["country", "list"]).contains("Russia"));

    // An account comes in from anywhere.
    nightlatch.must(&["allow", "friend", &chinese, "--services", "sip"]);
    assert!(probes.passes(chinese.parse().unwrap()));
    nightlatch.must(&["remove", "friend"]);
    assert!(!probes.passes(chinese.parse().unwrap()));

    // Only these; whoever belongs to no country is blocked too, but not the own networks.
    let told = nightlatch.must_exit(1, &["country", "allow", "CN", "US"]);
    assert!(told.contains("blocked: China; \"nightlatch country unblock CN\""), "{told}");
    nightlatch.must(&["country", "allow", "United States"]);
    assert_eq!(passing(), codes(&["US"]));
    assert!(!probes.passes(attacker.v4()) && !probes.passes(attacker.v6()));
    assert!(
        probes.passes("10.0.0.7".parse().unwrap()) && probes.passes("fd00::7".parse().unwrap())
    );
    let why = nightlatch.must_exit(1, &["why", "192.0.2.166"]);
    assert!(why.contains("no country"), "{why}");

    nightlatch.must(&["country", "allow", "all"]);
    assert_eq!(passing(), codes(&["DE", "US"]));
    nightlatch.must(&["country", "unblock", "CN", "RU"]);
    assert_eq!(passing(), codes(&["CN", "DE", "RU", "US"]));
    assert!(nightlatch.must(&["country", "list"]).contains("no country is blocked"));

    // Without the daemon.
    daemon.kill();
    let told = nightlatch.must(&["country", "of", &chinese]);
    assert!(told.contains("China (CN)"), "{told}");
    let answer = nightlatch.json(&["country", "of", "192.0.2.1"]);
    assert_eq!(answer["country"], serde_json::Value::Null);
}
