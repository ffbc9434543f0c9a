//! The background work of all features: what runs, what is wanted, when what comes next.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use crate::features::Want;
use crate::time::Time;

/// One kind of work: a feed to fetch, a table to read. Of each, only one is under way at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// The name of the feature whose work it is.
    pub feature: &'static str,
    /// Which work of the feature.
    pub name: String,
}

impl Task {
    /// A feature's work.
    pub fn new(feature: &'static str, name: &dyn Display) -> Task {
        Task { feature, name: name.to_string() }
    }
}

/// Work that has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// Whether the result is believed whatever it is.
    pub force: bool,
    /// From where the person came who asked for it.
    pub asker: Option<IpAddr>,
}

/// What runs, and what is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    entries: BTreeMap<Task, Entry>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    stage: Stage,
    /// Asked for; also while it runs, then it is done once more.
    wanted: Option<Begun>,
    /// What it was for is gone: the result does not count.
    is_orphaned: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stage {
    #[default]
    Idle,
    Running(Begun),
    /// The result has taken effect, but is not in the kernel yet.
    Settling,
}

impl Schedule {
    /// Work is wanted at once.
    pub fn want(&mut self, feature: &'static str, want: Want) {
        let entry = self.entries.entry(Task { feature, name: want.task }).or_default();
        let wanted = entry.wanted.get_or_insert_default();
        wanted.force |= want.force;
        wanted.asker = want.asker.or(wanted.asker);
    }

    /// What the work was for is gone.
    pub fn forget(&mut self, task: &Task) {
        let Some(entry) = self.entries.get_mut(task) else { return };
        entry.wanted = None;
        entry.is_orphaned = matches!(entry.stage, Stage::Running(_));
        if !entry.is_orphaned {
            self.entries.remove(task);
        }
    }

    /// When something of these is to begin; each comes with the time at which it is due by itself,
    /// if ever.
    pub fn next(&self, tasks: &[(Task, Option<Time>)]) -> Option<Time> {
        let when = |(task, at): &(Task, Option<Time>)| match self.entries.get(task) {
            Some(Entry { stage: Stage::Running(_), .. }) => None,
            Some(Entry { wanted: Some(_), .. }) => Some(Time::default()),
            _ => *at,
        };
        tasks.iter().filter_map(when).min()
    }

    /// Begins what is due of these, which are all there are. What was wanted of others is not wanted
    /// any more: there is nothing to do for it.
    pub fn begin(&mut self, tasks: Vec<(Task, Option<Time>)>, now: Time) -> Vec<(Task, Begun)> {
        let mut begun = Vec::new();
        for (task, entry) in &mut self.entries {
            if !tasks.iter().any(|(named, _)| named == task) {
                entry.wanted = None;
            }
        }
        for (task, at) in tasks {
            if self.next(&[(task.clone(), at)]).is_none_or(|at| at > now) {
                continue;
            }
            let entry = self.entries.entry(task.clone()).or_default();
            let begin = entry.wanted.take().unwrap_or_default();
            entry.stage = Stage::Running(begin);
            begun.push((task, begin));
        }
        begun
    }

    /// Work has ended; with `settles` its result is not in the kernel yet.
    pub fn end(&mut self, task: &Task, settles: bool) {
        if let Some(entry) = self.entries.get_mut(task) {
            entry.is_orphaned = false;
            entry.stage = if settles { Stage::Settling } else { Stage::Idle };
        }
    }

    /// The kernel has the result.
    pub fn settle(&mut self, task: &Task) {
        if let Some(entry) = self.entries.get_mut(task).filter(|it| it.stage == Stage::Settling) {
            entry.stage = Stage::Idle;
        }
    }

    /// How the work was begun, while it runs.
    pub fn running(&self, feature: &'static str, name: &dyn Display) -> Option<Begun> {
        match self.entries.get(&Task::new(feature, name))?.stage {
            Stage::Running(begun) => Some(begun),
            _ => None,
        }
    }

    /// Whether work runs whose result does not count.
    pub fn is_orphaned(&self, feature: &'static str, name: &dyn Display) -> bool {
        self.entries.get(&Task::new(feature, name)).is_some_and(|entry| entry.is_orphaned)
    }

    /// Whether work is asked for, runs, or its result is not in the kernel yet.
    pub fn is_busy(&self, feature: &'static str, name: &dyn Display) -> bool {
        let entry = self.entries.get(&Task::new(feature, name));
        entry.is_some_and(|entry| entry.wanted.is_some() || entry.stage != Stage::Idle)
    }
}

/// When work comes next that is done again and again.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The usual pause.
    pub every: Duration,
    /// The pause after the first failure in a row; it doubles with each further one, up to the usual.
    pub after_failure: Duration,
    /// When it was last done, well or not.
    pub last: Option<Time>,
    /// How often in a row it failed.
    pub failures: u32,
    /// Until when a server asks to be left alone.
    pub rests_until: Option<Time>,
}

impl Pace {
    /// When it comes next; at once if it was never done.
    pub fn next(&self) -> Time {
        let pause = match self.failures {
            0 => self.every,
            failures => {
                let times = 1_u32 << failures.saturating_sub(1).min(10);
                self.after_failure.saturating_mul(times).min(self.every)
            }
        };
        let next = self.last.map(|last| last.after(pause));
        next.map_or_else(Time::default, |next| next.max(self.rests_until.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_000_000);

    fn one() -> Task {
        Task::new("feeds", &"one")
    }

    #[test]
    fn what_is_due_begins_once_and_what_is_wanted_meanwhile_comes_again() {
        let mut schedule = Schedule::default();
        let due = || vec![(one(), Some(Time::default()))];
        let later = || vec![(one(), Some(NOW.after(Duration::from_secs(60))))];
        assert_eq!(schedule.begin(later(), NOW), []);
        assert_eq!(schedule.begin(due(), NOW), [(one(), Begun::default())]);
        assert_eq!(schedule.begin(due(), NOW), []);
        assert_eq!(schedule.next(&due()), None);
        let asker = Some("203.0.113.7".parse().unwrap());
        schedule.want("feeds", Want { task: "one".to_owned(), force: true, asker });
        schedule.want("feeds", Want::of("one"));
        assert_eq!(schedule.begin(due(), NOW), []);
        schedule.end(&one(), true);
        assert!(schedule.is_busy("feeds", &"one"));
        assert_eq!(schedule.begin(later(), NOW), [(one(), Begun { force: true, asker })]);
        assert_eq!(schedule.running("feeds", &"one"), Some(Begun { force: true, asker }));
        schedule.end(&one(), true);
        schedule.settle(&one());
        assert!(!schedule.is_busy("feeds", &"one"));
    }

    #[test]
    fn work_that_no_feature_has_any_more_is_not_wanted() {
        let mut schedule = Schedule::default();
        schedule.want("feeds", Want::of("one"));
        assert!(schedule.is_busy("feeds", &"one"));
        assert_eq!(schedule.begin(Vec::new(), NOW), []);
        assert!(!schedule.is_busy("feeds", &"one"));
    }

    #[test]
    fn the_result_for_what_is_gone_does_not_count() {
        let mut schedule = Schedule::default();
        let due = || vec![(one(), Some(Time::default()))];
        schedule.begin(due(), NOW);
        schedule.forget(&one());
        assert!(schedule.is_orphaned("feeds", &"one"));
        // Another of that name is not begun before the first has ended.
        assert_eq!(schedule.begin(due(), NOW), []);
        schedule.end(&one(), false);
        assert!(!schedule.is_orphaned("feeds", &"one"));
        assert_eq!(schedule.begin(due(), NOW).len(), 1);
    }

    #[test]
    fn pauses_grow_with_failures_up_to_the_usual() {
        let pace = Pace {
            every: Duration::from_secs(3600),
            after_failure: Duration::from_secs(60),
            last: Some(NOW),
            failures: 0,
            rests_until: None,
        };
        let next = |failures| Pace { failures, ..pace }.next().since(NOW).as_secs();
        assert_eq!([0, 1, 2, 3, 6, 7, 99].map(next), [3600, 60, 120, 240, 1920, 3600, 3600]);
        let rests = NOW.after(Duration::from_secs(9000));
        assert_eq!(Pace { rests_until: Some(rests), ..pace }.next(), rests);
        assert_eq!(Pace { last: None, ..pace }.next(), Time::default());
    }
}
