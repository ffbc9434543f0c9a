//! Several changes at once: what is asked waits while a commit runs, and then all that waits is
//! decided and written down together.
//!
//! A change is made in memory when it is decided. What only closes goes to the kernel at the same
//! time as the rows go to the disk; what opens follows when the disk has it. If the disk refuses, all
//! changes of the commit are taken back. What changes more than claims is decided alone, and takes
//! effect when it is written down.

mod rows;
mod urgent;
mod written;

use std::collections::VecDeque;
use std::time::Duration;

use super::decide::{Decision, Matter};
use super::denied::Sends;
use super::projection::Needs;
use super::schedule::Task;
use super::{Engine, refuse};
use crate::action::{Action, Told};
use crate::api::{Ask, Caller, Cause, Refusal, RefusalKind, Reply};
use crate::audit::{Record, ourselves};
use crate::config::Config;
use crate::event::Ticket;
use crate::features::{self, Change, Reads};
use crate::time::Time;
use crate::trouble::{TIMEOUT, Trouble};
use rows::Rows;

/// How long after a commit of ends was refused it is tried again, unless another one comes first.
const CARRIED_AGAIN: Duration = Duration::from_secs(10);
/// The most audit records that wait for a disk that is full.
const MAX_CARRIED: usize = 10_000;

/// Something to decide, when it is its turn.
#[allow(clippy::large_enum_variant, reason = "few wait at a time")]
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    Asked {
        ticket: Ticket,
        caller: Caller,
        ask: Ask,
    },
    Reload {
        ticket: Ticket,
        caller: Caller,
    },
    Configured {
        ticket: Ticket,
        caller: Caller,
        config: Result<Config, String>,
    },
    Happened(features::Event),
    /// Something of these features has come due that takes effect when it is written down.
    Due(Vec<&'static str>),
    /// Something follows from what the kernel's sets contain.
    SetsRead,
    #[cfg(test)]
    Facts(Vec<crate::features::Fact>),
}

impl Waiting {
    /// Whether the decision may change more than claims.
    fn may_be_alone(&self) -> bool {
        match self {
            Waiting::Asked { ask, .. } => ask.requests.iter().any(features::Request::may_be_alone),
            Waiting::SetsRead => false,
            _ => true,
        }
    }

    /// Whether the decision depends on what the kernel has learned by now.
    fn needs_learned(&self) -> bool {
        match self {
            Waiting::Asked { ask, .. } => {
                ask.requests.iter().any(|request| request.reads() == Reads::Learned)
            }
            _ => false,
        }
    }
}

/// Where the changes are that are under way.
#[derive(Debug, Default)]
pub(super) enum Stage {
    #[default]
    Idle,
    /// What the kernel has learned is being read, so that what waits can be decided.
    ReadingPeers,
    /// A commit runs.
    Committing(Batch),
}

/// The changes of one commit.
#[derive(Debug, Default)]
pub(super) struct Batch {
    entries: Vec<Entry>,
    /// Whether its only change takes effect when it is written down.
    alone: bool,
    /// What happened whether or not it can be written down.
    carried: Carried,
    /// When the administrator is told that the disk does not answer.
    told_at: Option<Time>,
}

/// One decision of a commit.
#[derive(Debug)]
struct Entry {
    ticket: Option<Ticket>,
    decision: Decision,
}

/// Rows and records of what happened whether or not it can be written down: they join the next
/// commit, ahead of it.
#[derive(Debug, Default)]
pub(super) struct Carried {
    changes: Rows,
    records: Vec<Record>,
    /// What was decided urgently, and has its rows and records among these: it is answered when they are
    /// written down.
    entries: Vec<Entry>,
    /// Whether somebody waits for an answer to one of them.
    is_awaited: bool,
}

impl Carried {
    fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.records.is_empty()
    }
}

/// A change that is made, and waits for the kernel.
#[derive(Debug)]
pub(super) struct Awaiting {
    pub(super) ticket: Option<Ticket>,
    pub(super) decision: Decision,
}

/// Everything about changes that are under way.
#[derive(Debug, Default)]
pub(super) struct Changes {
    waiting: VecDeque<Waiting>,
    stage: Stage,
    carried: Carried,
    /// When what is carried is tried again after the disk refused it.
    carried_at: Option<Time>,
    /// What waits for the kernel, in the order in which it is finished; what needs the same of it, together.
    pub(super) awaiting: Vec<(Needs, Vec<Awaiting>)>,
}

impl Changes {
    /// A change is finished when the kernel has what it needs.
    fn await_kernel(&mut self, needs: Needs, awaiting: Awaiting) {
        match self.awaiting.last_mut().filter(|(others, _)| *others == needs) {
            Some((_, with)) => with.push(awaiting),
            None => self.awaiting.push((needs, vec![awaiting])),
        }
    }

    /// When something is to be written down again, or the disk should have answered.
    pub(super) fn next_try(&self) -> Option<Time> {
        match &self.stage {
            Stage::Idle => self.carried_at.filter(|_| !self.carried.is_empty()),
            Stage::ReadingPeers => None,
            Stage::Committing(batch) => batch.told_at,
        }
    }

    /// Whether what has come due of a feature waits for the disk: it is not begun again.
    pub(super) fn is_due_pending(&self, feature: &str) -> bool {
        let waits = self
            .waiting
            .iter()
            .any(|it| matches!(it, Waiting::Due(features) if features.contains(&feature)));
        let Stage::Committing(batch) = &self.stage else { return waits };
        waits || batch.entries.iter().any(|entry| entry.decision.due.contains(&feature))
    }
}

impl Engine {
    /// Something is to be decided, now or when the running commit has ended.
    pub(super) fn wait(&mut self, waiting: Waiting, now: Time) -> Vec<Action> {
        self.changes.waiting.push_back(waiting);
        self.proceed(now)
    }

    /// Something of these features has come due. What takes effect when it is written down waits for
    /// its turn, ahead of everything else; the rest happens at once.
    pub(super) fn come_due(&mut self, due: Vec<&'static str>, now: Time) -> Vec<Action> {
        let mut waits = Vec::new();
        let mut actions = Vec::new();
        for feature in due {
            let Ok(mut decision) = self.decide(Matter::Due(vec![feature]), &ourselves(), now)
            else {
                continue;
            };
            if decision.is_alone() {
                self.take_back(&mut decision);
                waits.push(feature);
            } else {
                actions.extend(self.happen(decision, now));
            }
        }
        if !waits.is_empty() {
            self.changes.waiting.push_front(Waiting::Due(waits));
        }
        actions.extend(self.proceed(now));
        actions
    }

    /// The kernel's sets were read. What follows from that is decided ahead of everything else that waits,
    /// so that this is decided on what the kernel has done by itself.
    pub(super) fn follow_sets(&mut self, now: Time) -> bool {
        let waits = self.changes.waiting.iter().any(|it| matches!(it, Waiting::SetsRead));
        let nobody = ourselves();
        let follows = !self.state.sets_read(&self.view(&nobody, false, now)).is_empty();
        if follows && !waits {
            self.changes.waiting.push_front(Waiting::SetsRead);
        }
        follows
    }

    /// Decides what waits, unless a commit runs.
    pub(super) fn proceed(&mut self, now: Time) -> Vec<Action> {
        if !matches!(self.changes.stage, Stage::Idle) {
            return Vec::new();
        }
        let needs_learned = self.changes.waiting.iter().any(Waiting::needs_learned);
        if needs_learned && self.state.posture().stands() {
            self.changes.stage = Stage::ReadingPeers;
            return vec![Engine::read_sets()];
        }
        self.decide_waiting(now)
    }

    /// What the kernel has learned was read, or cannot be.
    pub(super) fn peers_are_read(&mut self, now: Time) -> Vec<Action> {
        if !matches!(self.changes.stage, Stage::ReadingPeers) {
            return Vec::new();
        }
        self.changes.stage = Stage::Idle;
        self.decide_waiting(now)
    }

    fn decide_waiting(&mut self, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut batch = Batch::default();
        let mut touched = Vec::new();
        while let Some(next) = self.changes.waiting.front() {
            // What is decided alone comes first in its commit.
            if !batch.entries.is_empty() && next.may_be_alone() {
                break;
            }
            let Some(next) = self.changes.waiting.pop_front() else { break };
            let Some(mut entry) = self.decide_one(next, now, &mut actions) else { continue };
            let alone = entry.decision.is_alone();
            if alone {
                self.take_back(&mut entry.decision);
            }
            actions.extend(self.accept(&mut entry.decision, now));
            if !entry.decision.changes_something() {
                actions.extend(self.follow_at_once(entry, now));
                continue;
            }
            if !alone {
                self.revision += 1;
                touched.extend(Engine::touched(&entry.decision));
            }
            batch.alone = alone;
            batch.entries.push(entry);
            if alone {
                break;
            }
        }
        let carried_is_due = self.changes.carried_at.is_none_or(|at| at <= now);
        if batch.entries.is_empty() && (self.changes.carried.is_empty() || !carried_is_due) {
            return actions;
        }
        batch.carried = std::mem::take(&mut self.changes.carried);
        batch.told_at = Some(now.after(TIMEOUT));
        let decisions = || batch.entries.iter().map(|entry| &entry.decision);
        let before = if batch.alone {
            Vec::new()
        } else {
            decisions().flat_map(Engine::elements_before).collect()
        };
        self.projection.withhold(touched.clone(), before);
        actions.extend(self.renew(&touched, now));
        if !batch.alone {
            let places = Engine::places(decisions());
            actions.extend(self.renew_denied(places, Sends::Denies, now));
        }
        actions.push(batch.commit());
        self.changes.stage = Stage::Committing(batch);
        actions
    }

    /// Tells the administrator that the disk does not answer, once for a commit.
    pub(super) fn miss_disk(&mut self, now: Time) -> Vec<Action> {
        let Stage::Committing(batch) = &mut self.changes.stage else { return Vec::new() };
        if batch.told_at.take_if(|at| *at <= now).is_none() {
            return Vec::new();
        }
        vec![Action::Tell(Told::Trouble(Trouble::DiskSilent { seconds: TIMEOUT.as_secs() }))]
    }

    /// Decides one thing. Returns the decision, unless it is answered already.
    fn decide_one(
        &mut self,
        waiting: Waiting,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> Option<Entry> {
        let (ticket, caller, matter) = match waiting {
            Waiting::Asked { ticket, caller, ask } => (Some(ticket), caller, Matter::Asked(ask)),
            Waiting::Reload { ticket, caller } => {
                actions.push(Action::ReadConfiguration(ticket, caller));
                return None;
            }
            Waiting::Configured { ticket, caller, config: Ok(config) } => {
                (Some(ticket), caller, Matter::Configured(Box::new(config)))
            }
            Waiting::Configured { ticket, config: Err(error), .. } => {
                let why = Cause::Configuration { error };
                actions.push(refuse(ticket, Refusal::new(RefusalKind::Configuration, why)));
                return None;
            }
            Waiting::Happened(event) => (None, ourselves(), Matter::Happened(event)),
            Waiting::Due(features) => (None, ourselves(), Matter::Due(features)),
            Waiting::SetsRead => (None, ourselves(), Matter::SetsRead),
            #[cfg(test)]
            Waiting::Facts(facts) => (None, ourselves(), Matter::Facts(facts)),
        };
        let probe = match &matter {
            Matter::Asked(Ask { dry_run: true, probe, .. }) => {
                Some(probe.as_deref().cloned().unwrap_or_default())
            }
            _ => None,
        };
        let before = probe.as_ref().map(|probe| self.reached_by_strangers(probe, now));
        match self.decide(matter, &caller, now) {
            Ok(mut decision) if probe.is_some() => {
                let mut done = decision.done(decision.stood);
                let before = (decision.stood, before.unwrap_or_default());
                let found = probe.map(|probe| self.find(&decision, &probe, before, now));
                done.findings = found.map(Box::new);
                self.take_back(&mut decision);
                actions.extend(ticket.map(|it| Action::Reply(it, Reply::Done(done))));
                None
            }
            Ok(decision) => Some(Entry { ticket, decision }),
            Err(refusal) => {
                actions.extend(ticket.map(|ticket| refuse(ticket, refusal)));
                None
            }
        }
    }

    /// A decision that changes nothing takes effect at once, and is answered.
    fn follow_at_once(&mut self, entry: Entry, now: Time) -> Vec<Action> {
        let Entry { ticket, decision } = entry;
        decision.effects.unlearn.iter().for_each(|unlearn| self.forget_peers(unlearn, now));
        self.end_work(&decision);
        self.finish(vec![Awaiting { ticket, decision }], &Ok(()), now)
    }

    /// Background work has ended with a decision, or no longer counts.
    fn end_work(&mut self, decision: &Decision) {
        for task in &decision.finishes {
            self.schedule.end(task, true);
        }
        decision.forgets.iter().for_each(|task: &Task| self.schedule.forget(task));
    }

    /// A change happens whether or not it can be written down: the disk already has what it follows
    /// from, such as the end of an account. It is made in memory.
    pub(super) fn happen(&mut self, mut decision: Decision, now: Time) -> Vec<Action> {
        let mut actions = self.accept(&mut decision, now);
        self.revision += 1;
        let touched = Engine::touched(&decision);
        self.carry(decision.changes.clone(), decision.records.clone());
        decision.effects.unlearn.iter().for_each(|unlearn| self.forget_peers(unlearn, now));
        actions.extend(self.renew(&touched, now));
        let places = Engine::places(std::iter::once(&decision));
        actions.extend(self.renew_denied(places, Sends::All, now));
        let needs = self.projection.needs();
        self.changes.await_kernel(needs, Awaiting { ticket: None, decision });
        actions.extend(self.finish_ready(now));
        actions.extend(self.proceed(now));
        actions
    }

    /// Notes what the next commit writes down first.
    pub(super) fn carry(&mut self, changes: Vec<Change>, records: Vec<Record>) {
        let carried = &mut self.changes.carried;
        changes.into_iter().for_each(|change| carried.changes.put(change));
        // Where the disk takes them, nothing is left out, however much ends at once.
        let is_refused = self.changes.carried_at.is_some();
        let most = if is_refused { MAX_CARRIED } else { usize::MAX };
        let room = most.saturating_sub(carried.records.len());
        carried.records.extend(records.into_iter().take(room));
    }
}

impl Batch {
    fn commit(&self) -> Action {
        let decisions = || self.entries.iter().map(|entry| &entry.decision);
        let changes = self.carried.changes.iter();
        let changes = changes.chain(decisions().flat_map(|decision| &decision.changes));
        let records = self.carried.records.iter();
        let records = records.chain(decisions().flat_map(|decision| &decision.records));
        Action::Commit { changes: changes.cloned().collect(), records: records.cloned().collect() }
    }
}
