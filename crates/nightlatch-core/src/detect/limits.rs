//! The thresholds, as the judge needs them.

use std::time::Duration;

use super::Settings;
use super::tries::{ONE, Room, Rule};
use crate::attack::Service;

/// An hour, in milliseconds.
pub(super) const HOUR: i64 = 3_600_000;
/// A week.
pub(super) const WEEK: i64 = 7 * 24 * HOUR;
/// A device that pauses for so long and then fails again is worth another notice.
pub(super) const PAUSE: i64 = 24 * HOUR;
/// From a source from which people log in, so many accounts may have a wrong password.
pub(super) const FEW_ACCOUNTS: usize = 2;
/// Each worth of sources has one of so many shares of the memory for sure.
pub(super) const ONE_SHARE: usize = 8;
/// A network of the length 56 attacks with so many times the attempts of a source, one of 48 with twice that.
pub(super) const WIDER: u32 = 2;

/// The thresholds in milliseconds and quarters of an attempt.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) quick: Rule,
    pub(super) slow: Rule,
    pub(super) quick_attempts: u32,
    /// How long anything is remembered.
    pub(super) memory: i64,
    /// How many attempts of a source are remembered.
    pub(super) room: Room,
    /// The same, of a neighbourhood.
    pub(super) room_around: Room,
    /// The pause between two attempts that a device may go on with for ever.
    pub(super) interval: i64,
    pub(super) burst: u32,
    pub(super) per_hour: u32,
    /// See [`Settings::phone_gap`].
    pub(super) gap: i64,
    pub(super) neighbours: usize,
    pub(super) found_after: u32,
    pub(super) quiet: i64,
}

impl Limits {
    /// Of settings that are [bounded](Settings::bounded).
    pub(super) fn of(settings: &Settings) -> Limits {
        let rule = |attempts: u32, within, lasting| Rule {
            score: attempts * ONE,
            within: millis(within),
            lasting,
        };
        let (quick, slow) = (settings.quick_attempts, settings.slow_attempts);
        // So many attempts of the least score can be remembered before one of the rules is broken.
        let all = usize_of(slow + quick * ONE + 8);
        // Other logs may still tell of them, and the last ones show how fast a device is.
        let done = usize_of(quick + 7);
        // What led to a brief ban already may lead to a full one.
        let around = usize_of(slow * WIDER * WIDER * 2 + 8).max(all);
        Limits {
            quick: rule(quick, settings.quick_within, false),
            slow: rule(slow, settings.slow_within, true),
            quick_attempts: quick,
            memory: millis(settings.slow_within).max(WEEK),
            room: Room { all, done },
            room_around: Room { all: around, done: around },
            interval: HOUR / i64::from(settings.phone_per_hour),
            burst: settings.phone_burst,
            per_hour: settings.phone_per_hour,
            gap: millis(settings.phone_gap),
            neighbours: usize_of(settings.neighbours),
            found_after: settings.found_after,
            quiet: millis(settings.quiet),
        }
    }

    /// What a device may try within an hour at most.
    pub(super) fn pace(&self) -> (u32, u64) {
        (self.burst + self.per_hour, 3600)
    }
}

impl Rule {
    /// The same for a network that is so many times wider.
    pub(super) fn times(self, times: u32) -> Rule {
        Rule { score: self.score * times, ..self }
    }

    /// As evidence states it: how many attempts, within how many seconds.
    pub(super) fn threshold(&self) -> (u32, u64) {
        (self.score / ONE, seconds(self.within))
    }
}

/// Whether phones use the service: then one of them can have a wrong password, and go on for ever.
pub(super) fn is_for_phones(service: Service) -> bool {
    matches!(service, Service::Sip | Service::Iax | Service::Provisioning)
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn seconds(millis: i64) -> u64 {
    u64::try_from(millis / 1000).unwrap_or_default()
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
