//! The journal, read by `journalctl`: it ends by itself when its output is closed, so also with a daemon that
//! is killed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nightlatch_core::features::watch::{Notice, Source, SourceState, Unreadable, WhyLow};
use nightlatch_core::time::Time;
use nightlatch_parse::journal::{Reader, Record};
use rustix::io::{Errno, ioctl_fionbio};

use super::system;
use crate::features::watch::intake::{How, Intake, LineReader, Onlooker, Written};
use crate::features::watch::record::Whose;
use crate::features::watch::trust::trust;
use crate::shell::clock::Stopwatch;
use crate::shell::programs;

/// The fields that are read.
const FIELDS: &str = "MESSAGE,_SYSTEMD_UNIT,_EXE,_COMM,_UID,_PID,SYSLOG_IDENTIFIER";
/// The pause before it is begun again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// It runs well if it runs for so long.
const RUNS_WELL: Duration = Duration::from_secs(10);
/// After how many failures in a row the place in the journal is no longer believed.
const MAX_FAILURES: u32 = 3;
/// How many bytes are read in a row.
const MAX_AT_ONCE: usize = 256 * 1024;

/// Whose records, and what reads them.
pub(super) struct JournalSource {
    pub(super) whose: Whose,
    pub(super) lines: LineReader,
    pub(super) is_configured: bool,
    /// When it was added to others that were read already: what was before is not news.
    pub(super) added: Option<Time>,
}

/// The journal.
pub(super) struct Journal {
    pub(super) sources: Vec<JournalSource>,
    /// The place in the journal up to which it was read.
    pub(super) cursor: Option<String>,
    running: Option<Running>,
    failures: u32,
    ended: Option<Stopwatch>,
    /// Why it could not be read the last time.
    error: String,
    since: Option<Time>,
    /// Not before this was written what is read next.
    from: Time,
    /// When the last record was received that was read, in microseconds since 1970.
    newest: u64,
}

struct Running {
    child: Child,
    output: OwnedFd,
    reader: Reader,
    began: Stopwatch,
    /// Records that were received up to this moment are no news, in microseconds since 1970.
    old: u64,
}

impl Journal {
    /// A journal that was read up to a place, or up to a moment if nothing was in it before that. If it was never
    /// read, it is read from `now`.
    pub(super) fn new(
        sources: Vec<JournalSource>,
        cursor: Option<String>,
        left_at: Time,
        now: Time,
    ) -> Journal {
        let from = if left_at == Time::default() { now } else { left_at };
        let (since, error) = (Some(now), String::new());
        let (running, ended) = (None, None);
        Journal { sources, cursor, running, failures: 0, ended, error, since, from, newest: 0 }
    }

    /// Marks those of the sources that are not read by now: the place in the journal may be far before this moment.
    pub(super) fn mark_added(&self, sources: &mut [JournalSource], now: Time) {
        let is_new =
            |source: &&mut JournalSource| self.sources.iter().all(|it| it.whose != source.whose);
        sources.iter_mut().filter(is_new).for_each(|source| source.added = Some(now));
    }

    /// Reads also those of the sources that are not read by now.
    pub(super) fn read_also(&mut self, mut sources: Vec<JournalSource>, now: Time) {
        self.mark_added(&mut sources, now);
        sources.retain(|source| source.added.is_some());
        if sources.is_empty() {
            return;
        }
        if self.sources.is_empty() {
            self.from = now;
        }
        self.sources.extend(sources);
        // It is begun again where it ends, with what is read by then.
        self.end();
        self.ended = None;
    }

    /// Begins to read, unless it does or has just failed.
    pub(super) fn tend(&mut self) -> Option<Notice> {
        if self.running.is_some() || self.sources.is_empty() || !self.pause_left().is_zero() {
            return None;
        }
        match self.begin() {
            Ok(running) => {
                self.running = Some(running);
                None
            }
            Err(error) => self.fails(error),
        }
    }

    /// For how long it is not begun again.
    pub(super) fn pause_left(&self) -> Duration {
        let Some(ended) = self.ended.filter(|_| self.running.is_none()) else {
            return Duration::ZERO;
        };
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(6)).min(MAX_PAUSE);
        pause.saturating_sub(ended.elapsed())
    }

    /// Whether it waits to be begun.
    pub(super) fn is_to_begin(&self) -> bool {
        self.running.is_none() && !self.sources.is_empty()
    }

    fn fails(&mut self, error: String) -> Option<Notice> {
        self.failures = self.failures.saturating_add(1);
        self.ended = Some(Stopwatch::start());
        self.error.clone_from(&error);
        if self.failures == MAX_FAILURES {
            self.cursor = None;
            return Some(Notice::NoJournal { error });
        }
        None
    }

    fn begin(&self) -> Result<Running, String> {
        let program = programs::find("journalctl").ok_or("journalctl is not installed")?;
        let mut command = Command::new(program);
        command.args(["--follow", "--output=export", "--all", "--no-pager", "--quiet"]);
        command.arg(format!("--output-fields={FIELDS}"));
        let mut old = 0;
        if let Some(cursor) = &self.cursor {
            command.arg(format!("--after-cursor={cursor}"));
        } else {
            // Not from its end: what was written while it failed would be lost.
            let from = u64::try_from(self.from.millis()).unwrap_or_default();
            old = self.newest.max(from.saturating_mul(1000));
            command.arg(format!("--since=@{}", old / 1_000_000));
        }
        command.arg("--no-tail");
        let machine = system::machine();
        if machine.is_some() {
            // Otherwise it follows the boot that /proc names alone: in some containers that is not the boot of the
            // journal, and the end of the last boot may not be read yet. Of what other machines have sent, nothing
            // is read.
            command.arg("--merge");
        }
        for (number, filter) in self.filters().iter().enumerate() {
            if number > 0 {
                command.arg("+");
            }
            command.args(filter);
            command.args(machine.as_ref().map(|machine| format!("_MACHINE_ID={machine}")));
        }
        command.env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("journalctl: {error}"))?;
        let output = child.stdout.take().map(OwnedFd::from).ok_or("journalctl has no output")?;
        ioctl_fionbio(&output, true).map_err(|errno| errno.to_string())?;
        let (reader, began) = (Reader::default(), Stopwatch::start());
        Ok(Running { child, output, reader, began, old })
    }

    /// All terms of one of these hold for each record that is read.
    fn filters(&self) -> Vec<Vec<String>> {
        self.sources.iter().flat_map(|source| source.whose.terms()).collect()
    }

    /// What can be waited for.
    pub(super) fn output(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|running| running.output.as_fd())
    }

    /// Reads what is there, not before `now`. Tells whether something was, and whether there may be more.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        now: Time,
        intake: &mut Intake,
        onlooker: &mut impl Onlooker,
    ) -> (bool, bool, Option<Notice>) {
        let Some(running) = &mut self.running else { return (false, false, None) };
        let mut total = 0;
        loop {
            let read = match rustix::io::read(&running.output, &mut *buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    if total == 0 {
                        self.from = now;
                    }
                    if running.began.elapsed() >= RUNS_WELL {
                        self.failures = 0;
                    }
                    return (total > 0, false, None);
                }
                Err(_) => break,
            };
            let (sources, cursor) = (&mut self.sources, &mut self.cursor);
            let (newest, old) = (&mut self.newest, running.old);
            let written = Written::Between(self.from, now);
            running.reader.feed(buffer.get(..read).unwrap_or_default(), |record| {
                let received = record.received.unwrap_or(u64::MAX);
                if received > old {
                    take(record, sources, written, intake, onlooker);
                }
                *newest = (*newest).max(record.received.unwrap_or_default());
                if let Ok(place) = std::str::from_utf8(&record.cursor)
                    && !place.is_empty()
                {
                    place.clone_into(cursor.get_or_insert_default());
                }
            });
            total += read;
            if total >= MAX_AT_ONCE {
                return (true, true, None);
            }
        }
        let error = match self.end() {
            Some(status) => format!("journalctl has ended ({status})"),
            None => "journalctl has ended".to_owned(),
        };
        let notice = self.fails(error);
        (total > 0, false, notice)
    }

    /// Ends it, and tells how it ended.
    fn end(&mut self) -> Option<ExitStatus> {
        let mut running = self.running.take()?;
        let _ = running.child.kill();
        running.child.wait().ok()
    }

    fn state(&self) -> SourceState {
        match self.failures >= MAX_FAILURES {
            true => SourceState::Unreadable(Unreadable::Failed { error: self.error.clone() }),
            false => SourceState::Read,
        }
    }

    /// How it stands.
    pub(super) fn standing(&self) -> Vec<Source> {
        let one = |source: &JournalSource| {
            let counts = source.lines.counts;
            let is_low = source.lines.has_syslog.then_some(WhyLow::Syslog);
            Source {
                log: source.lines.log.clone(),
                format: source.lines.format(),
                thresholds: source.lines.how.thresholds(),
                is_configured: source.is_configured,
                state: self.state(),
                trust: trust(is_low.as_ref()),
                why_low: is_low,
                lines: counts.lines,
                attempts: counts.attempts,
                doubtful: counts.doubtful,
                too_long: counts.too_long,
                given_up: source.lines.how.given_up(),
                lost: counts.lost,
                gaps: 0,
                gap_seconds: 0,
                since: self.since,
                last_line: counts.last_line,
                last_attempt: counts.last_attempt,
            }
        };
        self.sources.iter().map(one).collect()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl JournalSource {
    /// Whether a record is from before the source was added. After the first that is not, all count: a clock may be
    /// set back.
    fn is_old(&mut self, record: &Record) -> bool {
        let received = record.received.and_then(|micros| i64::try_from(micros / 1000).ok());
        let is_old = self.added.zip(received).is_some_and(|(added, at)| at < added.millis());
        if !is_old {
            self.added = None;
        }
        is_old
    }
}

fn take(
    record: &Record,
    sources: &mut [JournalSource],
    written: Written,
    intake: &mut Intake,
    onlooker: &mut impl Onlooker,
) {
    for source in sources {
        let Some(trust) = source.whose.trust(record) else { continue };
        if source.is_old(record) {
            continue;
        }
        source.lines.trust = trust;
        source.lines.counts.last_line = Some(written.latest());
        let line = source.whose.line(record);
        if matches!(source.lines.how, How::Undetected) {
            source.lines.detect(&line);
        }
        source.lines.take_line(&line, written, intake, onlooker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(unit: &str) -> JournalSource {
        let whose = Whose::Unit(unit.to_owned());
        let lines = LineReader::new(unit.to_owned(), How::Undetected, None);
        JournalSource { whose, lines, is_configured: false, added: None }
    }

    /// The place in the journal is that of the last record of other units, and may be days ago.
    #[test]
    fn of_a_source_that_is_added_nothing_old_counts() {
        let now = Time::from_millis(1_796_069_800_000);
        let at = |millis: i64| Record {
            received: Some((now.millis() + millis).cast_unsigned() * 1000),
            ..Record::default()
        };
        let mut journal = Journal::new(vec![source("a.service")], None, now, now);
        journal.read_also(vec![source("a.service"), source("b.service")], now);
        let [a, b] = journal.sources.as_mut_slice() else { panic!() };
        assert!(!a.is_old(&at(-60_000)));
        assert!(b.is_old(&at(-60_000)) && b.is_old(&at(-1)));
        assert!(!b.is_old(&at(5)));
        // The clock is set back.
        assert!(!b.is_old(&at(-3_600_000)));
        journal.read_also(vec![source("b.service")], now);
        assert_eq!(journal.sources.len(), 2);
    }
}
