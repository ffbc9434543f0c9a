//! The last station of a change: the kernel has it. Peers are forgotten or taught, running flows that
//! would be dropped now are cut, and then whoever asked is answered.

use std::collections::BTreeSet;

use super::batch::Awaiting;
use super::plan::Work;
use super::{Engine, refuse, retry};
use crate::action::{Action, Flows, Level, Unlearn};
use crate::api::RefusalKind;
use crate::cut::{Cutter, LiveFlow};
use crate::event::Kept;
use crate::time::Time;

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
        let (ready, waiting) =
            awaiting.into_iter().partition(|it: &Awaiting| self.projection.has(it.needs));
        self.changes.awaiting = waiting;
        self.finish(ready, &Ok(()), now)
    }

    /// Finishes the changes that the kernel did not take: they are written down all the same.
    pub(super) fn finish_refused(&mut self, error: &str, now: Time) -> Vec<Action> {
        let refused = std::mem::take(&mut self.changes.awaiting);
        self.finish(refused, &Err(error.to_owned()), now)
    }

    fn finish(
        &mut self,
        changes: Vec<Awaiting>,
        result: &Result<(), String>,
        now: Time,
    ) -> Vec<Action> {
        let (mut within, mut unlearn, mut teach) = (Vec::new(), Vec::new(), Vec::new());
        let (mut flows, mut at_once, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for Awaiting { ticket, plan, .. } in changes {
            match &plan.ends {
                Some(Work::Fetch(feed)) => self.fetches.end(feed),
                Some(Work::ReadCountries) => self.countries_are_settled(),
                Some(Work::TakeBack) | None => {}
            }
            self.learn(&plan.teach, now);
            self.pbx_wanted(plan.ask_pbx, now);
            for forgotten in plan.unlearn {
                match forgotten {
                    Unlearn::Within(ranges) => within.extend(ranges),
                    other => unlearn.push(other),
                }
            }
            teach.extend(plan.teach);
            let then = if plan.cut.is_some() { &mut after } else { &mut at_once };
            flows.extend(plan.cut);
            then.extend(plan.tell.map(|message| Action::Tell(Level::Info, message)));
            then.extend(ticket.map(|ticket| match result {
                Ok(()) => Action::Reply(ticket, plan.reply),
                Err(error) => {
                    let message = format!(
                        "it is written down, but the kernel does not have it yet ({error}); it is tried again at once, and then every {} seconds",
                        retry::CALM_PAUSE.as_secs()
                    );
                    refuse(ticket, RefusalKind::Failed, message)
                }
            }));
        }
        if !within.is_empty() {
            unlearn.insert(0, Unlearn::Within(within));
        }
        let mut actions: Vec<Action> = unlearn.into_iter().map(Action::Unlearn).collect();
        actions.extend((!teach.is_empty()).then_some(Action::Teach(teach)));
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
    pub(super) fn cut_listed(&mut self, listed: Result<(), String>) -> Vec<Action> {
        let Some(job) = &mut self.cuts.running else { return Vec::new() };
        job.trouble = listed.err();
        vec![Action::Cut(std::mem::take(&mut job.ending).into_iter().collect())]
    }

    /// The flows are cut, or not.
    pub(super) fn flows_cut(&mut self, result: Result<(), String>) -> Vec<Action> {
        let Some(job) = self.cuts.running.take() else { return Vec::new() };
        let trouble = result.err().or(job.trouble).map(|error| {
            let message = format!("running connections could not be ended: {error}");
            Action::Tell(Level::Error, message)
        });
        let next = self.begin_cut();
        trouble.into_iter().chain(job.after).chain(next).collect()
    }
}

/// What the administrator is told if something could not be done to the kernel or kept.
pub(super) fn trouble(level: Level, error: Option<String>, what: &str, then: &str) -> Vec<Action> {
    let message = error.map(|error| format!("{what}: {error}{then}"));
    message.map(|message| Action::Tell(level, message)).into_iter().collect()
}

/// As [`trouble`], for what is kept on disk.
pub(super) fn kept(what: &Kept, result: Result<(), String>) -> Vec<Action> {
    let (text, then) = match what {
        Kept::List => ("a list is in force but could not be kept for a restart".to_owned(), ""),
        Kept::Forgotten(name) => (format!("the kept list {name}"), ""),
        Kept::Peers => (
            "could not save the known peers".to_owned(),
            "; after a reboot they are unknown until this host sends to them again",
        ),
    };
    trouble(Level::Warning, result.err(), &text, then)
}
