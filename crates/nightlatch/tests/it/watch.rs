//! Logs are followed: each line is read once, however a log is rotated, replaced or flooded, and whatever
//! happens to the daemon.

mod journal;
mod once;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use nightlatch_lab::stage::{Plan, Stage};
use serde_json::Value;

use crate::support::{self, Daemon, Installation, wait_until};

/// How long something may take that comes at once on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(20);
/// After this, how far was read is kept.
const KEPT: Duration = Duration::from_millis(2500);

/// A security event of Asterisk: a wrong password, of a session of its own.
pub(crate) fn failed(source: &str, account: &str, session: &str) -> String {
    format!(
        "[2026-11-20 08:36:32] SECURITY[1] res_security_log.c: SecurityEvent=\"ChallengeResponseFailed\",EventTV=\"2026-11-20T08:36:32.582+0000\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"{account}\",SessionID=\"{session}\",LocalAddress=\"IPV4/UDP/192.0.2.1/5060\",RemoteAddress=\"IPV4/UDP/{source}/5071\",Challenge=\"1/a\",Response=\"b\",ExpectedResponse=\"\"\n"
    )
}

/// A log that a daemon follows.
struct Log<'a> {
    nightlatch: Installation<'a>,
    path: PathBuf,
    written: usize,
}

impl<'a> Log<'a> {
    fn on(stage: &'a Stage, place: &str) -> Log<'a> {
        let nightlatch = Installation::on(stage.host("server").unwrap());
        let path = nightlatch.directory().join(place);
        nightlatch.configure(&format!(
            "[pbx]\nproduct = \"asterisk\"\n[[watch]]\npath = \"{}\"\nformat = \"asterisk\"\n",
            path.display()
        ));
        Log { nightlatch, path, written: 0 }
    }

    /// A file beside it, by the ending of its name.
    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    }

    /// Writes so many lines at the end of a file.
    fn write_to(&mut self, path: &PathBuf, count: usize) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        for _ in 0..count {
            self.written += 1;
            let line = failed("198.51.100.66", "100", &format!("s{}", self.written));
            file.write_all(line.as_bytes()).unwrap();
        }
    }

    fn write(&mut self, count: usize) {
        self.write_to(&self.path.clone(), count);
    }

    fn shown(&self) -> Value {
        let listed = self.nightlatch.json(&["watch", "list"]);
        listed["sources"][0].clone()
    }

    fn attempts(&self) -> u64 {
        self.shown()["attempts"].as_u64().unwrap()
    }

    /// Waits until so many attempts were read; more must not follow.
    fn has_read(&self, count: u64) {
        wait_until(&format!("{count} attempts: {}", self.shown()), TIMEOUT, || {
            self.attempts() >= count
        });
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(self.attempts(), count, "{}", self.shown());
    }

    fn daemon(&self) -> Daemon {
        let daemon = self.nightlatch.daemon();
        wait_until("the log is followed", TIMEOUT, || !self.shown().is_null());
        daemon
    }
}

fn stage() -> Option<Stage> {
    support::stage(&Plan::standard())
}

#[test]
fn each_line_is_read_once_through_every_rotation() {
    let Some(stage) = stage() else { return };
    let mut log = Log::on(&stage, "log");
    log.write(0);
    let _daemon = log.daemon();
    log.write(2);
    log.has_read(2);
    // Renamed; the program goes on writing into the old file for a while.
    fs::rename(&log.path, log.beside(".1")).unwrap();
    log.write_to(&log.beside(".1"), 2);
    log.write(3);
    log.write_to(&log.beside(".1"), 1);
    log.has_read(8);
    // Copied and emptied.
    fs::copy(&log.path, log.beside(".2")).unwrap();
    fs::write(&log.path, "").unwrap();
    log.write(2);
    log.has_read(10);
    // Emptied, and at once longer than before.
    fs::write(&log.path, "").unwrap();
    log.write(9);
    log.has_read(19);
    // Replaced by another file.
    let new = log.beside(".new");
    log.write_to(&new, 2);
    fs::rename(&new, &log.path).unwrap();
    log.has_read(21);
    // Deleted, and made anew.
    fs::remove_file(&log.path).unwrap();
    log.write(1);
    log.has_read(22);
    assert_eq!(log.shown()["lost"], 0);
}

#[test]
fn what_is_no_file_is_not_read() {
    let Some(stage) = stage() else { return };
    let mut log = Log::on(&stage, "log");
    let elsewhere = log.beside(".elsewhere");
    log.write_to(&elsewhere, 3);
    symlink(&elsewhere, &log.path).unwrap();
    let _daemon = log.daemon();
    let is = |log: &Log<'_>, what: &str| {
        wait_until(&format!("{what}: {}", log.shown()), TIMEOUT, || {
            log.shown()["state"].to_string().contains(what)
        });
    };
    is(&log, "symlink");
    fs::remove_file(&log.path).unwrap();
    log.write(1);
    log.has_read(1);
    // A log is replaced while it is read.
    fs::remove_file(&log.path).unwrap();
    symlink(&elsewhere, &log.path).unwrap();
    log.write_to(&elsewhere, 1);
    is(&log, "symlink");
    fs::remove_file(&log.path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&log.path).status().unwrap();
    assert!(made.success());
    is(&log, "no_file");
    log.has_read(1);
    assert!(log.nightlatch.log().contains("it is a symbolic link"), "{}", log.nightlatch.log());
    assert!(log.nightlatch.log().contains("not a regular file"), "{}", log.nightlatch.log());
}

#[test]
fn lines_in_parts_and_lines_without_end() {
    let Some(stage) = stage() else { return };
    let mut log = Log::on(&stage, "not/there/yet/log");
    let _daemon = log.daemon();
    assert_eq!(log.shown()["state"], "missing");
    // Folders that appear later.
    fs::create_dir_all(log.path.parent().unwrap()).unwrap();
    let line = failed("198.51.100.66", "100", "in-parts");
    let (begin, end) = line.split_at(line.len() - 60);
    fs::write(&log.path, begin).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(log.attempts(), 0);
    let mut file = OpenOptions::new().append(true).open(&log.path).unwrap();
    file.write_all(end.as_bytes()).unwrap();
    log.has_read(1);
    // A line of a megabyte, and one that ends just behind what may be read.
    for length in [1 << 20, 16_385] {
        file.write_all("x".repeat(length).as_bytes()).unwrap();
        file.write_all(b"\n").unwrap();
    }
    log.write(1);
    log.has_read(2);
    assert_eq!(log.shown()["too_long"], 2);
}

#[test]
fn what_was_written_while_nobody_read_is_read_later() {
    let Some(stage) = stage() else { return };
    let mut log = Log::on(&stage, "log");
    // What was there before nobody reads as news.
    log.write(4);
    let daemon = log.daemon();
    log.write(2);
    wait_until("all is read", TIMEOUT, || log.shown()["lines"].as_u64() >= Some(6));
    std::thread::sleep(KEPT);
    daemon.kill();
    // Rotated twice meanwhile.
    log.write(3);
    fs::rename(&log.path, log.beside(".1")).unwrap();
    log.write(4);
    fs::rename(log.beside(".1"), log.beside(".2")).unwrap();
    fs::rename(&log.path, log.beside(".1")).unwrap();
    log.write(5);
    let daemon = log.daemon();
    log.has_read(12);
    std::thread::sleep(KEPT);
    daemon.kill();
    // Copied and emptied meanwhile.
    log.write(2);
    fs::copy(&log.path, log.beside(".0")).unwrap();
    fs::write(&log.path, "").unwrap();
    log.write(1);
    let daemon = log.daemon();
    log.has_read(3);
    std::thread::sleep(KEPT);
    daemon.kill();
    // Nothing happened.
    let daemon = log.daemon();
    log.has_read(0);
    daemon.kill();
    // Emptied, and nothing is left of it.
    log.write(2);
    fs::write(&log.path, "").unwrap();
    log.write(1);
    let _daemon = log.daemon();
    log.has_read(1);
    let told = log.nightlatch.log();
    assert!(told.contains("lines written meanwhile are lost"), "{told}");
}

#[test]
fn a_flood_keeps_no_other_log_waiting() {
    let Some(stage) = stage() else { return };
    let mut log = Log::on(&stage, "log");
    let other = log.beside(".other");
    let configured = fs::read_to_string(log.nightlatch.config()).unwrap();
    let more = format!("[[watch]]\npath = \"{}\"\nformat = \"asterisk\"\n", other.display());
    log.nightlatch.configure(&format!("{configured}{more}"));
    log.write(0);
    fs::write(&other, "").unwrap();
    let _daemon = log.daemon();
    let mut file = OpenOptions::new().append(true).open(&log.path).unwrap();
    let block = failed("198.51.100.66", "100", "flood").repeat(10_000);
    for _ in 0..10 {
        file.write_all(block.as_bytes()).unwrap();
    }
    log.write_to(&other, 1);
    let of_other = || log.nightlatch.json(&["watch", "list"])["sources"][1]["attempts"].clone();
    wait_until("the other log is read", TIMEOUT, || of_other() == 1);
    wait_until("all of the flood is read", Duration::from_secs(60), || log.attempts() == 100_000);
}

#[test]
fn each_attack_is_told_of_when_it_begins_and_when_it_ends() {
    let Some(stage) = stage() else { return };
    let mut log = Log::on(&stage, "log");
    let with_end = format!(
        "[pbx]\nproduct = \"asterisk\"\n[attempts]\nquiet = \"2s\"\n[[watch]]\npath = \"{}\"\nformat = \"asterisk\"\n",
        log.path.display()
    );
    log.nightlatch.configure(&with_end);
    log.write(0);
    let _daemon = log.daemon();
    let told = |log: &Log<'_>| -> Vec<String> {
        let records = log.nightlatch.must(&["log", "--json"]);
        let records = records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let subject = |it: Value| it["subject"].as_str().unwrap_or_default().to_owned();
        let told = records.filter(|it| it["action"] == "notice").map(subject);
        told.filter(|kind| kind.starts_with("attack-")).collect()
    };
    let patience = Duration::from_secs(60);
    for attack in 1..=2 {
        log.write(40);
        wait_until("the end is told", patience, || told(&log).len() == 2 * attack);
    }
    assert_eq!(told(&log), ["attack-began", "attack-ended", "attack-began", "attack-ended"]);
}

#[test]
fn a_summary_needs_no_daemon_and_survives_a_kill() {
    let Some(stage) = stage() else { return };
    let mut log = Log::on(&stage, "log");
    let summary = |log: &Log<'_>, of: &str| log.nightlatch.json(&["watch", "summary", of]);
    assert_eq!(summary(&log, "day")["attempts"], 0, "nothing was ever read");
    log.write(0);
    let daemon = log.daemon();
    log.write(7);
    log.has_read(7);
    let attack = || log.nightlatch.json(&["status"])["attack"].clone();
    wait_until("status tells of the attack", TIMEOUT, || attack()["sources"] == 1);
    let status = log.nightlatch.must_exit(1, &["status"]);
    assert!(
        status.contains("attacks   an attack since ") && status.contains("1 source"),
        "{status}"
    );
    std::thread::sleep(KEPT);
    daemon.kill();
    assert_eq!(summary(&log, "day")["attempts"], 7, "{}", summary(&log, "day"));
    let _daemon = log.daemon();
    log.write(3);
    wait_until("all are summed up", TIMEOUT, || summary(&log, "week")["attempts"] == 10);
    let told = summary(&log, "day");
    assert_eq!(told["sources"][0]["source"], "198.51.100.66", "{told}");
    assert_eq!(told["sources"][0]["attempts"], 10, "{told}");
    assert_eq!(told["accounts"][0]["account"], "100", "{told}");
    assert_eq!(told["services"][0]["service"], "sip", "{told}");
    assert_eq!((&told["bans"], &told["is_exact"]), (&1.into(), &true.into()), "{told}");
    let text = log.nightlatch.must(&["watch", "summary"]);
    assert!(text.contains("10 failed attempts, 1 ban.") && text.contains("\"100\""), "{text}");
    let picture = log.nightlatch.must(&["watch", "summary", "week", "--svg"]);
    assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"), "{picture}");
    let file = log.beside(".svg");
    log.nightlatch.must(&["watch", "summary", &format!("--svg={}", file.display())]);
    assert!(fs::read_to_string(&file).unwrap().contains("198.51.100.66"));
    let wrong = log.nightlatch.must_exit(2, &["watch", "summary", "--svg", "--json"]);
    assert!(wrong.contains("--svg=FILE"), "{wrong}");
    let nowhere = log.nightlatch.must_exit(74, &["watch", "summary", "--svg=/nowhere/picture.svg"]);
    assert!(nowhere.contains("cannot be written"), "{nowhere}");
}

#[test]
fn a_log_is_tried_out() {
    let Some(stage) = stage() else { return };
    let log = Log::on(&stage, "log");
    let mut text = String::new();
    for number in 0..30 {
        text += &failed("198.51.100.66", &format!("{}", 100 + number), &format!("s{number}"));
    }
    text += &failed("203.0.113.9", "200", "once");
    fs::write(&log.path, &text).unwrap();
    let path = log.path.to_str().unwrap();
    let told = log.nightlatch.json(&["watch", "test", path]);
    assert_eq!((&told["lines"], &told["attempts"]), (&31.into(), &31.into()), "{told}");
    assert_eq!(told["format"], "asterisk");
    assert_eq!(told["banned"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["banned"][0]["source"], "198.51.100.66");
    assert!(told["banned"][0]["later"].as_u64() > Some(0), "{told}");
    let shown = log.nightlatch.must(&["watch", "test", path, "--as", "asterisk"]);
    assert!(shown.contains("198.51.100.66 at 2026-11-20"), "{shown}");
    // With other thresholds, and by a pattern.
    let options = ["--quick-attempts", "100", "--slow-attempts", "200"];
    let told = log.nightlatch.json(&[&["watch", "test", path], options.as_slice()].concat());
    assert_eq!(told["banned"], Value::Array(Vec::new()), "{told}");
    let wrong = log.nightlatch.must_exit(2, &["watch", "test", path, "--as", "astersik"]);
    assert!(wrong.contains("did you mean \"asterisk\""), "{wrong}");
    let missing = log.nightlatch.must_exit(2, &["watch", "test", "/nowhere/log"]);
    assert!(missing.contains("cannot be read"), "{missing}");
}

/// Filters with thresholds of their own, tables of the configuration, and own patterns.
#[test]
fn filters_and_patterns_are_tried_out() {
    let Some(stage) = stage() else { return };
    let log = Log::on(&stage, "log");
    let (filter, path) = (log.beside(".conf"), log.path.to_str().unwrap());
    fs::write(
        &filter,
        "[Definition]\nfailregex = login of <F-USER>\\S+</F-USER> from <HOST> failed$\n",
    )
    .unwrap();
    let filter = filter.to_str().unwrap();
    let line = |second: u32, source: &str| {
        format!("2026-11-20 08:36:{second:02} login of alice from {source} failed\n")
    };
    let mut text: String = (0..10).map(|second| line(second * 2, "198.51.100.66")).collect();
    text += &line(30, "guest.example.net");
    text += &line(31, "2001:db8:66::1");
    fs::write(&log.path, &text).unwrap();
    let test =
        |options: &[&str]| log.nightlatch.json(&[&["watch", "test", path], options].concat());
    let banned = |told: &Value| {
        let all = told["banned"].as_array().unwrap();
        all.iter().map(|it| it["source"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let told = test(&["--as", filter]);
    assert_eq!((&told["attempts"], &told["doubtful"]), (&11.into(), &1.into()), "{told}");
    assert_eq!(told["thresholds"]["maxretry"], 5, "{told}");
    assert_eq!(
        (banned(&told), &told["banned"][0]["bantime"]),
        (vec!["198.51.100.66".to_owned()], &600.into())
    );
    assert_eq!(told["banned"][0]["evidence"]["attempts"], 5, "{told}");
    let told = test(&["--as", filter, "--maxretry", "10", "--findtime", "17s"]);
    assert_eq!(banned(&told), [""; 0], "{told}");
    let told = test(&["--as", filter, "--maxretry", "1", "--bantime", "1h"]);
    assert_eq!(banned(&told).len(), 2, "{told}");
    let shown = log.nightlatch.must(&["watch", "test", path, "--as", filter, "--maxretry", "10"]);
    for what in [
        "thresholds of the filter: 10 within 10m: banned for 10m",
        "1 line of which the source is not sure",
        "banned for 10m: 198.51.100.66 at 2026-11-20 08:36:18 UTC",
        "10 failed attempts with account \"alice\" within 18s (limit: 10 within 10m)",
        "notice: 1 line in",
    ] {
        assert!(shown.contains(what), "{what}: {shown}");
    }
    // As the table of the log says, without a word about it.
    log.nightlatch.configure(&format!(
        "[[watch]]\npath = \"{path}\"\nfilter = \"{filter}\"\nmaxretry = 7\nbantime = \"1d\"\n"
    ));
    let told = test(&[]);
    assert_eq!(
        (&told["thresholds"]["maxretry"], &told["banned"][0]["bantime"]),
        (&7.into(), &86_400.into())
    );
    assert_eq!(test(&["--as", filter, "--findtime", "1h"])["thresholds"]["maxretry"], 7);
    // A pattern counts as everything else does.
    let pattern = ["--pattern", "login of <ACCOUNT> from <ADDRESS> failed"];
    let told = test(&[pattern.as_slice(), &["--quick-attempts", "8"]].concat());
    assert_eq!(
        (&told["thresholds"], &told["settings"]["quick-attempts"]),
        (&Value::Null, &8.into())
    );
    assert_eq!(told["banned"][0]["evidence"]["accounts"], serde_json::json!(["alice"]), "{told}");
    assert_eq!(told["banned"][0]["evidence"]["attempts"], 8, "{told}");
    assert_eq!(banned(&test(&[pattern.as_slice(), &["--since", "1h"]].concat())), [""; 0]);
    // What would have no effect is a mistake.
    for (options, expected) in [
        (["--as", filter, "--quick-attempts", "3"], "do not apply to a filter"),
        (["--as", "sshd", "--maxretry", "3"], "are for a filter"),
        (["--as", filter, "--maxretry", "0"], "--maxretry is 1 to 100"),
        (["--as", filter, "--bantime", "2d"], "--bantime 10s to 1d"),
    ] {
        let wrong =
            log.nightlatch.must_exit(2, &[&["watch", "test", path], options.as_slice()].concat());
        assert!(wrong.contains(expected), "{wrong}");
    }
    let wrong = log.nightlatch.must_exit(2, &["watch", "test", path, "--pattern", "failed from"]);
    assert!(wrong.contains("<ADDRESS>"), "{wrong}");
}

/// Nothing is reloaded: what is installed after the daemon was started is found.
#[test]
fn what_is_installed_later_is_found() {
    /// It is looked for twice a minute.
    const FOUND: Duration = Duration::from_secs(90);
    let Some(stage) = stage() else { return };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let of = |path: &str| nightlatch.directory().join(path);
    let _daemon = nightlatch.daemon();
    let shown = |name: &str| {
        let listed = nightlatch.json(&["watch", "list"]);
        let sources = listed["sources"].as_array().unwrap();
        let path = of(name).display().to_string();
        sources.iter().find(|it| it["log"] == path.as_str()).cloned().unwrap_or_default()
    };
    let is_read = |name: &str, count: u64, patience: Duration| {
        wait_until(&format!("{count} attempts in {name}"), patience, || {
            shown(name)["attempts"].as_u64() >= Some(count)
        });
        assert_eq!(shown(name)["attempts"], count, "{}", shown(name));
    };
    let write = |name: &str, sessions: std::ops::Range<u32>| {
        let mut file = OpenOptions::new().append(true).create(true).open(of(name)).unwrap();
        for number in sessions {
            let line = failed("198.51.100.66", "100", &format!("{name}{number}"));
            file.write_all(line.as_bytes()).unwrap();
        }
    };
    assert_eq!(nightlatch.json(&["watch", "list"])["sources"], Value::Array(Vec::new()));
    let (security, more) = ("var/log/asterisk/security", "var/log/asterisk/more");
    for folder in ["etc/ssh", "etc/asterisk", "var/log/asterisk"] {
        fs::create_dir_all(of(folder)).unwrap();
    }
    fs::write(of("etc/asterisk/logger.conf"), "[logfiles]\nsecurity => security\n").unwrap();
    fs::write(of("etc/ssh/sshd_config"), "").unwrap();
    // What it wrote before it was found is read too.
    write(security, 0..2);
    is_read(security, 2, FOUND);
    write(security, 2..3);
    is_read(security, 3, TIMEOUT);
    // The log of another program, which writes its first line later.
    let sshd =
        "Nov 30 12:00:00 pbx sshd[1]: Failed password for root from 198.51.100.66 port 4000 ssh2\n";
    fs::write(of("var/log/auth.log"), sshd).unwrap();
    is_read("var/log/auth.log", 1, TIMEOUT);
    // Its configuration names another log; the counts of the first go on.
    let two = "[logfiles]\nsecurity => security\nmore => notice\n";
    fs::write(of("etc/asterisk/logger.conf"), two).unwrap();
    write(more, 0..1);
    is_read(more, 1, FOUND);
    is_read(security, 3, TIMEOUT);
}
