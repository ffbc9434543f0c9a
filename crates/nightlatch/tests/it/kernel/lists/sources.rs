//! Other sources of the table of countries.

use std::fmt::Write as _;

use nightlatch_lab::stage::Plan;

use super::web::Web;
use super::{Probes, addresses, open, set};
use crate::support;

const CHINESE: [&str; 2] = ["192.0.2.161", "2001:db8:66::66"];
const GERMAN: [&str; 2] = ["192.0.2.20", "2001:db8:3::20"];

fn both() -> Vec<&'static str> {
    [CHINESE, GERMAN].concat()
}

/// Blocks China and Germany in turn, whatever the source.
fn check(nightlatch: &support::Installation<'_>, probes: &Probes, source: &str) {
    nightlatch.configure(&format!("[countries]\nsource = {source}\n"));
    nightlatch.must(&["reload"]);
    nightlatch.must(&["country", "block", "CN"]);
    assert_eq!(probes.passing(&addresses(&both())), set(&GERMAN), "{source}");
    nightlatch.must(&["country", "block", "DE"]);
    assert_eq!(probes.passing(&addresses(&both())), set(&[]), "{source}");
    nightlatch.must(&["country", "unblock", "CN"]);
    assert_eq!(probes.passing(&addresses(&both())), set(&CHINESE), "{source}");
    nightlatch.must(&["country", "unblock", "DE"]);
    assert_eq!(probes.passing(&addresses(&both())), set(&both()), "{source}");
}

#[test]
fn every_kind_of_source() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let (nightlatch, _daemon) = open(server, office, "");
    let probes = Probes::from(attacker, server, office);
    let web = Web::on(server);
    let folder = nightlatch.directory().join("zones");
    std::fs::create_dir(&folder).unwrap();

    // Zone files as ipdeny has them: in a folder, and at an address.
    let (cn, de) = ("192.0.2.128/25\n2001:db8:66::/48\n", "192.0.2.0/25\n2001:db8:3::/64\n");
    for (name, zone) in [("cn", cn), ("de-aggregated", de)] {
        std::fs::write(folder.join(format!("{name}.zone")), zone).unwrap();
    }
    check(&nightlatch, &probes, &format!("\"{}\"", folder.display()));
    web.put("/cn.zone", cn);
    web.put("/de.zone", de);
    check(&nightlatch, &probes, &format!("\"{}\"", web.url("/{cc}.zone")));
    // Only these, of which the table at hand tells nothing before; one that is not to be had.
    nightlatch.must(&["country", "block", "CN"]);
    nightlatch.must(&["country", "unblock", "CN"]);
    for (countries, passing) in
        [(&["DE"][..], &GERMAN[..]), (&["CN"], &CHINESE), (&["CN", "DE"], &both())]
    {
        nightlatch.must(&[&["country", "allow"], countries].concat());
        assert_eq!(probes.passing(&addresses(&both())), set(passing), "{countries:?}");
    }
    nightlatch.must(&["country", "allow", "DE"]);
    let told = nightlatch.must_exit(1, &["country", "allow", "US"]);
    assert!(told.contains("nothing was changed") && told.contains("404"), "{told}");
    assert_eq!(probes.passing(&addresses(&both())), set(&GERMAN), "as before");
    nightlatch.must(&["country", "allow", "all"]);

    // The statistics of two registries.
    let statistics = |registry: &str, lines: &str| {
        format!(
            "2|{registry}|20260101|2|19840101|20260101|+0000\n{registry}|*|ipv4|*|1|summary\n{lines}"
        )
    };
    web.put("/apnic", statistics("apnic", "apnic|CN|ipv4|192.0.2.128|128|20100101|allocated|x\napnic|CN|ipv6|2001:db8:66::|48|20100101|allocated|x\n"));
    web.put("/ripe", statistics("ripencc", "ripencc|DE|ipv4|192.0.2.0|128|20100101|assigned|x\nripencc|DE|ipv6|2001:db8:3::|64|20100101|allocated|x\n"));
    check(&nightlatch, &probes, &format!("[\"{}\", \"{}\"]", web.url("/apnic"), web.url("/ripe")));

    // A table as tor-geoipdb's, in one file.
    let csv = "192.0.2.0,192.0.2.127,DE\n192.0.2.128,192.0.2.255,CN\n2001:db8:3::,2001:db8:3:ffff:ffff:ffff:ffff:ffff,DE\n2001:db8:66::,2001:db8:66:ffff:ffff:ffff:ffff:ffff,CN\n";
    let file = nightlatch.directory().join("table.csv");
    std::fs::write(&file, csv).unwrap();
    check(&nightlatch, &probes, &format!("\"{}\"", file.display()));

    // MaxMind's own database for tests: Japan and the United Kingdom are in it.
    let data =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../nightlatch-parse/tests/data");
    let database = data.join("GeoIP2-Country-Test.mmdb").canonicalize().unwrap();
    nightlatch.configure(&format!("[countries]\nsource = \"{}\"\n", database.display()));
    nightlatch.must(&["reload"]);
    let two = addresses(&["2001:218::1", "81.2.69.142"]);
    nightlatch.must(&["country", "block", "Japan"]);
    assert_eq!(probes.passing(&two), set(&["81.2.69.142"]));
    nightlatch.must(&["country", "unblock", "Japan"]);
    nightlatch.must(&["country", "allow", "JPN"]);
    assert_eq!(probes.passing(&two), set(&["2001:218::1"]));
}

/// Nothing new is asked for and told; what is doubtful leaves the old in force.
#[test]
fn the_old_table_stays_until_the_new_is_proven() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let web = Web::on(server);
    let rules = format!("[countries]\nsource = \"{}\"\n", web.url("/table.csv"));
    let (nightlatch, _daemon) = open(server, office, &rules);
    let probes = Probes::from(attacker, server, office);

    // Not to be had: the rule is set, the command says that it does not count yet.
    let told = nightlatch.must_exit(1, &["country", "block", "CN"]);
    assert!(told.contains("404") && told.contains("without a table"), "{told}");
    assert!(probes.passes("192.0.2.161".parse().unwrap()));
    let status = nightlatch.json(&["status"]);
    assert!(status["feed_troubles"][0].as_str().unwrap().contains("GeoIP table"), "{status}");

    let mut table = "192.0.2.128,192.0.2.255,CN\n".to_owned();
    for n in 0..3000 {
        let _ = writeln!(
            table,
            "198.18.{}.{},198.18.{}.{},DE",
            n / 100,
            n % 100 * 2,
            n / 100,
            n % 100 * 2
        );
    }
    web.put("/table.csv", table);
    nightlatch.must(&["country", "refresh"]);
    assert!(!probes.passes("192.0.2.161".parse().unwrap()));
    nightlatch.must(&["country", "refresh"]);
    assert_eq!(web.answers("/table.csv"), [404, 200, 304]);

    for broken in ["192.0.2.0,192.0.2.127,CN\n", "<html>gone</html>", ""] {
        web.put("/table.csv", broken);
        nightlatch.must_exit(1, &["country", "refresh"]);
        assert!(!probes.passes("192.0.2.161".parse().unwrap()), "{broken:?}");
        assert!(probes.passes("192.0.2.20".parse().unwrap()), "{broken:?}");
    }
    web.put("/table.csv", "192.0.2.0,192.0.2.127,CN\n");
    let told = nightlatch.must_exit(1, &["country", "refresh"]);
    assert!(told.contains("country refresh --force"), "{told}");
    nightlatch.must(&["country", "refresh", "--force"]);
    assert!(probes.passes("192.0.2.161".parse().unwrap()));
    assert!(!probes.passes("192.0.2.20".parse().unwrap()));
}
