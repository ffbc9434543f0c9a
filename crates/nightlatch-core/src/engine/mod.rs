//! The engine: events in, actions out. It alone changes the ledger.
//!
//! Nothing here waits: the store, the kernel and everything in the background answer by events, in
//! whatever order. A change is decided ([`batch`]), goes to the disk and to the kernel
//! ([`projection`]), and is answered when both have it ([`finish`]).

mod answers;
mod batch;
mod countries;
mod ends;
mod finish;
mod lists;
mod peers;
mod plan;
mod projection;
mod questions;
mod requests;
mod retry;
mod up;
mod why;

use std::sync::Arc;

use nightlatch_parse::ranges::RangeList;

use crate::AddrRange;
use crate::action::{Action, Flows, Level, Revision, Unlearn};
use crate::api::{Caller, Refusal, RefusalKind, Reply};
use crate::audit::{self, Record};
use crate::config::Rules;
use crate::event::{Event, Ticket};
use crate::ledger::{Change, Ledger, Mode};
use crate::lists::Lists;
use crate::policy::{self, World};
use crate::ruleset::{self, Ruleset, Structure, Table};
use crate::service::{Catalogue, Ports};
use crate::signalling::Learned;
use crate::time::Time;
use batch::{Changes, Waiting};
use finish::trouble;
use plan::Plan;
use projection::Projection;

/// The engine.
#[derive(Debug)]
pub struct Engine {
    ledger: Ledger,
    rules: Rules,
    catalogue: Arc<Catalogue>,
    changes: Changes,
    projection: Projection,
    cuts: finish::Cuts,
    questions: questions::Questions,
    restored: u64,
    restored_last: Option<String>,
    /// What the audit log says of a restoration, once the kernel has answered it.
    restoring: Option<Record>,
    /// How many restorations count once the lists are there again too.
    restored_but_lists: u64,
    revision: u64,
    lists: Lists,
    /// All lists as one, as the kernel gets them.
    merged: Arc<RangeList>,
    /// What these need in the kernel, once somebody has asked.
    merged_bytes: Option<u64>,
    fetches: lists::Fetches,
    stopped: lists::Stopped,
    countries: countries::Pace,
    /// What the kernel's sets of peers held when they were last read.
    learned: Learned,
    pbx: peers::Pbx,
}

impl Engine {
    /// An engine over the stored ledger and the checked configuration.
    pub fn new(ledger: Ledger, rules: Rules) -> Engine {
        let catalogue = Arc::new(rules.catalogue(&ledger.site));
        let countries = countries::Pace::with(ledger.country_asker.clone());
        Engine {
            ledger,
            rules,
            catalogue,
            changes: Changes::default(),
            projection: Projection::default(),
            cuts: finish::Cuts::default(),
            questions: questions::Questions::default(),
            restored: 0,
            restored_last: None,
            restoring: None,
            restored_but_lists: 0,
            revision: 0,
            lists: Lists::default(),
            merged: Arc::default(),
            merged_bytes: None,
            fetches: lists::Fetches::default(),
            stopped: lists::Stopped::default(),
            countries,
            learned: Learned::default(),
            pbx: peers::Pbx::default(),
        }
    }

    /// The ledger, to look at.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Counts the changes since the start: whoever keeps a copy knows by it when to renew it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The services of this server.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue)
    }

    /// What the lists hold.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// All that a judgement at `now` depends on.
    pub fn world(&self, now: Time) -> World<'_> {
        World {
            ledger: &self.ledger,
            rules: &self.rules,
            catalogue: &self.catalogue,
            lists: &self.lists,
            learned: &self.learned,
            now,
        }
    }

    /// The projection, to change, and the world that it follows.
    fn projection_and_world(&mut self, now: Time) -> (&mut Projection, World<'_>) {
        let Engine { ledger, rules, catalogue, lists, learned, projection, .. } = self;
        (projection, World { ledger, rules, catalogue, lists, learned, now })
    }

    /// The table the kernel should hold at `now`; `None` where it should hold none. Compiled from
    /// nothing.
    pub fn desired(&self, now: Time) -> Option<Ruleset> {
        self.ledger
            .protection
            .stands()
            .then(|| ruleset::compile(&self.world(now), Arc::clone(&self.merged)))
    }

    /// Takes a fact in and says what to do about it.
    pub fn handle(&mut self, event: Event, now: Time) -> Vec<Action> {
        match event {
            Event::Started => self.started(now),
            Event::Asked { ticket, caller, request } => self.asked(ticket, caller, request, now),
            Event::Stored(result) => self.stored(result, now),
            Event::Applied { to, result } => self.applied(to, result, now),
            Event::ListsExchanged { to, result } => self.lists_exchanged(to, result, now),
            Event::Tampered { by, found } => self.tampered(by, &found, now),
            Event::Fetched { name, result } => self.wait(Waiting::Fetched { name, result }, now),
            Event::CountriesRead(result) => self.wait(Waiting::CountriesRead(result), now),
            Event::PbxTold(pbx) => self.wait(Waiting::PbxTold(Box::new(pbx)), now),
            Event::Configured { ticket, caller, rules } => {
                self.wait(Waiting::Configured { ticket, caller, rules }, now)
            }
            Event::Hits(hits) => self.count_hits(hits, now),
            Event::Arriving(arriving) => self.arriving(arriving),
            Event::Learned(peers) => self.learned_anew(Some(peers), now),
            Event::PeersUnreadable => self.learned_anew(None, now),
            Event::Counters { dropped, survives_reboot } => {
                self.counted(&dropped, survives_reboot, now)
            }
            Event::Flows(flows) => {
                self.flows_listed(&flows, now);
                Vec::new()
            }
            Event::FlowsListed(result) => self.cut_listed(result),
            Event::FlowsCut(result) => self.flows_cut(result),
            Event::Taught(result) => trouble(
                Level::Warning,
                result.err(),
                "could not restore known peers",
                "; inbound calls of trunks may be dropped until the PBX registers again",
            ),
            Event::Unlearned(result) => self.unlearned(result, now),
            Event::Kept { what, result } => finish::kept(&what, result),
        }
    }

    /// What was sent to the kernel, for a copy that a boot falls back to; `None` if the firewall is
    /// off.
    pub fn sent(&self) -> Option<(Arc<Table>, Structure)> {
        self.projection.sent().map(|(table, structure)| (Arc::clone(table), structure.clone()))
    }

    /// The moment at which [`Engine::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        [
            self.ledger.next_end(),
            self.ledger.protection.trial_end().filter(|_| !self.is_taking_back()),
            self.projection.retry_at,
            self.changes.next_try(),
            self.next_fetch(),
            self.next_reading(),
            self.next_question(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due at `now`: ends accounts, blocks and an unconfirmed trial, and tries the
    /// kernel and the disk again.
    pub fn handle_timeout(&mut self, now: Time) -> Vec<Action> {
        if let Some(plan) = self.ended(now) {
            return self.happen(plan, now);
        }
        if let Some(plan) = self.trial_ended(now) {
            return self.wait_alone(plan, now);
        }
        if self.projection.retry_at.is_some_and(|at| at <= now) {
            return vec![self.load_whole(now)];
        }
        let mut actions = self.proceed(now);
        actions.extend(self.miss_disk(now));
        actions.extend(self.fetch_due(now));
        actions.extend(self.read_due(now));
        actions.extend(self.ask_pbx_due(now));
        actions
    }

    /// Sends the whole table, whatever the kernel has.
    fn load_whole(&mut self, now: Time) -> Action {
        let lists = Arc::clone(&self.merged);
        let (projection, world) = self.projection_and_world(now);
        projection.load_whole(&world, &lists)
    }

    fn started(&mut self, now: Time) -> Vec<Action> {
        let stands = self.ledger.protection.stands();
        let forget = stands.then(|| self.forget_from_before_closing(now)).flatten();
        let teach = stands.then(|| self.teach_all(now));
        let mut actions = vec![self.load_whole(now)];
        actions.extend(forget.into_iter().chain(teach));
        if stands {
            // Also where the table was there all the time: the daemon may have been killed between
            // writing that something is closed, and ending what it closes.
            actions.extend(self.cut(vec![Flows::BegunByPeers], Vec::new()));
            actions.extend(self.close_again(now));
            actions.extend(self.ask_pbx());
        }
        actions
    }

    /// What follows when the table stands again after the kernel had not taken it. Another program
    /// may have removed it: strangers may have come in meanwhile, and the list of cut flows be gone.
    fn put_out_again(&mut self, now: Time) -> Vec<Action> {
        if !self.ledger.protection.stands() {
            return Vec::new();
        }
        let mut actions = vec![self.teach_all(now)];
        actions.extend(self.close_again(now));
        actions.extend(self.cut(vec![Flows::BegunByPeers], Vec::new()));
        actions
    }

    /// Closes once more what was closed lately, when the table is whole again: flows of removed
    /// addresses end, and what this host sent to closed addresses before they were closed again has
    /// made no peer.
    fn close_again(&mut self, now: Time) -> Vec<Action> {
        if !self.ledger.protection.stands() {
            return Vec::new();
        }
        let denied: Vec<_> = self.ledger.denials.keys().copied().collect();
        let blocked = self.ledger.blocks_at(now).map(|block| block.range);
        let closed: Vec<_> = denied.iter().copied().chain(blocked).collect();
        let unlearn = (!closed.is_empty()).then_some(Action::Unlearn(Unlearn::Within(closed)));
        let cut = (!denied.is_empty()).then_some(Flows::Of(denied));
        let cut = self.cut(cut.into_iter().collect(), Vec::new());
        unlearn.into_iter().chain(cut).collect()
    }

    fn configured(&mut self, caller: &Caller, rules: Rules, now: Time) -> Result<Plan, Refusal> {
        let mut plan = Plan::configure(caller, rules);
        if let Some(origin) = self.ends_session(caller, &plan, now) {
            return Err(plan::no(format!(
                "nothing was changed: with this configuration you could not come in from {origin} any more; allow {origin} in an account first"
            )));
        }
        if self.closes_signalling(&plan) {
            self.close_signalling(&mut plan, now);
        }
        if let Some(rules) = plan.rules.as_ref().filter(|_| self.ledger.mode == Mode::Open) {
            plan.changes.extend(self.unlisted_allowed(rules));
        }
        if plan.rules.as_ref().is_some_and(|new| new.countries != self.rules.countries) {
            plan.changes.push(self.spare_asker(caller, false, now));
        }
        Ok(plan)
    }

    /// Whether a new configuration closes something that was open to strangers.
    fn closes_signalling(&self, plan: &Plan) -> bool {
        let Some(rules) = plan.rules.as_ref().filter(|_| self.ledger.mode == Mode::Open) else {
            return false;
        };
        let catalogue = rules.catalogue(&self.ledger.site);
        let after = policy::open_to_strangers(rules, &catalogue);
        let before = policy::open_to_strangers(&self.rules, &self.catalogue);
        before.ports.iter().any(|open| {
            let covers = |ports: &Ports| {
                ports.contains(open.protocol, open.first)
                    && ports.contains(open.protocol, open.last)
            };
            !after.ports.iter().any(covers)
        })
    }

    fn forget_gone_feeds(&mut self, changes: &[Change], actions: &mut Vec<Action>) {
        for change in changes {
            if let Change::DropFeed(name) = change {
                self.lists.drop_feed(name);
                self.stopped.forget(name);
                self.fetches.forget(name);
                actions.push(Action::Forget(name.clone()));
            }
        }
    }

    /// Sends what follows from a change that took effect.
    fn project(
        &mut self,
        touched: &[AddrRange],
        rules: bool,
        changes: &[Change],
        now: Time,
    ) -> Vec<Action> {
        let structural = |change: &Change| {
            matches!(change, Change::SetMode(_) | Change::SetProtection(_) | Change::SetSite(_))
        };
        let structural = rules || changes.iter().any(structural);
        let lists = Arc::clone(&self.merged);
        let (projection, world) = self.projection_and_world(now);
        let table = match structural {
            true => projection.renew_structure(touched, &world, &lists),
            false => projection.renew(touched, &world, &lists),
        };
        table.into_iter().chain(projection.renew_lists(&lists)).collect()
    }

    /// The kernel has answered.
    fn applied(&mut self, to: Revision, result: Result<(), String>, now: Time) -> Vec<Action> {
        if !self.projection.is_current(to) {
            return Vec::new();
        }
        if let Some(record) = self.restoring.take() {
            self.carry(Vec::new(), vec![record]);
        }
        let mut actions = self.answered(to, result, now);
        actions.extend(self.begin_cut());
        actions.extend(self.proceed(now));
        actions
    }

    fn answered(&mut self, to: Revision, result: Result<(), String>, now: Time) -> Vec<Action> {
        match result {
            Ok(()) => {
                self.projection.settle(to);
                let mut actions = Vec::new();
                if self.projection.accept() {
                    actions.extend(self.put_out_again(now));
                }
                actions.extend(self.finish_ready(now));
                actions
            }
            Err(error) => self.refused_by_kernel(&error, now),
        }
    }

    /// The kernel has answered the exchange of lists.
    fn lists_exchanged(
        &mut self,
        to: Revision,
        result: Result<(), String>,
        now: Time,
    ) -> Vec<Action> {
        if !self.projection.is_current(to) {
            return Vec::new();
        }
        match result {
            Ok(()) => {
                self.projection.settle_lists(to);
                self.restored += std::mem::take(&mut self.restored_but_lists);
                self.finish_ready(now)
            }
            Err(error) => self.refused_by_kernel(&error, now),
        }
    }

    fn refused_by_kernel(&mut self, error: &str, now: Time) -> Vec<Action> {
        self.projection.refuse(error, now);
        let message = format!("the kernel's table is not what it should be: {error}");
        let mut actions = vec![Action::Tell(Level::Error, message)];
        actions.extend(self.finish_refused(error, now));
        actions
    }

    fn tampered(&mut self, by: String, found: &str, now: Time) -> Vec<Action> {
        self.restored_but_lists += 1;
        let who = format!("by {by}");
        let record = Record::new(&audit::ourselves(), "restore", ruleset::TABLE, &found, &who);
        let message = format!("{by} changed the firewall ({found}); it is being restored");
        self.restored_last = Some(by);
        // Written down when the table is restored, so that the log never says so before.
        let before = self.restoring.replace(record);
        self.carry(Vec::new(), before.into_iter().collect());
        let mut actions = vec![self.load_whole(now), self.teach_all(now)];
        // The list of cut flows may be gone, and strangers may have come in meanwhile.
        actions.extend(self.close_again(now));
        actions.extend(self.cut(vec![Flows::BegunByPeers], Vec::new()));
        actions.push(Action::Tell(Level::Warning, message));
        actions.extend(self.proceed(now));
        actions
    }
}

fn refuse(ticket: Ticket, kind: RefusalKind, message: impl ToString) -> Action {
    Action::Reply(ticket, Reply::Refused(Refusal { kind, message: message.to_string() }))
}

#[cfg(test)]
mod tests;
