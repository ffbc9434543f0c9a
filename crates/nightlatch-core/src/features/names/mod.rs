//! Host names: which are in use, when they are asked for, and which addresses they have.

mod answer;
mod config;
mod live;
mod name;
mod rules;
mod sense;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use crate::entry::HostName;
pub use answer::{Answered, Found};
pub use config::Config;
pub use name::{Failing, Failure, Gone, Name};
pub use rules::{MAX_ADDRESSES, MAX_CHANGES_A_DAY};
pub use sense::{Senseless, Why};

use super::{Change, Fact, Feature, Plan, Put, Reads, View};
use crate::action::Level;
use crate::engine::schedule::Begun;
use crate::heard::Topic;
use crate::time::Time;
use live::{Live, Queue};
use rules::{Circumstances, Outcome};

/// The background work: names are looked up.
const LOOK_UP: &str = "look up";
/// How many names are looked up at once.
const MAX_BATCH: usize = 32;
/// How many names with trouble `status` shows.
const MAX_TROUBLED: usize = 10;

/// The host names in use.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// All of them.
    pub all: BTreeMap<HostName, Name>,
    /// The names of each record that uses some.
    by_user: BTreeMap<String, BTreeSet<HostName>>,
    queue: Queue,
    /// When addresses of a name count as replaced.
    replaced: BTreeSet<(Time, HostName)>,
    settings: Config,
}

/// What changes with each answer is no record.
impl PartialEq for Names {
    fn eq(&self, other: &Names) -> bool {
        self.all == other.all
    }
}

nothing!(Refusal, Deed);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// All host names in use.
    List,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// These names.
    All(Vec<Name>),
    /// How many there are, and which have trouble.
    Report {
        /// How many are in use.
        count: usize,
        /// How many have trouble.
        troubled: usize,
        /// The first of them.
        first: Vec<Name>,
    },
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The daemon has begun, and the records are loaded.
    Loaded,
    /// These names are being looked up.
    Asked(Vec<HostName>),
    /// There is room for further look-ups.
    Room,
    /// Answers have come.
    Answered(Vec<Answered>),
    /// What an answer, or its absence, has changed besides the record.
    Looked(Box<Looked>),
}

/// What is known of a name besides its record.
#[derive(Clone, Debug, PartialEq)]
pub struct Looked {
    name: HostName,
    live: Live,
    replaced: Option<Time>,
}

/// What is done in the background.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// Look names up. [`Event::Room`] follows as soon as others may be looked up, the answers follow in
    /// any order.
    LookUp(Vec<HostName>),
}

/// What an administrator must hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// The name server says again and again that a name has no address.
    Gone {
        /// The name.
        name: HostName,
        /// Since when.
        since: Time,
        /// When its last addresses no longer count.
        until: Time,
        /// How many these are.
        addresses: usize,
    },
    /// The last addresses of a name no longer count: it is gone, or could not be looked up for long.
    Lost {
        /// The name.
        name: HostName,
        /// The addresses.
        addresses: Vec<IpAddr>,
    },
    /// A name gets new addresses very often.
    Often {
        /// The name.
        name: HostName,
    },
    /// Addresses of an answer do not count.
    Refused {
        /// The name.
        name: HostName,
        /// The addresses, and why.
        refused: Vec<Senseless>,
    },
}

impl Feature for Names {
    const NAME: &'static str = "names";

    type Key = HostName;
    type Config = Config;
    type Record = Name;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn read(_key: &HostName, body: &str) -> serde_json::Result<Name> {
        serde_json::from_str(body)
    }

    fn own_key(name: &Name) -> Option<HostName> {
        Some(name.name.clone())
    }

    fn put(&mut self, key: &HostName, record: Option<Name>) -> Option<Name> {
        let before = self.all.remove(key);
        for of in before.iter().flat_map(|name| name.of.keys()) {
            if let Some(names) = self.by_user.get_mut(of) {
                names.remove(key);
                if names.is_empty() {
                    self.by_user.remove(of);
                }
            }
        }
        if let Some(name) = record {
            for of in name.of.keys() {
                self.by_user.entry(of.clone()).or_default().insert(key.clone());
            }
            self.queue.add(key);
            self.all.insert(key.clone(), name);
        } else {
            self.queue.remove(key);
            self.replaced.retain(|(_, name)| name != key);
        }
        before
    }

    fn each(&self, found: &mut dyn FnMut(&HostName, &Name)) {
        self.all.iter().for_each(|(key, name)| found(key, name));
    }

    fn level(notice: &Notice) -> Level {
        match notice {
            Notice::Gone { .. } | Notice::Lost { .. } | Notice::Refused { .. } => Level::Warning,
            Notice::Often { .. } => Level::Info,
        }
    }

    fn topic(notice: &Notice) -> Option<Topic> {
        let (kind, name) = match notice {
            Notice::Gone { name, .. } => ("name-gone", name),
            Notice::Lost { name, .. } => ("name-lost", name),
            Notice::Often { name } => ("name-changes", name),
            Notice::Refused { name, .. } => ("name-refused", name),
        };
        Some(Topic::new(kind, name).with("name", name))
    }

    fn reads(request: &Request) -> Reads {
        match request {
            Request::List => Reads::Question,
        }
    }

    fn may_be_alone(_request: &Request) -> bool {
        false
    }

    fn asked(&self, request: Request, _view: &View<'_>) -> Result<Plan<Names>, Refusal> {
        match request {
            Request::List => Ok(Plan::say(Reply::All(self.all.values().cloned().collect()))),
        }
    }

    fn happened(&self, event: Event, view: &View<'_>) -> Plan<Names> {
        match event {
            Event::Answered(answers) => self.answered(&answers, view),
            Event::Room => {
                let mut plan = Plan::default();
                plan.effects.ends = Some(LOOK_UP.to_owned());
                plan
            }
            Event::Loaded | Event::Asked(_) | Event::Looked(_) => Plan::default(),
        }
    }

    fn note(&mut self, event: &Event, now: Time) {
        match event {
            Event::Loaded => {
                let known = self.all.values().filter(|name| !name.addresses.is_empty());
                let known: Vec<HostName> = known.map(|name| name.name.clone()).collect();
                self.queue.spread(known.into_iter(), now);
            }
            Event::Asked(names) => names.iter().for_each(|name| self.queue.ask(name, now)),
            Event::Looked(looked) => {
                let Looked { name, live, replaced } = &**looked;
                self.replaced.retain(|(_, other)| other != name);
                if self.all.contains_key(name) {
                    self.replaced.extend(replaced.map(|at| (at, name.clone())));
                }
                self.queue.place(name, live.clone());
            }
            Event::Room | Event::Answered(_) => {}
        }
    }

    fn follow(&self, fact: &Fact, _view: &View<'_>) -> Plan<Names> {
        match fact {
            Fact::HostNames { of, names, private } => self.used_by(of, names, *private),
            _ => Plan::default(),
        }
    }

    fn started(&self, _view: &View<'_>) -> Plan<Names> {
        if self.all.is_empty() {
            return Plan::default();
        }
        Plan { at_once: vec![Event::Loaded], ..Plan::default() }
    }

    fn configure(&mut self, config: &Config) {
        self.settings = config.clone();
    }

    fn next_due(&self) -> Option<Time> {
        self.replaced.first().map(|(at, _)| *at)
    }

    fn due(&self, view: &View<'_>) -> Plan<Names> {
        let mut plan = Plan::default();
        let due = self.replaced.iter().take_while(|(at, _)| *at <= view.now());
        for name in due.filter_map(|(_, name)| self.all.get(name)) {
            let live = self.queue.get(&name.name).cloned().unwrap_or_default();
            let outcome = rules::end_replaced(name, &live, &self.circumstances(view));
            self.adopt(name, outcome, &mut plan);
        }
        plan
    }

    fn tasks(&self, _view: &View<'_>, found: &mut dyn FnMut(&dyn fmt::Display, Option<Time>)) {
        if let Some(next) = self.queue.next() {
            found(&LOOK_UP, Some(next));
        }
    }

    fn begin(&self, _task: &str, _begun: &Begun, view: &View<'_>) -> Plan<Names> {
        let names: Vec<HostName> = self.queue.due(view.now()).take(MAX_BATCH).cloned().collect();
        if names.is_empty() {
            return Plan::default();
        }
        let at_once = vec![Event::Asked(names.clone())];
        Plan { at_once, ..Plan::work(Job::LookUp(names)) }
    }

    fn report(&self, _view: &View<'_>) -> Option<Reply> {
        let troubled = || self.all.values().filter(|name| has_trouble(name));
        let first = troubled().take(MAX_TROUBLED).cloned().collect();
        Some(Reply::Report { count: self.all.len(), troubled: troubled().count(), first })
    }
}

/// Whether an administrator should know how it goes with a name.
fn has_trouble(name: &Name) -> bool {
    name.fails().is_some() || name.gone.is_some() || !name.refused.is_empty()
}

impl Names {
    fn circumstances<'a>(&self, view: &View<'a>) -> Circumstances<'a> {
        let site = &view.posture().site;
        Circumstances { now: view.now(), overlap: self.settings.overlap, site }
    }

    /// A record uses these names from now on. What is known of them counts for it at once.
    fn used_by(
        &self,
        of: &str,
        names: &BTreeMap<HostName, Vec<IpAddr>>,
        private: bool,
    ) -> Plan<Names> {
        let mut plan = Plan::default();
        let before = self.by_user.get(of);
        for name in before.into_iter().flatten().filter(|name| !names.contains_key(name)) {
            let Some(record) = self.all.get(name) else { continue };
            let mut record = record.clone();
            record.of.remove(of);
            match record.of.is_empty() {
                true => plan.remove(name.clone(), None),
                false => plan.put(name.clone(), record, None),
            }
        }
        for (name, known) in names {
            let before = self.all.get(name);
            let mut record = before.cloned().unwrap_or_else(|| Name::new(name.clone()));
            record.of.insert(of.to_owned(), private);
            // What a record of an earlier version has counts as looked up.
            if record.was_never_found() {
                record.addresses = sorted(known);
                record.addresses = record.counting(private);
            }
            if record.counting(private) != sorted(known) {
                plan.effects.facts.push(resolved(&record));
            }
            if before == Some(&record) {
                continue;
            }
            // Whoever names it again does not wait for the next look-up; nor does what was refused.
            if record.addresses.is_empty() || private && !record.refused.is_empty() {
                plan.at_once.extend(self.looks_at_once(name));
            }
            plan.put(name.clone(), record, None);
        }
        plan
    }

    /// A name is looked up at once, if it is in use.
    fn looks_at_once(&self, name: &HostName) -> Option<Event> {
        let live = Live { next: Time::default(), ..self.queue.get(name)?.clone() };
        let replaced = self.replaced.iter().find(|(_, other)| other == name).map(|(at, _)| *at);
        Some(Event::Looked(Box::new(Looked { name: name.clone(), live, replaced })))
    }

    fn answered(&self, answers: &[Answered], view: &View<'_>) -> Plan<Names> {
        let mut plan = Plan::default();
        for answered in answers {
            // It may be out of use by now.
            let Some(name) = self.all.get(&answered.name) else { continue };
            let Some(live) = self.queue.get(&answered.name) else { continue };
            let outcome = rules::judge(name, live, answered, &self.circumstances(view));
            self.adopt(name, outcome, &mut plan);
        }
        plan
    }

    /// Proposes what an answer, or its absence, leaves.
    fn adopt(&self, before: &Name, outcome: Outcome, plan: &mut Plan<Names>) {
        let Outcome { name, live, notices } = outcome;
        let replaced = rules::replaced_at(&name, &live, self.settings.overlap);
        let looked = Looked { name: name.name.clone(), live, replaced };
        plan.at_once.push(Event::Looked(Box::new(looked)));
        plan.notices.extend(notices);
        if name.addresses != before.addresses {
            plan.effects.facts.push(resolved(&name));
        }
        if name != *before {
            plan.put(name.name.clone(), name, None);
        }
    }
}

fn sorted(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let addresses: BTreeSet<IpAddr> = addresses.iter().copied().collect();
    addresses.into_iter().collect()
}

fn resolved(name: &Name) -> Fact {
    Fact::Resolved { name: name.name.clone(), addresses: name.addresses.clone() }
}

/// Adds or replaces a name.
pub fn put(name: Name) -> Change {
    Put::<Names> { key: name.name.clone(), record: Some(name) }.into()
}
