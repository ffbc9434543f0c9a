//! `country`, and what `why` and `status` say of countries.

use std::time::Duration;

use super::ground::stage;
use super::lists::{TABLE, configure, open, write};
use super::transcript::Transcript;
use crate::support::wait_until;

#[test]
fn countries() {
    let Some(stage) = stage() else { return };
    let (nightlatch, _daemon) = open(&stage);
    let mut to = Transcript::new("countries", &nightlatch);
    to.about("none");
    to.both("country list");
    to.both("country refresh");
    to.all(&["country unblock all", "country allow all", "country of 192.0.2.200"]);
    to.about("blocked");
    to.all(&["country block CN usa", "country block China", "country block china --json"]);
    to.both("country list");
    to.all(&["country block CN --no-wait", "country block \"North Korea\" --no-wait --json"]);
    to.run("country unblock KP");
    to.both("why 192.0.2.200 --to udp/5060");
    to.both("why 2001:db8:66::1");
    to.both("status");
    to.all(&["country unblock DE", "country allow US DE", "country unblock US China"]);
    to.about("only some");
    to.run("country allow US,CA");
    to.both("country list");
    to.all(&["country only US,CA", "country block \"US, DE\"", "country block CN"]);
    to.both("country list");
    to.both("why 192.0.2.170 --to udp/5060");
    to.both("why 198.51.100.77 --to udp/5060");
    to.all(&["why 203.0.113.7 --to udp/5060", "country unblock FR", "status"]);
    to.all(&["country refresh", "country refresh --force --json"]);
    to.about("to which one an address belongs");
    to.both("country of 192.0.2.7");
    to.both("country of 198.51.100.9");
    to.all(&["country of 2001:db8:66::1", "country of ::ffff:203.0.113.9"]);
    to.about("in mode allowlist, and while the firewall is off");
    to.all(&["mode allowlist", "country block RU", "why 192.0.2.200", "country unblock all"]);
    to.all(&["country allow all", "country allow all --json", "down --yes", "country block DE"]);
    to.all(&["country unblock DE --no-wait --json", "country block CN --no-wait --json"]);
    to.finish();
}

/// Tables that are not there, that are none, and that are not believed.
#[test]
fn tables() {
    let Some(stage) = stage() else { return };
    let (nightlatch, daemon) = open(&stage);
    let mut to = Transcript::new("countries_tables", &nightlatch);
    to.about("not there");
    configure(&nightlatch, "nowhere.csv");
    nightlatch.must(&["reload"]);
    to.both("country block CN");
    to.both("country list");
    to.both("country refresh");
    to.both("status");
    to.all(&[
        "why 192.0.2.200 --to udp/5060",
        "country of 192.0.2.200",
        // On the screen, it depends on whether the source has been read meanwhile.
        "country block DE --no-wait --json",
    ]);
    to.about("something else");
    for (name, content) in [
        ("empty.csv", &b""[..]),
        ("page.csv", b"<!DOCTYPE html><html></html>\n"),
        ("prose.csv", b"no table\nany more\n"),
        ("noise.csv", b"\x00\x01\x02\x03"),
        ("table.mmdb", b"\xab\xcd\xefMaxMind.com"),
    ] {
        write(&nightlatch, name, content);
        configure(&nightlatch, name);
        nightlatch.must(&["reload"]);
        to.run("country refresh");
        to.run("country of 192.0.2.200");
    }
    to.about("there");
    configure(&nightlatch, "table.csv");
    nightlatch.must(&["reload"]);
    to.both("country refresh");
    to.run("status");
    to.about("one that is not in force any more");
    configure(&nightlatch, "nowhere.csv");
    nightlatch.must(&["reload"]);
    to.both("country refresh");
    to.all(&["country list", "status", "why 192.0.2.200 --to udp/5060", "country allow US"]);
    to.about("one with remarks");
    write(&nightlatch, "table.csv", format!("{TABLE}nobody,nowhere,XX\n192.0.2.0,192.0.2.9,QQ\n"));
    configure(&nightlatch, "table.csv");
    nightlatch.must(&["reload"]);
    to.all(&["country refresh", "country refresh --force --json"]);
    to.about("as large as many");
    let rows = |count: u32| -> String {
        (0..count).map(|n| format!("2001:db8:{:x}::,2001:db8:{:x}::,US\n", 2 * n, 2 * n)).collect()
    };
    let giant = "10.0.0.0,10.255.255.255,CN\n";
    write(&nightlatch, "table.csv", rows(1200) + giant);
    to.run("country refresh --force");
    write(&nightlatch, "table.csv", rows(100) + giant);
    to.both("country refresh");
    write(&nightlatch, "table.csv", rows(1200) + "10.0.0.0,10.0.255.255,CN\n");
    to.both("country refresh");
    to.all(&["country list", "country refresh --force", "country list"]);
    to.about("without the daemon, and with a bad configuration");
    // It is kept beside the change, not before its answer.
    wait_until("the table is kept", Duration::from_secs(20), || {
        nightlatch.must(&["country", "of", "10.0.0.1"]).contains("10.0.0.0/16")
    });
    drop(daemon);
    to.all(&["country list", "country of 10.0.0.1"]);
    nightlatch.configure("[countries]\nsource = 7\n");
    to.both("country of 10.0.0.1");
    to.finish();
}

/// Whoever comes by SSH is not shut out by countries.
#[test]
fn whoever_comes_by_ssh() {
    const HOTEL: &str = "192.0.2.20";
    let Some(stage) = stage() else { return };
    let (nightlatch, _daemon) = open(&stage);
    let mut to = Transcript::new("countries_by_ssh", &nightlatch);
    to.about("the table is not read yet");
    to.from(HOTEL, "country allow US");
    to.from(HOTEL, "country block DE CN --json");
    to.both("country list");
    to.about("it is");
    to.from(HOTEL, "country block CN");
    to.from(HOTEL, "country block Germany");
    to.from(HOTEL, "country block Germany --json");
    to.from(HOTEL, "country allow US");
    to.about("another one");
    write(&nightlatch, "table.csv", TABLE.replace("DE", "CN"));
    to.from(HOTEL, "country refresh");
    to.from(HOTEL, "country refresh --json");
    to.both("country list");
    to.run("status");
    to.about("by force");
    to.from(HOTEL, "country refresh --force");
    to.all(&["why 192.0.2.20 --to tcp/22", "country unblock all"]);
    to.from(HOTEL, "country block CN --force");
    to.run("why 192.0.2.20 --to tcp/22");
    to.finish();
}
