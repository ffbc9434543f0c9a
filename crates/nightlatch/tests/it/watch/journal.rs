//! The journal is read from where it was left, whatever happens to what reads it. Here a script stands for
//! `journalctl`; the test with a real boot has the real one.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use nightlatch_lab::stage::{Plan, Stage};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{KEPT, TIMEOUT};
use crate::support::{self, Daemon, Installation, wait_until, write_program};

/// Records have nine lines, and their numbers as cursors. It does not select records, unlike the real one.
const JOURNALCTL: &str = "#!/bin/sh
cd \"${0%/*}/..\" || exit 1
if [ -e broken ]; then exit 1; fi
from=1
for word in \"$@\"; do
    case $word in --after-cursor=*) from=$((${word#--after-cursor=} * 9 + 1)) ;; esac
done
exec tail -n \"+$from\" -f records
";

struct Journal<'a> {
    nightlatch: Installation<'a>,
    path: String,
    written: u32,
}

impl<'a> Journal<'a> {
    fn on(stage: &'a Stage) -> Journal<'a> {
        let nightlatch = Installation::on(stage.host("server").unwrap());
        nightlatch.configure(support::ASTERISK);
        let folder = nightlatch.directory();
        for made in ["bin", "etc/ssh", "run/systemd/journal/socket"] {
            fs::create_dir_all(folder.join(made)).unwrap();
        }
        fs::write(folder.join("etc/ssh/sshd_config"), "").unwrap();
        fs::write(folder.join("records"), "").unwrap();
        write_program(&folder.join("bin/journalctl"), JOURNALCTL);
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", folder.join("bin").display());
        Journal { nightlatch, path, written: 0 }
    }

    fn daemon(&self) -> Daemon {
        let daemon = self.nightlatch.daemon_in(&[("PATH", &self.path)]);
        wait_until("the journal is read", TIMEOUT, || self.shown()["log"] == "journal ssh");
        daemon
    }

    /// A wrong password, in a record of this program, unit and user, which was received so long ago.
    fn write(&mut self, (program, unit, user): (&str, &str, u32), ago: Duration) {
        self.written += 1;
        let number = self.written;
        let now = nightlatch::shell::clock::now().millis();
        let received = (now - i64::try_from(ago.as_millis()).unwrap()) * 1000;
        let record = format!(
            "__CURSOR={number}\n__REALTIME_TIMESTAMP={received}\n_SYSTEMD_UNIT={unit}\n_EXE={program}\n_UID={user}\n_PID={number}\nSYSLOG_IDENTIFIER=sshd\nMESSAGE=Failed password for root from 198.51.100.66 port 22 ssh2\n\n"
        );
        let records = self.nightlatch.directory().join("records");
        let mut file = OpenOptions::new().append(true).open(records).unwrap();
        file.write_all(record.as_bytes()).unwrap();
    }

    /// One that sshd has written just now.
    fn sshd_writes(&mut self) {
        self.write(SSHD, Duration::ZERO);
    }

    fn shown(&self) -> Value {
        self.nightlatch.json(&["watch", "list"])["sources"][0].clone()
    }

    /// Waits until so many attempts were read; more must not follow.
    fn has_read(&self, count: u64) {
        let attempts = || self.shown()["attempts"].as_u64().unwrap();
        wait_until(&format!("{count} attempts: {}", self.shown()), TIMEOUT, || attempts() >= count);
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(attempts(), count, "{}", self.shown());
    }
}

/// What reads the journal for a daemon ends.
fn reader_ends(daemon: &Daemon) {
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.id())).unwrap();
    let of_thread = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children"));
    let children: String = threads.filter_map(|it| of_thread(it.unwrap()).ok()).collect();
    let is_reader = |process: &&str| {
        let name = fs::read_to_string(format!("/proc/{process}/comm"));
        name.is_ok_and(|name| name.trim_end() == "tail")
    };
    let children: Vec<&str> = children.split_whitespace().filter(is_reader).collect();
    let [reader] = children[..] else { panic!("{children:?}") };
    let reader = Pid::from_raw(reader.parse().unwrap()).unwrap();
    kill_process(reader, Signal::KILL).unwrap();
}

const SSHD: (&str, &str, u32) = ("/usr/sbin/sshd", "ssh.service", 0);

#[test]
fn each_record_is_read_once_whatever_happens_to_the_reader() {
    let Some(stage) = support::stage(&Plan::standard()) else { return };
    let mut journal = Journal::on(&stage);
    // What was there before is no news.
    journal.write(SSHD, Duration::from_secs(60));
    let daemon = journal.daemon();
    journal.has_read(0);
    assert_eq!(journal.shown()["trust"], "full", "{}", journal.shown());
    // The reader ends before it has read anything.
    reader_ends(&daemon);
    journal.sshd_writes();
    journal.has_read(1);
    // Others write the same.
    journal.write(("/usr/bin/logger", "session-4.scope", 65_534), Duration::ZERO);
    journal.write(("/usr/bin/logger", "ssh.service", 0), Duration::ZERO);
    journal.write(("/usr/sbin/sshd", "session-4.scope", 1000), Duration::ZERO);
    journal.sshd_writes();
    journal.has_read(2);
    reader_ends(&daemon);
    journal.sshd_writes();
    journal.has_read(3);
    std::thread::sleep(KEPT);
    daemon.kill();
    journal.sshd_writes();
    let daemon = journal.daemon();
    journal.has_read(1);
    std::thread::sleep(KEPT);
    daemon.kill();
    let _daemon = journal.daemon();
    journal.sshd_writes();
    journal.has_read(1);
}

#[test]
fn a_journal_that_cannot_be_read_is_told_of_and_read_later() {
    let Some(stage) = support::stage(&Plan::standard()) else { return };
    let mut journal = Journal::on(&stage);
    let daemon = journal.daemon();
    journal.sshd_writes();
    journal.has_read(1);
    let broken = journal.nightlatch.directory().join("broken");
    fs::write(&broken, "").unwrap();
    reader_ends(&daemon);
    wait_until("it is told that it is not read", TIMEOUT, || {
        journal.shown()["state"].to_string().contains("journalctl has ended (exit status: 1)")
    });
    journal.sshd_writes();
    fs::remove_file(&broken).unwrap();
    // The place in the journal is no longer believed: by their times, records are read once all the same.
    journal.has_read(2);
    let told = journal.nightlatch.log();
    assert!(told.contains("the journal cannot be read"), "{told}");
}
