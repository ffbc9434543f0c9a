//! The engine: events in, actions out. It alone changes the ledger, and only after the store has
//! written the change down.
//!
//! A change goes through three stations, each an event: somebody asks, or a deadline comes
//! ([`Engine::handle`] answers with [`Action::Commit`]); the store has written it down (then the
//! ledger moves, and [`Action::Project`] follows); the kernel has it (then the reply goes out).
//! The loop executes the actions of one event before it takes the next, so at most one change is
//! under way.

mod answers;
mod ends;
mod plan;
mod requests;
mod up;

use std::time::Duration;

use crate::action::{Action, Flows, Level, Project};
use crate::api::{Caller, Refusal, RefusalKind, Reply, Request};
use crate::audit::{self, Record};
use crate::config::Rules;
use crate::event::{Event, Ticket};
use crate::ledger::Ledger;
use crate::policy::World;
use crate::ruleset::{self, Ruleset};
use crate::service::Catalogue;
use crate::time::Time;
use plan::{Decision, Plan};

/// How soon to try again after the kernel refused the table.
const RETRY: Duration = Duration::from_secs(5);

/// The engine.
#[derive(Debug)]
pub struct Engine {
    ledger: Ledger,
    rules: Rules,
    catalogue: Catalogue,
    underway: Underway,
    kernel: Kernel,
    revision: u64,
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
    restored: u64,
    restored_last: Option<String>,
}

impl Engine {
    /// An engine over the stored ledger and the checked configuration.
    pub fn new(ledger: Ledger, rules: Rules) -> Engine {
        let catalogue = rules.catalogue(&ledger.site);
        let (underway, kernel) = (Underway::Nothing, Kernel::default());
        Engine { ledger, rules, catalogue, underway, kernel, revision: 0 }
    }

    /// The ledger, to look at.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Counts the changes since the start: whoever keeps a copy knows by it when to renew it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// All that a judgement at `now` depends on.
    pub fn world(&self, now: Time) -> World<'_> {
        World { ledger: &self.ledger, rules: &self.rules, catalogue: &self.catalogue, now }
    }

    /// The table the kernel should hold at `now`; `None` where it should hold none.
    pub fn desired(&self, now: Time) -> Option<Ruleset> {
        self.ledger.protection.stands().then(|| ruleset::compile(&self.world(now)))
    }

    /// Takes a fact in and says what to do about it.
    pub fn handle(&mut self, event: Event, now: Time) -> Vec<Action> {
        match event {
            Event::Started => self.started(),
            Event::Asked { ticket, caller, request } => self.asked(ticket, &caller, request, now),
            Event::Stored(result) => self.stored(result),
            Event::Projected(result) => self.projected(result, now),
            Event::Tampered { by, found } => self.tampered(by, &found),
            Event::Configured { ticket, caller, rules } => match rules {
                Ok(rules) => self.begin(Some(ticket), Plan::configure(&caller, rules)),
                Err(mistake) => vec![refuse(ticket, RefusalKind::Configuration, mistake)],
            },
        }
    }

    /// The moment at which [`Engine::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        [self.ledger.next_end(), self.kernel.retry_at].into_iter().flatten().min()
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
        Vec::new()
    }

    fn started(&self) -> Vec<Action> {
        [Action::Project(Project::Whole)].into_iter().chain(self.cut_again()).collect()
    }

    /// Ends the flows through doors that were closed lately once more.
    fn cut_again(&self) -> Option<Action> {
        let ranges: Vec<_> = self.ledger.cuts.iter().map(|cut| cut.range).collect();
        (!ranges.is_empty()).then_some(Action::Cut(Flows::Of(ranges)))
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

    fn begin(&mut self, ticket: Option<Ticket>, plan: Plan) -> Vec<Action> {
        let commit =
            Action::Commit { changes: plan.changes.clone(), records: plan.records.clone() };
        self.underway = Underway::Change(ticket, Box::new(plan));
        vec![commit]
    }

    fn stored(&mut self, result: Result<(), String>) -> Vec<Action> {
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
                result => self.take_over(ticket, plan, result),
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
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Err(error) = stored {
            let message = format!("it happens all the same, but is not in the audit log: {error}");
            actions.push(Action::Tell(Level::Error, message));
        }
        plan.changes.iter().for_each(|change| self.ledger.apply(change));
        if let Some(rules) = &plan.rules {
            self.rules = rules.clone();
        }
        self.catalogue = self.rules.catalogue(&self.ledger.site);
        self.revision += 1;
        self.underway = Underway::Change(ticket, plan);
        actions.push(Action::Project(Project::Difference));
        actions
    }

    fn projected(&mut self, result: Result<(), String>, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        match &result {
            Ok(()) => self.kernel.trouble = None,
            Err(error) => {
                self.kernel.trouble = Some(error.clone());
                self.kernel.retry_at = Some(now.after(RETRY));
                let message = format!("the kernel's table is not what it should be: {error}");
                actions.push(Action::Tell(Level::Error, message));
            }
        }
        match std::mem::replace(&mut self.underway, Underway::Nothing) {
            Underway::Change(ticket, plan) => actions.extend(finish(ticket, *plan, result)),
            Underway::Restoring(record) => {
                self.underway = Underway::Note;
                actions.push(Action::Commit { changes: Vec::new(), records: vec![*record] });
            }
            other => self.underway = other,
        }
        actions
    }

    fn tampered(&mut self, by: String, found: &str) -> Vec<Action> {
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
        let mut actions = vec![Action::Project(Project::Whole)];
        // The list of cut flows may be gone, and strangers may have come in meanwhile.
        actions.extend(self.cut_again());
        actions.push(Action::Cut(Flows::BegunByPeers));
        actions.push(Action::Tell(Level::Warning, message));
        actions
    }
}

/// The last station of a change: running flows are ended, and the reply goes out.
fn finish(ticket: Option<Ticket>, plan: Plan, projected: Result<(), String>) -> Vec<Action> {
    let mut actions: Vec<Action> = plan.cut.map(Action::Cut).into_iter().collect();
    actions.extend(plan.tell.map(|message| Action::Tell(Level::Info, message)));
    if let Some(ticket) = ticket {
        actions.push(match projected {
            Ok(()) => Action::Reply(ticket, plan.reply),
            Err(error) => {
                let message = format!(
                    "it is written down, but the kernel does not have it yet ({error}); it is tried again every {} seconds",
                    RETRY.as_secs()
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
