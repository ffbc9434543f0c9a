//! The country tables of Debian's tor-geoipdb, where it is installed, against a plain reading.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers may fail the test")]

use std::fs;
use std::net::IpAddr;

use nightlatch_parse::address::{Family, from_number};
use nightlatch_parse::country::{CountryTable, Layout, Reader};

const LIMIT: usize = 2_000_000;

fn read(path: &str) -> Option<(CountryTable, String)> {
    let Ok(text) = fs::read(path) else {
        eprintln!("SKIPPED: {path} is missing (package tor-geoipdb)");
        return None;
    };
    let mut reader = Reader::new(Layout::Auto, LIMIT);
    for block in text.chunks(10_007) {
        reader.push(block).unwrap();
    }
    let countries = reader.finish().unwrap();
    assert_eq!(countries.tally.refused, 0, "{:?}", countries.tally);
    Some((countries.build(), String::from_utf8(text).unwrap()))
}

fn compare(table: &CountryTable, text: &str, end: impl Fn(&str) -> IpAddr) {
    let mut compared = 0;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for line in lines.step_by(97) {
        let [first, last, code] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let expected = match code {
            "??" => None,
            "UK" => Some("GB".to_owned()),
            code => Some(code.to_owned()),
        };
        for address in [end(first), end(last)] {
            let found = table.of(address).map(|code| code.to_string());
            assert_eq!(found, expected, "{address} of {line}");
        }
        compared += 1;
    }
    assert!(compared > 1000, "{compared}");
}

#[test]
fn tor_geoip() {
    if let Some((table, text)) = read("/usr/share/tor/geoip") {
        compare(&table, &text, |number| from_number(Family::V4, number.parse().unwrap()));
    }
}

#[test]
fn tor_geoip6() {
    if let Some((table, text)) = read("/usr/share/tor/geoip6") {
        compare(&table, &text, |address| address.parse().unwrap());
    }
}
