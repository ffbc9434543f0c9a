//! Several changes at once: what is asked waits while a commit runs, and then all that waits is
//! decided and written down together.
//!
//! A change is made in memory when it is decided. What only closes goes to the kernel at the same
//! time as the rows go to the disk; what opens follows when the disk has it. If the disk refuses, all
//! changes of the commit are taken back.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::plan::{Decision, Plan, Work};
use super::projection::Needs;
use super::{Engine, refuse};
use crate::AddrRange;
use crate::action::{Action, Content, Flows, Level};
use crate::api::{Caller, Refusal, RefusalKind, Reply, Request};
use crate::audit::Record;
use crate::config::Rules;
use crate::event::{Failed, Fetched, FetchedTable, Ticket};
use crate::ledger::{Change, RecordKey};
use crate::lists::FeedName;
use crate::pbx::PbxPeers;
use crate::time::Time;

/// How long after a commit of ends was refused it is tried again, unless another one comes first.
const CARRIED_AGAIN: Duration = Duration::from_secs(10);
/// How long the disk may take for a commit before the administrator is told.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most audit records that wait for a disk that is full.
const MAX_CARRIED: usize = 10_000;

/// Something that waits to be decided.
#[derive(Debug)]
pub(super) enum Waiting {
    Asked {
        ticket: Ticket,
        caller: Caller,
        request: Request,
    },
    Configured {
        ticket: Ticket,
        caller: Caller,
        rules: Result<Rules, String>,
    },
    Fetched {
        name: FeedName,
        result: Result<Fetched, Failed>,
    },
    CountriesRead(Result<Option<FetchedTable>, String>),
    PbxTold(Box<PbxPeers>),
    /// A change of our own that takes effect when it is written down.
    Plan(Box<Plan>),
}

impl Waiting {
    /// Whether it may change more than claims: then it is decided alone, and takes effect when it is
    /// written down.
    fn is_alone(&self) -> bool {
        match self {
            Waiting::Asked { request, .. } => !matches!(
                request,
                Request::Allow(_)
                    | Request::Remove { .. }
                    | Request::Block(_)
                    | Request::Unblock { .. }
                    | Request::ForgetPeer { .. }
            ),
            Waiting::PbxTold(_) => false,
            _ => true,
        }
    }

    /// Whether the decision depends on what the kernel has learned by now.
    fn needs_peers(&self) -> bool {
        let Waiting::Asked { request, .. } = self else { return false };
        matches!(
            request,
            Request::Remove { .. }
                | Request::Block(_)
                | Request::Mode { .. }
                | Request::Up(_)
                | Request::ForgetPeer { .. }
        )
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

/// One change of a commit.
#[derive(Debug)]
struct Entry {
    ticket: Option<Ticket>,
    plan: Plan,
    /// What takes it back, in the order in which the changes were made.
    undo: Vec<Change>,
}

/// Rows and records of what happened whether or not it can be written down: they join the next
/// commit, ahead of it.
#[derive(Debug, Default)]
pub(super) struct Carried {
    changes: Vec<Change>,
    records: Vec<Record>,
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
    pub(super) plan: Plan,
    pub(super) needs: Needs,
}

/// Everything about changes that are under way.
#[derive(Debug, Default)]
pub(super) struct Changes {
    waiting: VecDeque<Waiting>,
    stage: Stage,
    carried: Carried,
    /// When what is carried is tried again after the disk refused it.
    carried_at: Option<Time>,
    pub(super) awaiting: Vec<Awaiting>,
}

impl Changes {
    /// When something is to be written down again, or the disk should have answered.
    pub(super) fn next_try(&self) -> Option<Time> {
        match &self.stage {
            Stage::Idle => self.carried_at.filter(|_| !self.carried.is_empty()),
            Stage::ReadingPeers => None,
            Stage::Committing(batch) => batch.told_at,
        }
    }
}

impl Engine {
    /// Whether a trial is being taken back.
    pub(super) fn is_taking_back(&self) -> bool {
        let is_ours = |it: &Waiting| matches!(it, Waiting::Plan(_));
        let takes_back = |entry: &Entry| entry.plan.ends == Some(Work::TakeBack);
        self.changes.waiting.iter().any(is_ours)
            || matches!(&self.changes.stage, Stage::Committing(batch) if batch.entries.iter().any(takes_back))
    }

    /// Something is to be decided, now or when the running commit has ended.
    pub(super) fn wait(&mut self, waiting: Waiting, now: Time) -> Vec<Action> {
        self.changes.waiting.push_back(waiting);
        self.proceed(now)
    }

    /// The trial has ended: the change is decided, and takes effect when it is written down.
    pub(super) fn wait_alone(&mut self, plan: Plan, now: Time) -> Vec<Action> {
        self.changes.waiting.push_front(Waiting::Plan(Box::new(plan)));
        self.proceed(now)
    }

    /// Decides what waits, unless a commit runs.
    pub(super) fn proceed(&mut self, now: Time) -> Vec<Action> {
        if !matches!(self.changes.stage, Stage::Idle) {
            return Vec::new();
        }
        let needs_peers = self.changes.waiting.iter().any(Waiting::needs_peers);
        if needs_peers && self.ledger.protection.stands() {
            self.changes.stage = Stage::ReadingPeers;
            return vec![Action::ReadPeers];
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
            let alone = next.is_alone();
            if alone && !batch.entries.is_empty() {
                break;
            }
            let Some(next) = self.changes.waiting.pop_front() else { break };
            let Some((ticket, plan)) = self.decide_one(next, now, &mut actions) else { continue };
            let made = if alone { Vec::new() } else { self.make(&plan.changes, &mut touched) };
            batch.entries.push(Entry { ticket, plan, undo: made });
            if alone {
                batch.alone = true;
                break;
            }
        }
        let carried_is_due = self.changes.carried_at.is_none_or(|at| at <= now);
        if batch.entries.is_empty() && (self.changes.carried.is_empty() || !carried_is_due) {
            return actions;
        }
        batch.carried = std::mem::take(&mut self.changes.carried);
        batch.told_at = Some(now.after(PATIENCE));
        self.projection.withhold(touched.clone());
        actions.extend(self.renew(&touched, now));
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
        let message = format!(
            "the disk has not answered for {} seconds: changes wait for it; what closes is closed already",
            PATIENCE.as_secs()
        );
        vec![Action::Tell(Level::Error, message)]
    }

    /// Decides one thing. Returns its plan, if something is to change.
    fn decide_one(
        &mut self,
        waiting: Waiting,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> Option<(Option<Ticket>, Plan)> {
        match waiting {
            Waiting::Asked { ticket, caller, request } => {
                match self.decide(&caller, request, now) {
                    Ok(Decision::Change(plan)) => return Some((Some(ticket), *plan)),
                    Ok(Decision::Answer(reply)) => actions.push(Action::Reply(ticket, reply)),
                    Ok(Decision::ReadConfiguration) => {
                        actions.push(Action::ReadConfiguration(ticket, caller));
                    }
                    Err(refusal) => actions.push(Action::Reply(ticket, Reply::Refused(refusal))),
                }
                None
            }
            Waiting::Configured { ticket, caller, rules } => {
                let plan = rules
                    .map_err(|message| Refusal { kind: RefusalKind::Configuration, message })
                    .and_then(|rules| self.configured(&caller, rules, now));
                let refuse = |refusal| Action::Reply(ticket, Reply::Refused(refusal));
                let plan = plan.map_err(|refusal| actions.push(refuse(refusal)));
                plan.ok().map(|plan| (Some(ticket), plan))
            }
            Waiting::Fetched { name, result } => {
                self.fetched(&name, result, now, actions).map(|plan| (None, plan))
            }
            Waiting::CountriesRead(result) => {
                self.countries_read(result, now, actions).map(|plan| (None, plan))
            }
            Waiting::Plan(plan) => Some((None, *plan)),
            Waiting::PbxTold(pbx) => self.pbx_told(&pbx, now, actions).map(|plan| (None, plan)),
        }
    }

    /// Makes changes in memory. Adds the ranges that they touch, and returns what takes them back.
    fn make(&mut self, changes: &[Change], touched: &mut Vec<AddrRange>) -> Vec<Change> {
        self.revision += 1;
        let make = |change: &Change| {
            touched.extend(change.ranges());
            let undo = self.ledger.apply(change.clone());
            touched.extend(undo.ranges());
            undo
        };
        changes.iter().map(make).collect()
    }

    /// Follows the ledger in the kernel, where claims have changed.
    pub(super) fn renew(&mut self, touched: &[AddrRange], now: Time) -> Option<Action> {
        if touched.is_empty() {
            return None;
        }
        let lists = Arc::clone(&self.merged);
        let (projection, world) = self.projection_and_world(now);
        projection.renew(touched, &world, &lists)
    }

    /// Makes a change at once that happens whether or not it can be written down: the disk already
    /// has what it follows from, such as the end of an account.
    pub(super) fn happen(&mut self, plan: Plan, now: Time) -> Vec<Action> {
        let mut touched = Vec::new();
        let _ = self.make(&plan.changes, &mut touched);
        self.carry(plan.changes.clone(), plan.records.clone());
        plan.unlearn.iter().for_each(|unlearn| self.forget_peers(unlearn, now));
        let mut actions: Vec<Action> = self.renew(&touched, now).into_iter().collect();
        let needs = self.projection.needs();
        self.changes.awaiting.push(Awaiting { ticket: None, plan, needs });
        actions.extend(self.finish_ready(now));
        actions.extend(self.proceed(now));
        actions
    }

    /// Notes what the next commit writes down first.
    pub(super) fn carry(&mut self, changes: Vec<Change>, records: Vec<Record>) {
        let carried = &mut self.changes.carried;
        // A later row of the same record replaces an earlier one.
        let keys: BTreeSet<RecordKey> = changes.iter().map(Change::record_key).collect();
        carried.changes.retain(|change| !keys.contains(&change.record_key()));
        carried.changes.extend(changes);
        let room = MAX_CARRIED.saturating_sub(carried.records.len());
        carried.records.extend(records.into_iter().take(room));
    }

    /// The store has answered.
    pub(super) fn stored(&mut self, result: Result<(), String>, now: Time) -> Vec<Action> {
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

    fn written(&mut self, batch: Batch, now: Time) -> Vec<Action> {
        self.changes.carried_at = None;
        if batch.alone {
            // It takes effect after what happened meanwhile, so it must also be the last on the disk.
            let changes = batch.entries.iter().flat_map(|entry| &entry.plan.changes);
            let keys: BTreeSet<RecordKey> = changes.map(Change::record_key).collect();
            let carried = &mut self.changes.carried.changes;
            carried.retain(|change| !keys.contains(&change.record_key()));
            return batch.entries.into_iter().flat_map(|it| self.take_over(it, now)).collect();
        }
        for entry in &batch.entries {
            entry.plan.unlearn.iter().for_each(|unlearn| self.forget_peers(unlearn, now));
        }
        let released = self.projection.release();
        let actions = self.renew(&released, now).into_iter().collect();
        let needs = self.projection.needs();
        let awaiting = batch.entries.into_iter();
        let awaiting = awaiting.map(|Entry { ticket, plan, .. }| Awaiting { ticket, plan, needs });
        self.changes.awaiting.extend(awaiting);
        actions
    }

    /// Takes everything back, except what happens all the same.
    fn not_written(&mut self, batch: Batch, error: &str, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut touched = self.projection.release();
        let happened = |plan: &Plan| plan.must_happen;
        let happens = batch.entries.iter().any(|entry| happened(&entry.plan));
        let consequence = match (happens || !batch.carried.changes.is_empty(), &batch.carried) {
            (true, _) => Some("it happens all the same, but is not in the audit log"),
            (false, carried) if !carried.is_empty() => Some("the audit log has a gap"),
            (false, _) => None,
        };
        actions
            .extend(consequence.map(|what| Action::Tell(Level::Error, format!("{what}: {error}"))));
        // What was set since, stays. The end of what was never written down is no end.
        let since = self.changes.carried.changes.iter().filter(|change| !change.is_removal());
        let since: BTreeSet<RecordKey> = since.map(Change::record_key).collect();
        for entry in batch.entries.into_iter().rev() {
            if happened(&entry.plan) {
                self.carry(entry.plan.changes.clone(), entry.plan.records.clone());
                actions.extend(self.take_over(entry, now));
                continue;
            }
            for undo in entry.undo.into_iter().rev() {
                let key = undo.record_key();
                if !since.contains(&key) {
                    self.changes.carried.changes.retain(|change| change.record_key() != key);
                    let _ = self.make(&[undo], &mut touched);
                }
            }
            let message =
                format!("nothing was changed: the change could not be written down: {error}");
            let refusal = entry.ticket.map(|to| refuse(to, RefusalKind::Failed, message.clone()));
            actions.extend(refusal);
            actions.push(Action::Tell(Level::Error, message));
        }
        let Carried { changes, records } = std::mem::take(&mut self.changes.carried);
        self.changes.carried = batch.carried;
        self.carry(changes, records);
        self.changes.carried_at = Some(now.after(CARRIED_AGAIN));
        actions.extend(self.renew(&touched, now));
        // Flows may have gone on because of what is taken back.
        let flows = (!touched.is_empty()).then_some(Flows::Of(touched));
        actions.extend(self.cut(flows.into_iter().collect(), Vec::new()));
        actions
    }

    /// A change takes effect that was decided alone.
    fn take_over(&mut self, entry: Entry, now: Time) -> Vec<Action> {
        let Entry { ticket, mut plan, .. } = entry;
        let mut actions = Vec::new();
        // Long lists are made one anew only where something of theirs has changed.
        let lists_change = plan.content.is_some() || plan.changes.iter().any(touches_lists);
        let mut touched = Vec::new();
        let _ = self.make(&plan.changes, &mut touched);
        match plan.content.take() {
            Some(Content::Feed(name, content, _)) => self.lists.put_feed(name, content),
            Some(Content::Table(fetched)) => self.take_table(fetched),
            None => {}
        }
        self.forget_gone_feeds(&plan.changes, &mut actions);
        match &plan.ends {
            Some(Work::Fetch(feed)) => self.fetches.settle(feed),
            Some(Work::ReadCountries) => self.countries_settle(),
            Some(Work::TakeBack) | None => {}
        }
        if let Some(rules) = &plan.rules {
            if self.rules.countries != rules.countries {
                self.countries_again();
            }
            self.rules = rules.clone();
        }
        if plan.changes.iter().any(|change| matches!(change, Change::SetCountries(_))) {
            self.countries_again();
        }
        if lists_change {
            self.merge_lists();
        }
        self.catalogue = self.rules.catalogue(&self.ledger.site).into();
        plan.unlearn.iter().for_each(|unlearn| self.forget_peers(unlearn, now));
        let before = self.projection.revision();
        actions.extend(self.project(&touched, plan.rules.is_some(), &plan.changes, now));
        let needs = self.projection.needs_since(before);
        self.changes.awaiting.push(Awaiting { ticket, plan, needs });
        actions
    }
}

impl Batch {
    fn commit(&self) -> Action {
        let plans = || self.entries.iter().map(|entry| &entry.plan);
        let changes = self.carried.changes.iter().chain(plans().flat_map(|plan| &plan.changes));
        let records = self.carried.records.iter().chain(plans().flat_map(|plan| &plan.records));
        Action::Commit { changes: changes.cloned().collect(), records: records.cloned().collect() }
    }
}

/// Whether a change makes other lists or another guard.
fn touches_lists(change: &Change) -> bool {
    matches!(change, Change::DropFeed(_) | Change::SetCountries(_) | Change::SetSite(_))
}
