//! How it goes with a feed.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::schedule::Pace;
use crate::lists::{Refused, Remark, Version};
use crate::time::Time;

/// How it goes with a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedState {
    /// When its content in force was fetched.
    pub fetched: Option<Time>,
    /// When it was last looked for a new version.
    pub checked: Option<Time>,
    /// How often in a row that failed.
    pub failures: u32,
    /// Until when the server asks to be left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<Time>,
    /// What came of the last look.
    pub result: Outcome,
    /// What was trimmed of its content, or is remarkable about it.
    pub notes: Vec<Note>,
    /// Entries in force, IPv4.
    pub entries_v4: usize,
    /// Entries in force, IPv6.
    pub entries_v6: usize,
    /// The version in force.
    pub version: Version,
    /// Packets of addresses on this list that were stopped.
    pub stopped: u64,
    /// Packets that no other list would have stopped.
    pub stopped_alone: u64,
}

/// What came of a look at a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
pub enum Outcome {
    /// As it is written down now. Tried first: a variant without fields is written as a text too.
    Is(Came),
    /// As a version before 0.3 wrote it down; empty before the first look.
    Said(String),
}

/// What came of a look at a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// Its content is in force.
    Entries {
        /// How many entries it has.
        entries: usize,
        /// How many it was merged from, if from more.
        merged_from: Option<usize>,
    },
    /// What is in force is the newest.
    NothingNew,
    /// The content is not believed.
    Refused(Refused),
    /// It could not be fetched.
    Failed(String),
}

impl Default for Outcome {
    fn default() -> Outcome {
        Outcome::Said(String::new())
    }
}

/// Something to know about the content of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
pub enum Note {
    /// What reading it has shown; or as a version before 0.3 wrote it down.
    Said(String),
    /// As it is written down now.
    Is(Noted),
}

/// Something to know about the content of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noted {
    /// The address of whoever asked for it is not listed.
    Spared {
        /// The address.
        origin: IpAddr,
    },
    /// Something was taken out, or is remarkable.
    Remark(Remark),
}

impl FeedState {
    /// When to look again: after the feed's own time, or after a failure in growing pauses, which
    /// begin at a minute, and not before the server wants to be asked again.
    pub fn next_look(&self, every: Duration) -> Time {
        let (last, failures, rests_until) = (self.checked, self.failures, self.rests_until);
        let after_failure = Duration::from_secs(60);
        Pace { every, after_failure, last, failures, rests_until }.next()
    }

    /// Whether the content is so old that it should be doubted: ten times the feed's own pace.
    pub fn is_stale(&self, every: Duration, now: Time) -> bool {
        self.fetched.is_some_and(|fetched| now.since(fetched) > every * 10)
    }
}
