//! The plan of `up` with lists in force: the daemon's engine tells it, and the program's own where no
//! daemon runs.

use std::net::IpAddr;

use nightlatch_lab::stage::Plan;
use serde_json::Value;

use super::super::ground::{Echo, TIMEOUT, connect, plan_lines, protect};
use super::*;
use crate::support;

/// `up --plan --json` in an SSH session from an address.
fn plan_from(nightlatch: &Installation<'_>, address: IpAddr, server: IpAddr) -> Value {
    let mut command = nightlatch.command(&["up", "--plan", "--json"]);
    command.env("SSH_CONNECTION", format!("{address} 40000 {server} 22"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", support::told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn warns(plan: &Value, words: &str) -> bool {
    let warnings = plan["warnings"].as_array().unwrap();
    warnings.iter().any(|warning| warning.as_str().unwrap().contains(words))
}

#[test]
fn the_plan_knows_feeds_and_countries_in_force() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (theirs, foreign, own) = (attacker.v4(), office.v4(), server.v4());
    let table = file("table.csv", format!("{foreign},{foreign},CN\n"));
    let (nightlatch, daemon) = protect(server, &format!("[countries]\nsource = \"{table}\"\n"));
    nightlatch.must(&["mode", "open"]);
    let _echo = Echo::on(server, &[], &[SIP]);
    let open = [attacker, office].map(|host| connect(host, (own, SIP).into()).unwrap());
    let ending = || plan_lines(&nightlatch.json(&["up", "--plan"]), "would_cut");
    assert_eq!(ending(), [""; 0]);

    nightlatch.must(&["feed", "add", "bad", &file("bad.list", format!("{theirs}\n"))]);
    nightlatch.must(&["country", "block", "CN"]);
    wait_until("the table is in force", TIMEOUT, || {
        nightlatch.json(&["country", "list"])["ranges"] == 1
    });
    let mut both = [theirs, foreign].map(|address| format!("1 SIP peer at {address}"));
    both.sort();
    let listed = format!("your address {theirs} is on a list (feed \"bad\" lists {theirs})");
    let check = || {
        assert_eq!(ending(), both);
        // Strangers in general are not on any list.
        let plan = nightlatch.json(&["up", "--plan"]);
        assert!(plan["strangers_keep"].to_string().contains("tcp/5060"), "{plan}");
        // An account counts more than a list, and a block more than the account.
        let plan = plan_from(&nightlatch, theirs, own);
        assert!(warns(&plan, &listed), "{plan}");
        assert_eq!(plan_lines(&plan, "would_cut"), [format!("1 SIP peer at {foreign}")], "{plan}");
    };
    check();
    let accounts = nightlatch.json(&["list"]);
    drop(daemon);
    check();
    let daemon = nightlatch.daemon();
    assert_eq!(nightlatch.json(&["list"]), accounts, "a plan changes nothing");
    nightlatch.must(&["block", &theirs.to_string()]);
    let blocked = format!(
        "new SSH connections from your address {theirs} will be dropped: {theirs} is blocked"
    );
    let check = || {
        let plan = plan_from(&nightlatch, theirs, own);
        assert!(warns(&plan, &blocked), "{plan}");
    };
    check();
    drop(daemon);
    check();
    drop(open);
}

/// Nothing was ever installed here, and a plan leaves it so.
#[test]
fn a_plan_without_a_daemon_makes_no_file() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let there = || {
        let entries = std::fs::read_dir(nightlatch.directory()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
    };
    let before = there();
    nightlatch.must(&["up", "--plan"]);
    assert_eq!(there(), before);
    assert!(!nightlatch.state().join("nightlatch.db").exists());
}
