//! What is delivered when: one notice, or several as a summary.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text::{MAX_TEXT, sentence, visible};
use super::{Attempts, Entry, MAX_PENDING, Notice, Outbox, Severity, Subject, pace};
use crate::time::Time;

/// The feature whose name notices about notices bear.
const OWN: &str = "notices";
/// The kind of the notice that notices could not be delivered. Like all names of kinds it does not change,
/// because commands of administrators read it.
const NOT_DELIVERED: &str = "not-delivered";
/// The kind of the one that is delivered in place of several.
const SUMMARY: &str = "summary";
/// How long a notice may wait to be delivered.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// The most kinds that a summary counts each by itself.
const MAX_KINDS: usize = 12;
/// The most messages that a summary quotes.
const MAX_MESSAGES: usize = 3;

/// A delivery to be made: the command gets its [`body`](Delivery::body).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub id: u64,
    /// What is told.
    pub notice: Notice,
    /// The notices that are delivered by it.
    pub(super) covers: Vec<u64>,
    /// How many undelivered notices it tells of.
    pub(super) lost: u64,
}

/// Notices that were not delivered, and of which nobody was told yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Lost {
    /// How many.
    pub count: u64,
    /// When the first of them was lost.
    pub first: Time,
    /// When the last of them was lost.
    pub last: Time,
    attempts: Attempts,
}

impl Lost {
    /// Brings the next attempt within reach.
    pub(super) fn repair(&mut self, now: Time) {
        self.attempts.next =
            self.attempts.next.min(now.after(pace::wait_after(self.attempts.failed)));
    }
}

/// The document that the command reads. Its fields stay as they are; there may be more some day.
#[derive(Serialize)]
struct Body<'a> {
    product: &'static str,
    host: &'a str,
    at: Time,
    feature: &'a str,
    kind: &'a str,
    severity: Severity,
    count: u64,
    first: Time,
    last: Time,
    message: &'a str,
    fields: &'a BTreeMap<String, String>,
}

impl Delivery {
    /// What the command reads: one JSON object on one line, in ASCII except for letters of texts.
    ///
    /// | field | |
    /// |---|---|
    /// | `product` | `"nightlatch"` |
    /// | `host` | the name of this server |
    /// | `at` | when this was written. All times are milliseconds since 1970, UTC |
    /// | `feature`, `kind` | what it is about, e.g. `"feeds"`, `"feed-stale"` |
    /// | `severity` | `"error"`, `"warning"` or `"info"` |
    /// | `count` | how often it happened; in a summary, how many notices it is made of |
    /// | `first`, `last` | when it happened first and last |
    /// | `message` | a sentence for people. It may contain an attacker's texts too |
    /// | `fields` | texts, each at most 200 characters. They may be an attacker's: treat them as text |
    ///
    /// No string contains a control character or an invisible one: those are replaced by escapes, e.g.
    /// `\n`, `\u{202e}` (in JSON with one more backslash), and a backslash in a field is doubled.
    pub fn body(&self, host: &str, at: Time) -> String {
        let Notice { subject, severity, count, first, last, message, fields, .. } = &self.notice;
        let host = visible(host, MAX_TEXT);
        let body = Body {
            product: "nightlatch",
            host: &host,
            at,
            feature: &subject.feature,
            kind: &subject.kind,
            severity: *severity,
            count: *count,
            first: *first,
            last: *last,
            message,
            fields,
        };
        // Strings and numbers can always be written.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

impl Outbox {
    /// The delivery to begin now, if any. Begin it, then say so with [`Outbox::began`]. What is too old
    /// is left out.
    ///
    /// The most severe notice comes first, and one that failed comes after those that did not. If more
    /// wait than may be delivered now, errors that did not fail yet go on their own as long as another
    /// run is left after them, and then all become one summary.
    pub(in super::super) fn due(&self, now: Time) -> Option<Delivery> {
        let tokens = self.state.bucket.tokens(self.settings.per_hour, now);
        let is_held = self.running.is_some() || now < self.state.next_try;
        if is_held || tokens == 0 || !self.settings.delivers() {
            return None;
        }
        let ready: Vec<&Entry> = self
            .pending()
            .filter(|(_, _, tried)| tried.next <= now && !is_too_old(tried, now))
            .map(|(_, entry, _)| entry)
            .collect();
        let lost = self.state.lost;
        let is_lost_ready = lost.count > 0 && lost.attempts.next <= now;
        let waiting = ready.len() + usize::from(is_lost_ready);
        let first = ready.iter().copied().min_by_key(|entry| turn(entry));
        let fits = usize::try_from(tokens).is_ok_and(|tokens| waiting <= tokens);
        let is_urgent = first.is_some_and(is_urgent) && tokens > 1;
        if waiting == 0 {
            None
        } else if !fits && !is_urgent {
            Some(self.summary(&ready, is_lost_ready, now))
        } else {
            let fresh =
                first.filter(|entry| turn(entry).0 <= lost.attempts.failed || !is_lost_ready);
            Some(fresh.map_or_else(|| self.of_lost(), |entry| self.of_one(&entry.notice)))
        }
    }

    /// When to ask again: at this moment [`Outbox::due`] has a delivery, or [`Outbox::give_up`] has
    /// something to do. `None` while a delivery runs, and if nothing waits.
    pub(in super::super) fn next_due(&self) -> Option<Time> {
        if self.running.is_some() || !self.settings.delivers() {
            return None;
        }
        let lost = self.state.lost;
        let lost = (lost.count > 0).then_some(lost.attempts.next);
        let next = self.pending().map(|(_, _, tried)| tried.next).chain(lost).min()?;
        let possible = self.state.next_try.max(self.state.bucket.next(self.settings.per_hour));
        let too_old = self.pending().map(|(_, _, tried)| tried.since.after(GIVE_UP_AFTER));
        too_old.chain([next.max(possible)]).min()
    }

    /// A delivery has begun.
    pub(in super::super) fn began(&mut self, delivery: Delivery, now: Time) {
        self.state.bucket.take(self.settings.per_hour, now);
        self.state.last_delivery = self.state.last_delivery.max(delivery.id);
        self.state_unsaved = true;
        self.running = Some(delivery);
    }

    /// A delivery has ended, well or with an error. Unknown numbers are ignored.
    pub(in super::super) fn delivered(&mut self, id: u64, result: Result<(), &str>, now: Time) {
        let Some(delivery) = self.running.take_if(|running| running.id == id) else {
            return;
        };
        (self.state_unsaved, self.save_now) = (true, true);
        match result {
            Ok(()) => {
                delivery.covers.iter().for_each(|id| self.take_from_queue(*id));
                self.state.lost.count = self.state.lost.count.saturating_sub(delivery.lost);
                self.state.lost.attempts = Attempts::new(now);
                self.state.works_from(now);
                if self.state.lost.count > 0 {
                    self.list_lost();
                }
            }
            Err(reason) => {
                self.state.failed = self.state.failed.saturating_add(1);
                self.state.next_try = now.after(pace::wait_after(self.state.failed));
                // What it quotes is visible already, and is not escaped again.
                self.state.last_error = Some(sentence(reason, MAX_TEXT));
                if delivery.lost > 0 {
                    self.state.lost.attempts.fail(now);
                }
                for id in delivery.covers {
                    if let Some(tried) =
                        self.entries.get_mut(&id).and_then(|entry| entry.pending.as_mut())
                    {
                        tried.fail(now);
                        self.unsaved.insert(id);
                    }
                }
            }
        }
        self.give_up(now);
        self.bound_queue(now);
    }

    /// How often in a row the command failed, and why it failed last; `None` if it works.
    pub(in super::super) fn failing(&self) -> Option<(u32, &str)> {
        let error = self.state.last_error.as_deref().filter(|_| self.settings.delivers());
        error.map(|reason| (self.state.failed, reason))
    }

    /// The notices that were not delivered, and of which nobody was told yet.
    pub(in super::super) fn lost(&self) -> Lost {
        self.state.lost
    }

    /// Another command is run from now on, or none. What waits goes to that one at once; where there is
    /// none, nothing waits.
    pub(in super::super) fn command_changed(&mut self, now: Time) {
        self.state.works_from(now);
        self.state_unsaved = true;
        if !self.settings.delivers() {
            self.empty_queue();
            return;
        }
        self.state.lost.attempts = Attempts::new(now);
        for (id, entry) in &mut self.entries {
            if let Some(tried) = &mut entry.pending {
                (tried.failed, tried.next) = (0, now);
                self.unsaved.insert(*id);
            }
        }
    }

    /// Nothing waits to be delivered from now on.
    pub(super) fn empty_queue(&mut self) {
        let pending: Vec<u64> = self.pending().map(|(id, ..)| id).collect();
        pending.into_iter().for_each(|id| self.take_from_queue(id));
        self.state_unsaved |= self.state.lost != Lost::default();
        self.state.lost = Lost::default();
    }

    /// Gives up what waited for a day. It is counted as lost.
    pub(in super::super) fn give_up(&mut self, now: Time) {
        let old: Vec<u64> = self
            .pending()
            .filter(|(id, _, tried)| is_too_old(tried, now) && !self.is_running(*id))
            .map(|(id, ..)| id)
            .collect();
        old.into_iter().for_each(|id| self.lose(id, now));
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = (u64, &Entry, &Attempts)> {
        let all = self.entries.iter();
        all.filter_map(|(id, entry)| Some((*id, entry, entry.pending.as_ref()?)))
    }

    /// Loses the oldest of the least severity while too many wait.
    pub(super) fn bound_queue(&mut self, now: Time) {
        while self.pending().count() > MAX_PENDING {
            let waiting = self.pending().filter(|(id, ..)| !self.is_running(*id));
            let least = waiting.map(|(id, entry, _)| (entry.notice.severity, id)).min();
            let Some((_, id)) = least else { return };
            self.lose(id, now);
        }
    }

    pub(super) fn take_from_queue(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.pending = None;
            self.forget_if_done(id);
        }
    }

    fn is_running(&self, id: u64) -> bool {
        self.running.as_ref().is_some_and(|running| running.covers.contains(&id))
    }

    fn lose(&mut self, id: u64, now: Time) {
        self.take_from_queue(id);
        let lost = &mut self.state.lost;
        if lost.count == 0 {
            (lost.first, lost.attempts) = (now, Attempts::new(now));
        }
        lost.count = lost.count.saturating_add(1);
        lost.last = now;
        self.state_unsaved = true;
        self.list_lost();
    }

    /// Makes the list say what is lost.
    fn list_lost(&mut self) {
        let Delivery { notice: lost, .. } = self.of_lost();
        let listed = self.latest.get(&lost.subject).and_then(|id| self.entries.get_mut(id));
        // What was lost before, and told, is another notice.
        if let Some(Entry { notice, .. }) = listed
            && notice.first == lost.first
        {
            *notice = Notice { id: notice.id, ..lost };
            self.unsaved.insert(notice.id);
            return;
        }
        let notice = Notice { id: self.next_id(), ..lost };
        self.insert(Entry { notice, listed: true, pending: None });
        self.bound_list();
    }

    fn of_one(&self, notice: &Notice) -> Delivery {
        let id = self.state.last_delivery.saturating_add(1);
        Delivery { id, notice: notice.clone(), covers: vec![notice.id], lost: 0 }
    }

    fn of_lost(&self) -> Delivery {
        let lost = self.state.lost;
        let message =
            format!("{} not delivered", counted(lost.count, "notice was", "notices were"));
        let fields = self.state.last_error.iter().map(|why| ("last-error".to_owned(), why.clone()));
        let notice = Notice {
            message,
            fields: fields.collect(),
            ..bare(NOT_DELIVERED, Severity::Warning, lost.count, (lost.first, lost.last))
        };
        let id = self.state.last_delivery.saturating_add(1);
        Delivery { id, notice, covers: Vec::new(), lost: lost.count }
    }

    /// All that wait, as one.
    fn summary(&self, ready: &[&Entry], with_lost: bool, now: Time) -> Delivery {
        let lost = if with_lost { self.state.lost.count } else { 0 };
        let notices = || ready.iter().map(|entry| &entry.notice);
        let severity = notices().map(|notice| notice.severity).max().unwrap_or(Severity::Warning);
        let first = notices().map(|notice| notice.first).min().unwrap_or(self.state.lost.first);
        let last = notices().map(|notice| notice.last).max().unwrap_or(now);
        let count = u64::try_from(ready.len()).unwrap_or(u64::MAX);
        let kinds = by_kind(notices());
        let mut message =
            format!("{}, too many to deliver one by one: ", counted(count, "notice", "notices"));
        message += &kinds
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect::<Vec<_>>()
            .join(", ");
        let mut fields: BTreeMap<String, String> =
            kinds.into_iter().map(|(kind, count)| (kind, count.to_string())).collect();
        if lost > 0 {
            message += &format!("; {} not delivered", counted(lost, "more was", "more were"));
            fields.insert(NOT_DELIVERED.to_owned(), lost.to_string());
        }
        let mut worst: Vec<&Notice> = notices().collect();
        worst.sort_by_key(|notice| (Reverse(notice.severity), notice.id));
        for (number, notice) in worst.into_iter().take(MAX_MESSAGES).enumerate() {
            let quote = sentence(&notice.message, MAX_TEXT);
            fields.insert(format!("message-{}", number + 1), quote);
        }
        let notice = Notice { message, fields, ..bare(SUMMARY, severity, count, (first, last)) };
        let covers = ready.iter().map(|entry| entry.notice.id).collect();
        Delivery { id: self.state.last_delivery.saturating_add(1), notice, covers, lost }
    }
}

/// How many notices there are of each feature and kind; the rarest together as `others`.
fn by_kind<'a>(notices: impl Iterator<Item = &'a Notice>) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for Notice { subject, .. } in notices {
        *counts.entry(format!("{}/{}", subject.feature, subject.kind)).or_default() += 1;
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    let others: u64 = counts.iter().skip(MAX_KINDS).map(|(_, count)| count).sum();
    counts.truncate(MAX_KINDS);
    counts.extend((others > 0).then(|| ("others".to_owned(), others)));
    counts
}

/// Whose turn it is: the smallest comes first.
fn turn(entry: &Entry) -> (u32, Reverse<Severity>, u64) {
    let failed = entry.pending.map_or(0, |tried| tried.failed);
    (failed, Reverse(entry.notice.severity), entry.notice.id)
}

fn is_urgent(entry: &Entry) -> bool {
    entry.notice.severity == Severity::Error && turn(entry).0 == 0
}

fn is_too_old(tried: &Attempts, now: Time) -> bool {
    now >= tried.since.after(GIVE_UP_AFTER)
}

fn own(kind: &str) -> Subject {
    Subject::new(OWN, kind, "")
}

fn bare(kind: &str, severity: Severity, count: u64, (first, last): (Time, Time)) -> Notice {
    Notice {
        id: 0,
        subject: own(kind),
        severity,
        count,
        first,
        last,
        message: String::new(),
        fields: BTreeMap::new(),
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
