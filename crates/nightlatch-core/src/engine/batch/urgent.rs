//! What is decided at once, even while a commit runs, because it denies something.

use super::{Engine, Entry, Waiting};
use crate::action::Action;
use crate::api::{Cause, Refusal, RefusalKind};
use crate::audit::ourselves;
use crate::engine::decide::Matter;
use crate::engine::denied::Sends;
use crate::engine::refuse;
use crate::time::Time;

impl Engine {
    /// Decides something at once, even while a commit runs. What it denies is in the kernel before anything
    /// is written down, and stays there if it cannot be; whoever asked is answered when it is.
    pub(in crate::engine) fn decide_urgently(
        &mut self,
        waiting: Waiting,
        now: Time,
    ) -> Vec<Action> {
        let (ticket, caller, matter) = match waiting.clone() {
            Waiting::Happened(event) => (None, ourselves(), Matter::Happened(event)),
            Waiting::Asked { ticket, caller, ask } => (Some(ticket), caller, Matter::Asked(ask)),
            #[cfg(test)]
            Waiting::Facts(facts) => (None, ourselves(), Matter::Facts(facts)),
            other => return self.wait(other, now),
        };
        let mut decision = match self.decide(matter, &caller, now) {
            Ok(decision) => decision,
            Err(refusal) => return ticket.map(|to| refuse(to, refusal)).into_iter().collect(),
        };
        if decision.is_alone() {
            self.take_back(&mut decision);
            return self.wait(waiting, now);
        }
        self.happen_urgently(Entry { ticket, decision }, now)
    }

    fn happen_urgently(&mut self, mut entry: Entry, now: Time) -> Vec<Action> {
        let accepted = self.accept(&mut entry.decision, now);
        if !entry.decision.changes_something() {
            return accepted.into_iter().chain(self.follow_at_once(entry, now)).collect();
        }
        self.revision += 1;
        let Entry { decision, .. } = &entry;
        // Where somebody inside a banned network is spared, that comes first.
        let table = self.renew(&Engine::touched(decision), now);
        let sends = if table.is_some() { Sends::Denies } else { Sends::DeniesAtOnce };
        let places = Engine::places(std::iter::once(decision));
        let denied = self.renew_denied(places, sends, now);
        self.carry(decision.changes.clone(), decision.records.clone());
        decision.effects.unlearn.iter().for_each(|unlearn| self.forget_peers(unlearn, now));
        if entry.ticket.is_some() {
            // Whoever waits for an answer need not wait until the disk is tried again.
            self.changes.carried_at = None;
        }
        self.changes.carried.is_awaited |= entry.ticket.is_some();
        self.changes.carried.entries.push(entry);
        // The disk comes after the kernel, so that nothing competes with it; see `denied`.
        let waits_for_kernel = denied.is_some() && !self.changes.carried.is_awaited;
        let mut actions: Vec<Action> = table.into_iter().chain(denied).chain(accepted).collect();
        if !waits_for_kernel {
            actions.extend(self.proceed(now));
        }
        actions
    }

    /// Tells those who asked for what is in force and cannot be written down. The rows stay, and are tried
    /// again; what is begun then still waits for that.
    pub(super) fn refuse_carried(&mut self, error: &str) -> Vec<Action> {
        let mut refused = Vec::new();
        for entry in &mut self.changes.carried.entries {
            // The changes are among those that are carried.
            entry.decision.undo = Vec::new();
            let why = Cause::NotRecorded { error: error.to_owned() };
            let ticket = entry.ticket.take();
            refused.extend(ticket.map(|to| refuse(to, Refusal::new(RefusalKind::Failed, why))));
        }
        self.changes.carried.is_awaited = false;
        self.changes.carried.entries.retain(|entry| entry.decision.has_more_to_do());
        refused
    }
}
