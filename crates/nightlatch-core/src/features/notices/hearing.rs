//! From what is heard to the list, to the store and to the command.

use std::time::Duration;

use super::outbox::Outbox;
use super::{Event, Job, Notices, Reply};
use crate::audit::Occurrence;
use crate::features::Plan;
use crate::heard::Heard;
use crate::time::Time;

/// How long changed records wait to be written down together: somebody may flush the table ten times a
/// second, which is counted. What is to be delivered is written down at once, and that it is.
const SAVE_AFTER: Duration = Duration::from_secs(5);
/// The most that waits to be written into the audit log.
const MAX_UNLOGGED: usize = 100;
/// How long a notice is shown by `status`.
const SHOWN_FOR: Duration = Duration::from_secs(86_400);
/// The most that `status` shows.
pub(super) const MAX_SHOWN: usize = 20;

impl Notices {
    /// Takes note of what is heard. A new notice is written into the audit log, unless that has a record
    /// of it already.
    pub(super) fn take(&mut self, heard: &Heard) {
        let Some(notice) = self.outbox.heard(heard) else { return };
        if !heard.topic.is_in_log && self.unlogged.len() < MAX_UNLOGGED {
            let after = (&notice.message, &notice.fields);
            self.unlogged.push(Occurrence::new("notice", notice.subject.kind, &(), &after));
        }
    }

    /// What the store had.
    pub(super) fn load_outbox(&mut self, now: Time) {
        let settings = self.outbox.settings().clone();
        self.outbox = Outbox::restore(settings, &self.saved, now);
    }

    /// When something is to be written down.
    pub(super) fn next_save(&self) -> Option<Time> {
        let has_news = self.outbox.has_changes() || !self.unlogged.is_empty();
        let next = self.saved_at.filter(|_| !self.outbox.must_be_saved_now());
        let next = next.map(|at| at.after(SAVE_AFTER)).unwrap_or_default();
        has_news.then_some(next)
    }

    /// Writes down what has changed.
    pub(super) fn save(&self) -> Plan<Notices> {
        let mut plan = Plan::default();
        for (key, record) in self.outbox.changes() {
            match record {
                Some(record) => plan.put(key, record, None),
                None => plan.remove(key, None),
            }
        }
        plan.occurrences.clone_from(&self.unlogged);
        plan.at_once.push(Event::Saved);
        plan.effects.must_happen = true;
        plan
    }

    /// Begins what is to be delivered.
    pub(super) fn deliver(&self, now: Time) -> Plan<Notices> {
        let delivery = self.outbox.due(now).map(Box::new);
        let settings = self.outbox.settings().clone();
        let job = delivery.clone().map(|delivery| Job::Deliver { delivery, settings });
        let jobs = job.into_iter().collect();
        Plan { at_once: vec![Event::Begins(delivery)], jobs, ..Plan::default() }
    }

    /// What `status` shows.
    pub(super) fn shown(&self, now: Time) -> Reply {
        let recent = self.outbox.recent().filter(|notice| now.since(notice.last) <= SHOWN_FOR);
        Reply::Report {
            recent: recent.take(MAX_SHOWN).cloned().collect(),
            waiting: self.outbox.waiting(),
            lost: self.outbox.lost().count,
            failing: self.outbox.failing().map(|(times, why)| (times, why.to_owned())),
        }
    }
}
