//! What the administrator is told of a manager interface that is not connected, at moments that a test sets.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::thread::JoinHandle;

use nightlatch_core::detect::{Judge, Settings, Sighting};
use nightlatch_core::features::watch::{Moments, Watch};
use nightlatch_core::time::parse_moment;
use nightlatch_parse::log::asterisk::ami;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

use super::*;
use crate::features::worded::Worded as _;
use crate::shell::clock::Stopwatch;

const SECRET: &str = "as-in-the-file";
const CHALLENGE: &str = "104711";
/// How long the machine may take for what needs no time.
const TIMEOUT: Duration = Duration::from_secs(30);

struct Nobody;

impl Onlooker for Nobody {
    fn sees(&mut self, _sighting: &Sighting<'_>) {}
}

/// A manager interface that is listened to, and the port at which it will be.
struct Listened {
    folder: tempfile::TempDir,
    managers: Managers,
    intake: Intake,
    /// Bound, so that nobody else gets the port; nobody listens there yet.
    port: Option<OwnedFd>,
}

impl Listened {
    /// Begins to listen at noon.
    fn new() -> Listened {
        let port = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&port, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let server = SocketAddr::try_from(getsockname(&port).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, SECRET).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let secret_file = Some(file.to_string_lossy().into_owned());
        let login = Some(Login { user: "secmon".to_owned(), secret_file });
        let intake = Intake {
            judge: Judge::new(Settings::default(), [7; 16]),
            moments: Moments::of("UTC", &[]),
            found: Vec::new(),
            not_before: Time::default(),
            runs: None,
            last_thread: None,
        };
        let mut managers = Managers::default();
        managers.listen_to(vec![Spec { server, login, is_configured: true }], after(0));
        Listened { folder, managers, intake, port: Some(port) }
    }

    /// What is told at a moment.
    fn read(&mut self, now: Moment) -> Vec<Notice> {
        let folder = self.folder.path().to_owned();
        let [config, state_dir, run_dir] = ["config", "state", "run"].map(|it| folder.join(it));
        let paths = Paths { config, state_dir, run_dir, root: folder };
        let mut buffer = vec![0; 4096];
        self.managers.read(&paths, &mut buffer, now, &mut self.intake, &mut Nobody).notices
    }

    /// Goes on at one moment until it stands as a test wants it; what is told meanwhile.
    fn until(&mut self, now: Moment, is_so: impl Fn(&SourceState) -> bool) -> Vec<Notice> {
        let (begun, mut told) = (Stopwatch::start(), Vec::new());
        loop {
            told.extend(self.read(now));
            let state = self.managers.standing().next().unwrap().state;
            if is_so(&state) {
                return told;
            }
            assert!(begun.elapsed() < TIMEOUT, "it is {state:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// From now on, one connection is accepted and logged in.
    fn serve(&mut self) -> JoinHandle<TcpStream> {
        let port = self.port.take().unwrap();
        listen(&port, 1).unwrap();
        let listener = TcpListener::from(port);
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            stream.write_all(b"Asterisk Call Manager/9.0.0\r\n").unwrap();
            expect(&mut stream, ami::CHALLENGE);
            write!(stream, "Response: Success\r\nChallenge: {CHALLENGE}\r\n\r\n").unwrap();
            expect(&mut stream, &ami::login("secmon", SECRET, CHALLENGE.as_bytes()).unwrap());
            let accepted = b"Response: Success\r\nMessage: Authentication accepted\r\n\r\n";
            stream.write_all(accepted).unwrap();
            stream
        })
    }
}

fn expect(stream: &mut TcpStream, text: &[u8]) {
    let mut sent = vec![0; text.len()];
    stream.read_exact(&mut sent).unwrap();
    assert_eq!(sent, text);
}

fn noon() -> Time {
    parse_moment("2026-11-20 12:00").unwrap()
}

/// So many seconds after noon.
fn after(seconds: u64) -> Moment {
    let count = Duration::from_secs(seconds);
    Moment { time: noon().after(count), count: Duration::from_secs(5000).saturating_add(count) }
}

fn is_refused(state: &SourceState) -> bool {
    matches!(state, SourceState::NotConnected { error } if error.contains("refused"))
}

fn is_read(state: &SourceState) -> bool {
    *state == SourceState::Read
}

#[test]
fn who_is_not_connected_for_a_minute_is_told_once_and_that_it_is_again() {
    let mut it = Listened::new();
    assert_eq!(it.until(after(0), is_refused), []);
    // A restart of Asterisk takes less.
    for seconds in [1, 5, 59] {
        assert_eq!(it.read(after(seconds)), [], "{seconds} s");
    }
    let told = it.read(after(60));
    let [Notice::NotConnected { since, error, .. }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(*since, noon());
    assert!(error.contains("refused"), "{error}");
    let words = Watch::notice(&told[0]);
    assert!(words.contains("has not been connected since 2026-11-20 12:00:00 UTC"), "{words}");
    // No matter for how long, and how many more attempts fail.
    for seconds in [61, 120, 3600, 86_400] {
        assert_eq!(it.read(after(seconds)), [], "{seconds} s");
    }
    // It is back: that is told, because the absence was.
    let server = it.serve();
    let back = after(90_000);
    let told = it.until(back, is_read);
    let [Notice::ConnectedAgain { from, until, .. }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((*from, *until), (noon(), back.time));
    // It ends: the minute begins anew.
    drop(server.join().unwrap());
    let lost = after(100_000);
    assert_eq!(it.until(lost, |state| !is_read(state)), []);
    assert_eq!(it.read(after(100_059)), []);
    let told = it.read(after(100_060));
    let [Notice::NotConnected { since, .. }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(*since, lost.time);
    assert_eq!(it.managers.standing().next().unwrap().gaps, 0, "it has not come back yet");
}

/// The pause between attempts makes nobody wait who came back in time, and that is not told.
#[test]
fn a_short_absence_is_not_told() {
    let mut it = Listened::new();
    assert_eq!(it.until(after(0), is_refused), []);
    assert_eq!(it.read(after(30)), []);
    let server = it.serve();
    assert_eq!(it.until(after(58), is_read), []);
    assert_eq!(it.read(after(3600)), []);
    drop(server.join().unwrap());
}

/// The count decides, not the clock: a server that boots without one sets it by hours.
#[test]
fn a_clock_that_is_set_tells_nothing() {
    let mut it = Listened::new();
    assert_eq!(it.until(after(0), is_refused), []);
    let jumped = Moment { time: noon().after(Duration::from_secs(86_400)), ..after(2) };
    assert_eq!(it.read(jumped), []);
    let told = it.read(Moment { time: jumped.time, ..after(60) });
    assert!(matches!(told.as_slice(), [Notice::NotConnected { .. }]), "{told:?}");
}
