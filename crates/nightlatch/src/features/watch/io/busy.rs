//! A pause where lines come all the time.

use std::time::Duration;

use crate::shell::clock::Stopwatch;

/// Lines that come so soon after others, so many times in a row, are waited for together.
const SOON: Duration = Duration::from_millis(1);
const MANY: u32 = 20;
/// For how long.
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// Whether lines come all the time. Then they are read together after a pause, as a wake-up for each would
/// cost more than all the rest.
#[derive(Default)]
pub(super) struct Busy {
    last: Option<Stopwatch>,
    /// How many times in a row it was woken soon after the last time.
    times: u32,
}

impl Busy {
    /// It was woken.
    pub(super) fn pause(&mut self) {
        let is_soon = self.last.is_some_and(|last| last.elapsed() < SOON);
        self.times = if is_soon { self.times.saturating_add(1) } else { 0 };
        if self.times >= MANY {
            std::thread::sleep(BUSY_PAUSE);
        }
        self.last = Some(Stopwatch::start());
    }
}
