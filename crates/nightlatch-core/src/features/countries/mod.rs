//! Countries that are shut out, or the only ones whose strangers come in.

mod config;
mod record;
mod requests;
mod rules;
mod table;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use nightlatch_parse::country::CountryCode;
use nightlatch_parse::ranges::RangeList;
use serde::{Deserialize, Serialize};

pub use config::{Config, DEFAULT_SOURCE};
pub use record::{Key, NoKey, Record};
pub use requests::{CountrySize, Held, Refusal, Reply, Request, Shown, Trouble};
pub use rules::{CountryAsker, CountryRules};
pub use table::{Doubt, FetchedTable, Outcome, TakenBack};

use super::{By, Change, Feature, Plan, Put, Reads, View, Want};
use crate::action::Level;
use crate::engine::schedule::Begun;
use crate::lists::Versions;
use crate::time::Time;
use table::{Look, Table};

/// The rules of countries, and their table.
#[derive(Clone, Debug, Default)]
pub struct Countries {
    /// Which are shut out.
    pub rules: CountryRules,
    /// Who waits for the next table of countries: a restart may come first.
    pub asker: Option<CountryAsker>,
    /// The same, and who only asked for a new table: it must not shut that person out.
    waiting: Option<CountryAsker>,
    /// What the table in force holds.
    table: Table,
    /// The last look at the source.
    look: Look,
}

/// What the table holds is no record.
impl PartialEq for Countries {
    fn eq(&self, other: &Countries) -> bool {
        self.rules == other.rules && self.asker == other.asker
    }
}

/// The only work: reading the table.
const READING: &str = "table";

/// Which record makes the claims.
const RULES: Key = Key::Rules;

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// [`Job::Read`] has ended; `None` where there is nothing new.
    Read(Result<Option<FetchedTable>, String>),
    /// A table takes effect.
    InForce(FetchedTable),
    /// What an earlier run of the daemon kept.
    Restored(FetchedTable),
    /// The source was looked at.
    Looked(Look),
    /// Somebody waits for the next table, or nobody any more.
    Waits(Option<CountryAsker>),
    /// Whoever asks knows that the last change was taken back.
    Acknowledged,
    /// The table could not be kept on disk.
    NotKept {
        /// Why.
        error: String,
    },
}

/// What is done in the background.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// Read the table.
    Read {
        /// Where from: folders, files and addresses.
        source: Vec<String>,
        /// The countries that are needed, where each has a file of its own.
        countries: BTreeSet<CountryCode>,
        /// The versions that are in force, so that "nothing new" is an answer.
        known: Versions,
    },
    /// Keep the table, so that a restart does not need the network.
    Keep(FetchedTable),
}

/// What an administrator must hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A new table is in force.
    InForce(Outcome),
    /// The table could not be read, or is not believed.
    Failed(Outcome),
    /// The last change of the rules is taken back.
    TakenBack(TakenBack),
    /// The table could not be kept on disk.
    NotKept {
        /// Why.
        error: String,
    },
}

/// What the audit log calls a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// Countries were shut out.
    Block,
    /// Countries are no longer shut out.
    Unblock,
    /// Only some countries are let in.
    Allow,
    /// The last change was taken back.
    Undo,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Block => "country block",
            Deed::Unblock => "country unblock",
            Deed::Allow => "country allow",
            Deed::Undo => "country undo",
        })
    }
}

impl Feature for Countries {
    const NAME: &'static str = "countries";

    type Key = Key;
    type Config = Config;
    type Record = Record;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn level(notice: &Notice) -> Level {
        match notice {
            Notice::InForce(_) => Level::Info,
            Notice::Failed(_) | Notice::TakenBack(_) | Notice::NotKept { .. } => Level::Warning,
        }
    }

    fn read(key: &Key, body: &str) -> serde_json::Result<Record> {
        Ok(match key {
            Key::Rules => Record::Rules(serde_json::from_str(body)?),
            Key::Asker => Record::Asker(serde_json::from_str(body)?),
        })
    }

    fn put(&mut self, key: &Key, record: Option<Record>) -> Option<Record> {
        match (key, record) {
            (_, Some(Record::Rules(rules))) => {
                Some(Record::Rules(std::mem::replace(&mut self.rules, rules)))
            }
            (Key::Rules, None) => Some(Record::Rules(std::mem::take(&mut self.rules))),
            (_, asker) => {
                let asker = asker.and_then(|record| match record {
                    Record::Asker(asker) => Some(asker),
                    Record::Rules(_) => None,
                });
                std::mem::replace(&mut self.asker, asker).map(Record::Asker)
            }
        }
    }

    fn load(&mut self, records: Vec<(Key, Record)>) {
        for (key, record) in records {
            let _ = self.put(&key, Some(record));
        }
        self.waiting.clone_from(&self.asker);
    }

    fn each(&self, found: &mut dyn FnMut(&Key, &Record)) {
        found(&Key::Rules, &Record::Rules(self.rules.clone()));
        if let Some(asker) = &self.asker {
            found(&Key::Asker, &Record::Asker(asker.clone()));
        }
    }

    fn list(&self, into: &mut RangeList) {
        into.extend(self.table.shut_out_ranges(&self.rules).iter());
    }

    fn holding<'a>(&'a self, address: IpAddr, found: &mut dyn FnMut(By<'a>)) {
        if self.table.shuts_out(address, &self.rules).is_some() {
            found(By::Countries(&RULES));
        }
    }

    fn reads(request: &Request) -> Reads {
        match request {
            Request::List | Request::Refresh => Reads::Question,
            _ => Reads::Nothing,
        }
    }

    fn asked(&self, request: Request, view: &View<'_>) -> Result<Plan<Countries>, Refusal> {
        match request {
            Request::Block(countries) => self.block(&countries, view),
            Request::Unblock(countries) => self.unblock(&countries, view),
            Request::Allow(only) => self.allow(only, view),
            Request::List => Ok(Plan::say(Reply::All(Box::new(self.shown(view))))),
            Request::Refresh => self.refresh(view),
        }
    }

    fn happened(&self, event: Event, view: &View<'_>) -> Plan<Countries> {
        match event {
            Event::Read(result) => self.read_ended(result, view),
            Event::NotKept { error } => {
                Plan { notices: vec![Notice::NotKept { error }], ..Plan::default() }
            }
            event => Plan { at_once: vec![event], ..Plan::default() },
        }
    }

    fn note(&mut self, event: &Event, _now: Time) {
        match event {
            Event::InForce(table) => self.table.take(table),
            Event::Restored(table) => {
                self.look = Look::restored(table);
                self.table.take(table);
            }
            Event::Looked(look) => {
                self.table.confirm(look);
                self.look = look.clone();
            }
            Event::Waits(asker) => {
                self.waiting.clone_from(asker);
                if asker.is_some() {
                    self.look.taken_back = None;
                }
            }
            Event::Acknowledged => self.look.taken_back = None,
            Event::Read(_) | Event::NotKept { .. } => {}
        }
    }

    fn configured(&self, before: &crate::config::Config, view: &View<'_>) -> Plan<Countries> {
        let mut plan = Plan::default();
        if before.countries != view.config().countries {
            self.spare_asker(&mut plan, view, true);
            plan.effects.wants.push(Want::of(READING));
        }
        plan
    }

    fn tasks(&self, _view: &View<'_>, found: &mut dyn FnMut(&dyn fmt::Display, Option<Time>)) {
        if !self.rules.is_empty() {
            found(&READING, Some(self.look.next()));
        }
    }

    fn begin(&self, _task: &str, begun: &Begun, view: &View<'_>) -> Plan<Countries> {
        // Without a table at hand, "nothing new" would leave us with nothing.
        let sure = self.table.is_there() && !begun.force;
        Plan::work(Job::Read {
            source: view.config().countries.source.clone(),
            countries: self.rules.named(),
            known: if sure { self.table.versions.clone() } else { Versions::new() },
        })
    }

    fn report(&self, view: &View<'_>) -> Option<Reply> {
        let count = self.rules.named().len();
        Some(Reply::Report { count, trouble: self.trouble(view.now()) })
    }

    fn about(&self, address: IpAddr, _view: &View<'_>) -> Option<Reply> {
        let held = self.table.shuts_out(address, &self.rules);
        held.map(|(country, entry)| Reply::Held(Held { country, entry, fetched: self.table.taken }))
    }
}

/// Sets which countries are shut out.
pub fn set_rules(rules: CountryRules) -> Change {
    Put::<Countries> { key: Key::Rules, record: Some(Record::Rules(rules)) }.into()
}

/// Sets who waits for the next table.
pub fn set_asker(asker: Option<CountryAsker>) -> Change {
    Put::<Countries> { key: Key::Asker, record: asker.map(Record::Asker) }.into()
}
