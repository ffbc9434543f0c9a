//! What is told, once, and where else it is to be seen.

use std::fs;

use super::ground::{KEEP, Server, TIMEOUT, of_kind, set_mode, stage};
use crate::support::wait_until;

#[test]
fn who_took_the_firewall_off_is_told_once() {
    let Some(stage) = stage() else { return };
    let server = Server::with_command(&stage, KEEP);
    let _daemon = server.nightlatch.daemon();
    server.up_and_down();
    let told = server.is_told("firewall-off");
    assert_eq!((&told["product"], &told["feature"]), (&"nightlatch".into(), &"firewall".into()));
    assert_eq!((&told["severity"], &told["count"]), (&"warning".into(), &1.into()));
    let by = told["fields"]["by"].as_str().unwrap().to_owned();
    assert!(by.contains("root"), "{told}");
    assert_eq!(told["message"], format!("{by} turned the firewall off"));
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(told["host"], host.trim_end());

    // It is listed, and it is in the log and the journal.
    let listed = server.listed("firewall-off");
    assert_eq!((listed.len(), &listed[0]["count"]), (1, &1.into()));
    assert_eq!(listed[0]["message"], told["message"]);
    let (status, log) = (server.status(), server.nightlatch.must(&["log"]));
    let line = status.lines().find(|line| line.starts_with("notice ")).unwrap_or_default();
    assert!(line.ends_with(&format!(": {by} turned the firewall off")), "{status}");
    assert!(log.lines().any(|line| line.contains(&by) && line.contains(" down")), "{log}");
    assert!(server.nightlatch.log().contains(&format!("{by} turned the firewall off")));

    // So it is if another one does it.
    let origin = [("SSH_CONNECTION", "203.0.113.9 50000 198.51.100.1 22")];
    server.nightlatch.must(&["up", "--yes"]);
    server.nightlatch.command(&["down", "--yes"]).envs(origin).output().unwrap();
    wait_until("the other one", TIMEOUT, || of_kind(&server.told(), "firewall-off").len() == 2);
    let other = of_kind(&server.told(), "firewall-off").remove(1);
    assert_eq!(other["fields"]["by"], "root from 203.0.113.9");

    // The same within an hour is counted, and not told again. What comes later is.
    server.up_and_down();
    let listed = server.listed("firewall-off");
    assert_eq!((&listed[0]["count"], &listed[1]["count"]), (&1.into(), &2.into()));
    assert!(server.status().contains(" (2 times): "), "{}", server.status());
    server.nightlatch.must(&["up", "--yes"]);
    server.nightlatch.must(&["allow", "guest", "203.0.113.7", "--for", "1s"]);
    let ended = server.is_told("account-ended");
    assert_eq!(
        (&ended["fields"]["account"], &ended["severity"]),
        (&"guest".into(), &"info".into())
    );
    assert_eq!(of_kind(&server.told(), "firewall-off").len(), 2);
    server.nightlatch.must(&["log", "--verify"]);
}

#[test]
fn nothing_runs_without_a_command() {
    let Some(stage) = stage() else { return };
    let server = Server::on(&stage);
    let command = server.script("tell-me", KEEP);
    let _daemon = server.nightlatch.daemon();
    server.up_and_down();
    assert_eq!(server.listed("firewall-off")[0]["count"], 1);
    assert!(!server.status().contains("[notices]"), "{}", server.status());

    // One that is configured later is not told what was before.
    server.configure(&format!("command = [\"{}\"]\nseverity = \"info\"", command.display()));
    server.nightlatch.must(&["reload"]);
    server.nightlatch.must(&["allow", "guest", "203.0.113.7", "--for", "1s"]);
    server.is_told("account-ended");
    let told = server.told();
    assert!(told.iter().all(|one| one["kind"] == "account-ended") && told.len() == 1, "{told:?}");
}

#[test]
fn a_command_that_others_can_change_is_not_run() {
    let Some(stage) = stage() else { return };
    let server = Server::with_command(&stage, KEEP);
    let command = server.script("tell-me", KEEP);
    set_mode(command.clone(), 0o777);
    let _daemon = server.nightlatch.daemon();
    server.up_and_down();
    let why = format!("{} can be written by others: run \"chmod go-w\" on it", command.display());
    server.says(&why);
    assert!(server.told().is_empty());

    // With another command, what waits is told at once.
    set_mode(command.clone(), 0o755);
    server.configure(&format!("command = [\"{}\"]", command.display()));
    server.nightlatch.must(&["reload"]);
    server.is_told("firewall-off");
    wait_until("no warning", TIMEOUT, || !server.status().contains("[notices]"));
}
