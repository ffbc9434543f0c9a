//! Questions, and what has to be read from the kernel before they are answered.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Engine;
use super::batch::Waiting;
use super::plan::Decision;
use crate::action::Action;
use crate::api::{Caller, Reply, Request};
use crate::event::Ticket;
use crate::lists::FeedName;
use crate::time::Time;

/// How old the known peers may be in an answer: clients may ask often.
const PEERS_MAX_AGE: Duration = Duration::from_millis(500);

/// Questions that wait for something to be read.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// They wait for the known peers.
    for_peers: Vec<(Ticket, Caller, Request)>,
    /// When these were last read.
    peers_read: Option<Time>,
    /// They wait for the counters.
    for_counters: Vec<Ticket>,
    /// They wait for what listed addresses sent.
    for_hits: Vec<Ticket>,
    /// How many bytes of the feeds that are being fetched have arrived.
    arriving: BTreeMap<FeedName, u64>,
}

impl Engine {
    /// Somebody asks for something: a question is answered at once, a change waits for its turn.
    pub(super) fn asked(
        &mut self,
        ticket: Ticket,
        caller: Caller,
        request: Request,
        now: Time,
    ) -> Vec<Action> {
        match request {
            Request::Status | Request::Why { .. } => {
                self.questions.for_peers.push((ticket, caller, request));
                let read = self.questions.peers_read;
                let fresh = read.is_some_and(|read| read <= now && now.since(read) < PEERS_MAX_AGE);
                if fresh || !self.ledger.protection.stands() {
                    self.answer_questions(now)
                } else if self.questions.for_peers.len() > 1 {
                    // They are being read already.
                    Vec::new()
                } else {
                    vec![Action::ReadPeers]
                }
            }
            Request::FeedList if self.ledger.feeds.is_empty() => {
                vec![Action::Reply(ticket, self.feed_list(now))]
            }
            Request::FeedList => {
                self.questions.for_hits.push(ticket);
                vec![Action::ReadHits]
            }
            Request::List
            | Request::Show { .. }
            | Request::Services
            | Request::FeedRefresh { .. }
            | Request::CountryList
            | Request::CountryRefresh { .. } => self.answer(ticket, &caller, request, now),
            request => self.wait(Waiting::Asked { ticket, caller, request }, now),
        }
    }

    fn answer(
        &mut self,
        ticket: Ticket,
        caller: &Caller,
        request: Request,
        now: Time,
    ) -> Vec<Action> {
        let reply = match self.decide(caller, request, now) {
            Ok(Decision::Answer(reply)) => reply,
            Err(refusal) => Reply::Refused(refusal),
            Ok(Decision::ReadConfiguration | Decision::Change(_)) => return Vec::new(),
        };
        vec![Action::Reply(ticket, reply)]
    }

    /// The peers were read, or cannot be: what waits for them is answered or decided.
    pub(super) fn peers_are_known(&mut self, now: Time) -> Vec<Action> {
        self.questions.peers_read = Some(now);
        let mut actions = self.answer_questions(now);
        actions.extend(self.peers_are_read(now));
        actions
    }

    fn answer_questions(&mut self, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        for (ticket, caller, request) in std::mem::take(&mut self.questions.for_peers) {
            if request == Request::Status {
                // One reading serves all who wait for it.
                if self.questions.for_counters.is_empty() {
                    actions.push(Action::ReadCounters);
                }
                self.questions.for_counters.push(ticket);
            } else {
                actions.extend(self.answer(ticket, &caller, request, now));
            }
        }
        actions
    }

    /// The counters were read.
    pub(super) fn counted(
        &mut self,
        dropped: &BTreeMap<String, u64>,
        survives_reboot: bool,
        now: Time,
    ) -> Vec<Action> {
        let waiting = std::mem::take(&mut self.questions.for_counters);
        let reply = |ticket| {
            let mut status = self.status(now);
            status.dropped.clone_from(dropped);
            status.survives_reboot = survives_reboot;
            Action::Reply(ticket, Reply::Status(Box::new(status)))
        };
        waiting.into_iter().map(reply).collect()
    }

    /// How much of the feeds has arrived.
    pub(super) fn arriving(&mut self, arriving: BTreeMap<FeedName, u64>) -> Vec<Action> {
        self.questions.arriving = arriving;
        Vec::new()
    }

    /// How many bytes of a feed have arrived, while it is being fetched.
    pub(super) fn arrived(&self, feed: &FeedName) -> Option<u64> {
        self.questions.arriving.get(feed).copied()
    }

    /// What listed addresses sent was counted: the lists of feeds are answered.
    pub(super) fn answer_feed_lists(&mut self, now: Time) -> Vec<Action> {
        let waiting = std::mem::take(&mut self.questions.for_hits);
        waiting.into_iter().map(|ticket| Action::Reply(ticket, self.feed_list(now))).collect()
    }
}
