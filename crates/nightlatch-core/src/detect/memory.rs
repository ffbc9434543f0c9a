//! All sources that are remembered, in bounds.
//!
//! Where there is no room, a source is forgotten in a named order ([`Worth`]): of the least worth that has
//! more than its share, the one that was seen least recently. So a flood of forged sources pushes out
//! others like them, and nobody else; and who attacked or logs in is remembered. Each step costs the same
//! however many sources there are.

use std::collections::HashMap;

use super::hash::Seed;
use super::key::Key;
use super::limits::ONE_SHARE;
use super::source::{Source, counts};
use super::tries::{CERTAIN, ONE, Try, apart};
use crate::attack::Weight;

/// The end of a list.
const NONE: u32 = u32::MAX;
/// How many bytes each source may hold beside its place, on average.
const HEAP_EACH: usize = 320;
/// How many sources are forgotten because of their age at a time.
const MAX_BATCH: usize = 1000;

/// What it is worth to remember a source: the least is forgotten first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// Only lines that somebody else can have forged.
    Claimed,
    /// It failed.
    Failed,
    /// Somebody logs in from there.
    Welcome,
    /// It failed half as often as is allowed, or more.
    Near,
    /// It attacked, and nobody else can have forged that.
    Attacked,
}

const WORTHS: [Worth; 5] =
    [Worth::Claimed, Worth::Failed, Worth::Welcome, Worth::Near, Worth::Attacked];

impl Worth {
    fn of(source: &Source, quick_score: u32) -> Worth {
        let score: u32 =
            source.tries.iter().filter(|t| counts(t, Weight::Brief)).map(Try::score).sum();
        let proven = source.tries.iter().any(|t| t.is(CERTAIN));
        match () {
            () if proven && source.attacked != i64::MIN => Worth::Attacked,
            () if proven && score * 2 >= quick_score && score > ONE => Worth::Near,
            () if source.good.is_some() => Worth::Welcome,
            () if proven => Worth::Failed,
            () => Worth::Claimed,
        }
    }
}

/// A place for a source.
#[derive(Debug)]
struct Slot {
    key: Key,
    source: Source,
    /// Its neighbours in the list of its worth; of free places, the next free one.
    newer: u32,
    older: u32,
    heap: u32,
    worth: Worth,
    in_use: bool,
    /// Whether it must be written to disk (also of a free place: whether it is in that queue), and whether
    /// a row of it is there.
    is_dirty: bool,
    is_stored: bool,
}

/// The sources of one worth, from the newest to the oldest.
#[derive(Clone, Copy, Debug)]
struct List {
    newest: u32,
    oldest: u32,
    length: usize,
}

/// All sources that are remembered.
#[derive(Debug)]
pub(super) struct Memory {
    index: HashMap<Key, u32, Seed>,
    slots: Vec<Slot>,
    free: u32,
    lists: [List; 5],
    heap: usize,
    most: usize,
    quick_score: u32,
    dirty: Vec<u32>,
    removed: Vec<Key>,
}

impl Memory {
    pub(super) fn new(seed: Seed) -> Memory {
        Memory {
            index: HashMap::with_hasher(seed),
            slots: Vec::new(),
            free: NONE,
            lists: [List { newest: NONE, oldest: NONE, length: 0 }; 5],
            heap: 0,
            most: 0,
            quick_score: 0,
            dirty: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// So many sources at most; so much is an attack.
    pub(super) fn configure(&mut self, most: usize, quick_score: u32) {
        (self.most, self.quick_score) = (most, quick_score);
        while self.len() > self.most && self.evict(NONE) {}
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The bytes that all sources need, as far as they can be counted.
    pub(super) fn bytes(&self) -> usize {
        let each = size_of::<(Key, u32)>() + 1;
        self.heap + self.slots.capacity() * size_of::<Slot>() + self.index.capacity() * each * 8 / 7
    }

    /// The place of a source, made where it is not known.
    pub(super) fn place(&mut self, key: Key) -> u32 {
        if let Some(place) = self.index.get(&key) {
            return *place;
        }
        if self.len() >= self.most {
            self.evict(NONE);
        }
        let place = self.vacant(key);
        self.index.insert(key, place);
        self.push(place, Worth::Claimed);
        place
    }

    pub(super) fn find(&self, key: Key) -> Option<u32> {
        self.index.get(&key).copied()
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Source> {
        self.slot_mut(place).map(|slot| &mut slot.source)
    }

    /// Takes in that a source was seen; `is_news` says whether that must be written to disk.
    pub(super) fn touch(&mut self, place: u32, at: i64, is_news: bool) {
        let quick_score = self.quick_score;
        let Some(slot) = self.slot_mut(place) else { return };
        slot.source.seen = at;
        let worth = if is_news { Worth::of(&slot.source, quick_score) } else { slot.worth };
        let heap = slot.source.heap();
        let before = std::mem::replace(&mut slot.heap, u32::try_from(heap).unwrap_or(u32::MAX));
        self.heap = self.heap.saturating_add(heap).saturating_sub(before as usize);
        self.unlink(place);
        self.push(place, worth);
        if is_news {
            self.soil(place);
        }
        while self.heap > self.most * HEAP_EACH && self.evict(place) {}
    }

    /// Forgets what was not seen for so long.
    pub(super) fn expire(&mut self, now: i64, memory: i64) {
        let mut rest = MAX_BATCH;
        for worth in WORTHS {
            while rest > 0 {
                let oldest = self.list(worth).oldest;
                let is_old = |slot: &Slot| apart(now, slot.source.seen) > memory;
                if !self.slot(oldest).is_some_and(is_old) {
                    break;
                }
                self.remove(oldest);
                rest -= 1;
            }
        }
    }

    /// Forgets the source that is worth least, but not the one at `except`.
    fn evict(&mut self, except: u32) -> bool {
        let share = self.most / ONE_SHARE;
        let mut victim = NONE;
        for worth in WORTHS {
            let list = *self.list(worth);
            let oldest = match list.oldest {
                oldest if oldest == except => self.slot(oldest).map_or(NONE, |slot| slot.newer),
                oldest => oldest,
            };
            if oldest == NONE {
                continue;
            }
            if victim == NONE || list.length > share {
                victim = oldest;
            }
            if list.length > share {
                break;
            }
        }
        self.remove(victim)
    }

    fn remove(&mut self, place: u32) -> bool {
        self.unlink(place);
        let free = self.free;
        let Some(slot) = self.slot_mut(place) else { return false };
        let (key, heap, is_stored, is_dirty) = (slot.key, slot.heap, slot.is_stored, slot.is_dirty);
        *slot = Slot { older: free, in_use: false, is_dirty, ..Slot::new(key) };
        self.free = place;
        self.heap = self.heap.saturating_sub(heap as usize);
        self.index.remove(&key);
        if is_stored {
            self.removed.push(key);
        }
        true
    }

    /// A free place, or a new one. Room grows by an eighth, so that memory stays in bounds.
    fn vacant(&mut self, key: Key) -> u32 {
        let place = self.free;
        if let Some(slot) = self.slots.get_mut(place as usize) {
            self.free = slot.older;
            *slot = Slot { is_dirty: slot.is_dirty, ..Slot::new(key) };
            return place;
        }
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(self.slots.len() / 8 + 64);
        }
        self.slots.push(Slot::new(key));
        u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
    }

    fn push(&mut self, place: u32, worth: Worth) {
        let newest = self.list(worth).newest;
        let Some(slot) = self.slot_mut(place) else { return };
        (slot.newer, slot.older, slot.worth) = (NONE, newest, worth);
        if let Some(next) = self.slot_mut(newest) {
            next.newer = place;
        }
        let list = self.list_mut(worth);
        list.newest = place;
        list.length += 1;
        if list.oldest == NONE {
            list.oldest = place;
        }
    }

    fn unlink(&mut self, place: u32) {
        let Some(slot) = self.slot(place) else { return };
        let (newer, older, worth) = (slot.newer, slot.older, slot.worth);
        match self.slot_mut(newer) {
            Some(next) => next.older = older,
            None => self.list_mut(worth).newest = older,
        }
        match self.slot_mut(older) {
            Some(next) => next.newer = newer,
            None => self.list_mut(worth).oldest = newer,
        }
        let list = self.list_mut(worth);
        list.length = list.length.saturating_sub(1);
    }

    fn slot(&self, place: u32) -> Option<&Slot> {
        self.slots.get(place as usize).filter(|slot| slot.in_use)
    }

    fn slot_mut(&mut self, place: u32) -> Option<&mut Slot> {
        self.slots.get_mut(place as usize).filter(|slot| slot.in_use)
    }

    #[expect(clippy::indexing_slicing, reason = "there is a list for each worth")]
    fn list(&self, worth: Worth) -> &List {
        &self.lists[worth as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "there is a list for each worth")]
    fn list_mut(&mut self, worth: Worth) -> &mut List {
        &mut self.lists[worth as usize]
    }

    fn soil(&mut self, place: u32) {
        if let Some(slot) = self.slot_mut(place)
            && !std::mem::replace(&mut slot.is_dirty, true)
        {
            self.dirty.push(place);
        }
    }

    /// Gives each source that has changed, and the keys of those that are gone. From then on they are
    /// regarded as stored.
    pub(super) fn drain(&mut self, mut changed: impl FnMut(Key, &Source)) -> Vec<Key> {
        for place in std::mem::take(&mut self.dirty) {
            let Some(slot) = self.slots.get_mut(place as usize) else { continue };
            if std::mem::take(&mut slot.is_dirty) && slot.in_use {
                slot.is_stored = true;
                changed(slot.key, &slot.source);
            }
        }
        let mut removed = std::mem::take(&mut self.removed);
        removed.retain(|key| {
            !self.find(*key).and_then(|place| self.slot(place)).is_some_and(|slot| slot.is_stored)
        });
        removed
    }

    /// Regards nothing as stored.
    pub(super) fn forget_stored(&mut self) {
        self.removed.clear();
        self.slots.iter_mut().for_each(|slot| slot.is_dirty = false);
        let in_use = self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.in_use);
        self.dirty = in_use
            .map(|(place, slot)| {
                (slot.is_dirty, slot.is_stored) = (true, false);
                u32::try_from(place).unwrap_or(NONE)
            })
            .collect();
    }

    /// Takes a source in that was stored.
    pub(super) fn restore(&mut self, key: Key, source: Source) {
        let place = self.place(key);
        let seen = source.seen;
        let worth = Worth::of(&source, self.quick_score);
        let Some(slot) = self.slot_mut(place) else { return };
        (slot.source, slot.is_stored) = (source, true);
        self.touch(place, seen, false);
        self.unlink(place);
        self.push(place, worth);
    }
}

impl Slot {
    fn new(key: Key) -> Slot {
        Slot {
            key,
            source: Source::default(),
            newer: NONE,
            older: NONE,
            heap: 0,
            worth: Worth::Claimed,
            in_use: true,
            is_dirty: false,
            is_stored: false,
        }
    }
}

#[cfg(test)]
impl Memory {
    /// Checks that lists, index and sums agree.
    pub(super) fn check(&self) {
        let (mut listed, mut heap) = (0, 0);
        for worth in WORTHS {
            let list = self.list(worth);
            let (mut place, mut newer, mut length) = (list.newest, NONE, 0);
            while let Some(slot) = self.slot(place) {
                assert_eq!((slot.newer, slot.worth), (newer, worth));
                assert_eq!(self.index.get(&slot.key), Some(&place));
                assert_eq!(slot.heap as usize, slot.source.heap());
                heap += slot.source.heap();
                (newer, place, length) = (place, slot.older, length + 1);
            }
            assert_eq!((list.oldest, list.length), (newer, length));
            listed += length;
        }
        assert_eq!((listed, self.heap), (self.index.len(), heap));
    }
}
