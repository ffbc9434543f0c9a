//! Users: persons whose credentials open addresses for a time. What is open is not kept here.

mod agent;
mod changes;
mod config;
mod keys;
mod knock;
mod opening;
mod replay;
mod requests;
mod secrets;
mod spa;
mod tries;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use agent::{NotSecret, Registers};
pub use config::Config;
pub use keys::{Job, Keys};
pub use opening::{Open, Opens};
pub use replay::{MAX_AGE, Replays};
pub use requests::{Card, Edit, NewUser, Refusal, Reply, Request};
pub use secrets::{Agent, NotMade, Secrets, Spa};
pub use spa::{CLOSES, Message, Proved, Unusable, Why};
pub use tries::{Did, Syn};
pub use user::{Credential, Kind, KindError, NameError, User, UserName};

use super::{Change, Feature, Plan, Put, Reads, View};
use crate::action::Level;
use crate::heard::Topic;
use crate::secret::Secret;
use crate::time::Time;
use crate::watched::{self, Cached, Watched};

/// The most users.
pub const MAX_USERS: usize = 1_000;

/// The users and their secrets.
#[derive(Clone, Debug, Default)]
pub struct Users {
    /// All users, by name.
    pub all: BTreeMap<UserName, User>,
    /// What each of them has of secrets.
    pub secrets: BTreeMap<UserName, Secrets>,
    /// Which of their SPA messages were used.
    replays: BTreeMap<UserName, Replays>,
    config: Config,
    knocks: knock::Kept,
    tries: tries::Tries,
    watched: Cached,
    /// When an administrator was told last of a kind of refusal of a user.
    told: BTreeMap<(UserName, &'static str), Time>,
    counts: BTreeMap<Kind, Counts>,
}

/// All else follows from them, or is of this run alone.
impl PartialEq for Users {
    fn eq(&self, other: &Users) -> bool {
        self.all == other.all
            && self.secrets == other.secrets
            && self.replays == other.replays
            && self.config == other.config
    }
}

/// How often a kind of credential was used since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// How often it opened something.
    pub accepted: u64,
    /// How often it was refused, although it was genuine.
    pub refused: u64,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An authenticated SPA packet has come.
    Proved(Box<Proved>),
    /// A REGISTER with a secret user agent has come.
    Registers(Registers),
    /// The kernel tells of a knock.
    Syn(Syn),
    /// A credential has opened something.
    Accepted(Kind),
    /// A credential was refused.
    Refused {
        /// Which kind of credential.
        credential: Kind,
        /// The user.
        user: UserName,
        /// The kind of the reason.
        kind: &'static str,
        /// Whether the administrator is told.
        told: bool,
    },
}

/// What an administrator wants in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A genuine credential was refused.
    Refused {
        /// The user.
        user: UserName,
        /// Which credential.
        credential: Kind,
        /// From where it came.
        source: IpAddr,
        /// Why.
        why: Why,
    },
    /// An address has begun several wrong knock sequences.
    WrongKnocks {
        /// The address.
        source: IpAddr,
        /// How many within an hour.
        tries: u32,
    },
    /// So many addresses have begun to knock that no others can.
    KnocksFull,
}

/// Which record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A user.
    User(UserName),
    /// The secrets of a user.
    Secrets(UserName),
    /// The SPA messages of a user that were used.
    Replays(UserName),
}

/// What stands before the name in the key of secrets. No name has a slash.
const SECRETS_OF: &str = "secrets/";
/// The same of used messages.
const REPLAYS_OF: &str = "replays/";

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::User(name) => name.fmt(f),
            Key::Secrets(name) => write!(f, "{SECRETS_OF}{name}"),
            Key::Replays(name) => write!(f, "{REPLAYS_OF}{name}"),
        }
    }
}

impl FromStr for Key {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Key, NameError> {
        if let Some(name) = text.strip_prefix(SECRETS_OF) {
            return Ok(Key::Secrets(name.parse()?));
        }
        match text.strip_prefix(REPLAYS_OF) {
            Some(name) => Ok(Key::Replays(name.parse()?)),
            None => Ok(Key::User(text.parse()?)),
        }
    }
}

/// A user, or the secrets of one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Record {
    /// A user.
    User(User),
    /// The secrets of a user.
    Secrets(Secrets),
    /// The SPA messages of a user that were used.
    Replays(Replays),
}

impl Record {
    fn user(&self) -> Option<&User> {
        match self {
            Record::User(user) => Some(user),
            Record::Secrets(_) | Record::Replays(_) => None,
        }
    }
}

/// What the audit log calls a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// A user was made.
    Add,
    /// Services, limit or note were changed.
    Set,
    /// Credentials were replaced.
    Rotate,
    /// A user was removed, with all credentials.
    Revoke,
    /// The card was shown.
    Card,
    /// The card was shown again.
    CardAgain,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Add => "user-add",
            Deed::Set => "user-set",
            Deed::Rotate => "user-rotate",
            Deed::Revoke => "user-revoke",
            Deed::Card => "user-card",
            Deed::CardAgain => "user-card-again",
        })
    }
}

impl Feature for Users {
    const NAME: &'static str = "users";

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

    fn read(key: &Key, body: &str) -> serde_json::Result<Record> {
        Ok(match key {
            Key::User(_) => Record::User(serde_json::from_str(body)?),
            Key::Secrets(_) => Record::Secrets(serde_json::from_str(body)?),
            Key::Replays(_) => Record::Replays(serde_json::from_str(body)?),
        })
    }

    fn own_key(record: &Record) -> Option<Key> {
        record.user().map(|user| Key::User(user.name.clone()))
    }

    fn put(&mut self, key: &Key, record: Option<Record>) -> Option<Record> {
        if !matches!(key, Key::Replays(_)) {
            self.watched.clear();
            self.knocks.clear();
        }
        let before = match key {
            Key::User(name) => self.all.remove(name).map(Record::User),
            Key::Secrets(name) => self.secrets.remove(name).map(Record::Secrets),
            Key::Replays(name) => self.replays.remove(name).map(Record::Replays),
        };
        match (key, record) {
            (Key::User(name), Some(Record::User(user))) => {
                drop(self.all.insert(name.clone(), user));
            }
            (Key::Secrets(name), Some(Record::Secrets(secrets))) => {
                drop(self.secrets.insert(name.clone(), secrets));
            }
            (Key::Replays(name), Some(Record::Replays(replays))) => {
                self.replays.insert(name.clone(), replays);
            }
            _ => {}
        }
        before
    }

    fn each(&self, found: &mut dyn FnMut(&Key, &Record)) {
        for (name, user) in &self.all {
            found(&Key::User(name.clone()), &Record::User(user.clone()));
        }
        for (name, secrets) in &self.secrets {
            found(&Key::Secrets(name.clone()), &Record::Secrets(secrets.clone()));
        }
        for (name, replays) in &self.replays {
            found(&Key::Replays(name.clone()), &Record::Replays(replays.clone()));
        }
    }

    fn is_secret(key: &Key) -> bool {
        matches!(key, Key::Secrets(_))
    }

    fn audited(_deed: Deed, before: Option<&Record>, after: Option<&Record>) -> (Value, Value) {
        let public = |record: Option<&Record>| crate::audit::value(&record.and_then(Record::user));
        (public(before), public(after))
    }

    /// What closes depends on what the kernel knows.
    fn reads(request: &Request) -> Reads {
        match request {
            Request::List | Request::Show { .. } => Reads::Question,
            Request::Add { .. } | Request::Rotate { .. } | Request::Card { .. } => Reads::Nothing,
            Request::Set { .. }
            | Request::Permanent { .. }
            | Request::Revoke { .. }
            | Request::Open(_) => Reads::Learned,
        }
    }

    fn may_be_alone(_request: &Request) -> bool {
        false
    }

    fn asked(&self, request: Request, view: &View<'_>) -> Result<Plan<Users>, Refusal> {
        match request {
            Request::Add { new, entropy } => self.add(*new, &entropy, view),
            Request::Set { name, edit } => self.set(&name, edit, view),
            Request::Permanent { permanent } => Ok(self.set_all_permanent(permanent)),
            Request::Rotate { name, kinds, agent, entropy } => {
                self.rotate(&name, kinds, agent.as_ref(), &entropy, view)
            }
            Request::Revoke { name } => self.revoke(&name),
            Request::Card { name, again } => self.card(&name, again, view),
            Request::Open(open) => self.open(open, view),
            Request::List => Ok(Plan::say(Reply::All(self.all.values().cloned().collect()))),
            Request::Show { name } => Ok(Plan::say(Reply::One(self.known(&name)?.clone()))),
        }
    }

    fn happened(&self, event: Event, view: &View<'_>) -> Plan<Users> {
        let mut plan = match &event {
            Event::Proved(proved) => self.proved(proved, view),
            Event::Registers(registers) => self.registers(registers, view),
            Event::Syn(syn) => self.syn(syn, view),
            Event::Accepted(_) | Event::Refused { .. } => return Plan::default(),
        };
        plan.jobs.push(Job::Taken);
        plan
    }

    fn note(&mut self, event: &Event, now: Time) {
        match event {
            Event::Accepted(kind) => self.counts.entry(*kind).or_default().accepted += 1,
            Event::Refused { credential, user, kind, told } => {
                self.counts.entry(*credential).or_default().refused += 1;
                if *told {
                    // A user that is gone is not told of.
                    self.told.retain(|(user, _), _| self.all.contains_key(user));
                    self.told.insert((user.clone(), kind), now);
                }
            }
            Event::Syn(syn) => self.tries.note(syn, now),
            Event::Proved(_) | Event::Registers(_) => {}
        }
    }

    /// The thread that reads packets gets all keys.
    fn started(&self, _view: &View<'_>) -> Plan<Users> {
        let of = |user: &User| Keys::beginning(user, self.secrets.get(&user.name)?);
        let jobs = self.all.values().filter_map(of).collect();
        Plan { jobs, ..Plan::default() }
    }

    fn level(_notice: &Notice) -> Level {
        Level::Warning
    }

    fn topic(notice: &Notice) -> Option<Topic> {
        let (user, why) = match notice {
            Notice::Refused { user, why, .. } => (user, why),
            Notice::WrongKnocks { source, .. } => {
                return Some(Topic::new("wrong-knocks", source).with("address", source));
            }
            Notice::KnocksFull => return Some(Topic::new("knocks-full", "kernel")),
        };
        // Somebody repeats what was seen on its way. All else concerns the person's own settings.
        matches!(why, Why::Replayed).then(|| Topic::new("spa-replayed", user).with("user", user))
    }

    fn configure(&mut self, config: &Config) {
        self.config = config.clone();
        self.knocks.clear();
        self.watched.clear();
    }

    fn sets_read(&self, view: &View<'_>) -> Plan<Users> {
        self.take_over(view)
    }

    fn report(&self, view: &View<'_>) -> Option<Reply> {
        let (count, used) = (self.all.len(), self.counts.clone());
        let full_at = self.tries.full_lately(view.now());
        Some(Reply::Report { count, used, shadowed: self.shadowed(view), full_at })
    }
}

impl Users {
    /// Which packets concern users, and what these open.
    pub(super) fn watched(&self) -> Arc<Watched> {
        self.watched.get(|| {
            let mut watched = Watched::default();
            for user in self.all.values().filter(|user| !user.credentials.is_empty()) {
                let (idle, longest) = self.limits(user);
                let idle = idle.min(longest);
                let (services, hours) = (user.services.clone(), user.hours.clone());
                watched.add(watched::Kind { services, hours, idle });
            }
            let ports = self.secrets.values().filter_map(|it| it.spa.as_ref());
            let ports: BTreeSet<u16> = ports.map(|spa| *spa.port.reveal()).collect();
            watched.spa = Secret::new(ports.into_iter().collect());
            watched.agents = self.secrets.values().any(|it| it.agent.is_some());
            watched
        })
    }
}

/// Adds or replaces a user and the secrets, as one change each.
pub fn put(user: User, secrets: Secrets) -> [Change; 2] {
    let name = user.name.clone();
    [
        Put::<Users> { key: Key::User(name.clone()), record: Some(Record::User(user)) }.into(),
        Put::<Users> { key: Key::Secrets(name), record: Some(Record::Secrets(secrets)) }.into(),
    ]
}

/// Removes a user and the secrets.
pub fn removed(name: UserName) -> [Change; 2] {
    [
        Put::<Users> { key: Key::User(name.clone()), record: None }.into(),
        Put::<Users> { key: Key::Secrets(name), record: None }.into(),
    ]
}
