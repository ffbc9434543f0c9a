//! What is kept over a restart, as records for the store: a key and a JSON value each.

use serde::Deserialize;
use serde_json::Value;

use super::pace::wait_after;
use super::{Entry, Outbox, Settings, State};
use crate::time::Time;

/// The key of what is kept besides the notices.
const STATE: &str = "state";

impl Outbox {
    /// The records that have changed since they were last [saved](Outbox::saved); `None` where one is to
    /// be removed.
    pub(in super::super) fn changes(&self) -> Vec<(String, Option<Value>)> {
        let unreadable = self.unreadable.iter().map(|key| (key.clone(), None));
        let entry = |id: &u64| (key_of(*id), self.entries.get(id).map(value_of));
        let state = self.state_unsaved.then(|| (STATE.to_owned(), Some(value_of(&self.state))));
        unreadable.chain(self.unsaved.iter().map(entry)).chain(state).collect()
    }

    /// Whether a record has changed since they were last saved.
    pub(in super::super) fn has_changes(&self) -> bool {
        self.state_unsaved || !self.unsaved.is_empty() || !self.unreadable.is_empty()
    }

    /// Whether a notice would be lost with the daemon, or delivered again. Not so where one is only
    /// counted.
    pub(in super::super) fn must_be_saved_now(&self) -> bool {
        self.save_now
    }

    /// All records are written down as they are.
    pub(in super::super) fn saved(&mut self) {
        self.unreadable.clear();
        self.unsaved.clear();
        self.state_unsaved = false;
        self.save_now = false;
    }

    /// What the store has, after a restart. A delivery that was being made is made again. What cannot be
    /// read is left out, and removed: a lost notice must not keep the firewall from starting.
    pub(in super::super) fn restore<'a>(
        settings: Settings,
        records: impl IntoIterator<Item = (&'a String, &'a Value)>,
        now: Time,
    ) -> Outbox {
        let mut outbox = Outbox { settings, ..Outbox::default() };
        for (key, value) in records {
            if !outbox.take(key, value) {
                outbox.unreadable.insert(key.clone());
            }
        }
        outbox.repair(now);
        outbox.bound_list();
        outbox.give_up(now);
        outbox.bound_queue(now);
        if !outbox.settings.delivers() {
            outbox.empty_queue();
        }
        outbox
    }

    /// Takes in a record, if it can be read.
    fn take(&mut self, key: &str, value: &Value) -> bool {
        if key == STATE {
            let state = State::deserialize(value);
            return state.map(|state| self.state = state).is_ok();
        }
        match Entry::deserialize(value) {
            Ok(entry) if key == key_of(entry.notice.id) => {
                self.entries.insert(entry.notice.id, entry);
                true
            }
            _ => false,
        }
    }

    /// Derives what is not kept, and brings moments that cannot be within reach: the clock may have
    /// been wrong before.
    fn repair(&mut self, now: Time) {
        for (id, entry) in &mut self.entries {
            self.state.last_id = self.state.last_id.max(*id);
            self.latest.insert(entry.notice.subject.clone(), *id);
            if let Some(tried) = &mut entry.pending {
                tried.since = tried.since.min(now);
                tried.next = tried.next.min(now.after(wait_after(tried.failed)));
            }
        }
        let state = &mut self.state;
        state.next_try = state.next_try.min(now.after(wait_after(state.failed)));
        state.lost.repair(now);
        state.bucket = state.bucket.bounded(self.settings.per_hour, now);
    }
}

fn key_of(id: u64) -> String {
    format!("notice-{id:020}")
}

/// Strings and numbers can always be written.
fn value_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
