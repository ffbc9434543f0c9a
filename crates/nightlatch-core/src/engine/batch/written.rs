//! What follows from the answer of the store.

use std::collections::BTreeSet;

use super::{Awaiting, Batch, CARRIED_AGAIN, Carried, Entry, Stage};
use crate::action::{Action, Flows, Told};
use crate::api::{Cause, Refusal, RefusalKind};
use crate::engine::decide::Decision;
use crate::engine::denied::Sends;
use crate::engine::{Engine, refuse};
use crate::features::{Change, Id};
use crate::time::Time;
use crate::trouble::Trouble;

impl Engine {
    /// The store has answered.
    pub(in crate::engine) fn stored(
        &mut self,
        result: Result<(), String>,
        now: Time,
    ) -> Vec<Action> {
        let Stage::Committing(batch) = std::mem::take(&mut self.changes.stage) else {
            return Vec::new();
        };
        let mut actions = match result {
            Ok(()) => self.written(batch, now),
            Err(error) => self.not_written(batch, &error, now),
        };
        actions.extend(self.finish_ready(now));
        actions.extend(self.proceed(now));
        actions
    }

    fn written(&mut self, mut batch: Batch, now: Time) -> Vec<Action> {
        self.changes.carried_at = None;
        let urgent = std::mem::take(&mut batch.carried.entries);
        self.await_kernel(urgent, now);
        if batch.alone {
            // It takes effect after what happened meanwhile, so it must also be the last on the disk.
            let changes = batch.entries.iter().flat_map(|entry| &entry.decision.changes);
            changes.for_each(|change| self.changes.carried.changes.remove(&change.id()));
            return batch.entries.into_iter().flat_map(|it| self.take_over(it, now)).collect();
        }
        for entry in &batch.entries {
            let unlearn = &entry.decision.effects.unlearn;
            unlearn.iter().for_each(|unlearn| self.forget_peers(unlearn, now));
            self.end_work(&entry.decision);
        }
        let released = self.projection.release();
        let mut actions: Vec<Action> = self.renew(&released, now).into_iter().collect();
        let opened = Engine::places(batch.entries.iter().map(|entry| &entry.decision));
        actions.extend(self.renew_denied(opened, Sends::Opens, now));
        self.await_kernel(batch.entries, now);
        actions
    }

    /// What is written down is answered when the kernel has all that was sent.
    fn await_kernel(&mut self, entries: Vec<Entry>, now: Time) {
        let needs = self.projection.needs();
        for Entry { ticket, mut decision } in entries {
            let events = std::mem::take(&mut decision.events);
            self.note(events, now);
            self.changes.await_kernel(needs, Awaiting { ticket, decision });
        }
    }

    /// Takes everything back, except what happens all the same.
    fn not_written(&mut self, batch: Batch, error: &str, now: Time) -> Vec<Action> {
        let mut actions = Engine::tell_of_failure(&batch, error);
        let mut touched = self.projection.release();
        // What was set since, stays. The end of what was never written down is no end.
        let since = self.changes.carried.changes.iter().filter(|change| !change.is_removal());
        let since: BTreeSet<Id> = since.map(Change::id).collect();
        let places = Engine::places(batch.entries.iter().map(|entry| &entry.decision));
        for mut entry in batch.entries.into_iter().rev() {
            if entry.decision.effects.must_happen {
                let Decision { changes, records, .. } = &entry.decision;
                self.carry(changes.clone(), records.clone());
                actions.extend(self.take_over(entry, now));
                continue;
            }
            for undo in std::mem::take(&mut entry.decision.undo).into_iter().rev() {
                let id = undo.id();
                if !since.contains(&id) {
                    self.changes.carried.changes.remove(&id);
                    self.revision += 1;
                    let redo = self.state.apply(undo.clone());
                    touched.extend(redo.touched(&undo));
                }
            }
            let trouble = Trouble::NotWritten { error: error.to_owned() };
            let why = Cause::NotWritten { error: error.to_owned() };
            let refusal = Refusal::new(RefusalKind::Failed, why);
            actions.extend(entry.ticket.map(|to| refuse(to, refusal)));
            actions.push(Action::Tell(Told::Trouble(trouble)));
        }
        let Carried { changes, records, entries, is_awaited } =
            std::mem::take(&mut self.changes.carried);
        self.changes.carried = batch.carried;
        actions.extend(self.refuse_carried(error));
        self.carry(changes.into_changes().collect(), records);
        self.changes.carried.entries.extend(entries);
        self.changes.carried.is_awaited |= is_awaited;
        self.changes.carried_at = Some(now.after(CARRIED_AGAIN));
        actions.extend(self.renew(&touched, now));
        actions.extend(self.renew_denied(places, Sends::All, now));
        // Flows may have gone on because of what is taken back.
        let flows = (!touched.is_empty()).then_some(Flows::Of(touched));
        actions.extend(self.cut(flows.into_iter().collect(), Vec::new()));
        actions
    }

    /// What the administrator is told of what happens although it is not written down.
    fn tell_of_failure(batch: &Batch, error: &str) -> Vec<Action> {
        let happens = batch.entries.iter().any(|entry| entry.decision.effects.must_happen);
        let error = error.to_owned();
        let trouble = if happens || !batch.carried.changes.is_empty() {
            Trouble::NotRecorded { error }
        } else if !batch.carried.is_empty() {
            Trouble::AuditGap { error }
        } else {
            return Vec::new();
        };
        vec![Action::Tell(Told::Trouble(trouble))]
    }

    /// A change takes effect that was decided alone.
    fn take_over(&mut self, entry: Entry, now: Time) -> Vec<Action> {
        let Entry { ticket, mut decision } = entry;
        self.revision += 1;
        let mut touched = Vec::new();
        for change in &decision.changes {
            let undo = self.state.apply(change.clone());
            touched.extend(change.touched(&undo));
            decision.undo.push(undo);
        }
        let places = Engine::places(std::iter::once(&decision));
        decision.undo.clear();
        let config = decision.config.take();
        let configured = config.is_some();
        if let Some(config) = config {
            self.configure(*config);
        }
        let events = std::mem::take(&mut decision.events);
        self.note(events, now);
        self.end_work(&decision);
        let structural = configured || decision.changes.iter().any(Change::is_structural);
        self.renew_catalogue();
        if decision.effects.changes_lists || structural {
            self.merge_lists();
        }
        decision.effects.unlearn.iter().for_each(|unlearn| self.forget_peers(unlearn, now));
        let before = self.projection.revision();
        let mut actions = self.project(&touched, structural, now);
        actions.extend(self.renew_denied(places, Sends::All, now));
        let needs = self.projection.needs_since(before);
        self.changes.await_kernel(needs, Awaiting { ticket, decision });
        actions
    }
}
