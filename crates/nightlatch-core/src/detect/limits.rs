//! The thresholds, as the judge needs them.

use std::time::Duration;

use super::tries::{ONE, Room, Rule};
use super::{Settings, Thresholds};
use crate::attack::Service;

/// An hour, in milliseconds.
pub(super) const HOUR: i64 = 3_600_000;
/// A week.
pub(super) const WEEK: i64 = 7 * DAY;
/// A day.
pub(super) const DAY: i64 = 24 * HOUR;
/// A device that pauses for so long and then fails again is worth another notice.
pub(super) const PAUSE: i64 = DAY;
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
    /// See [`Settings::phone_gap`].
    pub(super) gap: i64,
    /// See [`Settings::phone_per_day`].
    pub(super) per_day: u32,
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
            gap: millis(settings.phone_gap),
            per_day: settings.phone_per_day,
            neighbours: usize_of(settings.neighbours),
            found_after: settings.found_after,
            quiet: millis(settings.quiet),
        }
    }

    /// The same for a log that counts by itself: its own threshold in the place of both.
    pub(super) fn of_filter(&self, filter: &Thresholds) -> Limits {
        let attempts = filter.maxretry.clamp(1, *Thresholds::MAXRETRY.end());
        let rule = Rule { score: attempts * ONE, within: millis(filter.findtime), lasting: false };
        let room = Room { all: most_of_filter(attempts), done: usize_of(attempts) + 7 };
        Limits { quick: rule, slow: rule, quick_attempts: attempts, room, ..self.clone() }
    }

    /// So many attempts of a source are kept on disk at most.
    pub(super) fn most_kept(&self) -> usize {
        self.room_around.all.max(most_of_filter(*Thresholds::MAXRETRY.end()))
    }

    /// What a device from which nobody has ever logged in may try a day, on average over more than a day.
    pub(super) fn per_day(&self) -> (u32, u64) {
        (self.per_day, seconds(DAY))
    }

    /// The time that a device needs at least for as many attempts as are too many within a short time.
    pub(super) fn gaps(&self) -> (u32, u64) {
        let wanted = self.quick_attempts.max(2);
        (wanted, seconds(self.gap.saturating_mul(i64::from(wanted) - 1)))
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

/// How many attempts of a source a filter's threshold needs: those that follow one another too slowly are
/// remembered too, because lines may come late.
fn most_of_filter(attempts: u32) -> usize {
    usize_of(attempts) * 2 + 16
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
