//! Random events, and after each of them what must always be so.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Heard { kind: usize, key: u8, level: Level },
    Flood { keys: u8, level: Level },
    CommandChanged,
    Wait(i64),
    UntilDue,
    Begin,
    Delivered(bool),
    Restart,
}

const KINDS: [&str; 3] = ["disk-full", "feed-stale", "account-ends"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let level = prop_oneof![Just(Level::Info), Just(Level::Warning), Just(Level::Error)];
    let step = prop_oneof![
        6 => (0..KINDS.len(), 0u8..6, level.clone())
            .prop_map(|(kind, key, level)| Step::Heard { kind, key, level }),
        1 => (any::<u8>(), level).prop_map(|(keys, level)| Step::Flood { keys, level }),
        1 => Just(Step::CommandChanged),
        2 => prop_oneof![0..2 * MINUTE, 0..2 * HOUR, 0..30 * HOUR].prop_map(Step::Wait),
        6 => Just(Step::UntilDue),
        8 => Just(Step::Begin),
        8 => any::<bool>().prop_map(Step::Delivered),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The notices, and what a simple observer knows of them.
struct World {
    notices: Outbox,
    store: BTreeMap<String, Value>,
    now: i64,
    /// How many notices were made of what was heard.
    made: u64,
    /// How often each was delivered well.
    delivered: BTreeMap<u64, u32>,
    told_lost: u64,
    running: Option<Delivery>,
    /// When the command was run.
    runs: Vec<i64>,
}

impl World {
    fn new() -> World {
        World {
            notices: notices(),
            store: BTreeMap::new(),
            now: 1_000_000_000_000,
            made: 0,
            delivered: BTreeMap::new(),
            told_lost: 0,
            running: None,
            runs: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Heard { kind, key, level } => self.hear(KINDS[*kind], *key, *level),
            Step::Flood { keys, level } => {
                (0..*keys).for_each(|key| self.hear("flood", key, *level));
            }
            Step::CommandChanged => self.notices.command_changed(at(self.now)),
            Step::Wait(millis) => self.now += millis,
            Step::UntilDue => self.until_due(),
            Step::Begin => self.begin(),
            Step::Delivered(well) => self.answer(*well),
            Step::Restart => self.restart(),
        }
        save(&mut self.notices, &mut self.store);
    }

    fn hear(&mut self, kind: &'static str, key: u8, level: Level) {
        let is_new = self.notices.heard(&heard(kind, key, level, self.now)).is_some();
        self.made += u64::from(is_new);
    }

    /// At the moment that it names, there is something to do.
    fn until_due(&mut self) {
        let Some(next) = self.notices.next_due() else {
            return;
        };
        self.now = self.now.max(next.millis());
        let before = self.notices.lost().count;
        self.notices.give_up(at(self.now));
        let is_due = self.notices.due(at(self.now)).is_some();
        assert!(is_due || self.notices.lost().count > before, "nothing to do at {next:?}");
    }

    fn begin(&mut self) {
        self.notices.give_up(at(self.now));
        let Some(delivery) = self.notices.due(at(self.now)) else {
            return;
        };
        assert!(self.running.is_none(), "two at a time");
        self.runs.push(self.now);
        let within = self.runs.iter().filter(|run| self.now - **run < HOUR).count();
        assert!(within <= 20, "{within} runs in an hour");
        self.notices.began(delivery.clone(), at(self.now));
        self.running = Some(delivery);
    }

    fn answer(&mut self, well: bool) {
        let Some(delivery) = self.running.take() else {
            return;
        };
        let result = if well { Ok(()) } else { Err("no") };
        self.notices.delivered(delivery.id, result, at(self.now));
        if well {
            self.told_lost += delivery.lost;
            delivery.covers.iter().for_each(|id| *self.delivered.entry(*id).or_default() += 1);
        }
    }

    fn restart(&mut self) {
        self.running = None;
        let after = restored(&self.store, self.now);
        assert!(after.unreadable.is_empty());
        assert!(self.notices.recent().eq(after.recent()) || after.lost() != self.notices.lost());
        self.notices = after;
    }

    fn check(&self) {
        let notices = &self.notices;
        assert!(notices.recent().count() <= MAX_LISTED);
        assert!(notices.waiting() <= MAX_PENDING);
        assert!(notices.entries.len() <= MAX_LISTED + MAX_PENDING);
        let mut latest = notices.latest.iter();
        assert!(latest.all(|(subject, id)| notices.entries[id].notice.subject == *subject));
        assert!(self.delivered.values().all(|times| *times == 1), "delivered twice");
        // Every notice that was made, but those about notices, waits, was delivered, or is counted.
        let own = |id: &u64| {
            notices.entries.get(id).is_some_and(|entry| entry.notice.subject.feature == "notices")
        };
        assert!(!notices.pending().any(|(id, ..)| own(&id)));
        let accounted = u64::try_from(notices.waiting() + self.delivered.len()).unwrap();
        assert_eq!(accounted + notices.lost().count + self.told_lost, self.made);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bounds_hold_and_nothing_is_lost_without_a_count(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
        // If the command works from now on, everything is told at last.
        world.answer(true);
        for _ in 0..400 {
            world.take(&Step::UntilDue);
            world.take(&Step::Begin);
            world.take(&Step::Delivered(true));
            world.check();
        }
        let notices = &world.notices;
        prop_assert_eq!((notices.waiting(), notices.lost().count), (0, 0));
        prop_assert_eq!((notices.next_due(), notices.failing()), (None, None));
    }
}
