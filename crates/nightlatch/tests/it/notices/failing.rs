//! Commands that hang or fail.

use std::fs;
use std::time::Duration;

use super::ground::{Server, TIMEOUT, of_kind, stage};
use crate::support::{now, wait_until};

/// A command that hangs, with a process that it has started.
const HANGS: &str = "\
cat >> DIR/told
trap '' TERM HUP
sleep 1000 & echo $! >> DIR/processes
echo $$ >> DIR/processes
id -u > DIR/user
sleep 1000";

#[test]
fn a_command_that_hangs_is_killed() {
    let Some(stage) = stage() else { return };
    let server = Server::with_command(&stage, HANGS);
    let _daemon = server.daemon_of_the_unit();
    server.up_and_down();
    wait_until("it runs", TIMEOUT, || lines(&server, "user") == 1);
    let start = now();
    assert_eq!(lines(&server, "processes"), 2);
    assert_ne!(fs::read_to_string(server.written("user")).unwrap(), "0\n");
    let processes = fs::read_to_string(server.written("processes")).unwrap();
    let alive = |process: &str| fs::exists(format!("/proc/{process}/fd")).unwrap();
    assert!(processes.lines().all(alive), "{processes}");

    // Nothing else waits for it.
    server.nightlatch.must(&["up", "--yes"]);
    server.nightlatch.must(&["allow", "office", "203.0.113.7"]);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());

    server.says("the command did not end within 10 seconds and was killed");
    assert!(start.elapsed() > Duration::from_secs(8), "{:?}", start.elapsed());
    wait_until("both are gone", TIMEOUT, || !processes.lines().any(alive));
    // It is tried again, but not at once.
    let status = server.status();
    assert!(status.contains("the command of [notices] has failed once"), "{status}");
    assert!(status.contains("1 notice waits"), "{status}");
    assert_eq!(server.told().len(), 1);
}

/// How many lines the command has written.
fn lines(server: &Server<'_>, name: &str) -> usize {
    fs::read_to_string(server.written(name)).unwrap_or_default().lines().count()
}

/// A command that fails as long as nothing is mended.
const FAILS: &str = "\
if [ ! -e DIR/mended ]; then printf 'no \\033[2J$(id) way\\n' >&2; exit 1; fi
cat >> DIR/told";

#[test]
fn what_waits_is_told_after_a_kill() {
    let Some(stage) = stage() else { return };
    let server = Server::with_command(&stage, FAILS);
    let daemon = server.nightlatch.daemon();
    server.nightlatch.must(&["up", "--yes"]);
    server.nightlatch.must(&["allow", "guest", "203.0.113.7", "--for", "1s"]);
    server.says("the command ended with exit code 1: no \\u{1b}[2J$(id) way");
    // What is heard right before the end is not lost either. It is written down a moment after the
    // answer, and before anything that is asked later.
    server.nightlatch.must(&["down", "--yes"]);
    wait_until("it is heard", TIMEOUT, || !server.listed("firewall-off").is_empty());
    server.nightlatch.must(&["block", "203.0.113.99"]);
    daemon.kill();
    fs::write(server.written("mended"), "").unwrap();

    // The pause after a failure is kept too, but not for another command.
    let daemon = server.nightlatch.daemon();
    server.says("the command of [notices] has failed once");
    assert!(server.told().is_empty());
    let command = server.script("tell-me-too", FAILS);
    server.configure(&format!("command = [\"{}\"]", command.display()));
    server.nightlatch.must(&["reload"]);
    let off = server.is_told("firewall-off");
    assert_eq!((&off["severity"], &off["count"]), (&"warning".into(), &1.into()));
    server.is_told("account-ended");
    wait_until("no warning", TIMEOUT, || !server.status().contains("[notices]"));

    // What was told is told no more. What is written down later is behind that in the store.
    server.nightlatch.must(&["allow", "office", "203.0.113.9"]);
    assert!(daemon.stop().code().is_none_or(|code| code == 0));
    let _daemon = server.nightlatch.daemon();
    server.nightlatch.must(&["up", "--yes"]);
    server.nightlatch.must(&["allow", "visitor", "203.0.113.8", "--for", "1s"]);
    wait_until("the visitor", TIMEOUT, || of_kind(&server.told(), "account-ended").len() == 2);
    assert_eq!(server.told().len(), 3);
}
