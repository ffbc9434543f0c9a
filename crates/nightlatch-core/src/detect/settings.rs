//! What counts as an attack: thresholds, and how much is remembered.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What counts as an attack, and how much is remembered.
///
/// The defaults are made for people who mistype a password, and for phones that have a wrong one: an
/// attempt with a wrong password counts once, and what no honest phone does (an account that does not
/// exist, a request that makes no sense) counts twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// So many failures within [`quick_within`](Settings::quick_within) are an attack.
    pub quick_attempts: u32,
    /// See [`quick_attempts`](Settings::quick_attempts).
    #[serde(with = "span")]
    pub quick_within: Duration,
    /// So many failures within [`slow_within`](Settings::slow_within) are an attack too.
    pub slow_attempts: u32,
    /// See [`slow_attempts`](Settings::slow_attempts). Nothing is remembered for longer than that or a
    /// week, whichever is longer.
    #[serde(with = "span")]
    pub slow_within: Duration,
    /// A phone that tries one account with a wrong password so often an hour, or less, is no attack.
    pub phone_per_hour: u32,
    /// So many attempts more than [`phone_per_hour`](Settings::phone_per_hour) are allowed to it in all,
    /// before it is an attack.
    pub phone_burst: u32,
    /// At a source from which nobody has logged in, a phone must leave so much time between two attempts
    /// (on average): what is faster guesses.
    #[serde(with = "span")]
    pub phone_gap: Duration,
    /// A phone that has tried for longer than a day, more often than that a day on average, from a source from
    /// which nobody has ever logged in, guesses as well. It is banned briefly each time, so that one attempt is left
    /// to it for each brief ban.
    pub phone_per_day: u32,
    /// So many IPv6 networks that attack make the network around them attack.
    pub neighbours: u32,
    /// After so many failures a success is a password that was found.
    pub found_after: u32,
    /// An attack is over when nobody has attacked for so long.
    #[serde(with = "span")]
    pub quiet: Duration,
    /// So many sources are remembered at most.
    pub max_sources: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            quick_attempts: 5,
            quick_within: Duration::from_secs(600),
            slow_attempts: 20,
            slow_within: Duration::from_secs(7 * 86_400),
            phone_per_hour: 60,
            phone_burst: 30,
            phone_gap: Duration::from_secs(15),
            phone_per_day: 100,
            neighbours: 3,
            found_after: 3,
            quiet: Duration::from_secs(1800),
            max_sources: 100_000,
        }
    }
}

impl Settings {
    /// The same, with each value in the bounds in which it makes sense.
    #[must_use]
    pub fn bounded(mut self) -> Settings {
        const MAX_DURATION: Duration = Duration::from_secs(30 * 86_400);
        let second = Duration::from_secs(1);
        self.quick_attempts = self.quick_attempts.clamp(1, 100);
        self.slow_attempts = self.slow_attempts.clamp(self.quick_attempts, 200);
        self.quick_within = self.quick_within.clamp(second, MAX_DURATION);
        self.slow_within = self.slow_within.clamp(self.quick_within, MAX_DURATION);
        self.phone_per_hour = self.phone_per_hour.clamp(1, 3600);
        self.phone_burst = self.phone_burst.clamp(1, 3600);
        self.phone_gap = self.phone_gap.min(MAX_DURATION);
        self.phone_per_day = self.phone_per_day.clamp(1, 86_400);
        self.neighbours = self.neighbours.clamp(2, 100);
        self.found_after = self.found_after.clamp(1, 100);
        self.quiet = self.quiet.clamp(second, MAX_DURATION);
        self.max_sources = self.max_sources.clamp(1000, 10_000_000);
        self
    }
}

/// What counts as an attack in a log that a filter of fail2ban reads: for each such log by itself, and apart from
/// all else. The defaults are those of fail2ban, and no file of fail2ban changes them.
///
/// A filter shows neither whether a source can be forged nor why an attempt failed, and a client may have written
/// the address that it finds. So a ban for it is brief.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// So many failures within [`findtime`](Thresholds::findtime) are an attack.
    pub maxretry: u32,
    /// See [`maxretry`](Thresholds::maxretry).
    #[serde(with = "span")]
    pub findtime: Duration,
    /// For how long a source is banned for it.
    #[serde(with = "span")]
    pub bantime: Duration,
}

impl Thresholds {
    /// What [`maxretry`](Thresholds::maxretry) may be.
    pub const MAXRETRY: RangeInclusive<u32> = 1..=100;
    /// What [`findtime`](Thresholds::findtime) may be: nothing is remembered for longer.
    pub const FINDTIME: RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
    /// What [`bantime`](Thresholds::bantime) may be.
    pub const BANTIME: RangeInclusive<Duration> =
        Duration::from_secs(10)..=Duration::from_secs(86_400);
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        let ten_minutes = Duration::from_secs(600);
        Thresholds { maxretry: 5, findtime: ten_minutes, bantime: ten_minutes }
    }
}

/// Spans of time as the configuration writes them: `10m`, `7d`.
mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::time::parse_span;

    pub(super) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{}s", span.as_secs()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        parse_span(&text).map_err(D::Error::custom)
    }
}
