//! How often the command may run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Time;

const HOUR: Duration = Duration::from_secs(3600);
/// How long to wait after the first failure. Each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The longest wait.
const MAX_WAIT: Duration = HOUR;

/// How long to wait after the `failed`th failure in a row.
pub(super) fn wait_after(failed: u32) -> Duration {
    let doubled = failed.saturating_sub(1).min(16);
    FIRST_WAIT.saturating_mul(1 << doubled).min(MAX_WAIT)
}

/// A bucket of tokens, one for each run. Half of what an hour allows may come at once, and the other
/// half is spread over the hour: so it is never more than that in any hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bucket {
    /// When it will be full again if nothing more is taken.
    full_at: Time,
}

impl Default for Bucket {
    fn default() -> Bucket {
        Bucket { full_at: Time::from_millis(i64::MIN) }
    }
}

impl Bucket {
    /// How many tokens it holds.
    pub(super) fn tokens(self, per_hour: u32, now: Time) -> u32 {
        let missing = self.full_at.since(now).as_millis().div_ceil(interval(per_hour).as_millis());
        capacity(per_hour).saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// Takes one.
    pub(super) fn take(&mut self, per_hour: u32, now: Time) {
        self.full_at = self.full_at.max(now).after(interval(per_hour));
    }

    /// From when on it holds one.
    pub(super) fn next(self, per_hour: u32) -> Time {
        let others = interval(per_hour).saturating_mul(capacity(per_hour) - 1);
        let back = i64::try_from(others.as_millis()).unwrap_or(i64::MAX);
        Time::from_millis(self.full_at.millis().saturating_sub(back))
    }

    /// Repairs a bucket of the store: it is full at the latest after as long as it takes to fill.
    pub(super) fn bounded(self, per_hour: u32, now: Time) -> Bucket {
        let longest = now.after(interval(per_hour).saturating_mul(capacity(per_hour)));
        Bucket { full_at: self.full_at.min(longest) }
    }
}

/// How many tokens it can hold.
fn capacity(per_hour: u32) -> u32 {
    per_hour.div_ceil(2).max(1)
}

/// How long a token takes to come.
fn interval(per_hour: u32) -> Duration {
    let rest = per_hour.saturating_sub(capacity(per_hour)).max(1);
    HOUR.checked_div(rest).unwrap_or(HOUR).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let seconds: Vec<u64> = (1..=9).map(|failed| wait_after(failed).as_secs()).collect();
        assert_eq!(seconds, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(wait_after(u32::MAX), MAX_WAIT);
    }

    #[test]
    fn never_more_than_allowed_in_any_hour() {
        for per_hour in [1, 2, 3, 20, 21, 1000] {
            let (mut bucket, mut taken) = (Bucket::default(), Vec::new());
            for second in 0i64..20_000 {
                let now = Time::from_millis(second * 1000);
                while bucket.tokens(per_hour, now) > 0 {
                    assert!(bucket.next(per_hour) <= now);
                    bucket.take(per_hour, now);
                    taken.push(second);
                }
                assert!(bucket.next(per_hour) > now);
                let within = taken.iter().filter(|at| second - **at < 3600).count();
                assert!(within <= per_hour as usize, "{per_hour}: {within} at {second}");
            }
            assert!(taken.len() > per_hour as usize * 2, "{per_hour}: {}", taken.len());
        }
    }

    #[test]
    fn a_bucket_of_another_time_is_repaired() {
        let now = Time::from_millis(1_000_000);
        let bucket = Bucket { full_at: Time::from_millis(i64::MAX) }.bounded(20, now);
        assert_eq!(bucket.tokens(20, now), 0);
        assert!(bucket.next(20) <= now.after(HOUR));
    }
}
