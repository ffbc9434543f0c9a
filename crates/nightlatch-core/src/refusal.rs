//! Why something is not done.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::features::{self, Refuses as _};

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind: it becomes the exit code.
    pub kind: RefusalKind,
    /// Why.
    pub why: Cause,
}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: RefusalKind, why: Cause) -> Refusal {
        Refusal { kind, why }
    }
}

impl From<Box<features::Refusal>> for Refusal {
    fn from(refusal: Box<features::Refusal>) -> Refusal {
        Refusal { kind: refusal.kind(), why: Cause::Feature(refusal) }
    }
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A feature refuses.
    Feature(Box<features::Refusal>),
    /// The caller could not come in any more.
    LockedOut {
        /// From where the caller came.
        origin: IpAddr,
        /// What would lock the caller out.
        by: LockOut,
    },
    /// It could not be written down, so nothing was changed.
    NotWritten {
        /// What the store said.
        error: String,
    },
    /// It is in force, but could not be written down yet.
    NotRecorded {
        /// What the store said.
        error: String,
    },
    /// It is written down, but the kernel does not have it.
    NotInKernel {
        /// What the kernel said.
        error: String,
        /// After how long it is tried again.
        again_in: Duration,
    },
    /// The configuration is bad.
    Configuration {
        /// The mistake.
        error: String,
    },
    /// The request could not be taken: it is too long, or not understood, or the caller may not.
    Said {
        /// In words.
        what: String,
    },
}

/// What would lock the caller out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockOut {
    /// The change itself.
    Change,
    /// The configuration.
    Configuration,
    /// A list.
    List,
    /// The firewall is put up.
    Up,
}

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The answer is no: no such account, a name taken, a change that would lock somebody out.
    No,
    /// The request itself is wrong.
    Wrong,
    /// The caller may not.
    NotAllowed,
    /// The configuration is bad.
    Configuration,
    /// The disk, the store or the kernel failed.
    Failed,
}
