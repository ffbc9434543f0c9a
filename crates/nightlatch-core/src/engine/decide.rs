//! What is decided: features propose, and what follows from that is collected, until nothing further
//! follows. Changes are made in memory meanwhile, each on what the one before left, so that everything
//! can be judged as it will be; whoever decides then keeps them or takes them back.

use std::net::IpAddr;
use std::sync::Arc;

use super::Engine;
use super::schedule::Task;
use crate::AddrRange;
use crate::api::{Ask, Caller, Cause, Done, LockOut, Refusal, RefusalKind};
use crate::audit::Record;
use crate::config::Config;
use crate::features::view::reaches_ssh;
use crate::features::{self, Change, Effects, Event, Fact, Job, Notice, Proposal, Want};
use crate::policy::{self, Packet, What, World};
use crate::probe::SshCaller;
use crate::time::Time;

/// How long a chain of facts may be that follow from each other.
const MAX_CHAIN_LEN: usize = 8;

/// What there is to decide.
pub(super) enum Matter {
    /// Somebody asks features for something.
    Asked(Ask),
    /// Something happened.
    Happened(Event),
    /// There is a new configuration.
    Configured(Box<Config>),
    /// Something has come due for these features.
    Due(Vec<&'static str>),
    /// Something follows from the start.
    Started,
    /// The kernel's sets were read.
    SetsRead,
    /// Something that features may have to react to.
    #[cfg(test)]
    Facts(Vec<Fact>),
}

/// What is decided.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// Who asked.
    pub(super) caller: Caller,
    /// What changes.
    pub(super) changes: Vec<Change>,
    /// What takes it back, as far as it is made in memory.
    pub(super) undo: Vec<Change>,
    /// What the audit log says.
    pub(super) records: Vec<Record>,
    /// The new configuration.
    pub(super) config: Option<Box<Config>>,
    /// What features note at once.
    at_once: Vec<Event>,
    /// What is begun at once.
    jobs: Vec<Job>,
    /// Background work that has ended, whatever becomes of the changes.
    ends: Vec<Task>,
    /// What features note when the changes have taken effect.
    pub(super) events: Vec<Event>,
    /// What is begun when they have taken effect.
    pub(super) later: Vec<Job>,
    /// What an administrator must hear when they have taken effect.
    pub(super) notices: Vec<Notice>,
    /// What the caller is told.
    pub(super) said: Vec<features::Reply>,
    /// Background work that is wanted.
    pub(super) wants: Vec<(&'static str, Want)>,
    /// Background work that has ended when the changes have taken effect.
    pub(super) finishes: Vec<Task>,
    /// Background work whose result no longer counts.
    pub(super) forgets: Vec<Task>,
    /// What else follows.
    pub(super) effects: Effects,
    /// Why a real change would be refused, after a dry run.
    pub(super) locked_out: Option<Refusal>,
    /// Whether the firewall stood before.
    pub(super) stood: bool,
    /// The features for which something had come due.
    pub(super) due: Vec<&'static str>,
}

/// The session that a change must not end.
#[derive(Clone, Copy)]
enum Session {
    /// From where the caller came, as the kernel tells it.
    Seen(IpAddr),
    /// From where the caller came, as whoever asks says: an address of this host is nobody's session
    /// from outside.
    Said(SshCaller),
}

impl Session {
    fn of(matter: &Matter, caller: &Caller) -> Option<Session> {
        match matter {
            Matter::Asked(Ask { probe: Some(probe), .. }) => {
                let said = probe.caller.map(Session::Said);
                said.or_else(|| caller.origin.map(Session::Seen))
            }
            _ => caller.origin.map(Session::Seen),
        }
    }

    fn origin(self) -> IpAddr {
        match self {
            Session::Seen(origin) => origin,
            Session::Said(caller) => caller.address,
        }
    }

    fn reaches(self, world: &World<'_>) -> bool {
        match self {
            Session::Seen(origin) => reaches_ssh(world, origin),
            Session::Said(SshCaller { address, port }) => {
                policy::judge(world, &Packet::new(address, What::Tcp { port })).passes
            }
        }
    }
}

impl Decision {
    /// Whether something is to be written down or to take effect: else it only answers.
    pub(super) fn changes_something(&self) -> bool {
        !self.changes.is_empty()
            || !self.records.is_empty()
            || !self.events.is_empty()
            || self.config.is_some()
    }

    /// Whether it may change more than claims: then it is decided alone, and takes effect when it is
    /// written down.
    pub(super) fn is_alone(&self) -> bool {
        self.effects.changes_lists
            || self.config.is_some()
            || !self.finishes.is_empty()
            || self.changes.iter().any(Change::is_structural)
    }

    /// Whether something follows when it is written down, besides an answer.
    pub(super) fn has_more_to_do(&self) -> bool {
        !self.events.is_empty() || !self.later.is_empty() || !self.notices.is_empty()
    }

    /// The answer to whoever asked.
    pub(super) fn done(&self, stands: bool) -> Done {
        let changed = self.changes_something();
        let waits_for_up = changed && self.effects.waits_for_up && !stands;
        let said = self.said.clone();
        Done { said, changed, waits_for_up, stood: self.stood, findings: None }
    }
}

impl Engine {
    /// Decides something, and makes the changes in memory.
    ///
    /// # Errors
    /// Why nothing changes.
    pub(super) fn decide(
        &mut self,
        matter: Matter,
        caller: &Caller,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let session = Session::of(&matter, caller).filter(|it| it.reaches(&self.world(now)));
        let (force, dry_run) = match &matter {
            Matter::Asked(ask) => (ask.force, ask.dry_run),
            _ => (false, false),
        };
        let stood = self.state.posture().stands();
        let mut decision = Decision { caller: caller.clone(), stood, ..Decision::default() };
        let result = self.decide_all(matter, &mut decision, force, now);
        let result = result.and_then(|()| match session.filter(|_| !force) {
            Some(session) => self.keep_caller(session, &decision, now),
            None => Ok(()),
        });
        let result = match result {
            Err(refusal @ Refusal { why: Cause::LockedOut { .. }, .. }) if dry_run => {
                decision.locked_out = Some(refusal);
                Ok(())
            }
            other => other,
        };
        match result {
            Ok(()) => Ok(decision),
            Err(refusal) => {
                self.take_back(&mut decision);
                Err(refusal)
            }
        }
    }

    fn decide_all(
        &mut self,
        matter: Matter,
        decision: &mut Decision,
        force: bool,
        now: Time,
    ) -> Result<(), Refusal> {
        let caller = decision.caller.clone();
        let proposals = match matter {
            Matter::Asked(ask) => {
                for request in ask.requests {
                    let proposal = self.state.asked(request, &self.view(&caller, force, now))?;
                    self.adopt(vec![proposal], decision, force, now);
                }
                return Ok(());
            }
            Matter::Happened(event) => {
                vec![self.state.happened(event, &self.view(&caller, force, now))]
            }
            Matter::Configured(config) => {
                let before = self.configure(*config);
                let configured = self.state.configured(&before, &self.view(&caller, force, now));
                decision.config = Some(Box::new(before));
                let record = crate::audit::Occurrence::new("reload", "configuration", &(), &());
                decision.records.push(record.by(&caller));
                configured
            }
            Matter::Due(names) => {
                let mut due = self.state.due(&self.view(&caller, force, now));
                due.retain(|proposal| names.contains(&proposal.feature));
                decision.due = names;
                due
            }
            Matter::Started => self.state.started(&self.view(&caller, force, now)),
            Matter::SetsRead => self.state.sets_read(&self.view(&caller, force, now)),
            #[cfg(test)]
            Matter::Facts(facts) => {
                self.follow(facts, decision, force, now);
                Vec::new()
            }
        };
        self.adopt(proposals, decision, force, now);
        Ok(())
    }

    /// Makes the changes of proposals, and of all that follows from them.
    fn adopt(&mut self, proposals: Vec<Proposal>, decision: &mut Decision, force: bool, now: Time) {
        let mut facts: Vec<Fact> = Vec::new();
        for proposal in proposals {
            facts.extend(self.make(proposal, decision));
        }
        self.follow(facts, decision, force, now);
    }

    /// Makes the changes that follow from facts, and all that follows from these.
    fn follow(&mut self, facts: Vec<Fact>, decision: &mut Decision, force: bool, now: Time) {
        let mut facts: Vec<(Fact, usize)> = facts.into_iter().map(|fact| (fact, 0)).collect();
        let mut next = 0;
        while let Some((fact, chain)) = facts.get(next).cloned() {
            next += 1;
            let following = self.state.follow(&fact, &self.view(&decision.caller, force, now));
            for proposal in following {
                let more = self.make(proposal, decision);
                if chain < MAX_CHAIN_LEN {
                    facts.extend(more.into_iter().map(|fact| (fact, chain + 1)));
                }
            }
        }
    }

    /// Makes the changes of a proposal, and returns what others may have to react to.
    fn make(&mut self, proposal: Proposal, decision: &mut Decision) -> Vec<Fact> {
        let name = proposal.feature;
        let mut structural = false;
        for (change, deed) in proposal.changes {
            let undo = self.state.apply(change.clone());
            if let Some((deed, subject)) = deed {
                let (before, after) = deed.audited(&undo, &change);
                let (caller, action) = (decision.caller.clone(), deed.to_string());
                decision.records.push(Record { caller, action, subject, before, after });
            }
            structural |= change.is_structural();
            decision.changes.push(change);
            decision.undo.push(undo);
        }
        if structural {
            self.renew_catalogue();
        }
        let mut effects = proposal.effects;
        let occurrences = proposal.occurrences.into_iter();
        decision.records.extend(occurrences.map(|it| it.by(&decision.caller)));
        decision.at_once.extend(proposal.at_once);
        decision.events.extend(proposal.events);
        decision.jobs.extend(proposal.jobs);
        decision.later.extend(proposal.later);
        decision.notices.extend(proposal.notices);
        decision.said.extend(proposal.said);
        decision.wants.extend(effects.wants.drain(..).map(|want| (name, want)));
        let task = |task: Option<String>| task.map(|task| Task { feature: name, name: task });
        decision.ends.extend(task(effects.ends.take()));
        decision.finishes.extend(task(effects.finishes.take()));
        decision.forgets.extend(task(effects.forgets.take()));
        decision.effects.join(&mut effects);
        effects.facts
    }

    /// Refuses what would end the caller's own session: the address came in before, and would not any
    /// more. The only place where this is decided.
    fn keep_caller(
        &mut self,
        session: Session,
        decision: &Decision,
        now: Time,
    ) -> Result<(), Refusal> {
        let is_kept = !decision.changes_something()
            || session.reaches(&self.world(now))
            || self.is_of_this_host(session)
            || decision.effects.may_lock_out && self.comes_in_after_trial(session, decision, now);
        if is_kept {
            return Ok(());
        }
        let by = match (&decision.config, decision.effects.changes_lists) {
            _ if matches!(session, Session::Said(_)) => LockOut::Up,
            (Some(_), _) => LockOut::Configuration,
            (None, true) => LockOut::List,
            (None, false) => LockOut::Change,
        };
        let origin = session.origin();
        Err(Refusal::new(RefusalKind::No, Cause::LockedOut { origin, by }))
    }

    /// An address of this host is nobody's session from outside. The gateway's may be one, through NAT.
    fn is_of_this_host(&self, session: Session) -> bool {
        matches!(session, Session::Seen(origin) if self.state.posture().site.is_own(origin))
    }

    /// What takes itself back may end a session, but not what comes with it and stays: the session is
    /// judged as if the mode and the firewall were as before.
    fn comes_in_after_trial(&mut self, session: Session, decision: &Decision, now: Time) -> bool {
        let structural = decision.undo.iter().rev().filter(|undo| undo.is_structural()).cloned();
        let again: Vec<Change> = structural.map(|undo| self.state.apply(undo)).collect();
        self.renew_catalogue();
        let comes_in = session.reaches(&self.world(now));
        for change in again.into_iter().rev() {
            let _ = self.state.apply(change);
        }
        self.renew_catalogue();
        comes_in
    }

    /// Takes back what is made in memory, and keeps the decision: it may be made again.
    pub(super) fn take_back(&mut self, decision: &mut Decision) {
        for undo in decision.undo.drain(..).rev() {
            let _ = self.state.apply(undo);
        }
        if let Some(config) = decision.config.take() {
            decision.config = Some(Box::new(self.configure(*config)));
        }
        self.renew_catalogue();
    }

    /// The decision counts: what does not wait for the disk is done.
    pub(super) fn accept(
        &mut self,
        decision: &mut Decision,
        now: Time,
    ) -> Vec<crate::action::Action> {
        for event in decision.at_once.drain(..) {
            self.state.note(&event, now);
        }
        for task in decision.ends.drain(..) {
            self.schedule.end(&task, false);
        }
        decision.jobs.drain(..).map(crate::action::Action::Run).collect()
    }

    /// The ranges that the changes of a decision touch, which are made in memory.
    pub(super) fn touched(decision: &Decision) -> Vec<AddrRange> {
        let changes = decision.changes.iter().enumerate();
        let touched = changes.map(|(at, change)| match decision.undo.get(at) {
            Some(undo) => change.touched(undo),
            None => change.ranges(),
        });
        touched.flatten().collect()
    }

    /// Takes in another configuration, and returns the one before.
    pub(super) fn configure(&mut self, config: Config) -> Config {
        self.state.configure(&config);
        let before = std::mem::replace(&mut self.config, config);
        self.renew_catalogue();
        before
    }

    /// The services follow from the configuration and from what is known of the server.
    pub(super) fn renew_catalogue(&mut self) {
        let catalogue = self.config.rules().catalogue(&self.state.posture().site);
        if *self.catalogue != catalogue {
            self.catalogue = Arc::new(catalogue);
        }
    }
}
