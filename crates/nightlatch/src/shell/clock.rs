//! The only place that reads the clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nightlatch_core::time::Time;

/// The wall clock's time.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A clock that never runs backwards below a known moment.
///
/// A server that boots without a battery-backed clock begins in 1970, and an account that ended
/// yesterday would be open again until the time server answers. The store knows when it was last
/// written: before that it cannot be. From there on time passes all the same, so that what is for
/// an hour lasts an hour, even if a wrong clock once wrote down a moment far ahead.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    not_before: Time,
    running: Stopwatch,
}

impl Clock {
    /// A clock that shows at least `not_before`.
    pub fn not_before(not_before: Time) -> Clock {
        Clock { not_before, running: Stopwatch::start() }
    }

    /// The wall clock's time, or the floor.
    pub fn now(&self) -> Time {
        now().max(self.not_before.after(self.running.elapsed()))
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
