//! `up` on trial: taken back unless confirmed, whoever is killed meanwhile.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan};
use rustix::process::{Pid, Signal, kill_process};

use super::ground::{Echo, TIMEOUT, answers_udp, both, ignores_udp};
use crate::support::{self, Installation, wait_until};

/// How long the trials of these tests last.
const TRIAL: Duration = Duration::from_secs(4);

/// `nightlatch up` at a terminal, where somebody says yes.
fn up(nightlatch: &Installation<'_>, more: &str) -> Child {
    let up = begin_up(nightlatch, more);
    // From then on the one who takes it back lives, too.
    wait_until("the trial begins", TIMEOUT, || {
        let said = std::fs::read_to_string(nightlatch.directory().join("up.log")).unwrap();
        said.contains("nightlatch confirm")
    });
    up
}

/// The same, not waited for.
fn begin_up(nightlatch: &Installation<'_>, more: &str) -> Child {
    let program = env!("CARGO_BIN_EXE_nightlatch");
    let line = format!("{program} up --trial {}s {more}", TRIAL.as_secs());
    let mut terminal = nightlatch.command_called("script", &["-qec", &line, "/dev/null"]);
    let log = std::fs::File::create(nightlatch.directory().join("up.log")).unwrap();
    terminal.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut up = terminal.spawn().unwrap();
    up.stdin.as_mut().unwrap().write_all(b"y\n").unwrap();
    up
}

/// Waits until `up` has ended and has said why.
fn is_taken_back(nightlatch: &Installation<'_>, mut up: Child) {
    let ended = up.wait().unwrap();
    let said = std::fs::read_to_string(nightlatch.directory().join("up.log")).unwrap();
    assert!(!ended.success() && said.contains("nightlatch confirm"), "{said}");
    assert!(said.contains("not confirmed: everything was rolled back"), "{said}");
}

fn is_open(server: &Host, stranger: &Host) -> bool {
    both(server).into_iter().all(|own| answers_udp(stranger, SocketAddr::new(own, 5060)))
}

fn is_silent(server: &Host, stranger: &Host) -> bool {
    both(server).into_iter().all(|own| ignores_udp(stranger, SocketAddr::new(own, 5060)))
}

#[test]
fn without_a_confirmation_everything_is_taken_back() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["script"]) {
        return;
    }
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let _echo = Echo::on(server, &[5060], &[]);
    let nightlatch = Installation::on(server).with_asterisk();
    // No daemon runs: `up` starts it.
    let up = up(&nightlatch, "");
    assert!(is_silent(server, stranger));
    is_taken_back(&nightlatch, up);
    assert!(is_open(server, stranger));
    assert!(
        !server
            .command("nft")
            .args(["list", "table", "inet", "nightlatch"])
            .output()
            .unwrap()
            .status
            .success()
    );
}

#[test]
fn a_confirmation_from_another_session_keeps_it() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["script"]) {
        return;
    }
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let _echo = Echo::on(server, &[5060], &[]);
    let nightlatch = Installation::on(server).with_asterisk();
    let _daemon = nightlatch.daemon();
    let mut first = up(&nightlatch, "");
    nightlatch.must(&["confirm"]);
    assert!(first.wait().unwrap().success());
    nightlatch.must(&["allow", "office", "203.0.113.10", "--services", "sip"]);
    nightlatch.must(&["block", "192.0.2.0/30"]);
    std::thread::sleep(TRIAL);
    assert!(is_silent(server, stranger));
    // The mode on trial, too: a second `up` keeps accounts and blocks, and goes back to the mode
    // that stood before.
    let second = up(&nightlatch, "--mode open");
    assert!(is_open(server, stranger));
    is_taken_back(&nightlatch, second);
    assert!(is_silent(server, stranger));
    let list = nightlatch.must(&["list"]);
    assert!(list.contains("office") && list.contains("192.0.2.0/30"), "{list}");
    nightlatch.must(&["up", "--yes", "--mode", "open"]);
    assert!(is_open(server, stranger));
    assert!(nightlatch.must(&["list"]).contains("office"));
}

/// The kernel itself counts the time: nobody needs to live for it.
#[test]
fn it_is_taken_back_even_when_everything_of_ours_is_killed() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["script"]) {
        return;
    }
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let _echo = Echo::on(server, &[5060], &[]);
    let nightlatch = Installation::on(server).with_asterisk();
    let mut up = up(&nightlatch, "");
    for process in server.processes().unwrap() {
        let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
        // It may have ended already.
        let _ = kill_process(process, Signal::KILL);
    }
    up.wait().unwrap();
    wait_until("all have ended", TIMEOUT, || server.processes().unwrap().is_empty());
    let status = || nightlatch.must_exit(69, &["status"]);
    assert!(status().contains("ON TRIAL"), "{}", status());
    assert_eq!(nightlatch.json(&["status"])["open"], false);
    assert!(is_silent(server, stranger));
    std::thread::sleep(TRIAL);
    assert!(is_open(server, stranger));
    assert!(status().contains("ACCEPTS EVERYTHING"), "{}", status());
    assert_eq!(nightlatch.json(&["status"])["open"], true);
    // A daemon started later knows that the time is over.
    let _daemon = nightlatch.daemon();
    wait_until("the table is gone", TIMEOUT, || {
        let status = nightlatch.run_it(&["status", "--json"]);
        String::from_utf8_lossy(&status.stdout).contains("\"off\"")
    });
    assert!(is_open(server, stranger));
}

/// Without the daemon, the one who waits for the end of the trial takes it back, and the database
/// knows.
#[test]
fn without_a_daemon_the_trial_is_taken_back_in_the_database_too() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["script"]) {
        return;
    }
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let _echo = Echo::on(server, &[5060], &[]);
    let nightlatch = Installation::on(server).with_asterisk();
    let daemon = nightlatch.daemon();
    let up = up(&nightlatch, "");
    daemon.kill();
    assert!(is_silent(server, stranger));
    is_taken_back(&nightlatch, up);
    assert!(is_open(server, stranger));
    assert!(nightlatch.must(&["log", "--json"]).contains("\"rollback\""));
    // And where the daemon comes back in the middle of a trial, it goes on and ends.
    let daemon = nightlatch.daemon();
    let up = self::up(&nightlatch, "");
    daemon.kill();
    let _daemon = nightlatch.daemon();
    assert!(is_silent(server, stranger));
    is_taken_back(&nightlatch, up);
    assert!(is_open(server, stranger));
}

/// An `nft` which waits, while the file `hold` is there, before it loads a text, and while the file
/// `hold-then` is there, behind the load that brings the chain `prerouting`.
fn waiting_nft(directory: &Path) {
    let script = format!(
        "#!/bin/sh\n\
         PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin\n\
         while [ -e '{0}/hold' ]; do touch '{0}/held'; sleep 0.02; done\n\
         nft \"$@\" || exit\n\
         nft list chain inet nightlatch prerouting > /dev/null 2>&1 || exit 0\n\
         while [ -e '{0}/hold-then' ]; do touch '{0}/held'; sleep 0.02; done\n",
        directory.display()
    );
    let program = directory.join("nft");
    crate::support::write_program(&program, &script);
}

/// Killed between writing the trial down and answering: nobody is shut out, `status` tells the
/// truth, and in the end the database knows, with a daemon and without one.
#[test]
fn killed_before_it_answers_a_trial_ends_all_the_same() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["script"]) {
        return;
    }
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let _echo = Echo::on(server, &[5060], &[]);
    for (hold, stands) in [("hold", "NOT IN THE KERNEL"), ("hold-then", "ACCEPTS EVERYTHING")] {
        for restarts in [false, true] {
            let nightlatch = Installation::on(server).with_asterisk();
            let place = nightlatch.directory().to_owned();
            waiting_nft(&place);
            let path = format!("{}:{}", place.display(), std::env::var("PATH").unwrap());
            let daemon = nightlatch.daemon_in(&[("PATH", &path)]);
            let held = place.join(hold);
            std::fs::write(&held, "").unwrap();
            let mut up = begin_up(&nightlatch, "");
            wait_until("it is being loaded", TIMEOUT, || place.join("held").exists());
            // Not the program that loads: it goes on, or never begins.
            let before = server.processes().unwrap();
            daemon.kill();
            assert!(!up.wait().unwrap().success());
            let said = std::fs::read_to_string(place.join("up.log")).unwrap();
            assert!(said.contains("did not answer"), "{said}");
            if hold == "hold" {
                kill_nft(&before);
            }
            let status = nightlatch.must_exit(69, &["status"]);
            assert!(status.contains(stands), "{hold}: {status}");
            assert!(is_open(server, stranger), "{hold}");
            std::fs::remove_file(&held).unwrap();
            let again = restarts.then(|| nightlatch.daemon());
            if restarts {
                let status = nightlatch.must(&["status"]);
                assert!(status.contains("ON TRIAL"), "{hold}: {status}");
                assert!(is_silent(server, stranger), "{hold}");
            }
            wait_until("it is taken back", TRIAL + TIMEOUT, || {
                nightlatch.must(&["log", "--json"]).contains("\"rollback\"")
            });
            assert!(is_open(server, stranger), "{hold}");
            drop(again);
            let status = nightlatch.must_exit(69, &["status"]);
            assert!(status.contains("NOT IN THE KERNEL"), "{hold}: {status}");
        }
    }
}

/// Ends the loading program, so that it never loads.
fn kill_nft(among: &[u32]) {
    for process in among {
        let command = std::fs::read_to_string(format!("/proc/{process}/cmdline"));
        if command.is_ok_and(|command| command.starts_with("/bin/sh") && command.contains("/nft")) {
            let process = Pid::from_raw(i32::try_from(*process).unwrap()).unwrap();
            let _ = kill_process(process, Signal::KILL);
        }
    }
}
