//! The audit log's records: who changed what, from where, before and after.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who asks, as the kernel tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The user id of the process that asks.
    pub uid: u32,
    /// The login name; `root` behind `sudo` keeps the name of the person who logged in.
    pub user: String,
    /// Where the person's SSH session comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<IpAddr>,
}

/// Writes `anna from 203.0.113.7`.
impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.user)?;
        self.origin.map_or(Ok(()), |origin| write!(f, " from {origin}"))
    }
}

/// One change, for the audit log. The store adds the time, the number and the hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Who.
    pub caller: Caller,
    /// What was done: `allow`, `remove`, `mode`, ... one word.
    pub action: String,
    /// To what: an account's name, a range.
    pub subject: String,
    /// What it was before; null where there was nothing.
    pub before: Value,
    /// What it is now; null where it is gone.
    pub after: Value,
}

/// Something for the audit log that is no change of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Occurrence {
    /// What was done, in one word.
    pub action: String,
    /// To what.
    pub subject: String,
    /// What it was before.
    pub before: Value,
    /// What it is now.
    pub after: Value,
}

impl Occurrence {
    /// Something that was done to a subject.
    pub fn new(
        action: impl ToString,
        subject: impl ToString,
        before: &impl Serialize,
        after: &impl Serialize,
    ) -> Occurrence {
        Occurrence {
            action: action.to_string(),
            subject: subject.to_string(),
            before: value(before),
            after: value(after),
        }
    }

    /// The record of it.
    pub fn by(self, caller: &Caller) -> Record {
        let Occurrence { action, subject, before, after } = self;
        Record { caller: caller.clone(), action, subject, before, after }
    }
}

/// What the log keeps of something; null where there is nothing.
pub fn value(of: &impl Serialize) -> Value {
    // Everything recorded is plain data; what cannot be written is recorded as null.
    serde_json::to_value(of).unwrap_or(Value::Null)
}

/// Nightlatch itself as the author of a change.
pub fn ourselves() -> Caller {
    Caller { uid: 0, user: "nightlatch".to_owned(), origin: None }
}
