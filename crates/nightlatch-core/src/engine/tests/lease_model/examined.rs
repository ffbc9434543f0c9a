//! What is examined after each step, and at the end.

use super::scene::Scene;
use super::*;

impl Scene {
    pub(super) fn check(&self, runs: bool) {
        let wall = self.wall();
        for (at, address) in ADDRESSES.iter().enumerate() {
            // Outside of the hours, a call has its signalling and media.
            for (service, needed) in [("sip", Met::ForCalls), ("web", Met::Fully)] {
                let found = self.met(at, service) >= needed;
                let (must, _) = self.model.reaches(at, service, self.now + INEXACT, wall);
                let before = self.now.saturating_sub(INEXACT);
                let (_, may) = self.model.reaches(at, service, before, wall);
                let what = || format!("{address} {service} at {}: {:#?}", self.now, self.model);
                assert!(may || !found, "reaches {}", what());
                // What closes holds before it is written down.
                let is_closing = self.commit.is_some();
                assert!(found || !must || is_closing, "does not reach {}", what());
            }
        }
        if !runs {
            return;
        }
        let leases = &self.engine.state().leases.all;
        for name in USERS {
            let count = leases.keys().filter(|key| *key.user == *name).count();
            assert!(count <= 4, "{name} has {count}");
        }
        // Nobody keeps what has ended.
        for (key, open) in &self.model.open {
            let idle_end = open.may.max(self.regular);
            let call_end = self.model.calls.get(&key.1).map_or(0, |(_, may)| *may);
            let end = open.end_may.max(call_end);
            let end = idle_end.min(end.max(self.regular)).saturating_add(LAG);
            assert!(self.now < end || self.commit.is_some(), "{key:?} is still there: {open:?}");
        }
    }

    /// All works again, and all ends.
    pub(super) fn settle(&mut self) {
        for step in [Step::Store(Store::Works), Step::Readings(true)] {
            self.take(&step);
        }
        // What was refused is written with the next change, whatever the clock.
        let change = match self.model.people.contains_key(&0) {
            true => Ask::Revoke(0),
            false => Ask::Add { user: 0, grant: 0, idle: 0, hours: false },
        };
        self.take(&Step::Ask(change));
        self.wait(30, None);
        let state = self.engine.state();
        assert_eq!(self.disk, *state);
        let found: BTreeSet<_> = state.leases.all.keys().map(place).collect();
        assert_eq!(found, self.model.open.keys().copied().collect());
        let words = ["expire ", "close ", "revoke ", "replace "];
        let is_end = |line: &&String| words.iter().any(|word| line.starts_with(word));
        let mut log: Vec<&String> = self.log.iter().filter(is_end).collect();
        let mut ended: Vec<&String> = self.model.ended.iter().collect();
        log.sort_unstable();
        ended.sort_unstable();
        assert_eq!(log, ended);
        assert!(self.asked.is_empty(), "not answered: {:?}", self.asked);
    }
}
