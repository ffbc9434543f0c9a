//! What an administrator must hear, whichever feature it comes from.

use std::collections::BTreeMap;

use crate::time::Time;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A person must act.
    Error,
    /// Worth a look tomorrow.
    Warning,
    /// What an administrator wants in the journal.
    Info,
}

/// What a notice is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    /// What kind of notice it is, such as `account-ended`. Commands of administrators read these names,
    /// so they do not change.
    pub kind: &'static str,
    /// What it concerns, such as the name of an account. Equal kinds and keys are one notice.
    pub key: String,
    /// Texts from outside, each in a field of its own.
    pub fields: BTreeMap<String, String>,
    /// Whether the audit log has a record of it already.
    pub is_in_log: bool,
}

impl Topic {
    /// A notice of a kind, about something.
    pub fn new(kind: &'static str, key: impl ToString) -> Topic {
        Topic { kind, key: key.to_string(), ..Topic::default() }
    }

    /// With a text from outside.
    #[must_use]
    pub fn with(mut self, field: &str, text: impl ToString) -> Topic {
        self.fields.insert(field.to_owned(), text.to_string());
        self
    }

    /// The same, where the audit log has a record of it.
    #[must_use]
    pub fn in_log(self) -> Topic {
        Topic { is_in_log: true, ..self }
    }
}

/// A notice as the administrator hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The name of the feature from which it comes; `engine` if from none.
    pub feature: &'static str,
    /// What it is about.
    pub topic: Topic,
    /// How much it matters.
    pub level: Level,
    /// The sentence.
    pub message: String,
    /// When.
    pub at: Time,
}
