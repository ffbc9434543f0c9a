//! Watch: logs are read, and what they tell of attacks is handed to whoever bans.
//!
//! The reading and judging is done in a thread of the program, because lines come by the thousand: only
//! what was found out comes here. Each attack becomes a fact that other features follow; whether anybody
//! is banned is not decided here.

mod blind;
mod config;
mod moment;
mod standing;
mod told;

use serde::{Deserialize, Serialize};

pub use blind::{Blind, Blindness};
pub use config::{Config, Login, MAX_WATCHED, Place, Reads as ReadBy, Watched, native};
pub use moment::Moments;
pub use nightlatch_parse::log::Format;
pub use standing::{Source, SourceState, Standing, Unreadable, WhyLow};

use super::{Fact, Feature, Plan, Reads, View};
use crate::action::Level;
use crate::config::Config as WholeConfig;
use crate::detect::{self, Finding, Underway};
use crate::heard::Topic;
use crate::time::Time;

/// What is known of the logs that are read.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    standing: Standing,
}

/// It keeps no records.
impl PartialEq for Watch {
    fn eq(&self, _other: &Watch) -> bool {
        true
    }
}

nothing!(Refusal, Deed);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// What is read, and what is not.
    List,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// What is read, and what is not.
    All(Standing),
    /// The attack that is underway.
    Report {
        /// If there is one.
        attack: Option<Underway>,
    },
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Something was found out.
    Found {
        /// Counts these events since the start.
        number: u64,
        /// What, in the order of the lines.
        findings: Vec<Finding>,
    },
    /// The administrator must hear something of a log.
    Told(Box<Notice>),
    /// How the reading stands.
    Stands(Box<Standing>),
}

/// What is done in the background.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// Read what this configuration says, and what is found on this machine.
    Read(Box<Config>),
    /// What was found out up to this number is decided: more may come.
    Decided(u64),
    /// What was found out up to this number is written down: it need not be found out again.
    Taken(u64),
}

/// What an administrator must hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// The judge has found something out that bans nobody.
    Judged(detect::Notice),
    /// A log was emptied or replaced, and lines that were not read yet may be lost.
    LinesLost {
        /// The path of the log.
        log: String,
        /// How many bytes, where that is known.
        bytes: Option<u64>,
    },
    /// A log is not read.
    NotRead {
        /// The path of the log.
        log: String,
        /// Why.
        why: Unreadable,
    },
    /// The journal cannot be read.
    NoJournal {
        /// Why.
        error: String,
    },
    /// A manager interface refuses the login.
    Refused {
        /// `ami` and its address.
        log: String,
        /// As whom.
        user: String,
        /// What it says.
        error: String,
    },
    /// A manager interface has not been connected for a while.
    NotConnected {
        /// `ami` and its address.
        log: String,
        /// Since when.
        since: Time,
        /// Why.
        error: String,
    },
    /// A manager interface is connected again, after it was told that it was not.
    ConnectedAgain {
        /// `ami` and its address.
        log: String,
        /// From when it was not.
        from: Time,
        /// Until when.
        until: Time,
    },
    /// A manager interface does not report security events.
    NoEvents {
        /// `ami` and its address.
        log: String,
        /// As whom the program is logged in.
        user: String,
    },
    /// How far the logs were read cannot be kept.
    NotKept {
        /// Why.
        error: String,
    },
}

impl Feature for Watch {
    const NAME: &'static str = "watch";

    type Key = String;
    type Config = Config;
    type Record = ();
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn read(_key: &String, body: &str) -> serde_json::Result<()> {
        serde_json::from_str(body)
    }

    fn put(&mut self, _key: &String, _record: Option<()>) -> Option<()> {
        None
    }

    fn each(&self, _found: &mut dyn FnMut(&String, &())) {}

    /// The counts of the reading come with those of the lists.
    fn reads(request: &Request) -> Reads {
        match request {
            Request::List => Reads::Counts,
        }
    }

    fn asked(&self, request: Request, _view: &View<'_>) -> Result<Plan<Watch>, Refusal> {
        match request {
            Request::List => Ok(Plan::say(Reply::All(self.standing.clone()))),
        }
    }

    /// Whoever attacks is stopped before anything is written down.
    fn is_urgent(event: &Event) -> bool {
        matches!(event, Event::Found { .. })
    }

    fn level(notice: &Notice) -> Level {
        match notice {
            Notice::Judged(judged) => told::level(judged),
            Notice::LinesLost { .. }
            | Notice::NotRead { .. }
            | Notice::Refused { .. }
            | Notice::NotConnected { .. }
            | Notice::NoEvents { .. } => Level::Warning,
            Notice::ConnectedAgain { .. } => Level::Info,
            Notice::NoJournal { .. } | Notice::NotKept { .. } => Level::Error,
        }
    }

    fn topic(notice: &Notice) -> Option<Topic> {
        Some(match notice {
            Notice::Judged(judged) => told::topic(judged),
            Notice::LinesLost { log, .. } => Topic::new("log-lines-lost", log),
            Notice::NotRead { log, .. } => Topic::new("log-not-read", log),
            Notice::NoJournal { error } => {
                Topic::new("log-not-read", "journal").with("error", error)
            }
            Notice::Refused { log, user, .. } | Notice::NoEvents { log, user } => {
                Topic::new("log-not-read", log).with("user", user)
            }
            Notice::NotConnected { log, error, .. } => {
                Topic::new("log-not-read", log).with("error", error)
            }
            Notice::ConnectedAgain { log, .. } => Topic::new("log-read-again", log),
            Notice::NotKept { error } => Topic::new("store-failed", "watch").with("error", error),
        })
    }

    fn started(&self, view: &View<'_>) -> Plan<Watch> {
        Plan::work(Job::Read(Box::new(view.config().watch.clone())))
    }

    fn configured(&self, before: &WholeConfig, view: &View<'_>) -> Plan<Watch> {
        let config = &view.config().watch;
        let is_same = *config == before.watch;
        let later = if is_same { Vec::new() } else { vec![Job::Read(Box::new(config.clone()))] };
        Plan { later, ..Plan::default() }
    }

    fn happened(&self, event: Event, _view: &View<'_>) -> Plan<Watch> {
        let mut plan = Plan::default();
        match event {
            Event::Found { number, findings } => {
                for finding in findings {
                    match finding {
                        Finding::Attack(attack) => plan.effects.facts.push(Fact::Attacked(attack)),
                        Finding::Notice(notice) => plan.notices.push(Notice::Judged(notice)),
                    }
                }
                // A full disk must not hinder the next ban.
                plan.jobs.push(Job::Decided(number));
                // Only then may the lines count as read: a crash before would lose what they tell.
                plan.later.push(Job::Taken(number));
            }
            Event::Told(notice) => plan.notices.push(*notice),
            Event::Stands(_) => plan.at_once.push(event),
        }
        plan
    }

    fn report(&self, _view: &View<'_>) -> Option<Reply> {
        Some(Reply::Report { attack: self.standing.attack })
    }

    fn note(&mut self, event: &Event, _now: Time) {
        if let Event::Stands(standing) = event {
            self.standing = (**standing).clone();
        }
    }
}
