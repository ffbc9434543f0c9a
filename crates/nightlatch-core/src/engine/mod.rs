//! The engine: events in, actions out. It alone changes the state of features, and knows none by name.
//!
//! Nothing here waits: the store, the kernel and everything in the background answer by events, in
//! whatever order. A change is decided (`decide`) in its turn (`batch`), goes to the disk and to the
//! kernel (`projection`), and is answered when both have it (`finish`).

mod answers;
mod batch;
mod decide;
mod denied;
mod finish;
mod kernel;
mod learned;
mod probe;
mod projection;
mod questions;
mod retry;
pub mod schedule;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use nightlatch_parse::ranges::RangeList;

use crate::action::{Action, Revision, Told};
use crate::api::{Caller, Refusal, Reply};
use crate::audit::{Record, ourselves};
use crate::config::Config;
use crate::event::{Event, Ticket};
use crate::features::{self, State, View};
use crate::learned::Element;
use crate::lists::Guard;
use crate::policy::World;
use crate::ruleset::{self, Ruleset, Structure, Table};
use crate::service::Catalogue;
use crate::signalling::Learned;
use crate::time::Time;
use crate::trouble::Trouble;
use batch::{Changes, Waiting};
use decide::Matter;
use projection::Projection;
use schedule::{Schedule, Task};

/// The engine.
#[derive(Debug)]
pub struct Engine {
    state: State,
    config: Config,
    catalogue: Arc<Catalogue>,
    changes: Changes,
    projection: Projection,
    cuts: finish::Cuts,
    questions: questions::Questions,
    schedule: Schedule,
    /// From where people have asked for something, with the last time.
    administrators: BTreeMap<IpAddr, Time>,
    restored: u64,
    restored_last: Option<String>,
    /// What the audit log says of a restoration, once the kernel has answered it.
    restoring: Option<Record>,
    /// How many restorations count once the lists are there again too.
    restored_but_lists: u64,
    revision: u64,
    /// All lists as one, as the kernel gets them.
    merged: Arc<RangeList>,
    /// What these need in the kernel, once somebody has asked.
    merged_bytes: Option<u64>,
    /// What is known of the kernel's sets.
    learned: Learned,
    /// What the kernel is being told to add to its sets, by request, until it has answered: a reading may be
    /// older.
    being_taught: VecDeque<Vec<Element>>,
    /// When learned state was last saved.
    learned_saved: Option<Time>,
    /// When the clock was last seen to go on evenly.
    clock_seen: Option<Time>,
}

impl Engine {
    /// An engine over the stored records and the checked configuration.
    pub fn new(mut state: State, config: Config) -> Engine {
        state.configure(&config);
        let catalogue = Arc::new(config.rules().catalogue(&state.posture().site));
        Engine {
            state,
            config,
            catalogue,
            changes: Changes::default(),
            projection: Projection::default(),
            cuts: finish::Cuts::default(),
            questions: questions::Questions::default(),
            schedule: Schedule::default(),
            administrators: BTreeMap::new(),
            restored: 0,
            restored_last: None,
            restoring: None,
            restored_but_lists: 0,
            revision: 0,
            merged: Arc::default(),
            merged_bytes: None,
            learned: Learned::default(),
            being_taught: VecDeque::new(),
            learned_saved: None,
            clock_seen: None,
        }
    }

    /// The state of all features, to look at.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Counts the changes since the start, so that a cache knows when it is stale.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The services of this server.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue)
    }

    /// All that a judgement at `now` depends on.
    pub fn world(&self, now: Time) -> World<'_> {
        World {
            state: &self.state,
            rules: self.config.rules(),
            catalogue: &self.catalogue,
            learned: &self.learned,
            assume_listed: None,
            now,
        }
    }

    /// What features may look at.
    fn view<'a>(&'a self, caller: &'a Caller, force: bool, now: Time) -> View<'a> {
        let (world, administrators) = (self.world(now), &self.administrators);
        View::new(world, &self.config, &self.schedule, caller, force, administrators)
    }

    /// Notes from where somebody asks: that address is not banned for a while.
    fn note_administrator(&mut self, caller: &Caller, now: Time) {
        const MAX_KNOWN: usize = 64;
        let Some(origin) = caller.origin.map(|origin| origin.to_canonical()) else { return };
        self.administrators.insert(origin, now);
        while self.administrators.len() > MAX_KNOWN {
            let oldest = self.administrators.iter().min_by_key(|(_, at)| **at);
            let Some(oldest) = oldest.map(|(address, _)| *address) else { return };
            self.administrators.remove(&oldest);
        }
    }

    /// The projection, to change, and the world that it follows.
    fn projection_and_world(&mut self, now: Time) -> (&mut Projection, World<'_>) {
        let Engine { state, config, catalogue, learned, projection, .. } = self;
        let rules = config.rules();
        (projection, World { state, rules, catalogue, learned, assume_listed: None, now })
    }

    /// The table the kernel should hold at `now`; `None` where it should hold none. Compiled from
    /// nothing.
    pub fn desired(&self, now: Time) -> Option<Ruleset> {
        let stands = self.state.posture().stands();
        stands.then(|| ruleset::compile(&self.world(now), Arc::clone(&self.merged)))
    }

    /// Takes a fact in and says what to do about it.
    pub fn handle(&mut self, event: Event, now: Time) -> Vec<Action> {
        match event {
            Event::Started => self.started(now),
            Event::Asked { ticket, caller, request } => self.asked(ticket, caller, request, now),
            Event::Stored(result) => self.stored(result, now),
            Event::Applied { to, result } => self.applied(to, result, now),
            Event::ListsExchanged { to, result } => self.lists_exchanged(to, result, now),
            Event::Tampered { by, found } => self.tampered(by, found, now),
            Event::Heard(heard) => {
                self.state.hear(&heard);
                Vec::new()
            }
            Event::Feature(event) if event.is_urgent() => {
                self.decide_urgently(Waiting::Happened(event), now)
            }
            Event::Feature(event) => self.wait(Waiting::Happened(event), now),
            Event::Configured { ticket, caller, config } => {
                self.wait(Waiting::Configured { ticket, caller, config }, now)
            }
            Event::Hits(hits) => self.count_hits(&hits, now),
            Event::SetsRead(elements) => self.sets_read(elements, now),
            Event::Counters { dropped, survives_reboot } => {
                self.counted(&dropped, survives_reboot, now)
            }
            Event::Flows(flows) => {
                self.flows_listed(&flows, now);
                Vec::new()
            }
            Event::FlowsListed(result) => self.cut_listed(result, now),
            Event::FlowsCut(result) => self.flows_cut(result),
            Event::Taught(result) => self.taught(result),
            Event::Unlearned(result) => self.unlearned(result, now),
            Event::Denied { to, result } => self.denied(to, result, now),
            Event::LearnedSaved(result) => {
                trouble(result, |error| Trouble::PeersNotSaved { error })
            }
        }
    }

    /// Notes something that concerns a feature, and of which nothing follows: how much of a download
    /// has arrived, what an earlier run of the daemon has kept.
    pub fn note(&mut self, events: impl IntoIterator<Item = features::Event>, now: Time) {
        for event in events {
            self.state.note(&event, now);
        }
    }

    /// Takes in what an earlier run of the daemon kept, so that nothing waits for the network.
    pub fn restore(&mut self, events: impl IntoIterator<Item = features::Event>, now: Time) {
        self.note(events, now);
        self.merge_lists();
    }

    /// What was sent to the kernel, for a copy that a boot falls back to; `None` if the firewall is
    /// off.
    pub fn sent(&self) -> Option<(Arc<Table>, Structure)> {
        self.projection.sent().map(|(table, structure)| (Arc::clone(table), structure.clone()))
    }

    /// The moment at which [`Engine::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        let due = self.state.next_due().filter(|(name, _)| !self.changes.is_due_pending(name));
        let due = due.map(|(_, at)| at).min();
        let work = self.schedule.next(&self.tasks());
        [due, work, self.projection.retry_at, self.changes.next_try()].into_iter().flatten().min()
    }

    /// Does what is due at `now`: what ends by itself, what the kernel and the disk did not take, and
    /// background work.
    pub fn handle_timeout(&mut self, now: Time) -> Vec<Action> {
        let due = self.state.next_due().filter(|(name, _)| !self.changes.is_due_pending(name));
        let due: Vec<&'static str> =
            due.filter(|(_, at)| *at <= now).map(|(name, _)| name).collect();
        if !due.is_empty() {
            return self.come_due(due, now);
        }
        if self.projection.retry_at.is_some_and(|at| at <= now) {
            return vec![self.load_whole(now)];
        }
        let mut actions = self.proceed(now);
        actions.extend(self.miss_disk(now));
        actions.extend(self.begin_work(now));
        actions
    }

    fn tasks(&self) -> Vec<(Task, Option<Time>)> {
        let nobody = ourselves();
        // Which work there is does not depend on the moment.
        self.state.tasks(&self.view(&nobody, false, Time::default()))
    }

    /// Begins the background work that is due.
    fn begin_work(&mut self, now: Time) -> Vec<Action> {
        let tasks = self.tasks();
        let begun = self.schedule.begin(tasks, now);
        let nobody = ourselves();
        let mut actions = Vec::new();
        for (task, begun) in begun {
            let proposal = self.state.begin(&task, &begun, &self.view(&nobody, false, now));
            let Some(proposal) = proposal else { continue };
            debug_assert!(proposal.changes.is_empty(), "no change follows from beginning {task:?}");
            self.note(proposal.at_once, now);
            if proposal.jobs.is_empty() {
                self.schedule.end(&task, false);
            }
            actions.extend(proposal.jobs.into_iter().map(Action::Run));
        }
        actions
    }

    fn started(&mut self, now: Time) -> Vec<Action> {
        let mut actions = vec![self.load_whole(now)];
        actions.extend(self.at_the_start(now));
        if self.state.posture().stands() {
            // Also where the table was there all the time: the daemon may have been killed between
            // writing that something is closed, and ending what it closes.
            actions.extend(self.put_out_strangers());
            actions.extend(self.close_again(now));
        }
        actions.extend(self.begin_work(now));
        actions
    }

    /// What follows from the start, without waiting for anything.
    fn at_the_start(&mut self, now: Time) -> Vec<Action> {
        match self.decide(Matter::Started, &ourselves(), now) {
            Ok(decision) => self.happen(decision, now),
            Err(_) => Vec::new(),
        }
    }

    /// Sends the whole table, whatever the kernel has.
    fn load_whole(&mut self, now: Time) -> Action {
        let lists = Arc::clone(&self.merged);
        let (projection, world) = self.projection_and_world(now);
        projection.load_whole(&world, &lists)
    }

    /// Makes one list of all lists.
    fn merge_lists(&mut self) {
        let mut all = self.state.lists();
        all.merge();
        let merged = all.without(&Guard::of(&self.state.posture().site).ranges());
        // What is the same stays the same value, which is quick to compare.
        if merged != *self.merged {
            self.merged = Arc::new(merged);
            self.merged_bytes = None;
        }
    }
}

fn refuse(ticket: Ticket, refusal: impl Into<Refusal>) -> Action {
    Action::Reply(ticket, Reply::Refused(refusal.into()))
}

/// What the administrator is told if something could not be done.
fn trouble(result: Result<(), String>, what: impl FnOnce(String) -> Trouble) -> Vec<Action> {
    let trouble = result.err().map(what);
    trouble.map(|it| Action::Tell(Told::Trouble(it))).into_iter().collect()
}

/// The number of something that was sent.
type To = Revision;

#[cfg(test)]
mod tests;
