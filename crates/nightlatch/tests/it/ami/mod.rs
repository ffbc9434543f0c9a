//! Security events of Asterisk over its manager interface: where no log has them, whatever the other side does.

mod ground;

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan, Stage};
use nightlatch_parse::log::Reading;
use nightlatch_parse::log::asterisk::ami::{Packet, Stream};
use serde_json::Value;

use self::ground::{GREETING, Server, failed, log_in, rest, send};
use crate::support::{self, Daemon, Installation, wait_until};
use crate::watch::failed as line;

/// How long something may take that comes at once on an idle machine, pauses between attempts included.
const TIMEOUT: Duration = Duration::from_secs(60);
/// What Asterisk 20 sent to a client that asked for security events.
const CAPTURE: &[u8] =
    include_bytes!("../../../../nightlatch-parse/src/log/asterisk/captures/ami.txt");
const USER: &str = "secmon";
const SECRET: &str = "as-in-manager.conf";

/// The program on a server with an Asterisk of which no log has the security events.
struct Pbx<'a> {
    nightlatch: Installation<'a>,
    host: &'a Host,
}

impl<'a> Pbx<'a> {
    fn on(stage: &'a Stage) -> Pbx<'a> {
        let host = stage.host("server").unwrap();
        let pbx = Pbx { nightlatch: Installation::on(host).with_asterisk(), host };
        fs::create_dir_all(pbx.etc("")).unwrap();
        fs::write(pbx.etc("logger.conf"), "[logfiles]\nmessages => notice,warning\n").unwrap();
        pbx.allows(SECRET);
        pbx
    }

    /// A file below `/etc/asterisk`.
    fn etc(&self, name: &str) -> PathBuf {
        self.nightlatch.directory().join("etc/asterisk").join(name)
    }

    /// Who may log in, as `manager.conf` says.
    fn allows(&self, secret: &str) {
        let general = "[general]\nenabled = yes\nport = 5038\nbindaddr = 0.0.0.0\n";
        let user = format!("[{USER}]\nsecret = {secret}\nread = security,system\nwrite =\n");
        fs::write(self.etc("manager.conf"), format!("{general}{user}")).unwrap();
    }

    fn daemon(&self) -> Daemon {
        self.nightlatch.daemon()
    }

    fn listed(&self) -> Value {
        self.nightlatch.json(&["watch", "list"])
    }

    /// How the manager interface stands.
    fn shown(&self) -> Value {
        let listed = self.listed();
        let sources = listed["sources"].as_array().unwrap();
        let found = sources.iter().find(|it| it["log"] == "ami 127.0.0.1:5038");
        found.cloned().unwrap_or_default()
    }

    fn is(&self, what: &str) {
        wait_until(&format!("{what}: {}", self.shown()), TIMEOUT, || {
            self.shown()["state"].to_string().contains(what)
        });
    }

    fn has_attempts(&self, count: u64) {
        wait_until(&format!("{count} attempts: {}", self.shown()), TIMEOUT, || {
            self.shown()["attempts"].as_u64() >= Some(count)
        });
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(self.shown()["attempts"], count, "{}", self.shown());
    }

    fn told(&self, what: &str) {
        let log = || self.nightlatch.log();
        wait_until(&format!("{what} in {}", log()), TIMEOUT, || log().contains(what));
    }
}

fn stage() -> Option<Stage> {
    support::stage(&Plan::standard())
}

/// Logs in rightly, or ends the connection.
fn greeted(stream: &mut TcpStream) -> bool {
    log_in(stream, USER, SECRET)
}

/// What the capture has behind its login, and how many attempts that are.
fn genuine() -> (&'static [u8], u64) {
    let login = b"RemoteAddress: IPV4/TCP/127.0.0.1/";
    let start = CAPTURE.windows(login.len()).position(|it| it == login).unwrap();
    let start = start + CAPTURE[start..].windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
    let mut count = 0;
    let mut stream = Stream::new();
    stream.push(GREETING, |_| ());
    stream.push(&CAPTURE[start..], |packet| {
        count += u64::from(matches!(packet, Packet::Event(Reading::Attempt(_), _)));
    });
    assert!(count > 40, "{count}");
    (&CAPTURE[start..], count)
}

/// Nothing is configured: the user is found in `manager.conf`.
#[test]
fn what_asterisk_reports_is_read_where_no_log_has_it() {
    let Some(stage) = stage() else { return };
    let pbx = Pbx::on(&stage);
    let (events, count) = genuine();
    let _daemon = pbx.daemon();
    wait_until("its blindness is told", TIMEOUT, || {
        pbx.listed()["blind"].to_string().contains("asterisk-security")
    });
    pbx.is("not_connected");
    let _server = Server::on(pbx.host, move |_, stream| {
        assert!(greeted(stream));
        send(stream, events);
        rest(stream);
    });
    pbx.has_attempts(count);
    let shown = pbx.shown();
    assert_eq!((&shown["state"], &shown["trust"]), (&"read".into(), &"full".into()), "{shown}");
    assert_eq!((&shown["format"], &shown["gaps"]), (&"asterisk".into(), &0.into()), "{shown}");
    assert!(!pbx.listed()["blind"].to_string().contains("asterisk-security"));
    let listed = pbx.nightlatch.must(&["watch", "list"]);
    assert!(listed.contains("ami 127.0.0.1:5038") && !listed.contains(SECRET), "{listed}");
    // A log has them: then that is read, because it can be read later as well.
    fs::write(pbx.etc("logger.conf"), "[logfiles]\nsecurity => security\n").unwrap();
    wait_until("the log is read instead", Duration::from_secs(90), || pbx.shown().is_null());
}

#[test]
fn it_is_connected_again_and_says_what_is_not_known() {
    let Some(stage) = stage() else { return };
    let pbx = Pbx::on(&stage);
    let _daemon = pbx.daemon();
    let server = Server::on(pbx.host, |number, stream| {
        assert!(greeted(stream));
        send(stream, failed("198.51.100.66", "100", &format!("first{number}")).as_bytes());
        rest(stream);
    });
    pbx.has_attempts(1);
    drop(server);
    pbx.is("not_connected");
    let more = Arc::new(AtomicUsize::new(0));
    let sent = Arc::clone(&more);
    let server = Server::on(pbx.host, move |number, stream| {
        assert!(greeted(stream));
        // It ends connections in the middle of an event.
        let event = failed("198.51.100.66", "100", &format!("again{number}"));
        let length = if number < 2 { event.len() - 9 } else { event.len() };
        send(stream, &event.as_bytes()[..length]);
        sent.fetch_add(1, Ordering::Relaxed);
        if number >= 2 {
            rest(stream);
        }
    });
    wait_until("it is connected again", TIMEOUT, || more.load(Ordering::Relaxed) >= 3);
    pbx.has_attempts(2);
    let shown = pbx.shown();
    assert_eq!(shown["gaps"], 3, "{shown}");
    assert_eq!(server.connections(), 3);
    let listed = pbx.nightlatch.must(&["watch", "list"]);
    assert!(listed.contains("not connected 3 times, for"), "{listed}");
}

#[test]
fn a_refused_login_says_what_to_correct() {
    let Some(stage) = stage() else { return };
    let pbx = Pbx::on(&stage);
    pbx.allows("another-secret");
    let _server = Server::on(pbx.host, |_, stream| {
        if greeted(stream) {
            rest(stream);
        }
    });
    let _daemon = pbx.daemon();
    pbx.is("refused");
    pbx.told("refuses the login as \"secmon\" (Authentication failed): check [secmon]");
    let listed = pbx.nightlatch.must(&["watch", "list"]);
    assert!(listed.contains("check [secmon] in manager.conf"), "{listed}");
    assert!(!listed.contains("another-secret"));
    pbx.allows(SECRET);
    pbx.is("\"read\"");
    pbx.told("is connected again");
    assert!(!pbx.nightlatch.log().contains("secret ="), "{}", pbx.nightlatch.log());
}

#[test]
fn who_may_not_hear_is_told() {
    let Some(stage) = stage() else { return };
    let pbx = Pbx::on(&stage);
    let _server = Server::on(pbx.host, |_, stream| {
        // As Asterisk does for a user without the class: the login succeeds, and no event comes.
        let _ = stream.write_all(GREETING);
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(b"Response: Success\r\nChallenge: 1\r\n\r\n");
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(b"Response: Success\r\nMessage: Authentication accepted\r\n\r\n");
        rest(stream);
    });
    let _daemon = pbx.daemon();
    pbx.is("no_events");
    pbx.told("write read = security under [secmon]");
    assert!(pbx.listed()["blind"].to_string().contains("asterisk-security"));
}

/// Whatever listens there: the other logs are read meanwhile, and nothing is sent to what does not greet.
#[test]
fn whatever_answers_keeps_nothing_waiting() {
    let Some(stage) = stage() else { return };
    let pbx = Pbx::on(&stage);
    let log = pbx.nightlatch.directory().join("log");
    fs::write(&log, "").unwrap();
    let watch = format!("[[watch]]\npath = \"{}\"\nformat = \"asterisk\"\n", log.display());
    pbx.nightlatch.configure(&format!("{}{watch}", support::ASTERISK));
    let sent_to = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent_to);
    let server = Server::on(pbx.host, move |number, stream| {
        match number {
            0 => {
                send(stream, b"SSH-2.0-OpenSSH_9.9\r\n");
            }
            1 => {
                send(stream, &vec![0xff; 100_000]);
            }
            // Says nothing.
            2 => {}
            _ => {
                assert!(greeted(stream));
                // A line without end, responses that nobody asked for, and what no event is.
                send(stream, &vec![b'x'; 1 << 20]);
                send(stream, b"\r\n\r\nResponse: Error\r\nMessage: x\r\n\r\n\xff\0\r\n\r\n");
                for byte in failed("198.51.100.66", "100", "slowly").as_bytes() {
                    send(stream, &[*byte]);
                }
                send(stream, failed("198.51.100.66", "100", "at-once").as_bytes());
                rest(stream);
                return;
            }
        }
        counted.fetch_add(rest(stream).len(), Ordering::Relaxed);
    });
    let _daemon = pbx.daemon();
    let of_log = |count: u64| {
        let mut file = OpenOptions::new().append(true).open(&log).unwrap();
        file.write_all(line("198.51.100.9", "1", &format!("{count}")).as_bytes()).unwrap();
        wait_until("the log is read", TIMEOUT, || {
            pbx.listed()["sources"][0]["lines"].as_u64() >= Some(count)
        });
    };
    for (number, what) in [
        (1_usize, "does not answer like one"),
        (2, "does not answer like one"),
        (3, "not_connected"),
    ] {
        wait_until(&format!("connection {number}"), TIMEOUT, || server.connections() >= number);
        of_log(number as u64);
        pbx.is(what);
    }
    pbx.is("does not greet");
    pbx.has_attempts(2);
    assert_eq!(sent_to.load(Ordering::Relaxed), 0, "something was sent to what does not greet");
    assert_eq!(pbx.shown()["too_long"], 1, "{}", pbx.shown());
}

#[test]
fn a_flood_of_events_is_read_at_full_speed_and_keeps_no_log_waiting() {
    const EVENTS: u64 = 50_000;
    let Some(stage) = stage() else { return };
    let pbx = Pbx::on(&stage);
    let log = pbx.nightlatch.directory().join("log");
    fs::write(&log, "").unwrap();
    let watch = format!("[[watch]]\npath = \"{}\"\nformat = \"asterisk\"\n", log.display());
    pbx.nightlatch.configure(&format!("{}{watch}", support::ASTERISK));
    let _server = Server::on(pbx.host, |_, stream| {
        assert!(greeted(stream));
        let block = failed("198.51.100.66", "100", "flood").repeat(1_000);
        for _ in 0..EVENTS / 1_000 {
            send(stream, block.as_bytes());
        }
        rest(stream);
    });
    let _daemon = pbx.daemon();
    pbx.is("\"read\"");
    fs::write(&log, line("198.51.100.9", "1", "one")).unwrap();
    wait_until("the log is read", TIMEOUT, || pbx.listed()["sources"][0]["attempts"] == 1);
    pbx.has_attempts(EVENTS);
}

/// The configuration names the interface, and a log has the same events: each attempt counts once.
#[test]
fn an_attempt_in_a_log_and_in_an_event_is_one() {
    let Some(stage) = stage() else { return };
    let pbx = Pbx::on(&stage);
    let log = pbx.nightlatch.directory().join("security");
    let secret = pbx.nightlatch.directory().join("secret");
    fs::write(&log, "").unwrap();
    fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&secret, private).unwrap();
    fs::remove_file(pbx.etc("manager.conf")).unwrap();
    pbx.nightlatch.configure(&format!(
        "{}[[watch]]\npath = \"{}\"\nformat = \"asterisk\"\n[[watch]]\nami = \"127.0.0.1\"\nuser = \"{USER}\"\nsecret-file = \"{}\"\n",
        support::ASTERISK,
        log.display(),
        secret.display(),
    ));
    let goes_on = Arc::new(AtomicBool::new(false));
    let next = Arc::clone(&goes_on);
    let _server = Server::on(pbx.host, move |_, stream| {
        assert!(greeted(stream));
        let event = |number: u32| {
            failed("198.51.100.66", &format!("{}", 100 + number), &format!("s{number}"))
        };
        for number in 0..4 {
            send(stream, event(number).as_bytes());
        }
        while !next.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        send(stream, event(4).as_bytes());
        rest(stream);
    });
    let _daemon = pbx.daemon();
    pbx.nightlatch.must(&["up", "--yes"]);
    pbx.has_attempts(4);
    let of_log =
        |number: u32| line("198.51.100.66", &format!("{}", 100 + number), &format!("s{number}"));
    let lines: String = (0..4).map(of_log).collect();
    fs::write(&log, lines).unwrap();
    let bans = || pbx.nightlatch.json(&["bans"])["bans"].to_string();
    wait_until("the log is read", TIMEOUT, || pbx.listed()["sources"][0]["attempts"] == 4);
    std::thread::sleep(Duration::from_millis(300));
    assert!(!bans().contains("198.51.100.66"), "four attempts were counted as more: {}", bans());
    goes_on.store(true, Ordering::Relaxed);
    wait_until("the fifth is one too many", TIMEOUT, || bans().contains("198.51.100.66"));
}
