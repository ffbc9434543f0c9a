//! From lines of a log to what the judge finds out about them.

use std::io::BufRead as _;

use nightlatch_core::detect::{Finding, Judge, Sighting, Trust};
use nightlatch_core::features::watch::{Format, Moments};
use nightlatch_core::time::Time;
use nightlatch_parse::log::{Attempt, MAX_LINE, Reading, Service, Stamp};

/// What all logs are judged by together.
pub(super) struct Intake {
    pub(super) judge: Judge,
    pub(super) moments: Moments,
    /// What was found out, until it is handed over.
    pub(super) found: Vec<Finding>,
}

/// When lines were written, as far as that is known without their stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Not before the first moment, and not after the second. What a stamp says counts within these: a log
    /// with another time zone, or a clock that is wrong, deceives nobody.
    Between(Time, Time),
    /// Before this moment: only stamps tell more, and lines without one are left out.
    Before(Time),
}

/// How a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By the first format that reads a line of it.
    Undetected,
    Format(Format),
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
    /// The path of the log, or `journal` and the unit.
    pub(super) log: String,
    pub(super) how: How,
    /// The kind of service, where the administrator says another one than the format.
    pub(super) service: Option<Service>,
    pub(super) trust: Trust,
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
    /// Takes whole lines in.
    pub(super) fn take(
        &mut self,
        mut lines: &[u8],
        written: Written,
        intake: &mut Intake,
        onlooker: &mut impl Onlooker,
    ) {
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
        match self.read(line) {
            None => {}
            Some(Reading::Attempt(attempt)) => {
                let Some(at) = intake.moment(attempt.stamp, written) else { return };
                self.counts.attempts += 1;
                self.counts.last_attempt = Some(at);
                let service = self.service.unwrap_or(attempt.service);
                let attempt = Attempt { service, ..attempt };
                let sighting = Sighting { at, attempt, trust: self.trust, log: &self.log, line };
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

    fn read<'a>(&mut self, line: &'a [u8]) -> Option<Reading<'a>> {
        match self.how {
            How::Format(format) => format.read(line),
            How::Undetected => {
                let readings = Format::all().iter().map(|format| (format, format.read(line)));
                let (format, reading) = readings.into_iter().find(|(_, it)| it.is_some())?;
                self.how = How::Format(*format);
                reading
            }
        }
    }
}

impl Intake {
    /// When a line counts as written; `None` if that cannot be told.
    fn moment(&mut self, stamp: Option<Stamp>, written: Written) -> Option<Time> {
        match written {
            Written::Between(first, last) => {
                let at = stamp.and_then(|stamp| self.moments.moment(&stamp, last));
                Some(at.unwrap_or(last).clamp(first.min(last), last))
            }
            Written::Before(last) => {
                stamp.and_then(|stamp| self.moments.moment(&stamp, last)).map(|at| at.min(last))
            }
        }
    }
}
