//! Learned state: read back, saved, put back with every load, and deleted where it no longer counts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Engine, trouble};
use crate::AddrRange;
use crate::action::{Action, Flows, Unlearn};
use crate::address::merge;
use crate::cut::{self, Cutter, LiveFlow};
use crate::learned::{self, Effect, Element, Lasting, LearnedSets, SetSpec};
use crate::policy::World;
use crate::signalling::Learned;
use crate::time::Time;
use crate::trouble::Trouble;

/// How often it is looked whether learned state is to be saved: what the kernel learned since is lost in
/// a reboot.
const SAVE_INTERVAL: Duration = Duration::from_secs(10);

impl Engine {
    /// Restores the learned state of an earlier run. What was learned before the firewall was turned off
    /// does not count when it is turned on again.
    pub fn restore_learned(&mut self, sets: LearnedSets) {
        if self.state.posture().stands() {
            self.learned.sets = sets;
            self.learned.sets.forget_reading();
        }
    }

    /// Forgets everything if the firewall was turned off.
    pub(super) fn forget_if_off(&mut self) {
        if !self.state.posture().stands() {
            self.learned = Learned::default();
        }
    }

    /// What is known of the kernel's sets.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// The learned state that a load at `now` puts back.
    pub fn put_back(&self, now: Time) -> Vec<Lasting> {
        put_back(&self.world(now))
    }

    /// Reads the sets on which decisions depend.
    pub(super) fn read_sets() -> Action {
        let sets = learned::all_read().filter(|set| set.effect != Effect::Denies);
        Action::ReadSets(sets.collect())
    }

    /// Reads all sets, as it is done from time to time. If a set that denies has too many elements, these
    /// are known until the ends that they have now.
    pub fn read_all_sets(&self) -> Action {
        let is_short = |set: &'static SetSpec| self.learned.sets.count(set) <= learned::MAX_LISTED;
        let sets = learned::all_read().filter(|set| set.effect != Effect::Denies || is_short(set));
        Action::ReadSets(sets.collect())
    }

    /// The kernel's sets were read, or cannot be.
    pub(super) fn sets_read(&mut self, elements: Option<Vec<Element>>, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut follows = false;
        if self.learned.sets.read_at(now).is_none() {
            self.learned.sets.forget_reading();
        }
        // An answer may be older than the removal of the table: nothing learned outlives that.
        if let Some(mut elements) = elements.filter(|_| self.state.posture().stands()) {
            actions.extend(self.cut_by_mistake(&mut elements, now));
            let declared: Vec<_> = learned::all_read().collect();
            self.learned.sets.were_read(&declared, elements, now);
            let being_taught = self.being_taught.iter().flatten();
            being_taught.for_each(|element| self.learned.sets.learn(*element, now));
            follows = self.follow_sets(now);
            let looked = self.learned_saved.filter(|looked| *looked <= now);
            if looked.is_none_or(|looked| now.since(looked) >= SAVE_INTERVAL) {
                actions.push(self.save_learned(now));
            }
        }
        actions.extend(self.renew_windows(now));
        actions.extend(self.renew_all_denied(now));
        actions.extend(self.peers_are_known(now));
        if follows {
            actions.extend(self.proceed(now));
        }
        actions
    }

    /// Removes from a reading the cut flows that would be accepted now and that are not known: the reading
    /// began before they were deleted, or the daemon was stopped before it deleted them.
    fn cut_by_mistake(&self, elements: &mut Vec<Element>, now: Time) -> Option<Action> {
        let cutter = Cutter::new(self.world(now), Flows::BegunByPeers);
        let is_mistake = |element: &mut Element| {
            let is_news =
                element.set == &cut::SET && !self.learned.sets.knows(&cut::SET, &element.key);
            is_news && cutter.allows_again(&element.key)
        };
        let mistakes = elements.extract_if(.., is_mistake);
        let mistakes: BTreeSet<_> = mistakes.map(|flow| (flow.set, flow.key)).collect();
        (!mistakes.is_empty()).then_some(Action::Unlearn(Unlearn::Exactly(mistakes)))
    }

    /// Hours are examined by the kernel's clock, which may have been set since the last look.
    fn renew_windows(&mut self, now: Time) -> Option<Action> {
        let lists = Arc::clone(&self.merged);
        let (projection, world) = self.projection_and_world(now);
        projection.renew_windows(&world, &lists)
    }

    /// Saves what is known.
    fn save_learned(&mut self, now: Time) -> Action {
        self.learned_saved = Some(now);
        Action::SaveLearned(Box::new(self.learned.sets.clone()))
    }

    /// The kernel has deleted elements, or not: nor are they restored after a reboot.
    pub(super) fn unlearned(&mut self, result: Result<(), String>, now: Time) -> Vec<Action> {
        let mut actions = trouble(result, |error| Trouble::PeersNotForgotten { error });
        actions.push(self.save_learned(now));
        actions
    }

    /// Records elements that are being added to the kernel's sets: the sets may be flushed before they
    /// are read again.
    pub(super) fn learn(&mut self, taught: &[Lasting], now: Time) {
        let elements: Vec<Element> = taught.iter().map(|element| element.until(now)).collect();
        elements.iter().for_each(|element| self.learned.sets.learn(*element, now));
        self.being_taught.push_back(elements);
    }

    /// The kernel has added elements to its sets, or has not.
    pub(super) fn taught(&mut self, result: Result<(), String>) -> Vec<Action> {
        self.being_taught.pop_front();
        trouble(result, |error| Trouble::PeersNotTaught { error })
    }

    /// The same for flows that are being cut. Those that were allowed while flows were listed are not cut.
    pub(super) fn cut_is_known(&mut self, flows: &mut BTreeSet<LiveFlow>, now: Time) {
        let cutter = Cutter::new(self.world(now), Flows::BegunByPeers);
        flows.retain(|flow| !cutter.allows(flow));
        flows.iter().for_each(|flow| self.learned.sets.learn(flow.cut(now), now));
    }

    /// Forgets peers.
    pub(super) fn forget_peers(&mut self, unlearn: &Unlearn, now: Time) {
        self.state.unlearning(unlearn, &self.learned, now);
        self.forget(unlearn);
    }

    fn forget(&mut self, unlearn: &Unlearn) {
        self.learned.sets.forget(|set, key| unlearn.concerns(set, key));
        for elements in &mut self.being_taught {
            elements.retain(|element| !unlearn.concerns(element.set, &element.key));
        }
    }

    /// Deletes what denied something to ranges in which something may have been opened, and would be
    /// accepted now: cut flows of addresses that were allowed again.
    pub(super) fn cut_no_longer(&mut self, ranges: &[AddrRange], now: Time) -> Option<Action> {
        if ranges.is_empty() {
            return None;
        }
        let flows = self.learned.sets.of(&cut::SET, now);
        let merged = merge(ranges.to_vec());
        let flows = flows.filter(|it| cut::is_in(&merged, &it.key.address.into()));
        let cutter = Cutter::new(self.world(now), Flows::BegunByPeers);
        let allowed = flows.filter(|flow| cutter.allows_again(&flow.key));
        let allowed: BTreeSet<_> = allowed.map(|flow| (flow.set, flow.key)).collect();
        if allowed.is_empty() {
            return None;
        }
        let unlearn = Unlearn::Exactly(allowed);
        self.forget(&unlearn);
        Some(Action::Unlearn(unlearn))
    }
}

/// The learned state that a load puts back: all that has not ended, except what features no longer
/// remember, such as peers that are blocked or denied; and what follows from records.
pub(super) fn put_back(world: &World<'_>) -> Vec<Lasting> {
    let counts = |element: &Element| {
        element.set.effect != Effect::Allows || world.state.remembers(element, world)
    };
    let elements = world.learned.sets.at(world.now).filter(counts);
    let mut all: Vec<Lasting> = elements.filter_map(|element| element.lasting(world.now)).collect();
    world.state.denied(&mut |element| all.extend(element.lasting(world.now)));
    all
}
