//! Rows that wait to be written down, in their order, one for each record.

use std::collections::BTreeMap;

use crate::features::{Change, Id};

/// Changes, of which a later one of the same record replaces an earlier one. However many wait, one more costs
/// the same: a hanging disk meets thousands of bans.
#[derive(Debug, Default)]
pub(super) struct Rows {
    by_place: BTreeMap<u64, Change>,
    places: BTreeMap<Id, u64>,
    next: u64,
}

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    /// Adds a change behind all others.
    pub(super) fn put(&mut self, change: Change) {
        if let Some(before) = self.places.insert(change.id(), self.next) {
            self.by_place.remove(&before);
        }
        self.by_place.insert(self.next, change);
        self.next += 1;
    }

    /// Removes the change of a record.
    pub(super) fn remove(&mut self, record: &Id) {
        if let Some(place) = self.places.remove(record) {
            self.by_place.remove(&place);
        }
    }

    /// All of them, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Change> {
        self.by_place.values()
    }

    /// All of them, in their order.
    pub(super) fn into_changes(self) -> impl Iterator<Item = Change> {
        self.by_place.into_values()
    }
}
