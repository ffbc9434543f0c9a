//! What the kernel's sets contain, as far as the daemon knows.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{Effect, Element, Filled, Key, SetSpec};
use crate::AddrRange;
use crate::time::Time;

/// The elements of all sets, each with its end. Bounded by the sets' sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearnedSets {
    /// No set is empty.
    sets: BTreeMap<&'static SetSpec, BTreeMap<Key, Time>>,
    /// When the kernel's sets were last read.
    read_at: Option<Time>,
}

impl LearnedSets {
    /// Adds an element, or gives it another end. Returns whether it did: a full set takes no new
    /// elements, as in the kernel.
    pub fn put(&mut self, element: Element) -> bool {
        let Element { set, key, until } = element;
        let elements = self.sets.entry(set).or_default();
        let fits = elements.len() < set.capacity() || elements.contains_key(&key);
        if fits {
            elements.insert(key, until);
        }
        fits
    }

    /// Adds an element, or prolongs it: a later end wins, and an end in the past is dropped.
    pub fn learn(&mut self, element: Element, now: Time) {
        let known = self.sets.get(element.set).and_then(|it| it.get(&element.key));
        if element.until > now && known.is_none_or(|known| *known < element.until) {
            self.put(element);
        }
    }

    /// Whether an element is known, ended or not.
    pub fn knows(&self, set: &'static SetSpec, key: &Key) -> bool {
        self.sets.get(set).is_some_and(|elements| elements.contains_key(key))
    }

    /// Adds what others know: a later end wins, and an end in the past is dropped.
    pub fn merge(&mut self, other: &LearnedSets, now: Time) {
        self.drop_ended(now);
        other.at(now).for_each(|element| self.learn(element, now));
    }

    /// The kernel's sets were read. In a set that allows, nothing else is known from now on; in one
    /// that denies, what the daemon has added stays known until it ends.
    pub fn were_read<'a>(
        &mut self,
        sets: impl IntoIterator<Item = &'a &'static SetSpec>,
        elements: impl IntoIterator<Item = Element>,
        now: Time,
    ) {
        for set in sets.into_iter().filter(|set| set.effect != Effect::Denies) {
            self.sets.remove(set);
        }
        self.drop_ended(now);
        elements.into_iter().for_each(|element| self.learn(element, now));
        self.read_at = Some(now);
    }

    /// What is known is no reading: it is from a file, or the clock was set back since it was read.
    pub fn forget_reading(&mut self) {
        self.read_at = None;
    }

    /// When the kernel's sets were last read; `None` if never, or if the clock was set back since.
    pub fn read_at(&self, now: Time) -> Option<Time> {
        self.read_at.filter(|read_at| *read_at <= now)
    }

    /// All elements that have not ended.
    pub fn at(&self, now: Time) -> impl Iterator<Item = Element> {
        self.sets.keys().flat_map(move |set| self.of(set, now))
    }

    /// The elements of a set that have not ended.
    pub fn of(&self, set: &'static SetSpec, now: Time) -> impl Iterator<Item = Element> {
        let elements = self.sets.get(set).into_iter().flatten();
        let elements = elements.filter(move |(_, until)| **until > now);
        elements.map(move |(key, until)| Element { set, key: *key, until: *until })
    }

    /// The elements of a set with an address that have not ended.
    pub fn of_address(
        &self,
        set: &'static SetSpec,
        address: IpAddr,
        now: Time,
    ) -> impl Iterator<Item = Element> {
        self.between(set, address, address, now)
    }

    /// The elements of a set with addresses in a range that have not ended.
    pub fn within(
        &self,
        set: &'static SetSpec,
        range: AddrRange,
        now: Time,
    ) -> impl Iterator<Item = Element> {
        self.between(set, range.first_address(), range.last_address(), now)
    }

    fn between(
        &self,
        set: &'static SetSpec,
        first: IpAddr,
        last: IpAddr,
        now: Time,
    ) -> impl Iterator<Item = Element> {
        let places = Key::first_of(first)..=Key::last_of(last);
        let elements = self.sets.get(set).into_iter().flat_map(move |it| it.range(places.clone()));
        let elements = elements.filter(move |(_, until)| **until > now);
        elements.map(move |(key, until)| Element { set, key: *key, until: *until })
    }

    /// How many elements of a set are known.
    pub fn count(&self, set: &'static SetSpec) -> usize {
        self.sets.get(set).map_or(0, BTreeMap::len)
    }

    /// When an element ends, if it has not ended.
    pub fn until(&self, set: &'static SetSpec, key: &Key, now: Time) -> Option<Time> {
        let until = self.sets.get(set).and_then(|elements| elements.get(key));
        until.copied().filter(|until| *until > now)
    }

    /// Forgets the elements for which `forgotten` is true.
    pub fn forget(&mut self, forgotten: impl Fn(&'static SetSpec, &Key) -> bool) {
        self.sets.retain(|set, elements| {
            elements.retain(|key, _| !forgotten(set, key));
            !elements.is_empty()
        });
    }

    /// Forgets what has ended.
    pub fn drop_ended(&mut self, now: Time) {
        self.sets.retain(|_, elements| {
            elements.retain(|_, until| *until > now);
            !elements.is_empty()
        });
    }

    /// Whether it is worth saving what is known now, if `saved` was saved before: an element came or
    /// went, or its end has moved by a quarter of its set's timeout, or of the time that it has left where
    /// elements have timeouts of their own.
    pub fn differs_from(&self, saved: &LearnedSets, now: Time) -> bool {
        let lasting = |sets: &LearnedSets| sets.at(now).filter(|it| it.set.saved.is_some()).count();
        let has_moved = |element: &Element| {
            saved.until(element.set, &element.key, now).is_none_or(|before| {
                let (before, after) = (before.min(element.until), before.max(element.until));
                let timeout = match element.set.filled {
                    Filled::ByDaemonRenewedByPackets | Filled::FromRecords => after.since(now),
                    Filled::ByPackets | Filled::ByDaemon => element.set.timeout,
                };
                after.since(before) >= quarter(timeout)
            })
        };
        let mut mine = self.at(now).filter(|it| it.set.saved.is_some());
        lasting(self) != lasting(saved) || mine.any(|element| has_moved(&element))
    }
}

fn quarter(timeout: Duration) -> Duration {
    timeout / 4
}

impl FromIterator<Element> for LearnedSets {
    fn from_iter<I: IntoIterator<Item = Element>>(elements: I) -> LearnedSets {
        let mut sets = LearnedSets::default();
        elements.into_iter().for_each(|element| {
            sets.put(element);
        });
        sets
    }
}
