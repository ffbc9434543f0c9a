//! From a line in a log to a packet that is refused.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use nightlatch_lab::stage::Plan;

use super::ground::{Echo, TIMEOUT, answers_udp, ignores_udp, protect, shell};
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
    wait_until("the attacker is banned", TIMEOUT, || bans(&nightlatch).contains(&banned));
    // The kernel may be busy with a whole table, on a busy machine.
    wait_until("the attacker is refused", TIMEOUT, || ignores_udp(attacker, to));
    assert!(answers_udp(office, to));
    assert!(!bans(&nightlatch).contains(&office.v4().to_string()));
    // Why, with the line.
    let why = nightlatch.must_exit(1, &["why", &banned]);
    assert!(why.contains("is banned") && why.contains("5 within 10m"), "{why}");
    // Tried out, the same: who of our own people would have been concerned.
    let path = log.to_str().unwrap();
    let tried = nightlatch.must(&["watch", "test", path]);
    let spared = format!("limited, not banned: {} at ", office.v4());
    let spared =
        tried.lines().find(|line| line.starts_with(&spared)).unwrap_or_else(|| panic!("{tried}"));
    assert!(spared.contains("office"), "{tried}");
    assert!(
        tried.lines().any(|line| line.starts_with(&format!("banned briefly: {banned} at "))),
        "{tried}"
    );
    let tried = nightlatch.json(&["watch", "test", path]);
    assert_eq!(tried["banned"].as_array().unwrap().len(), 1, "{tried}");
    assert_eq!(tried["spared"][0]["spared"], "allowed", "{tried}");
}

/// Where this server is registered, an attack leads to a limit; `why` and `watch test` say so before it comes.
#[test]
fn where_this_server_is_registered_nobody_is_banned() {
    let Some(stage) = support::stage(&Plan::standard()) else { return };
    let (server, carrier) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let stranger = stage.host("traveller").unwrap().v4().to_string();
    let folder = tempfile::tempdir().unwrap();
    let (log, old) = (folder.path().join("security"), folder.path().join("old"));
    std::fs::write(&log, "").unwrap();
    let (nightlatch, _daemon) = protect(server, &configuration(&log));
    nightlatch.must(&["mode", "open"]);
    let at = carrier.v4().to_string();
    let sparing = || nightlatch.json(&["why", &at])["never_banned"].clone();
    assert!(sparing().is_null(), "{}", sparing());
    let pbx = server.run(|| UdpSocket::bind((server.v4(), 5060))).unwrap().unwrap();
    pbx.send_to(b"REGISTER sip:b SIP/2.0\r\n\r\n", (carrier.v4(), 5060)).unwrap();
    // The daemon reads every ten seconds what the kernel has learned.
    wait_until("why tells of it", 4 * TIMEOUT, || sparing()["because"] == "registered");
    assert_eq!(sparing()["limited"], true, "{}", sparing());
    let why = nightlatch.must(&["why", &at]);
    assert!(
        why.contains("only limited, not banned, because") && why.contains("registered"),
        "{why}"
    );
    for source in [&at, &stranger] {
        std::fs::write(&old, "").unwrap();
        write(&old, source, 0..12);
        let path = old.to_str().unwrap();
        let is_carrier = source == &at;
        let told = nightlatch.must(&["watch", "test", path]);
        assert_eq!(told.contains(&format!("limited, not banned: {at} at ")), is_carrier, "{told}");
        let told = nightlatch.json(&["watch", "test", path]);
        let (spared, banned) = (&told["spared"][0], told["banned"].as_array().unwrap());
        assert_eq!(banned.is_empty(), is_carrier, "{told}");
        assert_eq!(
            spared["spared"] == "registered" && spared["limited"] == true,
            is_carrier,
            "{told}"
        );
    }
    for source in [&at, &stranger] {
        write(&log, source, 0..12);
    }
    wait_until("the stranger is banned", TIMEOUT, || bans(&nightlatch).contains(&stranger));
    let limits = || nightlatch.json(&["bans"])["limits"].to_string();
    wait_until("the carrier is limited", TIMEOUT, || limits().contains(&at));
    assert!(!bans(&nightlatch).contains(&at), "{}", bans(&nightlatch));
    let why = nightlatch.must(&["why", &at]);
    assert!(why.contains("limited") && !why.contains("is banned"), "{why}");
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
        wait_until(&format!("{count} are read"), TIMEOUT, || attempts().as_u64() == Some(count));
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
    wait_until("the fifth is one too many", TIMEOUT, || {
        bans(&nightlatch).contains("198.51.100.77")
    });
}

/// Sessions of several lines: who calls is in one, that the password was wrong in another.
const SESSIONS: &str = "[Definition]
failregex = ^\\s*<F-MLFID>call \\d+</F-MLFID>: <F-NOFAIL>offered</F-NOFAIL> by <HOST>$
            ^\\s*<F-MLFID>call \\d+</F-MLFID>: bad secret$
            refused for <HOST>\\b
";
/// One expression over two lines.
const TWO_LINES: &str = "[Definition]
maxlines = 2
failregex = ^\\s*attempt of <F-USER>\\S+</F-USER><SKIPLINES>\\s*refused: <HOST>$
";

/// Writes a line at a time, so that each is read by itself.
fn write_each(nightlatch: &Installation<'_>, log: &Path, lines: &[String]) {
    for line in lines {
        let read = || {
            let listed = nightlatch.json(&["watch", "list"]);
            let sources = listed["sources"].as_array().cloned().unwrap_or_default();
            let its = sources.iter().find(|source| source["log"] == log.to_str().unwrap());
            its.and_then(|source| source["lines"].as_u64()).unwrap_or_default()
        };
        let before = read();
        let mut file = OpenOptions::new().append(true).open(log).unwrap();
        writeln!(file, "2026-11-20 08:36:32 {line}").unwrap();
        wait_until("the line is read", TIMEOUT, || read() > before);
    }
}

/// For how many seconds an address is banned, and why.
fn ban(nightlatch: &Installation<'_>, address: &str) -> (i64, String) {
    wait_until(&format!("{address} is banned"), TIMEOUT, || bans(nightlatch).contains(address));
    let listed = nightlatch.json(&["bans"]);
    let all = listed["bans"].as_array().unwrap().iter();
    let ban = all.clone().find(|ban| ban["range"] == address).unwrap();
    let length = ban["until"].as_i64().unwrap() - ban["since"].as_i64().unwrap();
    (length / 1000, ban["words"].as_str().unwrap().to_owned())
}

/// What a filter of fail2ban finds, by its own thresholds, through the daemon; what it does not know for sure bans
/// nobody.
#[test]
fn a_filter_bans_as_its_table_says() {
    let Some(stage) = support::stage(&Plan::standard()) else { return };
    let server = stage.host("server").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let mut configuration = "[open]\nservices = [\"sip\"]\n".to_owned();
    let more = "maxretry = 3\nfindtime = 3600\nbantime = \"2h\"\n";
    for (name, filter, more) in
        [("sessions", SESSIONS, more), ("lines", TWO_LINES, "maxretry = 2\n")]
    {
        let (log, conf) = (place(&format!("{name}.log")), place(&format!("{name}.conf")));
        std::fs::write(&log, "").unwrap();
        std::fs::write(&conf, filter).unwrap();
        let (log, conf) = (log.display(), conf.display());
        configuration += &format!("[[watch]]\npath = \"{log}\"\nfilter = \"{conf}\"\n{more}");
    }
    let (nightlatch, _daemon) = protect(server, &configuration);
    let listed = nightlatch.must(&["watch", "list"]);
    assert!(listed.contains("(3 within 1h: banned for 2h)"), "{listed}");
    assert!(listed.contains("(2 within 10m: banned for 10m)"), "{listed}");

    let call = |number: u32, source: &str| {
        [format!("call {number}: offered by {source}"), format!("call {number}: bad secret")]
    };
    let log = place("sessions.log");
    let lines: Vec<String> = (0..3).flat_map(|number| call(number, "198.51.100.20")).collect();
    write_each(&nightlatch, &log, &lines[..5]);
    assert!(!bans(&nightlatch).contains("198.51.100.20"), "two of three");
    write_each(&nightlatch, &log, &lines[5..]);
    let (length, words) = ban(&nightlatch, "198.51.100.20");
    assert_eq!(length, 7200, "{words}");
    assert!(words.contains("3 failed attempts") && words.contains("limit: 3 within 1h"), "{words}");

    let two = ["attempt of alice".to_owned(), "refused: 198.51.100.21".to_owned()];
    write_each(&nightlatch, &place("lines.log"), &[two.clone(), two].concat());
    let (length, words) = ban(&nightlatch, "198.51.100.21");
    assert!(length == 600 && words.contains("with account \"alice\""), "{length} {words}");

    // A host name, and a second address that the filter could have found.
    let named: Vec<String> =
        (10..14).flat_map(|number| call(number, "guest.example.net")).collect();
    write_each(&nightlatch, &log, &named);
    let two = "from 'x' refused for 203.0.113.99 refused for 198.51.100.22".to_owned();
    write_each(&nightlatch, &log, &[two.clone(), two.clone(), two.clone(), two]);
    let told = |what: &str| {
        wait_until(what, TIMEOUT, || nightlatch.log().contains(what));
    };
    told("\"guest.example.net\" in the place of the address");
    told("several addresses that could be the source (");
    let all = bans(&nightlatch);
    assert!(!all.contains("203.0.113.99") && !all.contains("198.51.100.22"), "{all}");
}

/// fail2ban's own filter of sshd, from a copy: the original is read natively.
#[test]
fn the_filter_of_sshd_works_as_it_is() {
    let Some(stage) = support::stage(&Plan::standard()) else { return };
    let server = stage.host("server").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["sshd.conf", "common.conf"] {
        let from = Path::new("/etc/fail2ban/filter.d").join(name);
        if let Err(error) = std::fs::copy(&from, folder.path().join(name)) {
            eprintln!("SKIPPED: {}: {error} (package fail2ban)", from.display());
            return;
        }
    }
    let log = folder.path().join("auth.log");
    std::fs::write(&log, "").unwrap();
    let (filter, path) = (folder.path().join("sshd.conf"), log.display());
    let configuration = format!(
        "[open]\nservices = [\"sip\"]\n[[watch]]\npath = \"{path}\"\nfilter = \"{}[mode=aggressive]\"\nservices = [\"ssh\"]\n",
        filter.display()
    );
    let (nightlatch, _daemon) = protect(server, &configuration);
    let session = |number: u32| {
        let from = "from 198.51.100.23 port 4000";
        [
            format!(
                "pbx sshd[{number}]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=198.51.100.23  user=root"
            ),
            format!("pbx sshd[{number}]: Failed password for root {from} ssh2"),
        ]
    };
    let lines: Vec<String> = (0..5).flat_map(session).collect();
    write_each(&nightlatch, &log, &lines[..9]);
    assert!(!bans(&nightlatch).contains("198.51.100.23"));
    write_each(&nightlatch, &log, &lines[9..]);
    let (length, words) = ban(&nightlatch, "198.51.100.23");
    assert_eq!(length, 600, "{words}");
    assert!(words.contains("5 failed attempts at ssh with account \"root\""), "{words}");
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
        wait_until(&format!("{count} are read"), TIMEOUT, || shown().as_u64() == Some(count));
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
    wait_until("it is told", TIMEOUT, || {
        nightlatch.log().contains("it cannot be saved how far logs were read")
    });
    shell(server, &format!("rm {state}/filler"));
    std::thread::sleep(KEPT * 2);
    daemon.kill();
    // Nothing is read again, and nothing is forgotten.
    let _daemon = nightlatch.daemon();
    std::thread::sleep(Duration::from_millis(300));
    is_read(0);
    assert!(!bans(&nightlatch).contains("198.51.100.77"), "four were counted as five");
    write(&log, "198.51.100.77", 4..5);
    wait_until("the fifth is one too many", TIMEOUT, || {
        bans(&nightlatch).contains("198.51.100.77")
    });
}
