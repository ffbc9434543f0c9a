//! The notice that becomes of what is heard.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::{MAX_TEXT, sentence, token, visible};
use crate::action::Level;
use crate::heard::Heard;
use crate::time::Time;

/// The most characters of the name of a feature, a kind or a field.
const MAX_NAME: usize = 48;
/// The most characters of a message.
const MAX_MESSAGE: usize = 1000;
/// The most fields of a notice.
const MAX_FIELDS: usize = 16;

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    #[default]
    Info,
    /// Worth a look tomorrow.
    Warning,
    /// A person must act.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

impl From<Level> for Severity {
    fn from(level: Level) -> Severity {
        match level {
            Level::Error => Severity::Error,
            Level::Warning => Severity::Warning,
            Level::Info => Severity::Info,
        }
    }
}

/// What identifies a notice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// Which feature reports it.
    pub feature: String,
    /// What kind of notice it is.
    pub kind: String,
    /// What it is about.
    pub key: String,
}

impl Subject {
    /// The subject of what was heard.
    pub(super) fn of(heard: &Heard) -> Subject {
        Subject::new(heard.feature, heard.topic.kind, &heard.topic.key)
    }

    /// The subject with these names, bounded and visible.
    pub(super) fn new(feature: &str, kind: &str, key: &str) -> Subject {
        Subject {
            feature: token(feature, MAX_NAME),
            kind: token(kind, MAX_NAME),
            key: visible(key, MAX_TEXT),
        }
    }
}

/// A notice. All its texts are bounded, and visible on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its number. Later notices have greater ones.
    pub id: u64,
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// The severity with which it was heard first. What is more severe is a notice of its own.
    pub severity: Severity,
    /// How often it was heard.
    pub count: u64,
    /// When it was heard first.
    pub first: Time,
    /// When it was heard last.
    pub last: Time,
    /// The sentence, as heard last.
    pub message: String,
    /// Texts from outside, as heard last.
    pub fields: BTreeMap<String, String>,
}

impl Notice {
    /// The first notice of what was heard.
    pub(super) fn new(id: u64, heard: &Heard) -> Notice {
        Notice {
            id,
            subject: Subject::of(heard),
            severity: heard.level.into(),
            count: 1,
            first: heard.at,
            last: heard.at,
            message: sentence(&heard.message, MAX_MESSAGE),
            fields: fields(&heard.topic.fields),
        }
    }

    /// Counts what was heard again.
    pub(super) fn add(&mut self, heard: &Heard) {
        self.count = self.count.saturating_add(1);
        self.last = self.last.max(heard.at);
        self.message = sentence(&heard.message, MAX_MESSAGE);
        self.fields = fields(&heard.topic.fields);
    }
}

/// The first [`MAX_FIELDS`] fields. Names that become equal are told apart by a number.
fn fields(heard: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for (name, text) in heard.iter().take(MAX_FIELDS) {
        let plain = token(name, MAX_NAME);
        let numbered = (2..=MAX_FIELDS + 1).map(|number| format!("{plain}-{number}"));
        let mut names = std::iter::once(plain.clone()).chain(numbered);
        if let Some(free) = names.find(|name| !fields.contains_key(name)) {
            fields.insert(free, visible(text, MAX_TEXT));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heard::Topic;

    #[test]
    fn what_is_heard_is_bounded_and_visible() {
        let long = "x".repeat(100_000);
        let mut topic = Topic::new("odd kind", &long);
        topic = (0..100).fold(topic, |topic, n| topic.with(&format!("{n:03}"), &long));
        let heard = Heard {
            feature: "Calls\n",
            topic: topic
                .with("000 user agent", "a\r\n\u{202e}\"$(x)`<b>\0")
                .with("000\nuser agent", "b"),
            level: Level::Info,
            message: format!("from \"a\\\\\" \u{1b}[1m\n {long}"),
            at: Time::from_millis(0),
        };
        let notice = Notice::new(1, &heard);
        assert_eq!((&*notice.subject.feature, &*notice.subject.kind), ("-alls-", "odd-kind"));
        assert_eq!(notice.subject.key.chars().count(), MAX_TEXT);
        assert_eq!(Subject::new(&long, &long, "").kind.len(), MAX_NAME);
        assert_eq!(notice.fields.len(), MAX_FIELDS);
        assert_eq!(notice.fields["000-user-agent"], "b");
        assert_eq!(notice.fields["000-user-agent-2"], "a\\r\\n\\u{202e}\"$(x)`<b>\\u{0}");
        assert!(notice.message.starts_with("from \"a\\\\\" \\u{1b}[1m\\n xxx"));
        assert!(notice.message.chars().count() <= MAX_MESSAGE);
        let whole = serde_json::to_string(&notice).unwrap();
        assert!(whole.len() < 8192, "{}", whole.len());
    }
}
