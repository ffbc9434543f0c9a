//! Logs are read while the clock is set: each line counts once, at a moment within which it was written.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use nightlatch_core::detect::{Finding, Judge, Settings, Sighting};
use nightlatch_core::features::watch::Moments;
use nightlatch_core::time::{Time, parse_moment};
use nightlatch_parse::log::Format;

use super::file::{self, Position};
use super::notify::Notifier;
use super::source::FileSource;
use crate::features::watch::intake::{How, Intake, LineReader, Onlooker};

const MINUTE: Duration = Duration::from_secs(60);

/// The moments at which attempts count.
#[derive(Default)]
struct Seen(Vec<Time>);

impl Onlooker for Seen {
    fn sees(&mut self, sighting: &Sighting<'_>) {
        self.0.push(sighting.at);
    }
}

/// A log that is followed by a clock that a test sets.
struct Followed {
    folder: tempfile::TempDir,
    notifier: Notifier,
    source: FileSource,
    intake: Intake,
    seen: Seen,
    written: usize,
}

impl Followed {
    /// Begins to follow an empty log.
    fn new(now: Time) -> Followed {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("log"), "").unwrap();
        let notifier = Notifier::new().unwrap();
        let intake = Intake {
            judge: Judge::new(Settings::default(), [7; 16]),
            moments: Moments::of("UTC", &[]),
            found: Vec::new(),
            not_before: Time::default(),
            runs: None,
            last_thread: None,
        };
        let source = source(&folder);
        let mut followed =
            Followed { folder, notifier, source, intake, seen: Seen::default(), written: 0 };
        followed.begin(&[], now, now);
        followed.read(now);
        followed
    }

    fn begin(&mut self, left: &[Position], left_at: Time, now: Time) {
        assert_eq!(self.source.begin(left, left_at, &self.notifier, now), None);
        self.source.lines.trust = nightlatch_core::detect::Trust::Full;
    }

    /// Attempts of one source, with this stamp, seen at `now`; how they are counted.
    fn write(&mut self, stamp: Time, count: usize, now: Time) -> Vec<Time> {
        let path = self.folder.path().join("log");
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        for _ in 0..count {
            self.written += 1;
            let (stamp, number) = (stamp.to_string(), self.written);
            let stamp = stamp.get(..19).unwrap();
            writeln!(
                file,
                "[{stamp}] NOTICE[1] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from '<sip:{number}@192.0.2.1>' failed for '198.51.100.66:5060' (callid: c{number}) - Failed to authenticate"
            )
            .unwrap();
        }
        self.source.touch(now);
        self.read(now)
    }

    fn read(&mut self, now: Time) -> Vec<Time> {
        let mut buffer = file::buffer();
        while self.source.is_dirty() {
            let Followed { source, intake, notifier, seen, .. } = self;
            assert_eq!(source.read(&mut buffer, now, intake, notifier, seen), None);
        }
        std::mem::take(&mut self.seen.0)
    }

    /// The daemon is started anew: the log is read on from where it was left.
    fn restart(&mut self, left_at: Time, now: Time) {
        let left = self.source.positions();
        self.source.close(&self.notifier);
        self.source = source(&self.folder);
        self.begin(&left, left_at, now);
    }

    /// How many attempts each attack has that was found since the last time.
    fn attacks(&mut self) -> Vec<u32> {
        let found = self.intake.found.drain(..);
        found
            .filter_map(|finding| match finding {
                Finding::Attack(attack) => Some(attack.evidence.attempts),
                Finding::Notice(_) => None,
            })
            .collect()
    }
}

fn source(folder: &tempfile::TempDir) -> FileSource {
    let path = folder.path().join("log");
    let log = path.to_string_lossy().into_owned();
    let lines = LineReader::new(log, How::Formats(vec![Format::Asterisk]), None);
    FileSource::new(path, lines, true)
}

fn noon() -> Time {
    parse_moment("2026-11-20 12:00").unwrap()
}

#[test]
fn a_clock_that_is_set_forward() {
    let mut log = Followed::new(noon());
    let soon = noon().after(MINUTE);
    assert_eq!(log.write(soon, 2, soon), [soon; 2]);
    // An hour is skipped: the stamp may be of before or of after, both are within what is known.
    let hour = noon().after(61 * MINUTE);
    assert_eq!(log.write(hour, 1, hour), [hour]);
    log.source.touch(hour);
    let later = hour.after(MINUTE);
    let stamped = log.write(soon, 1, later);
    assert!(stamped.iter().all(|at| (hour..=later).contains(at)), "{stamped:?}");
    // Two and two are an hour apart: that is nobody's attack, and nobody's who is forgotten.
    assert_eq!(log.attacks(), Vec::<u32>::new());
    log.write(later, 3, later);
    assert_eq!(log.attacks(), vec![5]);
}

/// Within a run, the clock of the program never goes back; a start may find an earlier one.
#[test]
fn a_clock_that_is_set_back() {
    let mut log = Followed::new(noon());
    let wrong = noon().after(600 * MINUTE);
    assert_eq!(log.write(wrong, 2, wrong), [wrong; 2]);
    // These are written while the program does not run; then the clock is right again.
    let right = noon().after(2 * MINUTE);
    log.restart(wrong, right);
    assert_eq!(log.write(wrong, 1, right), [right]);
    assert_eq!(log.write(right, 2, right.after(MINUTE)).len(), 2);
    // What counts as later is not forgotten, and not counted among these.
    assert_eq!(log.attacks(), Vec::<u32>::new());
    let next = right.after(2 * MINUTE);
    assert_eq!(log.write(next, 2, next), [next; 2]);
    assert_eq!(log.attacks(), vec![5]);
    // None is read twice.
    log.restart(next, next);
    assert_eq!(log.read(next), Vec::new());
    assert_eq!(log.attacks(), Vec::<u32>::new());
}

#[test]
fn a_stamp_deceives_nobody() {
    let mut log = Followed::new(noon());
    for (minutes, stamp) in [(1, noon().after(600 * MINUTE)), (2, Time::default()), (3, noon())] {
        let now = noon().after(minutes * MINUTE);
        let counted = log.write(stamp, 1, now);
        assert!(noon() <= counted[0] && counted[0] <= now, "{counted:?}");
    }
}
