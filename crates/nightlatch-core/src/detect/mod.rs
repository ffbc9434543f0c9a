//! Who attacks: attempts of all logs are counted by source, account and session.
//!
//! Pure and bounded: a [`Judge`] keeps what it needs to know of each source, whatever arrives, and says what
//! follows. It proposes; who is never banned is not known here.

use nightlatch_parse::log::{Attempt, Doubt, Outcome};
use serde::{Deserialize, Serialize};

use self::asked::Asked;
use self::course::{Course, Doubts};
use self::details::Details;
use self::hash::Seed;
use self::key::Key;
use self::limits::Limits;
use self::memory::Memory;
use self::tally::Tally;
use crate::attack::Attack;
use crate::time::Time;

mod asked;
mod course;
mod details;
mod failures;
mod good;
mod hash;
mod key;
mod limits;
mod memory;
mod network;
mod notice;
mod pace;
mod rows;
mod settings;
mod source;
mod successes;
mod summary;
mod tally;
mod text;
mod tries;

pub use course::Underway;
pub use notice::Notice;
pub use settings::{Settings, Thresholds};
pub use summary::{Acts, AtService, Bin, FromSource, Span, Summary, WithAccount};
pub use tally::{Hour, Most};
pub use text::printable;

/// An attempt that a log tells of.
#[derive(Clone, Debug)]
pub struct Sighting<'a> {
    /// When it was.
    pub at: Time,
    /// What it was.
    pub attempt: Attempt<'a>,
    /// How far the log is to be trusted.
    pub trust: Trust,
    /// The path of the log, or `journal` and the unit.
    pub log: &'a str,
    /// The line.
    pub line: &'a [u8],
    /// What counts as an attack, where a filter of fail2ban reads the log: then it counts by itself.
    pub filter: Option<Thresholds>,
}

/// How far a log is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Others than the program and root can write lines.
    Low,
    /// Only the program itself and root can write it.
    Full,
}

/// What a judge finds out.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// A source attacks.
    Attack(Attack),
    /// The administrator must hear something.
    Notice(Notice),
}

/// What a judge knows, as rows to be kept: all that changed since the last time.
///
/// To be written in one transaction: first all rows are deleted if it is [whole](Saved::whole), then the
/// [removed](Saved::removed) keys, then the [rows](Saved::rows) are inserted or replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Whether the rows are all there are.
    pub whole: bool,
    /// Keys of rows that are to be deleted.
    pub removed: Vec<Vec<u8>>,
    /// Key and body of rows that are new or have changed.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Hours that have changed, in a table of their own: each by its number since 1970, with the body of its
    /// row ([`Hour::read`]); without one it is to be deleted. All there are if it is [whole](Saved::whole).
    pub hours: Vec<(i64, Option<String>)>,
}

/// What is wrong with rows that were kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{unknown} of {rows} kept rows of attempts are not understood and were left out")]
pub struct LoadError {
    /// How many rows there are.
    pub rows: usize,
    /// How many of them are not understood.
    pub unknown: usize,
}

/// The account that Asterisk names where there is none.
const UNKNOWN: &[u8] = b"<unknown>";

/// Counts attempts, and finds out who attacks.
#[derive(Debug)]
pub struct Judge {
    seed: Seed,
    limits: Limits,
    memory: Memory,
    details: Details,
    doubts: Doubts,
    asked: Asked,
    course: Option<Course>,
    is_course_dirty: bool,
    tally: Tally,
    /// Whether the next rows are all there are.
    is_whole: bool,
}

impl Judge {
    /// A judge that knows nothing yet. `seed` must be random and secret, so that nobody can write two
    /// sessions that count as one; a judge that [loads](Judge::load) rows uses the seed that was kept with
    /// them.
    pub fn new(settings: Settings, seed: [u8; 16]) -> Judge {
        let seed = Seed::new(seed);
        let mut judge = Judge {
            seed,
            limits: Limits::of(&Settings::default()),
            memory: Memory::new(seed),
            details: Details::default(),
            doubts: Doubts::default(),
            asked: Asked::default(),
            course: None,
            is_course_dirty: true,
            tally: Tally::default(),
            is_whole: true,
        };
        judge.configure(settings);
        judge
    }

    /// Other thresholds from now on.
    pub fn configure(&mut self, settings: Settings) {
        let settings = settings.bounded();
        self.limits = Limits::of(&settings);
        let most = usize::try_from(settings.max_sources).unwrap_or(usize::MAX);
        self.memory.configure(most, self.limits.quick.score);
    }

    /// Takes an attempt in.
    pub fn see(&mut self, sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
        match sighting.attempt.outcome {
            Outcome::TooMany => {}
            // Precedes each honest login.
            Outcome::Challenged if sighting.attempt.account != Some(UNKNOWN) => {
                self.challenged(sighting, found);
            }
            Outcome::Succeeded => self.succeeded(sighting, found),
            _ => self.failed(sighting, found),
        }
    }

    /// Takes a line in that names several sources.
    pub fn doubt(&mut self, at: Time, log: &str, doubt: &Doubt<'_>, found: &mut Vec<Finding>) {
        self.doubts.see(at, log, doubt, found);
    }

    /// Takes in that time has passed: attacks end, and what is too old is forgotten. To be called about
    /// once a second.
    pub fn pass(&mut self, now: Time, found: &mut Vec<Finding>) {
        let now = now.millis();
        if let Some(course) = &mut self.course
            && course.is_over(now, self.limits.quiet)
        {
            found.push(Finding::Notice(course.ended()));
            self.course = None;
            self.is_course_dirty = true;
        }
        self.doubts.pass(now, found);
        self.memory.expire(now, self.limits.memory);
        self.tally.pass(now);
    }

    /// The attack that is underway.
    pub fn underway(&self) -> Option<Underway> {
        self.course.as_ref().map(Course::underway)
    }

    /// How many sources are remembered, neighbourhoods of IPv6 included.
    pub fn sources(&self) -> usize {
        self.memory.len()
    }

    /// The bytes that the sources need, as far as they can be counted.
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// What changed since the last time. Where it cannot be written, [`Judge::unsaved`] must be called.
    pub fn save(&mut self) -> Saved {
        let mut saved = Saved { whole: std::mem::take(&mut self.is_whole), ..Saved::default() };
        if std::mem::take(&mut self.is_course_dirty) || saved.whole {
            let row = rows::write_all(self.seed, self.course.as_ref());
            saved.rows.push((rows::ABOUT_ALL.to_vec(), row));
        }
        let removed = self.memory.drain(|key, source| {
            saved.rows.push((key.bytes(), rows::write(source)));
        });
        if !saved.whole {
            saved.removed = removed.into_iter().map(Key::bytes).collect();
        }
        saved.hours = self.tally.drain();
        saved
    }

    /// Takes in that what [`Judge::save`] gave last was not written: the next time it gives everything.
    pub fn unsaved(&mut self) {
        self.is_whole = true;
        self.memory.forget_stored();
        self.tally.forget_stored();
    }

    /// Takes in the hours that were kept. To be called once, before anything is seen.
    pub fn load_hours<'r>(&mut self, rows: impl IntoIterator<Item = (i64, &'r str)>) {
        self.tally.restore(rows);
    }

    /// Takes in what was kept. To be called once, before anything is seen.
    ///
    /// # Errors
    /// Where rows are not understood, e.g. those of a newer version: all others are taken in.
    pub fn load<'r>(
        &mut self,
        rows: impl IntoIterator<Item = (&'r [u8], &'r [u8])>,
    ) -> Result<(), LoadError> {
        let mut result = LoadError::default();
        let mut is_known = false;
        for (key, body) in rows {
            result.rows += 1;
            let understood = if key == rows::ABOUT_ALL {
                let about_all = rows::read_all(body);
                is_known |= about_all.is_some();
                about_all.map(|(seed, course)| (self.seed, self.course) = (seed, course))
            } else {
                let source = rows::read(body, &self.limits);
                Key::read(key).zip(source).map(|(key, source)| self.memory.restore(key, source))
            };
            result.unknown += usize::from(understood.is_none());
        }
        // Rows that are not understood stay where they are: a newer version may come back.
        self.is_whole = false;
        self.is_course_dirty = !is_known;
        if result.unknown == 0 { Ok(()) } else { Err(result) }
    }
}

#[cfg(test)]
mod tests;
