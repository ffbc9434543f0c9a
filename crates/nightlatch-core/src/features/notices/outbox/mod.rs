//! The outbox: what is listed, and what of it is to be delivered.
//!
//! Equal reports within a period are one [`Notice`] with a count. [`Outbox`] keeps the last notices for
//! `status`, and proposes deliveries to one command of the configuration: one at a time, again after a
//! failure, and never more than so many an hour. It decides only; the program runs the command
//! ([`Outbox::due`], [`Outbox::began`], [`Outbox::delivered`]).
//!
//! Notices that could not be delivered become one about their number. A notice is delivered at least
//! once over a restart, and exactly once otherwise.

mod config;
mod delivery;
mod notice;
mod pace;
mod records;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::heard::Heard;
use crate::time::Time;
use delivery::Lost;

pub use config::Settings;
pub use delivery::Delivery;
pub use notice::{Notice, Severity, Subject};
pub use text::{MAX_TEXT, visible};

/// The most notices in the list.
const MAX_LISTED: usize = 200;
/// The most notices that wait to be delivered.
const MAX_PENDING: usize = 100;

/// All notices, and what of them is to be delivered.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    settings: Settings,
    /// Those in the list, and those that wait to be delivered.
    entries: BTreeMap<u64, Entry>,
    /// The last notice about each subject.
    latest: BTreeMap<Subject, u64>,
    state: State,
    /// The delivery that is being made. It is not kept over a restart.
    running: Option<Delivery>,
    /// The records of the store that cannot be read, and are to be removed.
    unreadable: BTreeSet<String>,
    /// The entries that the store does not have as they are.
    unsaved: BTreeSet<u64>,
    state_unsaved: bool,
    /// Whether the store lacks a notice that is to be delivered, or has one that is delivered.
    save_now: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    notice: Notice,
    /// Whether it is still in the list.
    listed: bool,
    /// If it is to be delivered.
    pending: Option<Attempts>,
}

/// What was tried already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Attempts {
    /// When the notice began to wait.
    since: Time,
    /// How often it failed.
    failed: u32,
    /// When to try next.
    next: Time,
}

/// What is kept besides the notices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// The number of the last notice.
    last_id: u64,
    /// Those that were not delivered, until that is told.
    lost: Lost,
    /// How often the command failed in a row.
    failed: u32,
    /// Not before this moment is it run again.
    next_try: Time,
    /// Why it failed last, visible, until it succeeds.
    last_error: Option<String>,
    /// The number of the last delivery.
    last_delivery: u64,
    bucket: pace::Bucket,
}

impl Outbox {
    /// Takes over the table of the configuration. If its command is another one, see
    /// [`Outbox::command_changed`].
    pub(super) fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The table of the configuration.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes note of what is heard. It becomes a notice, or one more of the last notice about the same,
    /// unless that is older than a period, or less severe. Returns the notice if it is a new one.
    pub(super) fn heard(&mut self, heard: &Heard) -> Option<Notice> {
        self.give_up(heard.at);
        let severity = Severity::from(heard.level);
        let last = self.latest.get(&Subject::of(heard)).and_then(|id| self.entries.get_mut(id));
        if let Some(Entry { notice, .. }) = last
            && heard.at.since(notice.first) < self.settings.period
            && severity <= notice.severity
        {
            notice.add(heard);
            self.unsaved.insert(notice.id);
            return None;
        }
        let notice = Notice::new(self.next_id(), heard);
        let is_wanted = self.settings.delivers() && self.settings.severity <= severity;
        let pending = is_wanted.then_some(Attempts::new(heard.at));
        self.save_now |= is_wanted;
        self.insert(Entry { notice: notice.clone(), listed: true, pending });
        self.bound_list();
        self.bound_queue(heard.at);
        Some(notice)
    }

    /// All notices in the list, the latest first.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Notice> {
        self.entries.values().rev().filter(|entry| entry.listed).map(|entry| &entry.notice)
    }

    /// How many notices wait to be delivered.
    pub(super) fn waiting(&self) -> usize {
        self.pending().count()
    }

    fn next_id(&mut self) -> u64 {
        self.state_unsaved = true;
        self.state.last_id = self.state.last_id.saturating_add(1);
        self.state.last_id
    }

    fn insert(&mut self, entry: Entry) {
        let id = entry.notice.id;
        self.latest.insert(entry.notice.subject.clone(), id);
        self.unsaved.insert(id);
        self.entries.insert(id, entry);
    }

    /// Drops the oldest of the least severity while there are too many in the list.
    fn bound_list(&mut self) {
        while self.recent().count() > MAX_LISTED {
            let oldest = self.recent().map(|notice| (notice.severity, notice.id)).min();
            let Some(entry) = oldest.and_then(|(_, id)| self.entries.get_mut(&id)) else {
                return;
            };
            entry.listed = false;
            let id = entry.notice.id;
            self.forget_if_done(id);
        }
    }

    /// Removes an entry that is neither in the list nor to be delivered.
    fn forget_if_done(&mut self, id: u64) {
        self.unsaved.insert(id);
        let is_done =
            self.entries.get(&id).is_some_and(|entry| !entry.listed && entry.pending.is_none());
        if !is_done {
            return;
        }
        if let Some(entry) = self.entries.remove(&id)
            && self.latest.get(&entry.notice.subject) == Some(&id)
        {
            self.latest.remove(&entry.notice.subject);
        }
    }
}

impl State {
    /// The command works, as far as is known.
    fn works_from(&mut self, now: Time) {
        (self.failed, self.next_try, self.last_error) = (0, now, None);
    }
}

impl Attempts {
    fn new(at: Time) -> Attempts {
        Attempts { since: at, failed: 0, next: at }
    }

    /// Notes a failure, and when to try again.
    fn fail(&mut self, now: Time) {
        self.failed = self.failed.saturating_add(1);
        self.next = now.after(pace::wait_after(self.failed));
    }
}
