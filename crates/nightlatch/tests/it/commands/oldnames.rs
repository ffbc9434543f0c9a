//! The names that hands remember.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::*;
use crate::support::{Installation, told};

/// Calls the program by an old name, as a script does.
fn call(nightlatch: &Installation<'_>, name: &str, arguments: &[&str]) -> Output {
    nightlatch.command_called(&link(nightlatch, name), arguments).output().unwrap()
}

fn link(nightlatch: &Installation<'_>, name: &str) -> String {
    let link = nightlatch.directory().join(name);
    let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_nightlatch"), &link);
    link.to_str().unwrap().to_owned()
}

/// Calls it at a terminal, and types.
pub(super) fn type_at_terminal(
    nightlatch: &Installation<'_>,
    program: &str,
    arguments: &str,
    typed: &str,
) -> Output {
    let line = format!("{} {arguments}", link(nightlatch, program));
    let mut command: Command =
        nightlatch.command_called("script", &["-qec", line.as_str(), "/dev/null"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn check(output: &Output, code: i32, words: &[&str]) {
    let said = told(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "\"{word}\" is not in: {said}");
    }
}

#[test]
fn old_names_do_the_new_thing() {
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let call = |name: &str, arguments: &[&str]| call(&nightlatch, name, arguments);
    let open = ["account \"office\" added: 203.0.113.7 for all"];
    check(&call("add-ip", &["office", "203.0.113.7"]), 0, &open);
    check(&call("add-ip", &["office", "203.0.113.7"]), 1, &["exists already"]);
    check(&call("add-ip", &["net", "2001:db8::/64"]), 0, &["2001:db8::/64"]);
    for wrong in [&[] as &[&str], &["office"], &["office", "203.0.113.7", "all"]] {
        check(&call("add-ip", wrong), 2, &["use: add-ip NAME ADDRESS", "nightlatch allow"]);
    }
    check(&call("add-ip", &["x", "203.0.113.300"]), 2, &["is not an IPv4"]);
    check(&call("add-ip", &["my office", "203.0.113.7"]), 2, &["is not a valid account name"]);
    check(&call("add-blacklist", &["203.0.113.9"]), 0, &["203.0.113.9 is blocked"]);
    check(&call("add-blacklist", &[]), 2, &["use: add-blacklist ADDRESS"]);
    check(&call("iptables-restart", &[]), 0, &["configuration reloaded"]);
    check(&call("del-acct", &["office.iptables"]), 0, &["account \"office\" removed"]);
    check(&call("del-acct", &["net"]), 0, &["account \"net\" removed"]);
    check(&call("del-acct", &["net"]), 1, &["there is no account \"net\""]);
    check(&call("del-acct", &[]), 2, &["use: del-acct NAME"]);
}

#[test]
fn at_a_terminal_the_old_menu_is_there() {
    if !support::installed(&["script"]) {
        return;
    }
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let add =
        |arguments: &str, typed: &str| type_at_terminal(&nightlatch, "add-ip", arguments, typed);
    let menu = ["0  All services", "1  SIP (UDP)", "8  SSH", "or Enter for all"];
    check(&add("sip 203.0.113.7", "1,4\n"), 0, &menu);
    check(&add("every 203.0.113.8", "\n"), 0, &["203.0.113.8 for all"]);
    check(&add("none 203.0.113.9", "1,11\n"), 2, &["\"11\" is not a number of the menu"]);
    let accounts = nightlatch.json(&["list"])["list"]["accounts"].clone();
    let services: Vec<_> = accounts.as_array().unwrap().iter().map(|a| &a["services"]).collect();
    assert_eq!(services, [&serde_json::json!(["all"]), &serde_json::json!(["sip", "web"])]);

    let removed = type_at_terminal(&nightlatch, "del-acct", "", "every.iptables\n");
    check(&removed, 0, &["every", "203.0.113.8", "Which account to remove?", "removed"]);
    assert_eq!(nightlatch.json(&["list"])["list"]["accounts"].as_array().unwrap().len(), 1);
}
