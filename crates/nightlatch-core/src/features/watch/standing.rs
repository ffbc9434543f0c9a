//! How the reading of logs stands.

use serde::{Deserialize, Serialize};

use super::Blind;
use crate::detect::{Thresholds, Trust, Underway};
use crate::time::Time;

/// How the reading stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What is read.
    pub sources: Vec<Source>,
    /// What leaves no line, with what changes that.
    pub blind: Vec<Blind>,
    /// The attack that is underway.
    pub attack: Option<Underway>,
}

/// A log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Its path, `journal` and the unit, or `ami` and the address of a manager interface.
    pub log: String,
    /// By which format it is read; none as long as that is not detected.
    pub format: Option<String>,
    /// What counts as an attack there, where a filter of fail2ban reads it; what the configuration says under
    /// `[attempts]` otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// Whether the configuration names it.
    pub is_configured: bool,
    /// How it is.
    pub state: SourceState,
    /// How far it is trusted.
    pub trust: Trust,
    /// Why it is not trusted more.
    pub why_low: Option<WhyLow>,
    /// How many lines were read since the daemon began.
    pub lines: u64,
    /// How many of them told of an attempt.
    pub attempts: u64,
    /// How many of them name several sources, and were not believed.
    pub doubtful: u64,
    /// How many lines were too long, and left out.
    pub too_long: u64,
    /// How many lines a filter gave up, because its expressions would have taken too long.
    #[serde(default)]
    pub given_up: u64,
    /// How many bytes were lost because the log was emptied before they were read.
    pub lost: u64,
    /// How many times a manager interface was not connected since the daemon began, though it had been: what it
    /// reported then is not known.
    #[serde(default)]
    pub gaps: u64,
    /// For how many seconds in all.
    #[serde(default)]
    pub gap_seconds: u64,
    /// Since when it is read.
    pub since: Option<Time>,
    /// When the last line came.
    pub last_line: Option<Time>,
    /// When the last attempt was.
    pub last_attempt: Option<Time>,
}

/// How a log is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// It is read.
    Read,
    /// It does not exist yet: it is read as soon as it does.
    Missing,
    /// It is not read.
    Unreadable(Unreadable),
    /// A manager interface is not connected. It is tried again, at least once a minute.
    NotConnected {
        /// Why.
        error: String,
    },
    /// A manager interface refuses the login. It is tried again, at least every ten minutes.
    Refused {
        /// As whom.
        user: String,
        /// What it says.
        error: String,
    },
    /// A manager interface is connected, but does not report security events.
    NoEvents {
        /// As whom.
        user: String,
    },
    /// Another source has the same lines and is trusted more: that one is read.
    Superseded {
        /// The other one.
        by: String,
    },
}

/// Why a log is not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// It is a symbolic link: whoever made it could have another file read.
    Symlink,
    /// It is neither a file nor a link: a pipe, a socket, a device, a folder.
    NoFile,
    /// The system refuses.
    Failed {
        /// What it says.
        error: String,
    },
}

/// Why a log is not fully trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyLow {
    /// A user other than root can write it.
    User {
        /// The user's number.
        uid: u32,
    },
    /// A group other than root's can write it.
    Group {
        /// The group's number.
        gid: u32,
    },
    /// Everybody can write it.
    Everybody,
    /// Any program can write such lines by way of syslog.
    Syslog,
    /// It comes over a network, where others can write into it.
    Network,
    /// It is not known whose program answers at the port.
    UnknownUser,
}
