//! The last station of a change: the kernel has it. Peers are forgotten or taught, running flows that
//! would be dropped now are cut, and then whoever asked is answered.

use std::collections::BTreeSet;

use super::batch::Awaiting;
use super::{Engine, refuse, retry};
use crate::AddrRange;
use crate::action::{Action, Flows, Told, Unlearn};
use crate::api::{Cause, Refusal, RefusalKind, Reply};
use crate::audit::ourselves;
use crate::cut::{Cutter, LiveFlow};
use crate::learned::Lasting;
use crate::time::Time;
use crate::trouble::Trouble;

/// Cuts of running flows: one listing of all flows at a time.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    running: Option<Job>,
    /// What is asked for while a listing runs.
    next: Option<Job>,
}

#[derive(Debug, Default)]
struct Job {
    of: Vec<Flows>,
    /// The flows that end, as far as they were listed.
    ending: BTreeSet<LiveFlow>,
    /// Why not all flows were listed.
    trouble: Option<String>,
    /// What is done afterwards.
    after: Vec<Action>,
}

impl Job {
    /// Also cuts these: all ranges together are one entry.
    fn add(&mut self, flows: Flows) {
        if let Flows::Of(ranges) = &flows {
            let others = self.of.iter_mut().find_map(|of| match of {
                Flows::Of(others) => Some(others),
                Flows::BegunByPeers => None,
            });
            if let Some(others) = others {
                others.extend(ranges);
                return;
            }
        }
        if !self.of.contains(&flows) {
            self.of.push(flows);
        }
    }
}

impl Engine {
    /// Finishes the changes that the kernel has.
    pub(super) fn finish_ready(&mut self, now: Time) -> Vec<Action> {
        let awaiting = std::mem::take(&mut self.changes.awaiting);
        let (ready, waiting): (Vec<_>, Vec<_>) =
            awaiting.into_iter().partition(|(needs, _)| self.projection.has(*needs));
        self.changes.awaiting = waiting;
        self.finish(ready.into_iter().flat_map(|(_, changes)| changes).collect(), &Ok(()), now)
    }

    /// Finishes the changes that the kernel did not take: they are written down all the same.
    pub(super) fn finish_refused(&mut self, error: &str, now: Time) -> Vec<Action> {
        let refused = std::mem::take(&mut self.changes.awaiting);
        let refused = refused.into_iter().flat_map(|(_, changes)| changes).collect();
        self.finish(refused, &Err(error.to_owned()), now)
    }

    pub(super) fn finish(
        &mut self,
        changes: Vec<Awaiting>,
        result: &Result<(), String>,
        now: Time,
    ) -> Vec<Action> {
        let (mut within, mut unlearn, mut teach) = (Vec::new(), Vec::new(), Vec::new());
        let (mut flows, mut at_once, mut after) = (Vec::new(), Vec::new(), Vec::new());
        let stands = self.state.posture().stands();
        let opened: Vec<AddrRange> =
            changes.iter().flat_map(|it| Engine::touched(&it.decision)).collect();
        let allowed = self.cut_no_longer(&opened, now);
        for Awaiting { ticket, mut decision, .. } in changes {
            let effects = std::mem::take(&mut decision.effects);
            let done = crate::api::Done {
                waits_for_up: effects.waits_for_up && !stands && decision.changes_something(),
                ..decision.done(stands)
            };
            decision.finishes.iter().for_each(|task| self.schedule.settle(task));
            for (feature, want) in decision.wants.drain(..) {
                self.schedule.want(feature, want);
            }
            for forgotten in effects.unlearn {
                // An earlier one of these changes may have taught it.
                teach.retain(|it: &Lasting| !forgotten.concerns(it.set, &it.key));
                match forgotten {
                    Unlearn::Within(ranges) => within.extend(ranges),
                    other => unlearn.push(other),
                }
            }
            teach.extend(effects.teach);
            at_once.extend(decision.later.drain(..).map(Action::Run));
            let then = if effects.cut.is_some() { &mut after } else { &mut at_once };
            flows.extend(effects.cut);
            let tells = decision.caller != ourselves() && done.changed;
            then.extend(
                tells.then(|| Action::Tell(Told::Done(decision.caller.clone(), done.clone()))),
            );
            let notices = decision.notices.drain(..);
            then.extend(notices.map(|notice| Action::Tell(Told::Notice(notice))));
            then.extend(ticket.map(|ticket| match result {
                Ok(()) => Action::Reply(ticket, Reply::Done(done)),
                Err(error) => {
                    let (error, again_in) = (error.clone(), retry::CALM_PAUSE);
                    let why = Cause::NotInKernel { error, again_in };
                    refuse(ticket, Refusal::new(RefusalKind::Failed, why))
                }
            }));
        }
        if !within.is_empty() {
            unlearn.insert(0, Unlearn::Within(within));
        }
        let mut actions: Vec<Action> = unlearn.into_iter().map(Action::Unlearn).collect();
        actions.extend(allowed);
        if !teach.is_empty() {
            self.learn(&teach, now);
            actions.push(Action::Teach(teach));
        }
        actions.extend(self.cut(flows, after));
        actions.extend(at_once);
        actions
    }

    /// Cuts running flows that would be dropped now, and does something afterwards.
    pub(super) fn cut(&mut self, flows: Vec<Flows>, after: Vec<Action>) -> Vec<Action> {
        if flows.is_empty() {
            return after;
        }
        let job = self.cuts.next.get_or_insert_default();
        flows.into_iter().for_each(|flows| job.add(flows));
        job.after.extend(after);
        self.begin_cut().into_iter().collect()
    }

    /// Begins to list flows for what is to be cut next. While the table is loaded, flows could begin
    /// that are not listed.
    pub(super) fn begin_cut(&mut self) -> Option<Action> {
        if self.cuts.running.is_some() || self.projection.is_loading() {
            return None;
        }
        let job = self.cuts.next.take()?;
        let (of, catalogue) = (job.of.clone(), self.catalogue.clone());
        self.cuts.running = Some(job);
        Some(Action::ListFlows { of, catalogue })
    }

    /// Decides which of the listed flows end.
    pub(super) fn flows_listed(&mut self, flows: &[LiveFlow], now: Time) {
        let Some(mut job) = self.cuts.running.take() else { return };
        for of in &job.of {
            let cutter = Cutter::new(self.world(now), of.clone());
            let ends = |flow: &&LiveFlow| cutter.must_end(flow) && !cutter.ends_uncut(flow);
            job.ending.extend(flows.iter().filter(ends));
        }
        self.cuts.running = Some(job);
    }

    /// All flows were listed: those that end are cut.
    pub(super) fn cut_listed(&mut self, listed: Result<(), String>, now: Time) -> Vec<Action> {
        let Some(job) = &mut self.cuts.running else { return Vec::new() };
        job.trouble = listed.err();
        let mut ending = std::mem::take(&mut job.ending);
        self.cut_is_known(&mut ending, now);
        vec![Action::Cut(ending.into_iter().collect())]
    }

    /// The flows are cut, or not.
    pub(super) fn flows_cut(&mut self, result: Result<(), String>) -> Vec<Action> {
        let Some(job) = self.cuts.running.take() else { return Vec::new() };
        let trouble = result
            .err()
            .or(job.trouble)
            .map(|error| Action::Tell(Told::Trouble(Trouble::FlowsNotCut { error })));
        let next = self.begin_cut();
        trouble.into_iter().chain(job.after).chain(next).collect()
    }
}
