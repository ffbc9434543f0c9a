//! Who attacks: attempts of all logs are counted by source, account and session.
//!
//! Pure and bounded: a [`Judge`] keeps what it needs to know of each source, whatever arrives, and says what
//! follows. It proposes; who is never banned is not known here.

use nightlatch_parse::log::{Attempt, Doubt};
use serde::{Deserialize, Serialize};

use crate::attack::Attack;
use crate::time::Time;

mod notice;
mod settings;

pub use notice::Notice;
pub use settings::Settings;

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

/// Counts attempts, and finds out who attacks.
#[derive(Debug)]
pub struct Judge {
    settings: Settings,
    seed: [u8; 16],
}

impl Judge {
    /// A judge that knows nothing yet. `seed` must be random and secret, so that nobody can write two
    /// sessions that count as one; a judge that [loads](Judge::load) rows uses the seed that was kept with
    /// them.
    pub fn new(settings: Settings, seed: [u8; 16]) -> Judge {
        Judge { settings: settings.bounded(), seed }
    }

    /// Takes an attempt in.
    pub fn see(&mut self, _sighting: &Sighting<'_>, _found: &mut Vec<Finding>) {}

    /// Takes a line in that names several sources.
    pub fn doubt(&mut self, _at: Time, _log: &str, _doubt: &Doubt<'_>, _found: &mut Vec<Finding>) {}

    /// Takes in that time has passed: attacks end, and what is too old is forgotten. To be called about
    /// once a second.
    pub fn pass(&mut self, _now: Time, _found: &mut Vec<Finding>) {}

    /// Other thresholds from now on.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings.bounded();
    }

    /// How many sources are remembered.
    pub fn sources(&self) -> usize {
        usize::from(self.seed.is_empty())
    }

    /// What changed since the last time. Where it cannot be written, [`Judge::unsaved`] must be called.
    pub fn save(&mut self) -> Saved {
        Saved::default()
    }

    /// Takes in that what [`Judge::save`] gave last was not written: the next time it gives everything.
    pub fn unsaved(&mut self) {}

    /// Takes in what was kept. To be called once, before anything is seen.
    ///
    /// # Errors
    /// Where rows are not understood, e.g. those of a newer version: all others are taken in.
    pub fn load<'r>(
        &mut self,
        _rows: impl IntoIterator<Item = (&'r [u8], &'r [u8])>,
    ) -> Result<(), LoadError> {
        Ok(())
    }
}
