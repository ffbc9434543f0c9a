//! A database that MaxMind itself has written, against the source that it was written from.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use nightlatch_parse::country::mmdb;

const DATABASE: &[u8] = include_bytes!("data/GeoIP2-Country-Test.mmdb");
const SOURCE: &str = include_str!("data/GeoIP2-Country-Test.txt");

#[test]
fn every_network_has_the_country_of_the_source() {
    let countries = mmdb::read(DATABASE, 100_000).unwrap();
    let table = countries.build();
    let mut compared = 0;
    for line in SOURCE.lines() {
        let (address, code) = line.split_once(' ').unwrap();
        let found = table.of(address.parse::<IpAddr>().unwrap()).map(|code| code.to_string());
        assert_eq!(found.as_deref().unwrap_or("-"), code, "{address}");
        compared += 1;
    }
    assert_eq!(compared, 687);
}

/// Cut off anywhere, it is an error, and never a part of a table.
#[test]
fn half_a_database_is_none() {
    for length in (0..DATABASE.len()).step_by(997) {
        assert!(mmdb::read(&DATABASE[..length], 100_000).is_err(), "{length}");
    }
}
