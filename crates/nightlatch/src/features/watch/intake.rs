//! From lines of a log to what the judge finds out about them.

use std::io::BufRead as _;

use nightlatch_core::detect::{Finding, Judge, Sighting, Thresholds, Trust};
use nightlatch_core::features::watch::Moments;
use nightlatch_core::time::Time;
use nightlatch_parse::fail2ban::Filter;
use nightlatch_parse::log::{
    Attempt, Format, MAX_LINE, Pattern, Reading, Service, Stamp, asterisk, prefix,
};

use super::record;

/// What all logs are judged by together.
pub(super) struct Intake {
    pub(super) judge: Judge,
    pub(super) moments: Moments,
    /// What was found out, until it is handed over.
    pub(super) found: Vec<Finding>,
    /// What was before is left out.
    pub(super) not_before: Time,
    /// Whether a thread of this number runs; nothing is asked where a log is only tried out.
    pub(super) runs: Option<fn(u32) -> bool>,
    /// The last thread that was asked about, and the answer.
    pub(super) last_thread: Option<(u32, bool)>,
}

/// When lines were written, as far as that is known without their stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Not before the first moment, and not after the second. What a stamp says counts within these: a log
    /// with another time zone, or a clock that is wrong, deceives nobody.
    Between(Time, Time),
    /// Before this moment: only stamps tell more, and lines without one are left out.
    Before(Time),
    /// As their stamps say; lines without one at the first moment, and none after the second.
    AsStamped(Time, Time),
}

/// How a log is read.
#[derive(Clone, Debug)]
pub(super) enum How {
    /// By the format that most of its lines have, as soon as one is known.
    Undetected,
    /// By the first of these that reads a line.
    Formats(Vec<Format>),
    /// By the first of these that reads a line.
    Patterns(Vec<Pattern>),
    /// By a filter of fail2ban.
    Filter(Box<ByFilter>),
}

/// A filter of fail2ban that reads a log.
#[derive(Clone, Debug)]
pub(super) struct ByFilter {
    /// As the administrator names it.
    pub(super) name: String,
    pub(super) filter: Filter,
    /// What counts as an attack there.
    pub(super) thresholds: Thresholds,
}

impl How {
    /// What it is called.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            How::Undetected => None,
            How::Formats(formats) => {
                Some(formats.iter().map(|it| it.name()).collect::<Vec<_>>().join(", "))
            }
            How::Patterns(_) => Some("pattern".to_owned()),
            How::Filter(by) => Some(format!("filter {}", by.name)),
        }
    }

    /// How many lines took too long to read.
    pub(super) fn given_up(&self) -> u64 {
        match self {
            How::Filter(by) => by.filter.gave_up(),
            _ => 0,
        }
    }

    /// What counts as an attack, where it counts by itself.
    pub(super) fn thresholds(&self) -> Option<Thresholds> {
        match self {
            How::Filter(by) => Some(by.thresholds),
            _ => None,
        }
    }
}

/// Counts of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) lines: u64,
    pub(super) attempts: u64,
    pub(super) doubtful: u64,
    pub(super) too_long: u64,
    pub(super) lost: u64,
    pub(super) last_line: Option<Time>,
    pub(super) last_attempt: Option<Time>,
}

/// What reads the lines of a log.
pub(super) struct LineReader {
    /// The path of the log, `journal` and the unit, or `ami` and the address.
    pub(super) log: String,
    pub(super) how: How,
    /// The filter of fail2ban that it replaces.
    pub(super) instead_of: Option<String>,
    /// The kind of service, where the administrator says another one than the format.
    pub(super) service: Option<Service>,
    pub(super) trust: Trust,
    /// Whether it is known who wrote the lines: the journal knows, and so does a connection.
    pub(super) knows_writer: bool,
    /// Whether a line came by way of syslog, into which any program can write.
    pub(super) has_syslog: bool,
    pub(super) counts: Counts,
}

/// Where attempts are shown as they come.
pub(super) trait Onlooker {
    fn sees(&mut self, sighting: &Sighting<'_>);
}

/// Nobody looks on.
impl Onlooker for () {
    fn sees(&mut self, _sighting: &Sighting<'_>) {}
}

impl LineReader {
    pub(super) fn new(log: String, how: How, service: Option<Service>) -> LineReader {
        LineReader {
            log,
            how,
            instead_of: None,
            service,
            trust: Trust::Low,
            knows_writer: false,
            has_syslog: false,
            counts: Counts::default(),
        }
    }

    /// Another program writes into the same log, or one does no longer.
    pub(super) fn read_as(&mut self, how: How) {
        if let (How::Formats(_), How::Formats(_)) = (&self.how, &how) {
            self.how = how;
        }
    }

    /// By what it is read, in a word.
    pub(super) fn format(&self) -> Option<String> {
        let name = self.how.name()?;
        Some(match &self.instead_of {
            Some(filter) => format!("{name}, instead of filter {filter}"),
            None => name,
        })
    }

    /// Takes whole lines in.
    pub(super) fn take(
        &mut self,
        mut lines: &[u8],
        written: Written,
        intake: &mut Intake,
        onlooker: &mut impl Onlooker,
    ) {
        if matches!(self.how, How::Undetected) {
            self.detect(lines);
        }
        while !lines.is_empty() {
            let mut rest = lines;
            // This searches as fast as the C library.
            let length = rest.skip_until(b'\n').unwrap_or(lines.len());
            let line = lines.get(..length).unwrap_or_default();
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.take_line(line.strip_suffix(b"\r").unwrap_or(line), written, intake, onlooker);
            lines = rest;
        }
    }

    /// Takes one line in, without its end.
    pub(super) fn take_line(
        &mut self,
        line: &[u8],
        written: Written,
        intake: &mut Intake,
        onlooker: &mut impl Onlooker,
    ) {
        self.counts.lines += 1;
        if line.len() > MAX_LINE {
            self.counts.too_long += 1;
            return;
        }
        let now = written.latest();
        match &mut self.how {
            How::Undetected => {}
            How::Formats(formats) => {
                let reading = formats.iter().find_map(|format| format.read(line));
                self.take_reading(reading, line, written, intake, onlooker);
            }
            How::Patterns(patterns) => {
                let reading = patterns.iter().find_map(|pattern| pattern.read(line));
                self.take_reading(reading, line, written, intake, onlooker);
            }
            How::Filter(by) => {
                let seconds = now.since(Time::default()).as_secs();
                // For fail2ban, a line of the journal has no date.
                let (stamp, text) = match self.knows_writer {
                    true => record::without_stamp(line),
                    false => (None, line),
                };
                let mut found = by.filter.read(text, seconds);
                if let Some(found) = &mut found {
                    found.stamp = found.stamp.or(stamp);
                }
                let reading = found.as_ref().and_then(|it| it.reading(Service::Other, line));
                self.take_reading(reading, line, written, intake, onlooker);
            }
        }
    }

    /// Takes in what a line says.
    pub(super) fn take_reading(
        &mut self,
        reading: Option<Reading<'_>>,
        line: &[u8],
        written: Written,
        intake: &mut Intake,
        onlooker: &mut impl Onlooker,
    ) {
        match reading {
            None => {}
            Some(Reading::Attempt(attempt)) => {
                let Some(at) = intake.moment(attempt.stamp, written) else { return };
                self.counts.attempts += 1;
                self.counts.last_attempt = Some(at);
                let service = self.service.unwrap_or(attempt.service);
                let attempt = Attempt { service, ..attempt };
                let trust =
                    if self.knows_writer { self.trust } else { self.trust_in(line, intake) };
                let filter = self.how.thresholds();
                let sighting = Sighting { at, attempt, trust, log: &self.log, line, filter };
                onlooker.sees(&sighting);
                intake.judge.see(&sighting, &mut intake.found);
            }
            Some(Reading::Doubtful(doubt)) => {
                let Some(at) = intake.moment(doubt.stamp, written) else { return };
                self.counts.doubtful += 1;
                intake.judge.doubt(at, &self.log, &doubt, &mut intake.found);
            }
        }
    }

    /// Finds the format of the log by some of its lines.
    pub(super) fn detect(&mut self, lines: &[u8]) {
        let lines = lines.split(|byte| *byte == b'\n');
        if let Some(format) = Format::detect(lines.filter(|line| !line.is_empty())) {
            self.how = How::Formats(vec![format]);
        }
    }

    /// How far a line is trusted. Any program can write lines by way of syslog, with any name; and where
    /// Asterisk does not escape line feeds, a client can write a whole line of its own into a log of text,
    /// but does not know the number of a thread.
    fn trust_in(&mut self, line: &[u8], intake: &mut Intake) -> Trust {
        if self.trust == Trust::Low {
            return Trust::Low;
        }
        if prefix::syslog(line).is_some() {
            self.has_syslog = true;
            return Trust::Low;
        }
        match &self.how {
            How::Formats(formats) if formats.contains(&Format::Asterisk) => {
                let thread = asterisk::thread(line).filter(|_| line.first() != Some(&b'{'));
                match thread.is_none_or(|thread| intake.runs(thread)) {
                    true => Trust::Full,
                    false => Trust::Low,
                }
            }
            _ => Trust::Full,
        }
    }
}

impl Written {
    /// The moment after which it was not written.
    pub(super) fn latest(self) -> Time {
        match self {
            Written::Between(_, last) | Written::Before(last) | Written::AsStamped(_, last) => last,
        }
    }
}

impl Intake {
    fn runs(&mut self, thread: u32) -> bool {
        let Some(runs) = self.runs else { return true };
        if let Some((last, answer)) = self.last_thread
            && last == thread
            && answer
        {
            return true;
        }
        let answer = runs(thread);
        self.last_thread = Some((thread, answer));
        answer
    }

    /// When a line counts as written; `None` if that cannot be told.
    fn moment(&mut self, stamp: Option<Stamp>, written: Written) -> Option<Time> {
        let stamped = |moments: &mut Moments, last| moments.moment(&stamp?, last);
        let at = match written {
            Written::Between(first, last) => {
                let at = stamped(&mut self.moments, last);
                at.unwrap_or(last).clamp(first.min(last), last)
            }
            Written::AsStamped(otherwise, last) => {
                stamped(&mut self.moments, last).unwrap_or(otherwise).min(last)
            }
            Written::Before(last) => stamped(&mut self.moments, last)?.min(last),
        };
        (at >= self.not_before).then_some(at)
    }
}
