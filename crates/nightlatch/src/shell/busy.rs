//! Waits that save wake-ups.

use std::time::Duration;

use super::clock::Stopwatch;

/// What comes so soon after the last, so many times in a row, is waited for together.
const SOON: Duration = Duration::from_millis(1);
const MANY: u32 = 20;

/// Whether something comes all the time: packets, or lines of logs. Then they are read together after a pause, as a
/// wake-up for each would cost more than all the rest; whoever has them keeps them meanwhile.
pub struct Busy {
    pause: Duration,
    last: Option<Stopwatch>,
    /// How many times in a row something came soon after the last time.
    times: u32,
}

impl Busy {
    /// Waits for so long while something comes all the time.
    pub fn new(pause: Duration) -> Busy {
        Busy { pause, last: None, times: 0 }
    }

    /// Something came.
    pub fn pause(&mut self) {
        let is_soon = self.last.is_some_and(|last| last.elapsed() < SOON);
        self.times = if is_soon { self.times.saturating_add(1) } else { 0 };
        if self.times >= MANY {
            std::thread::sleep(self.pause);
        }
        self.last = Some(Stopwatch::start());
    }
}
