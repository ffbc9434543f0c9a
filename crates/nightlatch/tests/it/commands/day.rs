//! A day of a new administrator, command by command, as it stands on the screen.

use super::*;
use crate::support::{Installation, told};

/// Runs `nightlatch`; `expected` is the exit code and what is printed, on either stream.
fn check(nightlatch: &Installation<'_>, line: &str, code: i32, expected: &str) {
    let arguments: Vec<&str> = line.split(' ').map(|word| word.trim_matches('"')).collect();
    let output = nightlatch.run_it(&arguments);
    let printed = [output.stdout.clone(), output.stderr.clone()].concat();
    let printed = timeless(&String::from_utf8(printed).unwrap());
    assert_eq!(printed.trim_end(), expected.trim_matches('\n'), "nightlatch {line}");
    assert_eq!(output.status.code(), Some(code), "nightlatch {line}: {}", told(&output));
}

#[test]
fn accounts_and_blocks() {
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let check = |line: &str, code: i32, expected: &str| check(&nightlatch, line, code, expected);

    check("list", 0, "No accounts. Create one with \"nightlatch allow NAME ADDRESS\".");
    check("allow office 203.0.113.7", 0, "account \"office\" added: 203.0.113.7 for all");
    check(
        "allow fax 203.0.113.8,203.0.113.9 2001:db8::/64 --services sip,WEB --for 8h --note \"the_fax\"",
        0,
        "
account \"fax\" added: 203.0.113.8, 203.0.113.9, 2001:db8::/64 for sip, web, until TIME (8h)
if this is a carrier that sends media from other addresses, allow those too: \"nightlatch allow fax-media NETWORK --services rtp\"",
    );
    check(
        "whitelist joe 192.0.2.1-192.0.2.9",
        0,
        "account \"joe\" added: 192.0.2.1-192.0.2.9 for all",
    );
    check(
        "list",
        0,
        "
ACCOUNT  ADDRESSES                                SERVICES  UNTIL                    NOTE
fax      203.0.113.8, 203.0.113.9, 2001:db8::/64  sip, web  TIME  the_fax
joe      192.0.2.1-192.0.2.9                      all       no expiry
office   203.0.113.7                              all       no expiry",
    );
    check(
        "show fax",
        0,
        "
account   fax
address   203.0.113.8
address   203.0.113.9
address   2001:db8::/64
services  sip, web
until     TIME
created   TIME by root
note      the_fax",
    );
    check(
        "block 203.0.113.0/24 --for 7d --reason scan",
        0,
        "
203.0.113.0/24 is blocked until TIME (7d)
account \"fax\" is still allowed: it is more specific than the block
account \"office\" is still allowed: it is more specific than the block",
    );
    check(
        "blacklist 203.0.113.8",
        0,
        "
203.0.113.8 is blocked
warning: this blocks addresses of account \"fax\"",
    );
    check("unblock 203.0.113.8", 0, "203.0.113.8 is no longer blocked");
    check(
        "remove joe",
        0,
        "account \"joe\" removed: 192.0.2.1-192.0.2.9 for all; established connections and media streams are cut",
    );
    let no = "nightlatch: there is no account \"joe\": \"nightlatch list\" shows all of them";
    check("remove joe", 1, no);
    check("show joe", 1, no);
    check("mode", 0, "allowlist");
    check("mode allowlist", 0, "the mode is allowlist already");
    check(
        "mode open",
        0,
        "the mode is open now: strangers can reach sip, sip-tls, under rate limits",
    );
    check("mode whitelist", 0, MODE_BACK);
    check(
        "confirm",
        1,
        "nightlatch: there is nothing to confirm: the firewall is active and not on trial",
    );
    check("log --verify", 0, "the audit log is intact: 11 records");
}

const MODE_BACK: &str = "the mode is allowlist now: strangers are dropped, including their established signalling; media streams to which this host sends continue";

#[test]
fn why() {
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let _daemon = nightlatch.daemon();
    let check = |line: &str, code: i32, expected: &str| check(&nightlatch, line, code, expected);
    let off = "everything is accepted: the firewall is off (\"nightlatch up\" turns it on)\nreaches   all";
    check("why 203.0.113.7", 0, off);
    nightlatch.must(&["up", "--yes"]);
    nightlatch.must(&["allow", "office", "203.0.113.0/29", "--services", "sip,ping"]);
    nightlatch.must(&["allow", "boss", "203.0.113.7", "--for", "90m"]);
    nightlatch.must(&["block", "203.0.113.6", "--reason", "guesses"]);
    check(
        "why 203.0.113.1",
        0,
        "
new connections from 203.0.113.1 are accepted: account \"office\" (ping, sip), created by root at TIME
reaches   ping, rtp, sip
account   office: 203.0.113.0/29 for ping, sip",
    );
    check(
        "why 203.0.113.1 --to tcp/22",
        1,
        "
new packets to tcp/22 from 203.0.113.1 are dropped without an answer: account \"office\" allows it for ping, sip only
account   office: 203.0.113.0/29 for ping, sip",
    );
    check(
        "why ::ffff:203.0.113.1 --to 5060/udp",
        0,
        "
new packets to udp/5060 from 203.0.113.1 are accepted: account \"office\" (ping, sip), created by root at TIME
account   office: 203.0.113.0/29 for ping, sip",
    );
    check(
        "why 203.0.113.6",
        1,
        "
new connections from 203.0.113.6 are dropped: 203.0.113.6 is blocked, set by root at TIME, permanent: guesses
reaches   nothing
account   office: 203.0.113.0/29 for ping, sip
block     203.0.113.6: guesses",
    );
    check(
        "why 192.0.2.1",
        1,
        "
new connections from 192.0.2.1 are dropped without an answer: no account covers them
reaches   nothing",
    );
    check(
        "why ::1",
        0,
        "new connections from ::1 are accepted: the machine itself is never blocked\nreaches   all",
    );
    nightlatch.must(&["mode", "open"]);
    check(
        "why 192.0.2.1 --to udp/5060",
        0,
        "new packets to udp/5060 from 192.0.2.1 are accepted, under the rate limits: in mode open, sip is open to strangers",
    );
    check(
        "why 192.0.2.1 --to tcp/22",
        1,
        "new packets to tcp/22 from 192.0.2.1 are dropped without an answer: no account covers them, and strangers may not use this service",
    );
    let boss = nightlatch.json(&["why", "203.0.113.7", "--to", "tcp/22"]);
    assert_eq!(boss["passes"], true);
    assert_eq!(boss["reason"], "account");
    assert_eq!(boss["to"], "tcp/22");
    assert_eq!(boss["reaches"], serde_json::json!(["all"]));
    assert_eq!(boss["accounts"].as_array().unwrap().len(), 2);
    let sentence = boss["sentence"].as_str().unwrap();
    assert!(sentence.contains("1h 29m left") || sentence.contains("1h 30m left"), "{sentence}");
}

#[test]
fn mistakes_are_explained() {
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let _daemon = nightlatch.daemon();
    let form =
        "is not an IPv4 or IPv6 address, network (192.0.2.0/24) or range (192.0.2.1-192.0.2.9)";
    let cannot_name = "is not a valid account name: use 1 to 64 letters, digits, \".\", \"_\", \"-\", \"@\", no space";
    for (arguments, message) in [
        (&["allow", "x", "203.0.113.256"] as &[&str], form),
        (&["allow", "x", "203.0.113"], form),
        (&["allow", "x", "2001:db8::g"], form),
        (&["allow", "x", "203.0.113.1/33"], "the part after \"/\" must be a number from 0 to 32"),
        (&["allow", "x", "203.0.113.9-203.0.113.1"], "the lower one first"),
        (&["allow", "x", "0.0.0.0/0"], "covers a large part of the internet"),
        (&["allow", "x", "127.0.0.1"], "no peer can have such an address"),
        (&["allow", "x", "-x.example.net"], "unexpected argument"),
        (
            &["allow", "x", "a..b"],
            "is neither an address nor a host name (e.g. office.example.net)",
        ),
        (&["allow", "my office", "203.0.113.1"], cannot_name),
        (&["allow", "../x", "203.0.113.1"], cannot_name),
        (&["allow", "x", "203.0.113.1", "--services", "spi"], "use all, or one or more of iax,"),
        (&["allow", "x", "203.0.113.1", "--services", "s_p"], "is not a valid service name"),
        (&["allow", "x", "203.0.113.1", "--services", ""], "name at least one service"),
        (&["allow", "x", "203.0.113.1", "--for", "5x"], "for example 90s, 15m, 8h, 7d"),
        (&["allow", "x", "203.0.113.1", "--for", "0s"], "is not a time"),
        (&["allow", "x"], "required arguments were not provided"),
        (&["block", "office.example.net"], form),
        (&["block", "127.0.0.1"], "the loopback network"),
        (&["block", "0.0.0.0/1"], "nightlatch mode allowlist"),
        (&["why", "office.example.net"], "write a single address, e.g. 203.0.113.7 or 2001:db8::1"),
        (
            &["why", "203.0.113.0/24"],
            "this is more than one address: write a single one, e.g. 203.0.113.0",
        ),
        (&["why", "203.0.113.1", "--to", "22"], "is not a port: write udp/5060"),
        (&["why", "203.0.113.1", "--to", "udp/0"], "is not a port"),
        (&["mode", "closed"], "use allowlist (strangers are dropped) or open"),
        (&["log", "--csv", "--json"], "cannot be used with"),
        (&["up"], "standard input is not a terminal: add --yes"),
        (&["down", "--loudly"], "unexpected argument '--loudly'"),
        (&["alow", "x", "203.0.113.1"], "'allow'"),
    ] {
        let said = nightlatch.must_exit(2, arguments);
        assert!(said.contains(message), "{arguments:?}: {said}");
    }
    assert_eq!(
        nightlatch.must(&["list"]),
        "No accounts. Create one with \"nightlatch allow NAME ADDRESS\".\n"
    );
}

#[test]
fn every_reading_command_speaks_json() {
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    nightlatch.must(&["allow", "fax", "203.0.113.8", "--services", "sip", "--for", "8h"]);
    nightlatch.must(&["block", "192.0.2.9", "--reason", "scan"]);
    let list = nightlatch.json(&["list"])["list"].clone();
    assert_eq!(list["accounts"][0]["name"], "fax");
    assert_eq!(list["accounts"][0]["entries"], serde_json::json!([{ "range": "203.0.113.8" }]));
    assert_eq!(list["accounts"][0]["services"], serde_json::json!(["sip"]));
    assert_eq!(list["blocks"][0]["range"], "192.0.2.9");
    let fax = nightlatch.json(&["show", "fax"]);
    assert_eq!(fax, list["accounts"][0]);
    assert_eq!(fax["until"].as_i64().unwrap() - fax["since"].as_i64().unwrap(), 28_800_000);
    let status = nightlatch.json(&["status"]);
    for (field, expected) in [
        ("mode", serde_json::json!("allowlist")),
        ("intact", true.into()),
        ("accounts", 1.into()),
        ("blocks", 1.into()),
        ("restored", 0.into()),
        ("strangers_reach", serde_json::json!([])),
        ("warnings", serde_json::json!([])),
        ("version", env!("CARGO_PKG_VERSION").into()),
    ] {
        assert_eq!(status[field], expected, "{field}");
    }
    assert!(status["protection"]["on"]["since"].is_i64(), "{status}");
    assert_eq!(status["ending"][0]["what"], "account \"fax\"");
    let services = nightlatch.json(&["services"]);
    assert_eq!(services["services"]["sip"]["ports"], serde_json::json!(["udp/5060", "tcp/5060"]));
    assert_eq!(services["open"], serde_json::json!(["sip", "sip-tls"]));
    assert_eq!(nightlatch.json(&["mode"]), serde_json::json!({ "mode": "allowlist" }));
    assert_eq!(nightlatch.json(&["log", "--verify"])["whole"], true);
    assert_eq!(nightlatch.json(&["check"])["good"], true);
    let plan = nightlatch.json(&["up", "--plan"]);
    assert!(plan["stays"][0].as_str().unwrap().starts_with("fax: 203.0.113.8 for sip"), "{plan}");
    let done = nightlatch.json(&["remove", "fax"]);
    assert!(done["done"]["message"].as_str().unwrap().starts_with("account \"fax\" removed"));
}

#[test]
fn ten_thousand_addresses_in_one_account() {
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let many: Vec<String> =
        (0..10_000u32).map(|n| format!("10.{}.{}.1", n >> 8, n & 255)).collect();
    let mut arguments = vec!["allow", "many"];
    arguments.extend(many.iter().map(String::as_str));
    let message = nightlatch.must(&arguments);
    assert!(message.contains("10.0.4.1 and 9995 more for all"), "{message}");
    assert!(nightlatch.must(&["list"]).contains("10.0.2.1 and 9997 more"));
    assert_eq!(nightlatch.must(&["show", "many"]).lines().count(), 10_004);
    nightlatch.must(&["why", "10.39.15.1"]);
    nightlatch.must_exit(1, &["why", "10.39.16.1"]);
    assert_eq!(nightlatch.json(&["status"])["intact"], true);
    let log = nightlatch.must(&["log"]);
    assert!(log.lines().all(|line| line.chars().count() < 600), "{log}");
    nightlatch.must(&["remove", "many"]);
    nightlatch.must_exit(1, &["why", "10.39.15.1"]);
}
