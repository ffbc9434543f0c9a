//! Many changes at the same time, while the daemon is killed, the disk is full, or another program
//! flushes the table: what was acknowledged holds in the records, in the audit log and in the kernel.

mod clients;
mod found;

use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan, Stage};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::support::{self, Daemon, Installation, told, wait_until};
use clients::Clients;
use found::Closed;

/// How long something may take that comes at once on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// After how many acknowledged changes the daemon is killed.
const KILLED_AFTER: [usize; 6] = [1, 60, 150, 20, 10, 100];

#[test]
fn killed_with_many_changes_under_way_it_loses_none_that_was_acknowledged() {
    let Some(stage) = stage() else {
        return;
    };
    let server = stage.host("server").unwrap();
    let nightlatch = Installation::on(server).with_asterisk();
    let mut clients = Clients::new();
    let mut daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    for (round, changes) in KILLED_AFTER.into_iter().enumerate() {
        clients.during(&nightlatch, |answers| {
            wait_until("changes are made", TIMEOUT, || answers.done() >= changes);
            // Every other time the disk hangs, and what was asked for last is nowhere yet.
            let hanging = (round % 2 == 1).then(|| hang(&nightlatch));
            daemon.kill();
            drop(hanging);
            assert_eq!(answers.refused(), 0);
        });
        daemon = again(&nightlatch, server, &mut clients);
    }
    clients.compare_log(&nightlatch);
}

#[test]
fn on_a_full_disk_each_of_many_changes_is_made_or_not_and_answered_so() {
    let Some(stage) = stage() else {
        return;
    };
    let server = stage.host("server").unwrap();
    let nightlatch = Installation::on(server).with_asterisk();
    let folder = nightlatch.state();
    let folder = folder.display();
    shell(server, &format!("mount -t tmpfs -o size=16m tmpfs {folder}"));
    let fill = format!("dd if=/dev/zero of={folder}/filler bs=4k 2> /dev/null || true");
    let make_room = format!("rm {folder}/filler");
    let mut clients = Clients::new();
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);

    clients.during(&nightlatch, |answers| {
        answers.wait_for_each(2);
        assert_eq!(answers.refused(), 0);
        shell(server, &fill);
        answers.wait_for_refusals(100);
    });
    clients.compare_records(&nightlatch);
    // What was closed early opens again soon after the answer.
    wait_for_kernel(&clients, server);
    // Nothing may wait in memory for room: a restart finds it as it is.
    daemon.kill();
    shell(server, &make_room);
    let daemon = again(&nightlatch, server, &mut clients);

    // It becomes full, and has room again, while changes are under way.
    clients.during(&nightlatch, |answers| {
        for _ in 0..3 {
            answers.wait_for_each(2);
            shell(server, &fill);
            answers.wait_for_refusals(50);
            shell(server, &make_room);
        }
        answers.wait_for_each(5);
    });
    clients.compare_records(&nightlatch);
    equals_kernel(&clients, server);
    daemon.kill();
    let _daemon = again(&nightlatch, server, &mut clients);
    clients.compare_log(&nightlatch);
}

#[test]
fn after_a_flush_with_many_changes_under_way_all_are_answered_and_in_the_kernel() {
    let Some(stage) = stage() else {
        return;
    };
    let server = stage.host("server").unwrap();
    let nightlatch = Installation::on(server).with_asterisk();
    let mut clients = Clients::new();
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    clients.during(&nightlatch, |answers| {
        for _ in 0..8 {
            answers.wait_for_each(2);
            shell(server, "nft flush ruleset");
        }
        answers.wait_for_each(2);
        assert_eq!(answers.refused(), 0);
    });
    wait_for_kernel(&clients, server);
    wait_until("the table is whole", TIMEOUT, || nightlatch.json(&["status"])["intact"] == true);
    clients.compare_records(&nightlatch);
    // After all that, a flush is still noticed if no change comes upon it.
    shell(server, "nft flush ruleset");
    wait_for_kernel(&clients, server);
    daemon.kill();
    let _daemon = again(&nightlatch, server, &mut clients);
    clients.compare_log(&nightlatch);
}

/// A stage with mounts of its own on the server, if this machine allows it.
fn stage() -> Option<Stage> {
    if !support::installed(&["nft", "mount"]) {
        return None;
    }
    support::stage(&Plan::standard().change("server", |server| server.with_empty("/mnt")))
}

/// How long the disk hangs before the daemon is killed.
const HANGING: Duration = Duration::from_millis(100);

/// Nothing is written to the database until what this returns is dropped.
fn hang(nightlatch: &Installation<'_>) -> Connection {
    let database = Connection::open(nightlatch.state().join("nightlatch.db")).unwrap();
    // Its end must not tidy up what the daemon leaves.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::sleep(HANGING);
    database
}

/// After a kill: looks at the kernel, starts the daemon, and compares all.
fn again(nightlatch: &Installation<'_>, server: &Host, clients: &mut Clients) -> Daemon {
    let left = Closed::on(server).expect("a killed daemon leaves its table");
    let daemon = nightlatch.daemon();
    clients.find_out(&left, nightlatch);
    equals_kernel(clients, server);
    daemon
}

fn wait_for_kernel(clients: &Clients, server: &Host) {
    wait_until("the kernel has what was acknowledged", TIMEOUT, || {
        Closed::on(server).is_some_and(|kernel| clients.difference(&kernel).is_none())
    });
}

fn equals_kernel(clients: &Clients, server: &Host) {
    let kernel = Closed::on(server).expect("there is a table");
    assert_eq!(clients.difference(&kernel), None);
}

/// Runs a line of shell on a host, in its own mounts; it has to succeed.
fn shell(host: &Host, line: &str) {
    let output = host.command("sh").args(["-ec", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", told(&output));
}
