//! From a line in a log to a packet that is refused.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use nightlatch::features::demo::stage::Plan;

use super::ground::{Echo, PATIENCE, answers_udp, ignores_udp, protect, shell};
use crate::support::{self, Installation, wait_until};
use crate::watch::failed;

/// After this, how far was read is kept.
const KEPT: Duration = Duration::from_millis(2500);

fn configuration(log: &Path) -> String {
    format!(
        "[open]\nservices = [\"sip\"]\n[[watch]]\npath = \"{}\"\nformat = \"asterisk\"\n",
        log.display()
    )
}

fn write(log: &Path, source: &str, numbers: std::ops::Range<u32>) {
    let mut file = OpenOptions::new().append(true).open(log).unwrap();
    for number in numbers {
        let line = failed(source, &format!("{}", 1000 + number), &format!("{source}-{number}"));
        file.write_all(line.as_bytes()).unwrap();
    }
}

fn bans(nightlatch: &Installation<'_>) -> String {
    nightlatch.json(&["bans"])["bans"].to_string()
}

#[test]
fn who_guesses_is_refused_and_who_is_allowed_is_not() {
    let Some(stage) = support::stage(&Plan::standard()) else { return };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let office = stage.host("office").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("security");
    std::fs::write(&log, "").unwrap();
    let _echo = Echo::on(server, &[5060], &[]);
    let (nightlatch, _daemon) = protect(server, &configuration(&log));
    nightlatch.must(&["mode", "open"]);
    nightlatch.must(&["allow", "office", &office.v4().to_string()]);
    let to = SocketAddr::new(server.v4(), 5060);
    assert!(answers_udp(attacker, to));
    for source in [attacker.v4(), office.v4()] {
        write(&log, &source.to_string(), 0..12);
    }
    let banned = attacker.v4().to_string();
    wait_until("the attacker is banned", PATIENCE, || bans(&nightlatch).contains(&banned));
    // The kernel may be busy with a whole table, on a busy machine.
    wait_until("the attacker is refused", PATIENCE, || ignores_udp(attacker, to));
    assert!(answers_udp(office, to));
    assert!(!bans(&nightlatch).contains(&office.v4().to_string()));
    // Why, with the line.
    let why = nightlatch.must_exit(1, &["why", &banned]);
    assert!(why.contains("is banned") && why.contains("5 within 10m"), "{why}");
}

/// What was counted survives a `kill -9`, and is counted once.
#[test]
fn counts_survive_a_kill() {
    let Some(stage) = support::stage(&Plan::standard()) else { return };
    let server = stage.host("server").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("security");
    std::fs::write(&log, "").unwrap();
    let (nightlatch, daemon) = protect(server, &configuration(&log));
    let is_read = |count: u64| {
        let attempts = || nightlatch.json(&["watch", "list"])["sources"][0]["attempts"].clone();
        wait_until(&format!("{count} are read"), PATIENCE, || attempts().as_u64() == Some(count));
    };
    write(&log, "198.51.100.77", 0..2);
    is_read(2);
    std::thread::sleep(KEPT);
    // These are read, and perhaps not kept.
    write(&log, "198.51.100.77", 2..4);
    is_read(4);
    daemon.kill();
    let daemon = nightlatch.daemon();
    std::thread::sleep(KEPT);
    daemon.kill();
    let _daemon = nightlatch.daemon();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!bans(&nightlatch).contains("198.51.100.77"), "four were counted as five");
    write(&log, "198.51.100.77", 4..5);
    wait_until("the fifth is one too many", PATIENCE, || {
        bans(&nightlatch).contains("198.51.100.77")
    });
}

/// What is counted while the disk is full is counted once, and kept as soon as there is room.
#[test]
fn a_full_disk_hinders_no_reading() {
    let Some(stage) = support::stage(&Plan::standard()) else { return };
    let server = stage.host("server").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("security");
    std::fs::write(&log, "").unwrap();
    let nightlatch = Installation::on(server);
    let state = nightlatch.state();
    let state = state.display();
    shell(server, &format!("mount -t tmpfs -o size=8m tmpfs {state}"));
    nightlatch.configure(&format!("{}{}", configuration(&log), support::ASTERISK));
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let is_read = |count: u64| {
        let shown = || nightlatch.json(&["watch", "list"])["sources"][0]["attempts"].clone();
        wait_until(&format!("{count} are read"), PATIENCE, || shown().as_u64() == Some(count));
    };
    write(&log, "198.51.100.77", 0..2);
    is_read(2);
    std::thread::sleep(KEPT);
    shell(server, &format!("dd if=/dev/zero of={state}/filler bs=4k 2> /dev/null || true"));
    // More than fits into what the database has already.
    let sources = 20_000_u32;
    let mut file = OpenOptions::new().append(true).open(&log).unwrap();
    let many: String = (0..sources)
        .map(|number| {
            let source = format!("2001:db8:{number:x}::1");
            failed(&source, "1", &format!("m{number}")).replace("IPV4/UDP/2001", "IPV6/UDP/2001")
        })
        .collect();
    file.write_all(many.as_bytes()).unwrap();
    write(&log, "198.51.100.77", 2..4);
    is_read(u64::from(sources) + 4);
    wait_until("it is told", PATIENCE, || nightlatch.log().contains("cannot be kept"));
    shell(server, &format!("rm {state}/filler"));
    std::thread::sleep(KEPT * 2);
    daemon.kill();
    // Nothing is read again, and nothing is forgotten.
    let _daemon = nightlatch.daemon();
    std::thread::sleep(Duration::from_millis(300));
    is_read(0);
    assert!(!bans(&nightlatch).contains("198.51.100.77"), "four were counted as five");
    write(&log, "198.51.100.77", 4..5);
    wait_until("the fifth is one too many", PATIENCE, || {
        bans(&nightlatch).contains("198.51.100.77")
    });
}
