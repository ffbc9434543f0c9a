//! Users: persons whose credentials open addresses for a time. What is open is not kept here.

mod config;
mod knock;
mod opening;
mod requests;
mod secrets;
mod user;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;

pub use config::Config;
pub use opening::{Open, Opens};
pub use requests::{Card, Edit, NewUser, Refusal, Reply, Request};
pub use secrets::{Agent, NotMade, Secrets, Spa};
pub use user::{Credential, Kind, KindError, NameError, User, UserName};

use super::{Change, Feature, Plan, Put, Reads, View};

/// The most users.
pub const MAX_USERS: usize = 1_000;

/// The users and their secrets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Users {
    /// All users, by name.
    pub all: BTreeMap<UserName, User>,
    /// What each of them has of secrets.
    pub secrets: BTreeMap<UserName, Secrets>,
    config: Config,
    knocks: knock::Kept,
}

nothing!(Event, Job, Notice);

/// Which record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A user.
    User(UserName),
    /// The secrets of a user.
    Secrets(UserName),
}

/// What stands before the name in the key of secrets. No name has a slash.
const SECRETS_OF: &str = "secrets/";

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::User(name) => name.fmt(f),
            Key::Secrets(name) => write!(f, "{SECRETS_OF}{name}"),
        }
    }
}

impl FromStr for Key {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Key, NameError> {
        match text.strip_prefix(SECRETS_OF) {
            Some(name) => Ok(Key::Secrets(name.parse()?)),
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
}

impl Record {
    fn user(&self) -> Option<&User> {
        match self {
            Record::User(user) => Some(user),
            Record::Secrets(_) => None,
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
        })
    }

    fn own_key(record: &Record) -> Option<Key> {
        record.user().map(|user| Key::User(user.name.clone()))
    }

    fn put(&mut self, key: &Key, record: Option<Record>) -> Option<Record> {
        self.knocks.clear();
        let before = match key {
            Key::User(name) => self.all.remove(name).map(Record::User),
            Key::Secrets(name) => self.secrets.remove(name).map(Record::Secrets),
        };
        match (key, record) {
            (Key::User(name), Some(Record::User(user))) => {
                drop(self.all.insert(name.clone(), user));
            }
            (Key::Secrets(name), Some(Record::Secrets(secrets))) => {
                drop(self.secrets.insert(name.clone(), secrets));
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
            Request::Rotate { name, kinds, entropy } => self.rotate(&name, kinds, &entropy, view),
            Request::Revoke { name } => self.revoke(&name),
            Request::Card { name, again } => self.card(&name, again, view),
            Request::Open(open) => self.open(open, view),
            Request::List => Ok(Plan::say(Reply::All(self.all.values().cloned().collect()))),
            Request::Show { name } => Ok(Plan::say(Reply::One(self.known(&name)?.clone()))),
        }
    }

    fn configure(&mut self, config: &Config) {
        self.config = config.clone();
        self.knocks.clear();
    }

    fn sets_read(&self, view: &View<'_>) -> Plan<Users> {
        self.take_over(view)
    }

    fn report(&self, view: &View<'_>) -> Option<Reply> {
        Some(Reply::Report { count: self.all.len(), shadowed: self.shadowed(view) })
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
