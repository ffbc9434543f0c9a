//! Questions, and what has to be read from the kernel before they are answered.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::Engine;
use super::batch::Waiting;
use super::decide::Matter;
use crate::action::Action;
use crate::api::{Ask, Caller, Reply, Request};
use crate::audit::ourselves;
use crate::event::Ticket;
use crate::features::{self, By, Id, Reads};
use crate::time::Time;

/// How old the known peers may be in an answer: clients may ask often.
const PEERS_MAX_AGE: Duration = Duration::from_millis(500);

/// Questions that wait for something to be read.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// They wait for the known peers.
    for_peers: Vec<(Ticket, Request)>,
    /// When these were last read.
    peers_read: Option<Time>,
    /// They wait for the counters.
    for_counters: Vec<Ticket>,
    /// They wait for what listed addresses sent.
    for_hits: Vec<(Ticket, Caller, Ask)>,
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
        self.note_administrator(&caller, now);
        let ask = match request {
            Request::Reload => return self.wait(Waiting::Reload { ticket, caller }, now),
            Request::Status | Request::Why { .. } => {
                return self.asked_about_peers(ticket, request, now);
            }
            Request::Do(ask) => ask,
        };
        if ask.dry_run {
            return self.wait(Waiting::Asked { ticket, caller, ask }, now);
        }
        match ask.requests.iter().map(features::Request::reads).max() {
            None | Some(Reads::Question) => self.answer(ticket, &caller, ask, now),
            Some(Reads::Counts) => {
                self.questions.for_hits.push((ticket, caller, ask));
                vec![Action::ReadHits]
            }
            Some(Reads::Nothing | Reads::Learned)
                if ask.requests.iter().all(features::Request::is_urgent) =>
            {
                self.decide_urgently(Waiting::Asked { ticket, caller, ask }, now)
            }
            Some(Reads::Nothing | Reads::Learned) => {
                self.wait(Waiting::Asked { ticket, caller, ask }, now)
            }
        }
    }

    fn asked_about_peers(&mut self, ticket: Ticket, request: Request, now: Time) -> Vec<Action> {
        self.questions.for_peers.push((ticket, request));
        let read = self.questions.peers_read;
        let fresh = read.is_some_and(|read| read <= now && now.since(read) < PEERS_MAX_AGE);
        if fresh || !self.state.posture().stands() {
            self.answer_questions(now)
        } else if self.questions.for_peers.len() > 1 {
            // They are being read already.
            Vec::new()
        } else {
            vec![Engine::read_sets()]
        }
    }

    /// Answers what changes no record.
    fn answer(&mut self, ticket: Ticket, caller: &Caller, ask: Ask, now: Time) -> Vec<Action> {
        match self.decide(Matter::Asked(ask), caller, now) {
            Ok(mut decision) => {
                let mut actions = self.accept(&mut decision, now);
                for (feature, want) in decision.wants.drain(..) {
                    self.schedule.want(feature, want);
                }
                let done = decision.done(true);
                actions.push(Action::Reply(ticket, Reply::Done(done)));
                actions
            }
            Err(refusal) => vec![super::refuse(ticket, refusal)],
        }
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
        for (ticket, request) in std::mem::take(&mut self.questions.for_peers) {
            if let Request::Why { address, to } = request {
                let why = self.why(address, to, now);
                actions.push(Action::Reply(ticket, Reply::Why(Box::new(why))));
                continue;
            }
            // One reading serves all who wait for it.
            if self.questions.for_counters.is_empty() {
                actions.push(Action::ReadCounters);
            }
            self.questions.for_counters.push(ticket);
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

    /// Counts the packets of listed addresses to the lists that hold them, and answers who waits for
    /// that.
    pub(super) fn count_hits(&mut self, hits: &[(IpAddr, u64)], now: Time) -> Vec<Action> {
        let nobody = ourselves();
        for (address, packets) in hits {
            let lists = self.view(&nobody, false, now).listed_by(*address);
            let lists: Vec<Id> = lists.iter().map(By::id).collect();
            for list in &lists {
                self.state.stopped(list, *packets, lists.len() == 1, now);
            }
        }
        let waiting = std::mem::take(&mut self.questions.for_hits);
        let answer = |(ticket, caller, ask)| self.answer(ticket, &caller, ask, now);
        waiting.into_iter().flat_map(answer).collect()
    }
}
