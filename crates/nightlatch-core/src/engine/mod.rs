//! The engine: events in, actions out. It alone changes the ledger, and only after the store has
//! written the change down.
//!
//! A change goes through three stations, each an event: somebody asks, or a deadline comes
//! ([`Engine::handle`] answers with [`Action::Commit`]); the store has written it down (then the
//! ledger moves, and [`Action::Project`] follows); the kernel has it (then the reply goes out).
//! The loop executes the actions of one event before it takes the next, so at most one change is
//! under way.

mod answers;
mod countries;
mod ends;
mod lists;
mod peers;
mod plan;
mod requests;
mod retry;
mod up;
mod why;

use std::sync::Arc;

use nightlatch_parse::ranges::RangeList;

use crate::action::{Action, Content, Flows, Level, Project, Unlearn};
use crate::api::{Caller, Refusal, RefusalKind, Reply, Request};
use crate::audit::{self, Record};
use crate::config::Rules;
use crate::event::{Event, Ticket};
use crate::ledger::{Change, Ledger, Mode};
use crate::lists::Lists;
use crate::policy::{self, World};
use crate::ruleset::{self, Ruleset};
use crate::service::{Catalogue, Ports};
use crate::signalling::Learned;
use crate::time::Time;
use plan::{Decision, Plan};

/// The engine.
#[derive(Debug)]
pub struct Engine {
    ledger: Ledger,
    rules: Rules,
    catalogue: Catalogue,
    underway: Underway,
    kernel: Kernel,
    revision: u64,
    lists: Lists,
    /// All lists as one, as the kernel gets them.
    merged: Arc<RangeList>,
    /// What these need in the kernel.
    merged_bytes: u64,
    fetches: lists::Fetches,
    stopped: lists::Stopped,
    countries: countries::Pace,
    /// What the kernel's sets of peers held when they were last read.
    learned: Learned,
    pbx: peers::Pbx,
}

/// The change that is between its stations.
#[derive(Debug)]
enum Underway {
    Nothing,
    /// Waits for the store, then for the kernel.
    Change(Option<Ticket>, Box<Plan>),
    /// The kernel is being restored; then it goes to the audit log.
    Restoring(Box<Record>),
    /// Only for the audit log: nothing hangs on it.
    Note,
}

/// What is known of the kernel's table.
#[derive(Debug, Default)]
struct Kernel {
    /// Why it is not what it should be.
    trouble: Option<String>,
    retry_at: Option<Time>,
    /// How often it was refused in a row.
    refused: u32,
    restored: u64,
    restored_last: Option<String>,
}

impl Engine {
    /// An engine over the stored ledger and the checked configuration.
    pub fn new(ledger: Ledger, rules: Rules) -> Engine {
        let catalogue = rules.catalogue(&ledger.site);
        let countries = countries::Pace::with(ledger.country_asker.clone());
        let (underway, kernel) = (Underway::Nothing, Kernel::default());
        Engine {
            ledger,
            rules,
            catalogue,
            underway,
            kernel,
            revision: 0,
            lists: Lists::default(),
            merged: Arc::default(),
            merged_bytes: 0,
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

    /// The table the kernel should hold at `now`; `None` where it should hold none.
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
            Event::Asked { ticket, caller, request } => self.asked(ticket, &caller, request, now),
            Event::Stored(result) => self.stored(result, now),
            Event::Projected(result) => self.projected(result, now),
            Event::Tampered { by, found } => self.tampered(by, &found, now),
            Event::Fetched { name, result } => self.fetched(&name, result, now),
            Event::CountriesRead(result) => self.countries_read(result, now),
            Event::Hits(hits) => self.count_hits(hits, now),
            Event::Learned(peers) => self.learned_anew(peers),
            Event::PbxTold(pbx) => self.pbx_told(&pbx, now),
            Event::Configured { ticket, caller, rules } => match rules {
                Ok(rules) => self.configured(ticket, &caller, rules, now),
                Err(mistake) => vec![refuse(ticket, RefusalKind::Configuration, mistake)],
            },
        }
    }

    /// The moment at which [`Engine::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        [
            self.ledger.next_end(),
            self.kernel.retry_at,
            self.next_fetch(),
            self.next_reading(),
            self.next_question(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due at `now`: ends accounts, blocks and an unconfirmed trial, and tries the
    /// kernel again.
    pub fn handle_timeout(&mut self, now: Time) -> Vec<Action> {
        if !matches!(self.underway, Underway::Nothing) {
            return Vec::new();
        }
        if let Some(plan) = self.ended(now) {
            return self.begin(None, plan);
        }
        if self.kernel.retry_at.is_some_and(|at| at <= now) {
            self.kernel.retry_at = None;
            return vec![Action::Project(Project::Whole)];
        }
        let mut actions = self.fetch_due(now);
        actions.extend(self.read_due(now));
        actions.extend(self.ask_pbx_due(now));
        actions
    }

    fn started(&mut self, now: Time) -> Vec<Action> {
        let stands = self.ledger.protection.stands();
        // Also where the table was there all the time: the daemon may have been killed between
        // writing that something is closed, and ending what it closes.
        let cut = stands.then_some(Action::Cut(Flows::BegunByPeers));
        let forget = stands.then(|| self.forget_from_before_closing(now)).flatten();
        let teach = stands.then(|| self.teach_all(now));
        let mut actions = vec![Action::Project(Project::Whole)];
        actions.extend(forget.into_iter().chain(teach).chain(cut).chain(self.close_again(now)));
        if stands {
            actions.extend(self.ask_pbx());
        }
        actions
    }

    /// What follows when the table stands again after the kernel had not taken it. Another program
    /// may have removed it: strangers may have come in meanwhile, and the list of cut flows be gone.
    fn put_out_again(&self, now: Time) -> impl Iterator<Item = Action> {
        let strangers = Action::Cut(Flows::BegunByPeers);
        let again = self.ledger.protection.stands().then(|| {
            let teach = std::iter::once(self.teach_all(now));
            teach.chain(self.close_again(now)).chain([strangers])
        });
        again.into_iter().flatten()
    }

    /// Closes once more what was closed lately, when the table is whole again: flows of removed
    /// addresses end, and what this host sent to closed addresses before they were closed again has
    /// made no peer.
    fn close_again(&self, now: Time) -> Vec<Action> {
        if !self.ledger.protection.stands() {
            return Vec::new();
        }
        let denied: Vec<_> = self.ledger.denials.keys().copied().collect();
        let blocked = self.ledger.blocks_at(now).map(|block| block.range);
        let closed: Vec<_> = denied.iter().copied().chain(blocked).collect();
        let cut = (!denied.is_empty()).then_some(Action::Cut(Flows::Of(denied)));
        let unlearn = (!closed.is_empty()).then_some(Action::Unlearn(Unlearn::Within(closed)));
        cut.into_iter().chain(unlearn).collect()
    }

    fn asked(
        &mut self,
        ticket: Ticket,
        caller: &Caller,
        request: Request,
        now: Time,
    ) -> Vec<Action> {
        match self.decide(caller, request, now) {
            Ok(Decision::Answer(reply)) => vec![Action::Reply(ticket, reply)],
            Ok(Decision::ReadConfiguration) => {
                vec![Action::ReadConfiguration(ticket, caller.clone())]
            }
            Ok(Decision::Change(plan)) => self.begin(Some(ticket), *plan),
            Err(refusal) => vec![Action::Reply(ticket, Reply::Refused(refusal))],
        }
    }

    fn configured(
        &mut self,
        ticket: Ticket,
        caller: &Caller,
        rules: Rules,
        now: Time,
    ) -> Vec<Action> {
        let mut plan = Plan::configure(caller, rules);
        if let Some(origin) = self.ends_session(caller, &plan, now) {
            let message = format!(
                "nothing was changed: with this configuration you could not come in from {origin} any more; allow {origin} in an account first"
            );
            return vec![refuse(ticket, RefusalKind::No, message)];
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
        self.begin(Some(ticket), plan)
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

    fn begin(&mut self, ticket: Option<Ticket>, plan: Plan) -> Vec<Action> {
        let commit =
            Action::Commit { changes: plan.changes.clone(), records: plan.records.clone() };
        self.underway = Underway::Change(ticket, Box::new(plan));
        vec![commit]
    }

    fn stored(&mut self, result: Result<(), String>, now: Time) -> Vec<Action> {
        match std::mem::replace(&mut self.underway, Underway::Nothing) {
            Underway::Change(ticket, plan) => match result {
                Err(error) if !plan.must_happen => {
                    let message = format!(
                        "nothing was changed: the change could not be written down: {error}"
                    );
                    let refusal = ticket.map(|to| refuse(to, RefusalKind::Failed, message.clone()));
                    let tell = Action::Tell(Level::Error, message);
                    refusal.into_iter().chain([tell]).collect()
                }
                result => self.take_over(ticket, plan, result, now),
            },
            other => {
                if !matches!(other, Underway::Note) {
                    self.underway = other;
                }
                let trouble = result.err().map(|error| {
                    Action::Tell(Level::Error, format!("the audit log has a gap: {error}"))
                });
                trouble.into_iter().collect()
            }
        }
    }

    /// The ledger moves.
    fn take_over(
        &mut self,
        ticket: Option<Ticket>,
        plan: Box<Plan>,
        stored: Result<(), String>,
        now: Time,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Err(error) = stored {
            let message = format!("it happens all the same, but is not in the audit log: {error}");
            actions.push(Action::Tell(Level::Error, message));
        }
        // Long lists are made one anew only where something of theirs has changed.
        let lists_change = plan.content.is_some() || plan.changes.iter().any(touches_lists);
        for change in &plan.changes {
            let _ = self.ledger.apply(change.clone());
        }
        let mut plan = plan;
        match plan.content.take() {
            Some(Content::Feed(name, content, _)) => self.lists.put_feed(name, content),
            Some(Content::Table(fetched)) => self.take_table(fetched),
            None => {}
        }
        self.forget_gone_feeds(&plan.changes, &mut actions);
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
        self.catalogue = self.rules.catalogue(&self.ledger.site);
        plan.unlearn.iter().for_each(|unlearn| self.forget_peers(unlearn, now));
        self.revision += 1;
        self.underway = Underway::Change(ticket, plan);
        actions.push(Action::Project(Project::Difference));
        actions
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

    fn projected(&mut self, result: Result<(), String>, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        match &result {
            Ok(()) => {
                if self.kernel.refused > 0 {
                    actions.extend(self.put_out_again(now));
                }
                (self.kernel.trouble, self.kernel.retry_at) = (None, None);
                self.kernel.refused = 0;
            }
            Err(error) => {
                self.kernel.trouble = Some(error.clone());
                self.kernel.refused = self.kernel.refused.saturating_add(1);
                let pause = retry::pause_after(self.kernel.refused);
                self.kernel.retry_at = Some(now.after(pause));
                let message = format!("the kernel's table is not what it should be: {error}");
                actions.push(Action::Tell(Level::Error, message));
            }
        }
        match std::mem::replace(&mut self.underway, Underway::Nothing) {
            Underway::Change(ticket, plan) => {
                self.learn(&plan.teach, now);
                self.pbx_wanted(plan.ask_pbx, now);
                actions.extend(finish(ticket, *plan, result));
            }
            Underway::Restoring(record) => {
                self.underway = Underway::Note;
                actions.push(Action::Commit { changes: Vec::new(), records: vec![*record] });
            }
            other => self.underway = other,
        }
        actions
    }

    fn tampered(&mut self, by: String, found: &str, now: Time) -> Vec<Action> {
        self.kernel.restored += 1;
        let record = Record::new(
            &audit::ourselves(),
            "restore",
            ruleset::TABLE,
            &found,
            &format!("by {by}"),
        );
        let message = format!("{by} changed the firewall ({found}); it is being restored");
        self.kernel.restored_last = Some(by);
        self.underway = Underway::Restoring(Box::new(record));
        // First closed, and rid of the strangers who came in meanwhile; long lists take longer.
        let strangers = Action::Cut(Flows::BegunByPeers);
        let teach = self.teach_all(now);
        let mut actions = vec![Action::Close, teach.clone(), strangers.clone()];
        actions.extend([Action::Project(Project::Whole), teach]);
        // The list of cut flows may be gone; and where closing failed, more may have come in.
        actions.extend(self.close_again(now));
        actions.push(strangers);
        actions.push(Action::Tell(Level::Warning, message));
        actions
    }
}

/// Whether a change makes other lists or another guard.
fn touches_lists(change: &Change) -> bool {
    matches!(change, Change::DropFeed(_) | Change::SetCountries(_) | Change::SetSite(_))
}

/// The last station of a change: running flows are ended, and the reply goes out.
fn finish(ticket: Option<Ticket>, plan: Plan, projected: Result<(), String>) -> Vec<Action> {
    let mut actions: Vec<Action> = plan.unlearn.into_iter().map(Action::Unlearn).collect();
    actions.extend((!plan.teach.is_empty()).then_some(Action::Teach(plan.teach)));
    actions.extend(plan.cut.map(Action::Cut));
    actions.extend(plan.tell.map(|message| Action::Tell(Level::Info, message)));
    if let Some(ticket) = ticket {
        actions.push(match projected {
            Ok(()) => Action::Reply(ticket, plan.reply),
            Err(error) => {
                let message = format!(
                    "it is written down, but the kernel does not have it yet ({error}); it is tried again at once, and then every {} seconds",
                    retry::CALM_PAUSE.as_secs()
                );
                refuse(ticket, RefusalKind::Failed, message)
            }
        });
    }
    actions
}

fn refuse(ticket: Ticket, kind: RefusalKind, message: impl ToString) -> Action {
    Action::Reply(ticket, Reply::Refused(Refusal { kind, message: message.to_string() }))
}

#[cfg(test)]
mod tests;
