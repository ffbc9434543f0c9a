//! Who attacks: attempts of all logs are counted by source, account and session.
//!
//! Pure and bounded: a [`Judge`] keeps what it needs to know of each source, whatever arrives, and says what
//! follows. It proposes; who is never banned is not known here.

use nightlatch_parse::log::{Attempt, Doubt};
use serde::{Deserialize, Serialize};

use crate::attack::Attack;
use crate::time::Time;

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

/// What an administrator must hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Notice {
    /// Somebody logged in right after failures: a password was found.
    PasswordFound {
        /// From where.
        source: std::net::IpAddr,
        /// The account: the attacker's text, printable and short.
        account: String,
        /// How many failures came before.
        failures: u32,
        /// When.
        at: Time,
    },
}

/// Counts attempts, and finds out who attacks.
#[derive(Debug, Default)]
pub struct Judge {}

impl Judge {
    /// Takes an attempt in.
    pub fn see(&mut self, _sighting: &Sighting<'_>, _found: &mut Vec<Finding>) {}

    /// Takes a line in that names several sources.
    pub fn doubt(&mut self, _at: Time, _log: &str, _doubt: &Doubt<'_>, _found: &mut Vec<Finding>) {}

    /// Takes in that time has passed: attacks end.
    pub fn pass(&mut self, _now: Time, _found: &mut Vec<Finding>) {}
}
