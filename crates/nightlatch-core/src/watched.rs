//! Which packets the program looks at because they may open an address, and what they open.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::hours::Hours;
use crate::secret::Secret;
use crate::service::Grant;

/// The NFLOG group to which the kernel copies these packets. Programs that log packets use small numbers.
pub const NFLOG_GROUP: u16 = 20_531;
/// What the kernel writes before a copy of a packet for single packet authorization (SPA).
pub const SPA_PREFIX: &str = "spa";
/// What the kernel writes before a copy of a REGISTER.
pub const AGENT_PREFIX: &str = "agent";
/// How many kinds of leases have their chains in the kernel before the first of them is opened. All
/// others get theirs when they are opened, which takes longer.
const MAX_KINDS: usize = 64;

/// Which packets the kernel copies for the program, and which leases may follow from them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// The UDP ports to which users send SPA packets, sorted.
    pub spa: Secret<Vec<u16>>,
    /// Whether a user has a secret user agent.
    pub agents: bool,
    /// What credentials open: the chains for it are in the kernel before a lease needs them.
    pub leases: BTreeSet<Kind>,
}

/// A kind of lease: the grants of those of one kind lead to one chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The services.
    pub services: Grant,
    /// The hours during which they are granted; always where absent.
    pub hours: Option<Hours>,
    /// After how long without an accepted packet it ends.
    pub idle: Duration,
}

impl Watched {
    /// Adds a kind of lease, unless there are too many.
    pub fn add(&mut self, kind: Kind) {
        if self.leases.len() < MAX_KINDS {
            self.leases.insert(kind);
        }
    }

    /// Whether the kernel copies no packet for it.
    pub fn is_empty(&self) -> bool {
        self.spa.reveal().is_empty() && !self.agents
    }
}

/// What is watched, worked out when it is first asked for. It follows from other state alone, so all are
/// equal.
#[derive(Clone, Debug, Default)]
pub struct Cached(OnceLock<Arc<Watched>>);

impl Cached {
    /// What is watched.
    pub fn get(&self, make: impl FnOnce() -> Watched) -> Arc<Watched> {
        Arc::clone(self.0.get_or_init(|| Arc::new(make())))
    }

    /// Something has changed from which it follows.
    pub fn clear(&mut self) {
        self.0 = OnceLock::new();
    }
}

impl PartialEq for Cached {
    fn eq(&self, _other: &Cached) -> bool {
        true
    }
}
