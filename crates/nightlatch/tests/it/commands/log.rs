//! The audit log.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use rusqlite::Connection;

use super::*;
use crate::support::{Installation, told};

#[test]
fn the_log_tells_who_did_what() {
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let none = nightlatch.must_exit(1, &["log"]);
    assert!(none.contains("there is no audit log yet"), "{none}");
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["allow", "old", "192.0.2.7"]);
    std::thread::sleep(Duration::from_millis(2100));
    let mut command =
        nightlatch.command(&["allow", "office", "203.0.113.7", "--note", "=1+1,\"x\""]);
    let output = command.env("SSH_CONNECTION", "203.0.113.50 5 198.51.100.1 22").output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    nightlatch.must(&["remove", "office"]);
    nightlatch.must(&["block", "203.0.113.9", "--for", "7d", "--reason", "scan"]);

    let log = timeless(&nightlatch.must(&["log"]));
    let expected = [
        "    1  TIME  root  allow old: 192.0.2.7 for all, no expiry",
        "    2  TIME  root from 203.0.113.50  allow office: 203.0.113.7 for all, no expiry",
        "    3  TIME  root  remove office: was 203.0.113.7 for all, no expiry",
        "    4  TIME  root  block 203.0.113.9: until TIME (scan)",
    ];
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);
    let since = nightlatch.must(&["log", "--since", "2s"]);
    assert!(!since.contains("allow old") && since.contains("allow office"), "{since}");
    assert_eq!(nightlatch.must(&["log", "--since", "1d"]).lines().count(), 4);

    let csv = nightlatch.must(&["log", "--csv"]);
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("number,time,user,uid,origin,action,subject,before,after,hash"));
    let office = lines.nth(1).unwrap();
    assert!(office.starts_with("2,") && office.contains(",root,0,203.0.113.50,allow,office,null,"));
    // Doubled quotes, as RFC 4180 has it.
    assert!(office.contains("\"\"note\"\":\"\"=1+1,\\\"\"x\\\"\"\"\""), "{office}");

    let output = nightlatch.run_it(&["log", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let second: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!(second["number"], 2);
    assert_eq!(second["caller"]["origin"], "203.0.113.50");
    assert_eq!(second["after"]["note"], "=1+1,\"x\"");
    assert_eq!(second["hash"].as_str().unwrap().len(), 64);
}

#[test]
fn following_the_log() {
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["allow", "before", "192.0.2.7"]);
    let mut follow = nightlatch.command(&["log", "--follow", "--json"]);
    let mut following = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().contains("before"));
    nightlatch.must(&["allow", "after", "192.0.2.8"]);
    assert!(next().contains("after"));
    // Who listens no more ends it, at the next record.
    drop(lines);
    nightlatch.must(&["allow", "unheard", "192.0.2.9"]);
    support::wait_until("the follower ends", Duration::from_secs(5), || {
        following.try_wait().unwrap().is_some()
    });
}

#[test]
fn tampering_is_found() {
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let daemon = nightlatch.daemon();
    for number in 1..=5 {
        nightlatch.must(&["allow", &format!("a{number}"), "192.0.2.7"]);
    }
    daemon.kill();
    let path = nightlatch.state().join("nightlatch.db");
    let connection = Connection::open(&path).unwrap();
    let change = "UPDATE audit SET body = replace(body, 'a3', 'a9') WHERE number = 3";
    // Not even by accident.
    let error = connection.execute(change, []).unwrap_err().to_string();
    assert!(error.contains("the audit log is never changed"), "{error}");
    let error = connection.execute("DELETE FROM audit", []).unwrap_err().to_string();
    assert!(error.contains("the audit log is never shortened"), "{error}");
    assert!(nightlatch.must(&["log", "--verify"]).contains("intact: 5 records"));

    let triggers = "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_shortened;";
    connection.execute_batch(triggers).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    // The last one to close it takes the write-ahead log away.
    drop(connection);
    let good = std::fs::read(&path).unwrap();
    for (tampering, message) in [
        (change, "broken at record 3: its text or time was changed"),
        ("UPDATE audit SET time = time + 1 WHERE number = 2", "broken at record 2"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE number = 5", "broken at record 5"),
        ("DELETE FROM audit WHERE number = 1", "record 1 is missing"),
        ("DELETE FROM audit WHERE number = 4", "record 4 is missing"),
        (
            "DELETE FROM audit WHERE number = 4; UPDATE audit SET number = 4 WHERE number = 5",
            "broken at record 4",
        ),
        (
            "UPDATE audit SET number = -number WHERE number IN (2, 3);
             UPDATE audit SET number = 3 WHERE number = -2;
             UPDATE audit SET number = 2 WHERE number = -3",
            "broken at record 2",
        ),
    ] {
        std::fs::write(&path, &good).unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(tampering).unwrap();
        drop(connection);
        let said = nightlatch.must_exit(1, &["log", "--verify"]);
        assert!(said.contains(message), "{tampering}: {said}");
        assert_eq!(nightlatch.json(&["log", "--verify"])["whole"], false);
    }
}
