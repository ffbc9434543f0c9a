//! What goes wrong in the engine's own work, or is done to it by others.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::heard::{Level, Topic};

/// Something that an administrator should know, whichever feature it concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// A change could not be written down, so nothing was changed.
    NotWritten {
        /// What the store said.
        error: String,
    },
    /// Something has happened that could not be written down, so it is not in the audit log.
    NotRecorded {
        /// What the store said.
        error: String,
    },
    /// What was recorded could not be written down: the audit log has a gap.
    AuditGap {
        /// What the store said.
        error: String,
    },
    /// The disk does not answer.
    DiskSilent {
        /// For how long.
        seconds: u64,
    },
    /// The kernel has refused the table.
    KernelRefused {
        /// What it said.
        error: String,
    },
    /// Another program changed the table, which is being restored.
    Tampered {
        /// The program.
        by: String,
        /// What was found.
        found: String,
    },
    /// Running connections could not be ended.
    FlowsNotCut {
        /// Why.
        error: String,
    },
    /// Known peers could not be put back into the kernel's sets.
    PeersNotTaught {
        /// Why.
        error: String,
    },
    /// Peers could not be removed from the kernel's sets.
    PeersNotForgotten {
        /// Why.
        error: String,
    },
    /// The known peers could not be saved for a reboot.
    PeersNotSaved {
        /// Why.
        error: String,
    },
}

impl Trouble {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Trouble::NotWritten { .. }
            | Trouble::NotRecorded { .. }
            | Trouble::AuditGap { .. }
            | Trouble::DiskSilent { .. }
            | Trouble::KernelRefused { .. }
            | Trouble::FlowsNotCut { .. } => Level::Error,
            Trouble::Tampered { .. }
            | Trouble::PeersNotTaught { .. }
            | Trouble::PeersNotForgotten { .. }
            | Trouble::PeersNotSaved { .. } => Level::Warning,
        }
    }
}

impl Trouble {
    /// What it is about.
    pub fn topic(&self) -> Topic {
        match self {
            Trouble::NotWritten { error }
            | Trouble::NotRecorded { error }
            | Trouble::AuditGap { error } => {
                // So does SQLite say it, and the operating system.
                let is_full = error.contains("disk is full") || error.contains("No space left");
                let kind = if is_full { "disk-full" } else { "store-failed" };
                Topic::new(kind, "").with("error", error)
            }
            Trouble::DiskSilent { seconds } => {
                Topic::new("store-failed", "silent").with("seconds", seconds)
            }
            Trouble::KernelRefused { error } | Trouble::FlowsNotCut { error } => {
                Topic::new("kernel-failed", "").with("error", error)
            }
            Trouble::PeersNotTaught { error }
            | Trouble::PeersNotForgotten { error }
            | Trouble::PeersNotSaved { error } => {
                Topic::new("kernel-failed", "peers").with("error", error)
            }
            Trouble::Tampered { by, found } => {
                // Each run of a program has a number of its own: `nft (process 4711)`.
                let program = by.split(" (process ").next().unwrap_or_default();
                let topic = Topic::new("table-changed", program).in_log();
                topic.with("program", by).with("found", found)
            }
        }
    }
}

/// After how long a disk that does not answer is told about.
pub const TIMEOUT: Duration = Duration::from_secs(2);
