//! How the firewall is to stand: whether it does, what strangers meet, and what is known of the server.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::product::Product;
use crate::service::{Ports, ServiceName};
use crate::time::Time;

/// How the firewall is to stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Posture {
    /// What strangers meet.
    pub mode: Mode,
    /// Whether the firewall is to stand.
    pub protection: Protection,
    /// What `up` found out about this server.
    pub site: Site,
}

impl Posture {
    /// Whether the table is to be in the kernel.
    pub fn stands(&self) -> bool {
        self.protection.stands()
    }
}

/// What strangers meet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Silence.
    #[default]
    Allowlist,
    /// The services the configuration opens to them, under limits; otherwise silence.
    Open,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Allowlist => "allowlist",
            Mode::Open => "open",
        })
    }
}

/// The text names no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown mode \"{0}\": use allowlist (strangers are dropped) or open (strangers can use selected services)"
)]
pub struct ModeError(String);

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Mode, ModeError> {
        match text.to_ascii_lowercase().as_str() {
            "allowlist" | "whitelist" => Ok(Mode::Allowlist),
            "open" => Ok(Mode::Open),
            _ => Err(ModeError(text.chars().take(40).collect())),
        }
    }
}

/// Whether the firewall is to stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Protection {
    /// No firewall of ours: before the first `up`, after `down` and after a rollback.
    #[default]
    Off,
    /// On, and taken back at `until` unless somebody confirms.
    Trial {
        /// When it was put up.
        since: Time,
        /// When it is taken back.
        until: Time,
        /// What it goes back to: the mode that stood confirmed before, or nothing.
        before: Option<Mode>,
        /// Since when that stood.
        before_since: Option<Time>,
    },
    /// On and confirmed.
    On {
        /// Since when.
        since: Time,
    },
}

impl Protection {
    /// Whether the table is to be in the kernel.
    pub fn stands(&self) -> bool {
        !matches!(self, Protection::Off)
    }

    /// When a trial ends.
    pub fn trial_end(&self) -> Option<Time> {
        match self {
            Protection::Trial { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Whether it is a trial with nothing of ours before it, which the kernel itself ends.
    pub fn opens_by_itself(&self) -> bool {
        matches!(self, Protection::Trial { before: None, .. })
    }
}

/// The word for an own address in [`Site::guarded`].
pub const OWN_ADDRESS: &str = "this machine's own address";

/// What `up` found out about this server and the projection needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Site {
    /// The telephone server installed.
    pub product: Product,
    /// Services found on other ports than the product's usual ones, such as `ssh`.
    pub services: BTreeMap<ServiceName, Vec<Ports>>,
    /// What must never be shut out: own addresses, gateways, resolvers, with a word for each.
    pub guarded: Vec<(AddrRange, String)>,
}

impl Site {
    /// Whether this is an address of the server itself.
    pub fn is_own(&self, address: IpAddr) -> bool {
        let own = self.guarded.iter().filter(|(_, word)| word == OWN_ADDRESS);
        own.into_iter().any(|(range, _)| range.contains(address))
    }
}
