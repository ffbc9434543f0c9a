//! Records that claim ranges of addresses, with the indexes that find them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::AddrRange;
use crate::range_map::RangeMap;
use crate::time::Time;
use crate::time::is_over;

/// A record that claims ranges of addresses.
pub trait Ranged {
    /// What identifies it.
    type Key: Clone + Ord + fmt::Debug;

    /// Its key.
    fn key(&self) -> Self::Key;
    /// The ranges that it claims.
    fn ranges(&self) -> impl Iterator<Item = AddrRange>;
    /// When it ends; `None` if never.
    fn until(&self) -> Option<Time>;
}

/// Records by key, by range and by end. They change one at a time, so the indexes always agree with
/// them.
#[derive(Clone, Debug)]
pub struct Records<R: Ranged> {
    all: BTreeMap<R::Key, R>,
    keys_by_range: RangeMap<R::Key>,
    keys_by_end: BTreeSet<(Time, R::Key)>,
}

impl<R: Ranged> Default for Records<R> {
    fn default() -> Records<R> {
        let (all, keys_by_range, keys_by_end) = Default::default();
        Records { all, keys_by_range, keys_by_end }
    }
}

/// The indexes follow from the records.
impl<R: Ranged + PartialEq> PartialEq for Records<R> {
    fn eq(&self, other: &Records<R>) -> bool {
        self.all == other.all
    }
}

/// Of several records with the same key, the last one stays. Built at once, the indexes need half the
/// memory of those that grew record by record.
impl<R: Ranged> FromIterator<R> for Records<R> {
    fn from_iter<I: IntoIterator<Item = R>>(records: I) -> Records<R> {
        let all: BTreeMap<R::Key, R> =
            records.into_iter().map(|record| (record.key(), record)).collect();
        let ranges = all
            .iter()
            .flat_map(|(key, record)| record.ranges().map(move |range| (range, key.clone())));
        let keys_by_range = ranges.collect();
        let ends = all.iter().filter_map(|(key, record)| Some((record.until()?, key.clone())));
        let keys_by_end = ends.collect();
        Records { all, keys_by_range, keys_by_end }
    }
}

/// The ranges of a record, sorted, each once.
fn sorted(record: &impl Ranged) -> Vec<AddrRange> {
    let mut ranges: Vec<AddrRange> = record.ranges().collect();
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

/// Those of sorted ranges that do not stand, exactly so, among others. Linear.
fn only_in<'a>(
    ranges: &'a [AddrRange],
    others: &'a [AddrRange],
) -> impl Iterator<Item = AddrRange> + 'a {
    let mut others = others.iter().peekable();
    ranges.iter().copied().filter(move |range| {
        while others.next_if(|other| *other < range).is_some() {}
        others.peek() != Some(&range)
    })
}

/// The ranges that exactly one of two records has.
pub(crate) fn differing<R: Ranged>(one: &R, other: &R) -> Vec<AddrRange> {
    let (one, other) = (sorted(one), sorted(other));
    only_in(&one, &other).chain(only_in(&other, &one)).collect()
}

impl<R: Ranged> Records<R> {
    /// Adds a record, and returns the one that it replaces. The indexes change only where the two
    /// differ.
    pub fn put(&mut self, record: R) -> Option<R> {
        let key = record.key();
        let (until, ranges) = (record.until(), sorted(&record));
        let before = self.all.insert(key.clone(), record);
        let ranges_before = before.as_ref().map_or_else(Vec::new, sorted);
        for range in only_in(&ranges_before, &ranges) {
            self.keys_by_range.remove(range, key.clone());
        }
        for range in only_in(&ranges, &ranges_before) {
            self.keys_by_range.insert(range, key.clone());
        }
        if let Some(until) = before.as_ref().and_then(R::until) {
            self.keys_by_end.remove(&(until, key.clone()));
        }
        self.keys_by_end.extend(until.map(|until| (until, key)));
        before
    }

    /// Removes a record, and returns it.
    pub fn remove(&mut self, key: &R::Key) -> Option<R> {
        let record = self.all.remove(key)?;
        for range in record.ranges() {
            self.keys_by_range.remove(range, key.clone());
        }
        if let Some(until) = record.until() {
            self.keys_by_end.remove(&(until, key.clone()));
        }
        Some(record)
    }

    /// The record with a key.
    pub fn get(&self, key: &R::Key) -> Option<&R> {
        self.all.get(key)
    }

    /// Whether there is a record with a key.
    pub fn contains_key(&self, key: &R::Key) -> bool {
        self.all.contains_key(key)
    }

    /// All records, by key.
    pub fn values(&self) -> impl Iterator<Item = &R> {
        self.all.values()
    }

    /// All keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &R::Key> {
        self.all.keys()
    }

    /// All keys and records, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&R::Key, &R)> {
        self.all.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The records that claim a range overlapping this one, each with that range, in no particular
    /// order. A record with several such ranges comes several times. `O(log n + found)`.
    pub fn over(&self, range: AddrRange) -> impl Iterator<Item = (AddrRange, &R)> {
        let found = self.keys_by_range.overlapping(range);
        found.filter_map(|(range, key)| Some((range, self.all.get(key)?)))
    }

    /// The records that claim an address.
    pub fn at(&self, address: IpAddr) -> impl Iterator<Item = &R> {
        self.over(AddrRange::from(address.to_canonical())).map(|(_, record)| record)
    }

    /// The earliest end of a record.
    pub fn next_end(&self) -> Option<Time> {
        self.keys_by_end.first().map(|(until, _)| *until)
    }

    /// The records that have ended at `now`, the earliest end first.
    pub fn ended(&self, now: Time) -> impl Iterator<Item = &R> {
        let ended =
            self.keys_by_end.iter().take_while(move |(until, _)| is_over(Some(*until), now));
        ended.filter_map(|(_, key)| self.all.get(key))
    }
}
