//! The only place that reads the clock.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nightlatch_core::time::Time;

/// The wall clock's time.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A clock that never runs backwards, and never stands still.
///
/// A server that boots without a battery-backed clock begins in 1970, and an account that ended
/// yesterday would be open again until the time server answers. The store knows when it was last
/// written: before that it cannot be. From there on, and wherever the wall clock is set back, time
/// goes on at least as fast as the kernel's own count: otherwise an account that was let in for an
/// hour, or a trial, would end only when the wall clock has caught up, which may be never.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The latest moment shown, and the count since.
    shown: Cell<(Time, Stopwatch)>,
}

impl Clock {
    /// A clock that shows at least `not_before`.
    pub fn not_before(not_before: Time) -> Clock {
        Clock { shown: Cell::new((not_before, Stopwatch::start())) }
    }

    /// The wall clock's time, or the latest moment shown and what has passed since.
    pub fn now(&self) -> Time {
        let wall = now();
        let (last, since) = self.shown.get();
        let floor = last.after(since.elapsed());
        if wall < floor {
            return floor;
        }
        self.shown.set((wall, Stopwatch::start()));
        wall
    }
}

/// Measures spans, unmoved by changes of the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins to measure.
    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// The time since it was started.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_while_the_wall_clock_is_behind() {
        let later = now().after(Duration::from_secs(3600));
        let clock = Clock::not_before(later);
        let first = clock.now();
        assert!(later <= first);
        std::thread::sleep(Duration::from_millis(30));
        let passed = clock.now().since(first);
        assert!(Duration::from_millis(25) < passed, "it stood still: {passed:?}");
    }

    #[test]
    fn the_wall_clock_is_shown_where_it_is_ahead() {
        let clock = Clock::not_before(Time::from_millis(0));
        assert!(clock.now().since(now()) < Duration::from_secs(1));
        assert!(now().since(clock.now()) < Duration::from_secs(1));
    }
}
