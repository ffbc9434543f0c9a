//! What changes with each answer: when a name is asked for next, and which of its addresses were missing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::answer::Answered;
use crate::entry::HostName;
use crate::time::Time;

/// The shortest and the longest time between two look-ups of a name that answers.
pub(super) const MIN_PAUSE: Duration = Duration::from_secs(30);
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(600);
/// The longest pause while no name server responds.
const MAX_PAUSE_FAILING: Duration = Duration::from_secs(300);
/// Look-ups begin at multiples of this, so that many are begun together.
const GRID: Duration = Duration::from_millis(250);
/// If no answer has come by then, a name is asked for again.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// What comes so late has slept, or its clock was set.
const SLEPT: Duration = Duration::from_secs(1800);
/// How many names are looked up again at one of these moments. Each is two queries: 192 a second.
const MAX_AT_ONCE: u32 = 24;
/// How far a look-up is put off at most because others come first.
const MAX_PUT_OFF: u32 = 2_400;

/// How it goes with one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Live {
    /// When it is asked for next.
    pub(super) next: Time,
    /// When it was asked for, if no answer has come since.
    pub(super) asked: Option<Time>,
    /// The time that passed without any look-up although one was due.
    pub(super) slept: Duration,
    /// How many answers there were.
    pub(super) answers: u32,
    /// How often in a row there was none, or nothing in it.
    pub(super) failures: u32,
    /// Which addresses were missing in the last answers.
    pub(super) missing: BTreeMap<IpAddr, Missing>,
    /// Which addresses were replaced since the start, and when.
    pub(super) replaced: BTreeMap<IpAddr, Time>,
    /// At which answer one that was missing came again.
    pub(super) came_again: u32,
}

/// An address that counts and was missing in the last answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Missing {
    /// Since when.
    pub(super) since: Time,
    /// In how many answers.
    pub(super) answers: u32,
}

impl Live {
    /// When it is asked for again after so many failures in a row.
    pub(super) fn pause_after_failure(&self) -> Duration {
        let times = 1_u32 << self.failures.saturating_sub(1).min(8);
        MIN_PAUSE.saturating_mul(times).min(MAX_PAUSE_FAILING)
    }

    /// When it is asked for again after so many answers in a row that say that it is gone.
    pub(super) fn pause_when_gone(&self) -> Duration {
        let times = 1_u32 << self.failures.saturating_sub(1).min(8);
        MIN_PAUSE.saturating_mul(times).min(MAX_PAUSE)
    }
}

/// When which name is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    all: BTreeMap<HostName, Live>,
    by_next: BTreeSet<(Time, HostName)>,
    /// How many names are to be looked up at each moment.
    counts: BTreeMap<Time, u32>,
}

impl Queue {
    /// A name comes into use: it is asked for at once.
    pub(super) fn add(&mut self, name: &HostName) {
        if !self.all.contains_key(name) {
            self.set(name, Live::default());
        }
    }

    /// A name is no longer in use.
    pub(super) fn remove(&mut self, name: &HostName) {
        if let Some(live) = self.all.remove(name) {
            self.by_next.remove(&(live.next, name.clone()));
            if let Some(count) = self.counts.get_mut(&live.next) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.counts.remove(&live.next);
                }
            }
        }
    }

    pub(super) fn get(&self, name: &HostName) -> Option<&Live> {
        self.all.get(name)
    }

    /// What is known of a name changes, if it is still in use.
    pub(super) fn change(&mut self, name: &HostName, live: Live) {
        if self.all.contains_key(name) {
            self.remove(name);
            self.set(name, live);
        }
    }

    /// As [`Queue::change`], but not at a moment at which there is enough to do already. At once is at
    /// once.
    pub(super) fn place(&mut self, name: &HostName, mut live: Live) {
        let is_full = |at: &Time| self.counts.get(at).is_some_and(|count| *count >= MAX_AT_ONCE);
        for _ in 0..MAX_PUT_OFF {
            if live.next == Time::default() || !is_full(&live.next) {
                break;
            }
            live.next = on_grid(live.next.after(GRID));
        }
        self.change(name, live);
    }

    fn set(&mut self, name: &HostName, live: Live) {
        *self.counts.entry(live.next).or_default() += 1;
        self.by_next.insert((live.next, name.clone()));
        self.all.insert(name.clone(), live);
    }

    /// When the next name is to be asked for.
    pub(super) fn next(&self) -> Option<Time> {
        self.by_next.first().map(|(next, _)| *next)
    }

    /// The names that are to be asked for, the earliest first.
    pub(super) fn due(&self, now: Time) -> impl Iterator<Item = &HostName> {
        self.by_next.iter().take_while(move |(next, _)| *next <= now).map(|(_, name)| name)
    }

    /// A name is being asked for.
    pub(super) fn ask(&mut self, name: &HostName, now: Time) {
        let Some(live) = self.all.get(name) else { return };
        let late = match live.next == Time::default() {
            true => Duration::ZERO,
            false => now.since(live.next),
        };
        let slept = if late > SLEPT { live.slept.saturating_add(late) } else { live.slept };
        let next = now.after(GIVEN_UP);
        self.change(name, Live { next, asked: Some(now), slept, ..live.clone() });
    }

    /// After a start: the names whose addresses are known are asked for one after the other.
    pub(super) fn spread(&mut self, known: impl Iterator<Item = HostName>, now: Time) {
        for name in known {
            let Some(live) = self.all.get(&name).cloned() else { continue };
            self.place(&name, Live { next: on_grid(now), ..live });
        }
    }
}

/// How long nobody was asked: the clock was set while an answer was awaited, or before.
pub(super) fn slept(live: &Live, now: Time) -> Duration {
    let waited = live.asked.map(|asked| now.since(asked)).filter(|waited| *waited > SLEPT);
    live.slept.saturating_add(waited.unwrap_or_default())
}

/// The moment after a pause, spread by up to a tenth of it: names that were asked for together are not
/// for ever.
pub(super) fn next(now: Time, pause: Duration, answered: &Answered, answers: u32) -> Time {
    // FNV-1a: any spreading function does.
    let bytes = answered.name.as_str().bytes().chain(answers.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let most = u64::try_from(pause.as_millis() / 10).unwrap_or(0).max(1);
    on_grid(now.after(pause).after(Duration::from_millis((hash >> 16) % most)))
}

fn on_grid(time: Time) -> Time {
    let grid = i64::try_from(GRID.as_millis()).unwrap_or(1);
    let over = time.millis().rem_euclid(grid);
    if over == 0 { time } else { Time::from_millis(time.millis().saturating_add(grid - over)) }
}
