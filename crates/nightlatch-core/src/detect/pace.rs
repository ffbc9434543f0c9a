//! How fast a device fails: so many attempts at once, and so many an hour for ever, as a leaky bucket.

use super::limits::Limits;

/// The bucket of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// When it will be empty.
    pub(super) empty_at: i64,
    /// Attempts since it was last empty, and since when that is.
    pub(super) attempts: u32,
    pub(super) since: i64,
}

/// Attempts that follow one another too fast: how many, since when, and how many within how many seconds are
/// too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fast {
    pub(super) attempts: u32,
    pub(super) since: i64,
    pub(super) threshold: (u32, u64),
}

impl Pace {
    pub(super) const NONE: Pace = Pace { empty_at: i64::MIN, attempts: 0, since: 0 };

    /// Takes an attempt in; whether it is one too many.
    pub(super) fn exceeds(&mut self, at: i64, limits: &Limits) -> bool {
        let room = limits.interval.saturating_mul(i64::from(limits.burst));
        // What cannot come from attempts comes from a clock that was set back.
        let impossible = room.saturating_add(limits.interval.saturating_mul(2));
        if self.empty_at <= at || self.empty_at.saturating_sub(at) > impossible {
            *self = Pace { empty_at: at, attempts: 0, since: at };
        }
        self.attempts = self.attempts.saturating_add(1);
        self.empty_at = self.empty_at.saturating_add(limits.interval);
        self.empty_at.saturating_sub(at) > room
    }

    /// What is too fast at that moment: as many as may come at once, those that time has made up for, and one.
    pub(super) fn fast(&self, at: i64, limits: &Limits) -> Fast {
        let since = self.since.min(at);
        let lasts = at.saturating_sub(since);
        let made_up = u32::try_from(lasts / limits.interval.max(1)).unwrap_or(u32::MAX);
        let most = limits.burst.saturating_add(made_up).saturating_add(1).min(self.attempts);
        let within = u64::try_from(lasts).unwrap_or_default().div_ceil(1000).max(1);
        Fast { attempts: self.attempts, since, threshold: (most, within) }
    }
}
