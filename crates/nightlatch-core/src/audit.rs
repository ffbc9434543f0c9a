//! The audit log's records: who changed what, from where, before and after.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::Caller;

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

impl Record {
    /// A record of a change from `before` to `after`.
    pub fn new(
        caller: &Caller,
        action: &str,
        subject: impl ToString,
        before: &impl Serialize,
        after: &impl Serialize,
    ) -> Record {
        // Everything recorded is plain data; what cannot be written is recorded as null.
        let value = |part: Result<Value, serde_json::Error>| part.unwrap_or(Value::Null);
        Record {
            caller: caller.clone(),
            action: action.to_owned(),
            subject: subject.to_string(),
            before: value(serde_json::to_value(before)),
            after: value(serde_json::to_value(after)),
        }
    }
}

/// Nightlatch itself as the author of a change.
pub fn ourselves() -> Caller {
    Caller { uid: 0, user: "nightlatch".to_owned(), origin: None }
}
