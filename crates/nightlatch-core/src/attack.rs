//! What is found out about a source that attacks, and why: what log watching and the like propose, and what a
//! ban keeps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use nightlatch_parse::log::{Outcome, Service};

use crate::AddrRange;
use crate::time::Time;

/// A source attacks: it should be banned, or limited where it may not be banned.
#[derive(Clone, Debug, PartialEq)]
pub struct Attack {
    /// Who: an IPv4 address, or an IPv6 network of the length 64, 56 or 48.
    pub source: AddrRange,
    /// How sure it is.
    pub weight: Weight,
    /// Since when somebody logs in from there with success, if that began at least an hour before the
    /// first failure: then the source is limited, not banned.
    pub trusted_since: Option<Time>,
    /// For how long it should be banned, where what reads the log says so itself.
    pub bantime: Option<Duration>,
    /// Why.
    pub evidence: Evidence,
}

/// How sure it is that a source attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Somebody else could have forged it: a datagram without an answer, or a log that others can write.
    /// Bans for that are brief, and there are few at a time.
    Brief,
    /// The source itself did it.
    Full,
}

/// Why a source is banned or limited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// At which kind of service.
    pub service: Service,
    /// How many distinct attempts.
    pub attempts: u32,
    /// What they count against the threshold: attempts that no honest client makes count twice, a login that was
    /// begun and not completed counts a quarter.
    pub score: u32,
    /// Whether not attempts are counted, but the networks within the source that attack.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub networks: bool,
    /// The first of them that counts.
    pub since: Time,
    /// The last of them.
    pub last: Time,
    /// How many attempts, or networks, within how many seconds are too many.
    pub threshold: (u32, u64),
    /// How many accounts were tried.
    pub accounts_tried: u32,
    /// Some of them: the attacker's text, printable and short.
    pub accounts: Vec<String>,
    /// Some of the lines, the last one at the end.
    pub lines: Vec<Line>,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: Time,
    /// The path of the log, or `journal` and the unit.
    pub log: String,
    /// The line: the attacker's text, printable and short.
    pub text: String,
}
