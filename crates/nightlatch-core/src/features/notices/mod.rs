//! Notices: what an administrator must hear, wherever that person is.
//!
//! Whatever the journal tells that matters elsewhere too comes here ([`Heard`]),
//! whichever feature it is from. It is listed, and proposed to be given to the command of the
//! configuration.

mod hearing;
mod outbox;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use outbox::Outbox;
pub use outbox::{Delivery, MAX_TEXT, Notice as Listed, Settings, Severity, Subject, visible};

use super::{Feature, Plan, View};
use crate::audit::Occurrence;
use crate::config::{Config, File, Mistake, Table};
use crate::engine::schedule::Begun;
use crate::heard::Heard;
use crate::time::Time;

/// The notices.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    /// The records as the store has them.
    saved: BTreeMap<String, Value>,
    /// What is listed, and what of it is to be delivered.
    outbox: Outbox,
    /// What the audit log does not have yet.
    unlogged: Vec<Occurrence>,
    /// When the records were last written down.
    saved_at: Option<Time>,
}

/// What is listed follows from the records.
impl PartialEq for Notices {
    fn eq(&self, other: &Notices) -> bool {
        self.saved == other.saved
    }
}

nothing!(Request, Refusal, Notice, Deed);

/// The only work: giving a notice to the command.
const DELIVERY: &str = "delivery";

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// What the administrator must hear, the latest first.
    Report {
        /// The notices of the last day.
        recent: Vec<Listed>,
        /// How many wait to be delivered.
        waiting: usize,
        /// How many were not delivered, and nobody was told of that yet.
        lost: u64,
        /// How often in a row the command failed, and why it failed last.
        failing: Option<(u32, String)>,
    },
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The daemon has begun, and the records are loaded.
    Loaded,
    /// The configuration names another command, or none.
    CommandChanged,
    /// A delivery begins; nothing where what waited is given up.
    Begins(Option<Box<Delivery>>),
    /// [`Job::Deliver`] has ended.
    Delivered {
        /// The number of the delivery.
        id: u64,
        /// Why the command failed, if it did.
        result: Result<(), String>,
    },
    /// The records are written down.
    Saved,
}

/// What is done in the background.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// Give a notice to the command.
    Deliver {
        /// What is told.
        delivery: Box<Delivery>,
        /// The command, and the user that it runs as.
        settings: Settings,
    },
}

impl Feature for Notices {
    const NAME: &'static str = "notices";

    type Key = String;
    type Config = Settings;
    type Record = Value;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    /// What cannot be read is left out later: a lost notice must not keep the firewall from starting.
    fn read(_key: &String, body: &str) -> serde_json::Result<Value> {
        Ok(serde_json::from_str(body).unwrap_or_default())
    }

    fn put(&mut self, key: &String, record: Option<Value>) -> Option<Value> {
        match record {
            Some(record) => self.saved.insert(key.clone(), record),
            None => self.saved.remove(key),
        }
    }

    fn each(&self, found: &mut dyn FnMut(&String, &Value)) {
        self.saved.iter().for_each(|(key, record)| found(key, record));
    }

    fn asked(&self, request: Request, _view: &View<'_>) -> Result<Plan<Notices>, Refusal> {
        match request {}
    }

    fn configure(&mut self, settings: &Settings) {
        self.outbox.configure(settings.clone());
    }

    fn configured(&self, before: &Config, view: &View<'_>) -> Plan<Notices> {
        let is_same = view.config().notices.runs_like(&before.notices);
        let events = if is_same { Vec::new() } else { vec![Event::CommandChanged] };
        Plan { events, ..Plan::default() }
    }

    fn hear(&mut self, heard: &Heard) {
        self.take(heard);
    }

    fn started(&self, _view: &View<'_>) -> Plan<Notices> {
        Plan { at_once: vec![Event::Loaded], ..Plan::default() }
    }

    fn happened(&self, event: Event, _view: &View<'_>) -> Plan<Notices> {
        let mut plan = Plan::default();
        plan.effects.ends = Some(DELIVERY.to_owned());
        plan.at_once.push(event);
        plan
    }

    fn note(&mut self, event: &Event, now: Time) {
        match event {
            Event::Loaded => self.load_outbox(now),
            Event::CommandChanged => self.outbox.command_changed(now),
            Event::Begins(delivery) => {
                self.outbox.give_up(now);
                if let Some(delivery) = delivery {
                    self.outbox.began((**delivery).clone(), now);
                }
            }
            Event::Delivered { id, result } => {
                let result = result.as_ref().copied().map_err(String::as_str);
                self.outbox.delivered(*id, result, now);
            }
            Event::Saved => {
                self.outbox.saved();
                self.unlogged.clear();
                self.saved_at = Some(now);
            }
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.next_save()
    }

    fn due(&self, view: &View<'_>) -> Plan<Notices> {
        match self.next_save().is_some_and(|due| due <= view.now()) {
            true => self.save(),
            false => Plan::default(),
        }
    }

    fn tasks(&self, _view: &View<'_>, found: &mut dyn FnMut(&dyn fmt::Display, Option<Time>)) {
        if let Some(next) = self.outbox.next_due() {
            found(&DELIVERY, Some(next));
        }
    }

    fn begin(&self, _task: &str, _begun: &Begun, view: &View<'_>) -> Plan<Notices> {
        self.deliver(view.now())
    }

    fn report(&self, view: &View<'_>) -> Option<Reply> {
        Some(self.shown(view.now()))
    }
}

impl Table for Settings {
    const NAMES: &'static [&'static str] = &["notices"];

    fn read(file: &File<'_>) -> Result<Settings, Mistake> {
        #[derive(Default, Deserialize)]
        struct Written {
            #[serde(default)]
            notices: Settings,
        }
        Ok(file.parsed::<Written>()?.notices)
    }
}

#[cfg(test)]
mod tests;
