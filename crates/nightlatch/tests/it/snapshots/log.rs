//! `log`, after a history with every kind of record.

use std::net::UdpSocket;
use std::time::Duration;

use rusqlite::Connection;

use super::fake::FakePbx;
use super::ground::{installation, stage};
use super::lists::{LIST, TABLE, configure, write};
use super::transcript::{Transcript, at_terminal};
use crate::support::{self, told, wait_until};

const TIMEOUT: Duration = Duration::from_secs(30);
/// Where somebody comes from who is let in by an open service alone.
const HOTEL: &str = "192.0.2.20";
const ADMIN: &str = "203.0.113.7";

#[test]
fn every_kind_of_record() {
    if !support::installed(&["script"]) {
        return;
    }
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let server = stage.host("server").unwrap();
    let pbx = FakePbx::start(&nightlatch);
    write(&nightlatch, "table.csv", TABLE);
    configure(&nightlatch, "table.csv");
    let daemon = nightlatch.daemon_in(&[("PATH", pbx.path())]);
    let mut to = Transcript::new("log", &nightlatch);
    to.with("PATH", pbx.path());
    let log = || nightlatch.must(&["log"]);
    let logged = |what: &str| {
        wait_until(what, TIMEOUT, || log().contains(what));
    };

    to.about("the history");
    to.all(&["allow early 203.0.113.5 --note \"=1+1,x\"", "remove early"]);
    to.run("up --yes --json --allow 203.0.113.7");
    wait_until("the PBX has answered", TIMEOUT, || {
        nightlatch.json(&["status"])["pbx_answered"].is_number()
    });
    let office = "allow office office.example.net 192.0.2.33 --services sip,web --for 8h";
    to.from(ADMIN, office);
    logged("resolve office");
    to.from(ADMIN, "block 192.0.2.9 --for 7d --reason scan");
    to.all(&["block 192.0.2.9 --reason again", "unblock 192.0.2.9", "remove office"]);
    to.run("allow many 192.0.2.34 192.0.2.36 192.0.2.38 192.0.2.40 192.0.2.42 192.0.2.44");
    server
        .run(|| {
            let sip = UdpSocket::bind("198.51.100.1:5060").unwrap();
            sip.send_to(b"INVITE sip:1@192.0.2.167 SIP/2.0\r\n\r\n", "192.0.2.167:5062").unwrap();
        })
        .unwrap();
    wait_until("it is known", TIMEOUT, || {
        nightlatch.must(&["peer", "list"]).contains("192.0.2.167")
    });
    to.run("peer forget 192.0.2.167");
    to.all(&["mode open", "mode allowlist", "mode open"]);
    to.from(HOTEL, "country block DE");
    to.all(&["country block CN FR", "country allow US", "country unblock CN", "reload"]);
    to.all(&["country allow all", "country unblock all"]);
    write(&nightlatch, "bad.txt", LIST);
    to.run("feed add bad DIR/bad.txt --every 1h");
    write(&nightlatch, "bad.txt", "192.0.2.161\n");
    to.all(&["feed refresh bad", "feed remove bad", "mode allowlist"]);
    to.about("of its own accord");
    let flush = server.command("nft").args(["flush", "ruleset"]).output().unwrap();
    assert!(flush.status.success(), "{}", told(&flush));
    logged("restore nightlatch");
    let answered = || nightlatch.json(&["status"])["pbx_answered"].clone();
    let before = answered();
    for (words, what) in [
        (&["allow", "brief", "192.0.2.90", "--for", "1s"][..], "expire brief"),
        (&["block", "192.0.2.91", "--for", "1s"], "expire 192.0.2.91"),
    ] {
        nightlatch.must(words);
        logged(what);
    }
    // The end of a block makes the daemon ask the PBX.
    wait_until("the PBX has answered", TIMEOUT, || answered() != before);
    pbx.forget_phones();
    to.all(&["block 203.0.113.9", "unblock 203.0.113.9"]);
    logged("expire 192.0.2.62");
    to.about("on trial");
    to.run("down --yes");
    let program = env!("CARGO_BIN_EXE_nightlatch");
    let guard = nightlatch.state().join("trial.log");
    for (mode, answer) in [("allowlist", "confirm"), ("open", "rollback")] {
        let line = format!("up --trial 5m --mode {mode}");
        std::thread::scope(|scope| {
            let up = scope.spawn(|| at_terminal(&nightlatch, program, &line, "y\n"));
            wait_until("the trial has begun", TIMEOUT, || guard.exists());
            to.run(answer);
            up.join().unwrap();
        });
        std::fs::remove_file(&guard).unwrap();
    }
    at_terminal(&nightlatch, program, "up --trial 1s --mode open", "y\n");
    logged("nightlatch  rollback");
    to.run("down --yes");
    to.finish();

    let mut to = Transcript::new("log_shown", &nightlatch);
    to.run("log");
    to.both("log --verify");
    to.all(&["log --since 1h --csv", "log --json"]);
    std::thread::sleep(Duration::from_millis(1100));
    to.run("log --since 1s");
    daemon.kill();
    to.both("log --verify");
    to.finish();
}

/// What was changed in the database is found.
#[test]
fn tampered() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let daemon = nightlatch.daemon();
    for number in 1..=4 {
        nightlatch.must(&["allow", &format!("a{number}"), "192.0.2.7"]);
    }
    daemon.kill();
    let mut to = Transcript::new("log_tampered", &nightlatch);
    let path = nightlatch.state().join("nightlatch.db");
    let connection = Connection::open(&path).unwrap();
    let triggers = "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_shortened;";
    connection.execute_batch(triggers).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    let good = std::fs::read(&path).unwrap();
    for tampering in [
        "UPDATE audit SET body = replace(body, 'a3', 'a9') WHERE number = 3",
        "UPDATE audit SET time = time + 1 WHERE number = 2",
        "UPDATE audit SET hash = zeroblob(32) WHERE number = 4",
        "UPDATE audit SET body = 'nothing' WHERE number = 2",
        "DELETE FROM audit WHERE number = 1",
        "DELETE FROM audit WHERE number = 3",
    ] {
        std::fs::write(&path, &good).unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(tampering).unwrap();
        drop(connection);
        to.about(tampering);
        to.both("log --verify");
    }
    to.about("what is no database");
    std::fs::write(&path, "nothing").unwrap();
    to.all(&["log", "log --verify --json"]);
    to.finish();
}
