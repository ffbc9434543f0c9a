//! `country` and `feed`, command by command, as they stand on the screen; and what `why`, `status`
//! and `log` say of them.

mod formats;
mod keys;
mod mistakes;
mod session;

use std::io::Write as _;
use std::time::Duration;

use super::oldnames::type_at_terminal;
use super::*;
use crate::fetch::server::Server;
use crate::support::{Daemon, Installation, told};

/// A table of countries in which documentation networks stand for China, Germany and the USA.
const TABLE: &str = "\
192.0.2.0,192.0.2.127,DE
192.0.2.128,192.0.2.255,CN
203.0.113.0,203.0.113.255,US
2001:db8:3::,2001:db8:3:ffff:ffff:ffff:ffff:ffff,DE
2001:db8:66::,2001:db8:66:ffff:ffff:ffff:ffff:ffff,CN
";
const LIST: &str = "# bad people\n192.0.2.161\n192.0.2.168/29\n2001:db8:66::/48\n";

/// The program in mode open, with a table of countries of its own.
fn open<'a>(stage: &'a Stage, more: &str) -> (Installation<'a>, Daemon) {
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let table = nightlatch.directory().join("table.csv");
    std::fs::write(&table, TABLE).unwrap();
    nightlatch.configure(&format!("[countries]\nsource = \"{}\"\n{more}", table.display()));
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    nightlatch.must(&["mode", "open"]);
    (nightlatch, daemon)
}

/// Runs `nightlatch` in the folder of its installation; `expected` is the exit code and what is
/// printed, with `DIR` for that folder, `AGO` for an age and `(TIME)` for how long it took.
fn check(nightlatch: &Installation<'_>, arguments: &[&str], code: i32, expected: &str) {
    let folder = nightlatch.directory();
    let output = nightlatch.command(arguments).current_dir(folder).output().unwrap();
    let printed = String::from_utf8([output.stdout.clone(), output.stderr.clone()].concat());
    let printed = printed.unwrap().replace(folder.to_str().unwrap(), "DIR");
    assert_eq!(
        ageless(&printed).trim_end(),
        expected.trim_matches('\n'),
        "nightlatch {arguments:?}"
    );
    assert_eq!(output.status.code(), Some(code), "nightlatch {arguments:?}: {}", told(&output));
}

fn ageless(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let mut words: Vec<&str> = Vec::new();
        for word in line.split(' ') {
            if word.trim_end_matches([';', ':']) == "ago" {
                words.pop();
                words.push(if word == "ago" { "AGO" } else { "AGO;" });
            } else if word == "s)" {
                words.pop();
                words.push("(TIME)");
            } else {
                words.push(word);
            }
        }
        words.join(" ") + "\n"
    });
    lines.collect()
}

#[test]
fn countries() {
    let Some(stage) = stage() else {
        return;
    };
    let (nightlatch, _daemon) = open(&stage, "");
    let check =
        |arguments: &[&str], code: i32, text: &str| check(&nightlatch, arguments, code, text);
    check(
        &["country", "list"],
        0,
        "no country is blocked\nsource    DIR/table.csv, loaded when a country is blocked or allowed",
    );
    // Nobody has to know codes; whoever mistypes one is told the nearest.
    check(
        &["country", "block", "CN", "usa"],
        0,
        "
blocked: strangers from China, United States
table     5 ranges of DIR/table.csv, read AGO",
    );
    check(
        &["country", "block", "China"],
        0,
        "already blocked: strangers from China\ntable     5 ranges of DIR/table.csv, read AGO",
    );
    for (typo, near) in
        [("Chnia", "China"), ("Germny", "Germany"), ("Untied States", "United States")]
    {
        for command in ["block", "unblock", "allow"] {
            let said = nightlatch.must_exit(2, &["country", command, typo]);
            assert!(said.contains(&format!("\"{typo}\"; did you mean {near}")), "{said}");
        }
    }
    check(
        &["country", "list"],
        0,
        "
CODE  COUNTRY        STRANGERS  IPV4 ADDRESSES  IPV4 RANGES  IPV6 RANGES
CN    China          blocked    128             1            1
US    United States  blocked    256             1            0
table     5 ranges of DIR/table.csv, read AGO",
    );
    check(
        &["country", "unblock", "DE"],
        1,
        "nightlatch: not blocked: Germany: \"nightlatch country list\" shows which are",
    );
    check(
        &["country", "allow", "US", "DE"],
        1,
        "nightlatch: blocked: United States; \"nightlatch country unblock US\" unblocks them (\"country allow\" would block all other countries)",
    );
    check(
        &["country", "unblock", "US", "China"],
        0,
        "no country is blocked\nsource    DIR/table.csv, loaded when a country is blocked or allowed",
    );

    // Only these.
    check(
        &["country", "allow", "US,CA"],
        0,
        "
strangers may connect only from Canada, United States
table     5 ranges of DIR/table.csv, read AGO
WARNING   the table has no addresses of Canada",
    );
    check(
        &["country", "list"],
        0,
        "
CODE  COUNTRY        STRANGERS  IPV4 ADDRESSES  IPV4 RANGES  IPV6 RANGES
CA    Canada         allowed    0               0            0
US    United States  allowed    256             1            0
everybody else    blocked
table     5 ranges of DIR/table.csv, read AGO
WARNING   the table has no addresses of Canada",
    );
    check(
        &["why", "192.0.2.170", "--to", "udp/5060"],
        1,
        "new packets to udp/5060 from 192.0.2.170 are dropped without an answer: strangers from China (CN) are blocked: 192.0.2.128/25, by the GeoIP table read AGO",
    );
    check(
        &["why", "198.51.100.77", "--to", "udp/5060"],
        1,
        "new packets to udp/5060 from 198.51.100.77 are dropped without an answer: it belongs to no country, and only selected countries may connect: by the GeoIP table read AGO",
    );
    nightlatch.must(&["why", "203.0.113.7", "--to", "udp/5060"]);
    let why = nightlatch.json(&["why", "2001:db8:66::1"]);
    assert_eq!(why["lists"][0]["country"], "CN", "{why}");
    assert_eq!(why["lists"][0]["entry"], "2001:db8:66::/48", "{why}");
    assert!(why["lists"][0]["fetched"].is_u64(), "{why}");
    nightlatch.must_exit(2, &["country", "allow"]);
    check(
        &["country", "allow", "all"],
        0,
        "no country is blocked\nsource    DIR/table.csv, loaded when a country is blocked or allowed",
    );
    let log = nightlatch.must(&["log"]);
    assert!(log.contains("country block countries: everywhere -> not CN US"), "{log}");
    assert!(log.contains("country allow countries: everywhere -> only CA US"), "{log}");
}

#[test]
fn countries_as_json_and_by_address() {
    let Some(stage) = stage() else {
        return;
    };
    let (nightlatch, daemon) = open(&stage, "");
    let check =
        |arguments: &[&str], code: i32, text: &str| check(&nightlatch, arguments, code, text);
    // Without a table in force the source is asked.
    check(
        &["country", "of", "192.0.2.200"],
        0,
        "192.0.2.200 belongs to China (CN), as 192.0.2.128/25, says DIR/table.csv",
    );
    let blocked = nightlatch.json(&["country", "block", "CN"]);
    let listed = nightlatch.json(&["country", "list"]);
    for countries in [&blocked, &listed] {
        assert_eq!(countries["rules"], serde_json::json!({ "blocked": ["CN"], "only": [] }));
        assert_eq!(countries["sizes"][0]["v6_ranges"], 1);
        assert_eq!((&countries["failed"], &countries["stale"]), (&false.into(), &false.into()));
    }
    check(
        &["country", "of", "2001:db8:66::1"],
        0,
        "2001:db8:66::1 belongs to China (CN), as 2001:db8:66::/48, says the table in force",
    );
    let of = nightlatch.json(&["country", "of", "::ffff:192.0.2.7"]);
    assert_eq!((&of["country"], &of["name"]), (&"DE".into(), &"Germany".into()));
    assert_eq!(of["range"], "192.0.2.0/25");
    check(&["country", "of", "198.51.100.9"], 1, "198.51.100.9 belongs to no country");
    assert_eq!(
        nightlatch.json(&["country", "of", "198.51.100.9"])["country"],
        serde_json::Value::Null
    );
    nightlatch.must_exit(2, &["country", "of", "nowhere"]);
    let waiting = nightlatch.json(&["country", "unblock", "CN", "--no-wait"]);
    assert_eq!(waiting["done"]["message"], "no country is blocked");

    // In other modes it does not count, and the commands say so.
    nightlatch.must(&["mode", "allowlist"]);
    let told = nightlatch.must(&["country", "block", "CN"]);
    assert!(told.contains("in mode allowlist strangers are dropped"), "{told}");
    let why = nightlatch.must_exit(1, &["why", "192.0.2.200"]);
    assert!(
        why.contains(
            "no account covers them, and they would be dropped in mode open too: strangers from"
        ),
        "{why}"
    );
    nightlatch.must(&["down", "--yes"]);
    let told = nightlatch.must(&["country", "block", "DE"]);
    assert!(told.contains("the firewall is OFF"), "{told}");

    drop(daemon);
    for command in [&["country", "list"][..], &["country", "block", "RU"], &["feed", "list"]] {
        nightlatch.must_exit(69, command);
    }
    nightlatch.must(&["country", "of", "192.0.2.200"]);
    nightlatch.configure("[countries]\nsource = 7\n");
    nightlatch.must_exit(78, &["country", "of", "198.51.100.9"]);
}

#[test]
fn feeds() {
    let Some(stage) = stage() else {
        return;
    };
    let (nightlatch, _daemon) = open(&stage, "");
    let check =
        |arguments: &[&str], code: i32, text: &str| check(&nightlatch, arguments, code, text);
    check(&["feed", "list"], 0, "No feeds. \"nightlatch feed catalogue\" lists known ones.");
    let missing = "there is no feed \"bad\": \"nightlatch feed list\" shows all of them";
    check(&["feed", "refresh", "bad"], 1, &format!("nightlatch: {missing}"));
    check(&["feed", "remove", "bad"], 1, &format!("nightlatch: {missing}"));
    check(
        &["feed", "refresh"],
        1,
        "nightlatch: there is no feed: add one with \"nightlatch feed add NAME\"",
    );
    // A path is meant from where one stands.
    let lost = "DIR/bad.txt cannot be read: No such file or directory (os error 2)";
    std::fs::write(nightlatch.directory().join("bad.txt"), LIST).unwrap();
    check(&["feed", "add", "bad", "bad.txt"], 0, "feed \"bad\": 3 entries (TIME)");
    check(&["feed", "refresh", "bad"], 0, "feed \"bad\": nothing new (TIME)");
    check(
        &["feed", "add", "bad", "bad.txt"],
        1,
        "nightlatch: feed \"bad\" exists already (DIR/bad.txt): remove it first, or use another name",
    );
    let listed = timeless(&nightlatch.must(&["feed", "list"]));
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines[0], "NAME  IPV4  IPV6  AGE  DROPPED  UNIQUE  LAST CHECK");
    assert!(lines[1].starts_with("bad   2     1     ") && lines[1].ends_with("nothing new"));
    check(
        &["why", "192.0.2.170"],
        1,
        "
new connections from 192.0.2.170 are dropped without an answer: feed \"bad\" lists 192.0.2.168/29, fetched AGO
reaches   nothing",
    );
    let status = nightlatch.must(&["status"]);
    let line = "lists     1 feed and 0 countries: 2 ranges of IPv4, 1 of IPv6, about 1 kB of kernel memory";
    assert!(status.lines().any(|shown| shown == line), "{status}");
    let status = nightlatch.json(&["status"]);
    assert_eq!((&status["feeds"], &status["listed_v6"]), (&1.into(), &1.into()));
    assert_eq!(status["listed_bytes"], 3 * 160);

    let refreshed = nightlatch.json(&["feed", "refresh"]);
    let view = &nightlatch.json(&["feed", "list"])[0];
    for view in [&refreshed[0], view] {
        assert_eq!(view["feed"]["name"], "bad");
        assert_eq!(
            (&view["state"]["entries_v4"], &view["state"]["stopped"]),
            (&2.into(), &0.into())
        );
        assert_eq!((&view["stale"], &view["fetching"]), (&false.into(), &false.into()));
    }
    std::fs::remove_file(nightlatch.directory().join("bad.txt")).unwrap();
    check(
        &["feed", "refresh", "bad"],
        1,
        &format!("feed \"bad\" FAILED: {lost}; the 3 previous entries stay active"),
    );
    let listed = nightlatch.must(&["feed", "list"]);
    assert!(listed.contains("FAILED: "), "{listed}");
    let status = nightlatch.must(&["status"]);
    assert!(status.contains("TROUBLE   feed \"bad\""), "{status}");
    check(
        &["feed", "remove", "bad"],
        0,
        "feed \"bad\" removed; addresses that only it listed are no longer blocked",
    );
    assert!(!nightlatch.must(&["status"]).contains("lists  "));
    let added = nightlatch.json(&["feed", "add", "bad", "/nowhere", "--no-wait"]);
    assert!(added["done"]["message"].as_str().unwrap().contains("being fetched"), "{added}");
    let removed = nightlatch.json(&["feed", "remove", "bad"]);
    assert!(removed["done"]["message"].as_str().unwrap().contains("removed"), "{removed}");

    // Before it can count, it says so.
    nightlatch.must(&["mode", "allowlist"]);
    std::fs::write(nightlatch.directory().join("bad.txt"), LIST).unwrap();
    check(
        &["feed", "add", "bad", "bad.txt"],
        0,
        "feed \"bad\": 3 entries (TIME)\nin mode allowlist strangers are dropped, listed or not",
    );
    let log = nightlatch.must(&["log"]);
    let file = nightlatch.directory().join("bad.txt");
    assert!(log.contains(&format!("feed add bad: {} every 5m", file.display())), "{log}");
    assert!(log.contains("nightlatch  feed bad: 3 entries"), "{log}");
}

/// The lists of the catalogue need no more than their name; no network is at hand here.
#[test]
fn a_list_of_the_catalogue() {
    let Some(stage) = stage() else {
        return;
    };
    let (nightlatch, _daemon) = open(&stage, "");
    nightlatch.must(&["feed", "add", "spamhaus-drop", "--no-wait"]);
    nightlatch.must(&["feed", "add", "voipbl", "--every", "2d", "--format", "auto", "--no-wait"]);
    let feeds = nightlatch.json(&["feed", "list"]);
    let known = nightlatch.json(&["feed", "catalogue"]);
    let known = known.as_array().unwrap();
    let drop = known.iter().find(|known| known["name"] == "spamhaus-drop").unwrap();
    assert_eq!(feeds[0]["feed"]["source"], drop["source"]);
    assert_eq!(feeds[0]["feed"]["format"], drop["format"]);
    let minutes = drop["every_minutes"].as_u64().unwrap();
    assert_eq!(feeds[0]["feed"]["every"]["secs"], minutes * 60);
    assert_eq!(feeds[1]["feed"]["every"]["secs"], 2 * 86_400);
    assert_eq!(feeds[1]["feed"]["format"], "auto");
    // One that needs a key says so before anything is asked.
    let said = nightlatch.must_exit(2, &["feed", "add", "apiban"]);
    assert!(said.contains("www.apiban.org") && said.contains("chmod 600"), "{said}");
    assert!(said.contains("feed add apiban --key-file /etc/nightlatch/apiban.key"), "{said}");
}

/// Whoever waits for more than a moment sees how it goes; a script sees the end alone.
#[test]
fn progress_on_the_screen() {
    if !support::installed(&["script"]) {
        return;
    }
    let Some(stage) = stage() else {
        return;
    };
    let (nightlatch, _daemon) = open(&stage, "");
    let web = stage.host("server").unwrap().run(|| {
        Server::start(|_, stream| {
            let list = format!("{LIST}{}", "# slowly\n".repeat(2000));
            let (first, rest) = list.split_at(10_000);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{first}", list.len())?;
            std::thread::sleep(Duration::from_millis(1500));
            write!(stream, "{rest}")
        })
    });
    let url = web.unwrap().url("/slow");
    let output = type_at_terminal(&nightlatch, "nightlatch", &format!("feed add slow {url}"), "");
    let said = told(&output);
    assert!(said.contains("slow: 9 kB   0 of 1 done, 1 s"), "{said}");
    assert!(said.contains("feed \"slow\": 3 entries (1."), "{said}");
    let script = nightlatch.must(&["feed", "refresh", "slow"]);
    assert!(!script.contains("kB") && script.contains("3 entries"), "{script}");
}

/// What the manual says of JSON is there.
#[test]
fn the_fields_in_the_manual() {
    let Some(stage) = stage() else {
        return;
    };
    let (nightlatch, _daemon) = open(&stage, "");
    std::fs::write(nightlatch.directory().join("bad.txt"), LIST).unwrap();
    let list = nightlatch.directory().join("bad.txt");
    nightlatch.must(&["feed", "add", "bad", list.to_str().unwrap()]);
    nightlatch.must(&["country", "block", "CN"]);
    for command in ["feed", "country"] {
        let manual = nightlatch::features::commands::manual_of(command).unwrap();
        let paragraph = manual.split("\n\n").find(|text| text.starts_with("In JSON")).unwrap();
        let json = nightlatch.json(&[command, "list"]).to_string();
        let fields: Vec<&str> = paragraph.split('`').skip(1).step_by(2).collect();
        assert!(fields.len() > 5, "{fields:?}");
        for field in fields {
            assert!(json.contains(&format!("\"{field}\":")), "{command}: {field} is not in {json}");
        }
    }
}
