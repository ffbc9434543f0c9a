//! `up`, `confirm`, `rollback`, `down`.

use std::net::TcpStream;
use std::time::Duration;

use nightlatch_lab::stage::Plan;

use super::ground::{installation, stage, stage_of};
use super::transcript::{Transcript, at_terminal};
use crate::support::{self, wait_until};

const TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn plans() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let mut to = Transcript::new("up_plans", &nightlatch);
    to.about("by somebody who was not found");
    to.both("up --plan");
    to.run("up");
    to.about("by somebody who was");
    to.from("203.0.113.50", "up --plan");
    to.from("203.0.113.50", "up --plan --json");
    to.from("198.51.100.254", "up --plan");
    to.run("up --plan --allow 203.0.113.7 --allow 2001:db8:2::/64");
    to.run("up --plan --mode open");
    to.about("with accounts");
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["allow", "fax", "203.0.113.8", "--services", "sip", "--note", "the fax"]);
    to.from("203.0.113.50", "up --plan");
    to.finish();
}

#[test]
fn up_and_down() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let _daemon = nightlatch.daemon();
    let mut to = Transcript::new("up", &nightlatch);
    to.about("nothing is up");
    to.both("confirm");
    to.both("rollback");
    to.both("down --yes");
    to.about("up");
    to.all(&["up --yes", "up --yes", "up --yes --json", "confirm", "rollback"]);
    to.all(&["up --yes --json --mode open", "up --yes --json --mode allowlist"]);
    to.all(&["up --yes --json --allow 203.0.113.7", "up --yes --json --allow 203.0.113.7"]);
    to.all(&["down --yes", "up --yes --json --allow 192.0.2.77 --allow 203.0.113.7", "list"]);
    to.about("down");
    to.all(&["down --yes --json", "down --yes", "down"]);
    to.about("with blocks in the way");
    nightlatch.must(&["block", "198.51.100.53", "--force"]);
    nightlatch.must(&["block", "203.0.113.50"]);
    to.run("up --yes --json");
    nightlatch.must(&["down", "--yes"]);
    to.from("203.0.113.50", "up --yes");
    to.from("203.0.113.50", "up --yes --json");
    nightlatch.must(&["unblock", "203.0.113.50"]);
    to.from("203.0.113.50", "up --yes");
    to.run("show admin-3");
    to.from("203.0.113.50", "down --yes");
    to.finish();
}

/// Two sessions, and nobody knows which one is the caller's.
#[test]
fn sessions() {
    if !support::installed(&["perl"]) {
        return;
    }
    let Some(stage) = stage_of(Plan::standard()) else { return };
    let nightlatch = installation(&stage);
    let mut to = Transcript::new("up_sessions", &nightlatch);
    // A program by the name of the SSH server.
    let program = nightlatch.directory().join("sshd");
    crate::support::install_program("/usr/bin/perl", &program);
    let script = "use IO::Socket::INET; my $all = IO::Socket::INET->new(Listen => 9, \
                  LocalAddr => '198.51.100.1', LocalPort => 22) or die; my @held; \
                  while (my $one = $all->accept) { push @held, $one }";
    let _sshd = nightlatch.start(program.to_str().unwrap(), &["-e", script]);
    let mut sessions = Vec::new();
    for name in ["office", "traveller"] {
        let host = stage.host(name).unwrap();
        wait_until("the session has begun", TIMEOUT, || {
            let begun = host.run(|| TcpStream::connect("198.51.100.1:22")).unwrap();
            let is_there = begun.is_ok();
            sessions.extend(begun);
            is_there
        });
    }
    to.both("up --plan");
    to.both("up --yes");
    to.from("203.0.113.10", "up --plan");
    to.from("203.0.113.10", "up --yes --json");
    nightlatch.must(&["down", "--yes"]);
    to.run("up --yes --allow 203.0.113.10");
    to.finish();
}

/// At a terminal there are questions, and a trial.
#[test]
fn trials() {
    if !support::installed(&["script"]) {
        return;
    }
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let daemon = nightlatch.daemon();
    let mut to = Transcript::new("up_trials", &nightlatch);
    to.typed("nightlatch", "up", "n\n");
    to.run("status");
    // The process that guards the trial begins after the daemon's answer.
    let guard = nightlatch.state().join("trial.log");
    let is_on_trial = || guard.exists();
    let program = env!("CARGO_BIN_EXE_nightlatch");
    for (arguments, answer) in [
        ("up --trial 5m", "confirm"),
        ("up --trial 5m --mode open", "rollback"),
        ("up --trial 5m --mode open", "confirm --json"),
        ("up --trial 5m --mode allowlist", "down --yes"),
        ("up --trial 5m", "rollback --json"),
    ] {
        to.about(&format!("{arguments}, and then {answer}"));
        let said = std::thread::scope(|scope| {
            let up = scope.spawn(|| at_terminal(&nightlatch, program, arguments, "y\n"));
            wait_until("the trial has begun", TIMEOUT, is_on_trial);
            to.both("status");
            to.run(answer);
            up.join().unwrap()
        });
        to.add(&format!("nightlatch {arguments}"), &said);
        to.run("mode");
        std::fs::remove_file(&guard).unwrap();
    }
    to.about("nobody confirms");
    to.typed("nightlatch", "up --trial 4s", "y\n");
    to.all(&["confirm", "status"]);
    to.about("without the daemon");
    std::fs::remove_file(&guard).unwrap();
    std::thread::scope(|scope| {
        let up = scope.spawn(|| at_terminal(&nightlatch, program, "up --trial 5m", "y\n"));
        wait_until("the trial has begun", TIMEOUT, is_on_trial);
        daemon.kill();
        to.both("status");
        to.run("confirm");
        to.add("nightlatch up --trial 5m", &up.join().unwrap());
    });
    to.run("status");
    to.finish();
}
