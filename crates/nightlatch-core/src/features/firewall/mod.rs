//! The firewall itself: whether it stands, in which mode, at which server.

mod hours;
mod requests;
mod setting;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use requests::{Reached, Refusal, Reply, Request, Services, Up};
pub use setting::{NoSetting, Setting, Value};

use super::{Change, Fact, Feature, Plan, Put, Reads, State, View};
use crate::action::Level;
use crate::config::{Config, Rules};
use crate::heard::Topic;
use crate::posture::{Mode, Posture, Protection, Site};
use crate::time::{Time, is_over};

/// How the firewall is to stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Firewall {
    posture: Posture,
    watch: hours::Watch,
}

nothing!(Job);

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It was looked at the hours of open services.
    Looked {
        /// When it is looked again.
        next: Option<Time>,
    },
}

/// What an administrator must hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// Nobody confirmed the trial in time, so it is taken back.
    NotConfirmed,
    /// Somebody took the firewall off.
    Off {
        /// Who.
        by: String,
    },
}

/// What the audit log calls a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// `up` looked at the server.
    Survey,
    /// The firewall was put up.
    Up,
    /// A trial was confirmed.
    Confirm,
    /// A trial was taken back.
    Rollback,
    /// The firewall was taken off.
    Down,
    /// The mode was set.
    Mode,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Survey => "survey",
            Deed::Up => "up",
            Deed::Confirm => "confirm",
            Deed::Rollback => "rollback",
            Deed::Down => "down",
            Deed::Mode => "mode",
        })
    }
}

impl Firewall {
    /// How the firewall is to stand.
    pub fn posture(&self) -> &Posture {
        &self.posture
    }
}

impl Feature for Firewall {
    const NAME: &'static str = "firewall";

    type Key = Setting;
    type Config = Rules;
    type Record = Value;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn read(key: &Setting, body: &str) -> serde_json::Result<Value> {
        Ok(match key {
            Setting::Mode => Value::Mode(serde_json::from_str(body)?),
            Setting::Protection => Value::Protection(serde_json::from_str(body)?),
            Setting::Site => Value::Site(serde_json::from_str(body)?),
        })
    }

    /// A setting always has a value; one that is removed is the default.
    fn put(&mut self, key: &Setting, record: Option<Value>) -> Option<Value> {
        use std::mem::replace;

        let Posture { mode, protection, site } = &mut self.posture;
        Some(match record {
            Some(Value::Mode(new)) => Value::Mode(replace(mode, new)),
            Some(Value::Protection(new)) => Value::Protection(replace(protection, new)),
            Some(Value::Site(new)) => Value::Site(replace(site, new)),
            None => match key {
                Setting::Mode => Value::Mode(std::mem::take(mode)),
                Setting::Protection => Value::Protection(std::mem::take(protection)),
                Setting::Site => Value::Site(std::mem::take(site)),
            },
        })
    }

    fn each(&self, found: &mut dyn FnMut(&Setting, &Value)) {
        found(&Setting::Mode, &Value::Mode(self.posture.mode));
        found(&Setting::Protection, &Value::Protection(self.posture.protection.clone()));
        found(&Setting::Site, &Value::Site(self.posture.site.clone()));
    }

    fn level(notice: &Notice) -> Level {
        match notice {
            Notice::NotConfirmed => Level::Info,
            Notice::Off { .. } => Level::Warning,
        }
    }

    fn topic(notice: &Notice) -> Option<Topic> {
        let topic = match notice {
            Notice::NotConfirmed => Topic::new("firewall-off", ""),
            // If another one does it, that is another notice.
            Notice::Off { by } => Topic::new("firewall-off", by).with("by", by),
        };
        Some(topic.in_log())
    }

    fn is_structural(_key: &Setting) -> bool {
        true
    }

    fn reads(request: &Request) -> Reads {
        match request {
            Request::Up(_) | Request::Mode { .. } => Reads::Learned,
            Request::Confirm | Request::Rollback | Request::Down => Reads::Nothing,
            Request::Services | Request::Protection => Reads::Question,
        }
    }

    fn asked(&self, request: Request, view: &View<'_>) -> Result<Plan<Firewall>, Refusal> {
        match request {
            Request::Up(up) => Ok(self.up(up, view)),
            Request::Confirm => self.confirm(view.now()),
            Request::Rollback => self.take_back().ok_or(Refusal::NothingToTakeBack),
            Request::Down => Ok(self.down(view)),
            Request::Mode { mode } => Ok(self.set_mode(mode, view)),
            Request::Services => Ok(Plan::say(self.services(view))),
            Request::Protection => Ok(Plan::say(Reply::Protection {
                protection: self.posture.protection.clone(),
                mode: self.posture.mode,
            })),
        }
    }

    fn configured(&self, before: &Config, view: &View<'_>) -> Plan<Firewall> {
        let mut plan = Plan::say(Reply::ConfigurationRead);
        if self.posture.mode == Mode::Open {
            let closes = requests::closes_something(before.rules(), view, &self.posture.site);
            plan.effects.facts.extend(closes.then_some(Fact::SignallingCloses));
            plan.effects.facts.push(Fact::SignallingOpens);
        }
        plan
    }

    fn configure(&mut self, rules: &Rules) {
        self.watch.configure(rules);
    }

    fn note(&mut self, event: &Event, now: Time) {
        let Event::Looked { next } = event;
        self.watch.note(*next, now);
    }

    fn next_due(&self) -> Option<Time> {
        let ends = [self.posture.protection.trial_end(), self.watch.next()];
        ends.into_iter().flatten().min()
    }

    fn due(&self, view: &View<'_>) -> Plan<Firewall> {
        let mut plan = Plan::default();
        if is_over(self.posture.protection.trial_end(), view.now()) {
            plan = self.take_back().unwrap_or_default();
            plan.effects.must_happen = true;
            plan.notices.push(Notice::NotConfirmed);
        }
        self.end_hours(&mut plan, view);
        plan
    }

    fn report(&self, view: &View<'_>) -> Option<Reply> {
        Some(self.standing(view))
    }
}

/// Sets what strangers meet.
pub fn set_mode(mode: Mode) -> Change {
    Put::<Firewall> { key: Setting::Mode, record: Some(Value::Mode(mode)) }.into()
}

/// Sets whether the firewall is to stand.
pub fn set_protection(protection: Protection) -> Change {
    let record = Some(Value::Protection(protection));
    Put::<Firewall> { key: Setting::Protection, record }.into()
}

/// Sets what is known of the server.
pub fn set_site(site: Site) -> Change {
    Put::<Firewall> { key: Setting::Site, record: Some(Value::Site(site)) }.into()
}

impl State {
    /// A state in which nothing is known but how the firewall is to stand.
    pub fn with_posture(posture: Posture) -> State {
        State { firewall: Firewall { posture, ..Firewall::default() }, ..State::default() }
    }
}
