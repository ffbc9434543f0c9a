//! One lease.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::hours::Hours;
use crate::records::Ranged;
use crate::service::Grant;
use crate::time::Time;

/// An address that a user's credential has opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The user and the address.
    #[serde(flatten)]
    pub key: LeaseKey,
    /// The kind of credential, e.g. `knock`.
    pub credential: String,
    /// The services that it opens.
    pub services: Grant,
    /// The hours during which it counts; always where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// After how many seconds without an accepted packet it ends.
    pub idle: u64,
    /// When it was opened last.
    pub since: Time,
    /// When it ends in any case, unless a call runs; `None` if only without packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

impl Lease {
    /// The idle limit.
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.idle)
    }

    /// What it opens once its user may use these services: a permanent one never more than before.
    pub(super) fn granted(&self, services: &Grant) -> Grant {
        match (&self.services, services) {
            (Grant::Some(own), Grant::Some(names)) if self.key.permanent => {
                Grant::of(own.iter().filter(|name| names.contains(name)).cloned())
            }
            (own, Grant::All) if self.key.permanent => own.clone(),
            _ => services.clone(),
        }
    }

    /// The address as a range.
    pub fn range(&self) -> AddrRange {
        AddrRange::from(self.key.address)
    }
}

impl Ranged for Lease {
    type Key = LeaseKey;

    fn key(&self) -> LeaseKey {
        self.key.clone()
    }

    fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        std::iter::once(self.range())
    }

    /// It does not end by a clock alone.
    fn until(&self) -> Option<Time> {
        None
    }
}

/// Which lease: a user has one for each address, and may have a permanent one beside it. Written
/// `anna 203.0.113.7`, `anna 203.0.113.7 permanent`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseKey {
    /// The user's name.
    pub user: Arc<str>,
    /// The address, an IPv4 address not as IPv6.
    pub address: IpAddr,
    /// Whether it lasts as long as it is used, beside one that does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub permanent: bool,
}

/// What is written behind the address of a permanent one.
const PERMANENT: &str = " permanent";

impl fmt::Display for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permanent = if self.permanent { PERMANENT } else { "" };
        write!(f, "{} {}{permanent}", self.user, self.address)
    }
}

/// Not the key of a lease.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid lease: \"{0}\"")]
pub struct KeyError(String);

impl FromStr for LeaseKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<LeaseKey, KeyError> {
        let temporary = text.strip_suffix(PERMANENT);
        let parts = temporary.unwrap_or(text).rsplit_once(' ');
        let key = parts.and_then(|(user, address)| {
            let address = address.parse().ok()?;
            Some(LeaseKey { user: user.into(), address, permanent: temporary.is_some() })
        });
        key.ok_or_else(|| KeyError(text.chars().take(100).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_and_read() {
        for text in ["anna 203.0.113.7", "office-2 2001:db8::1", "anna 203.0.113.7 permanent"] {
            assert_eq!(text.parse::<LeaseKey>().unwrap().to_string(), text);
        }
        for text in ["", "anna", "anna ", "203.0.113.7", "anna 203.0.113.300"] {
            assert!(text.parse::<LeaseKey>().is_err(), "{text}");
        }
    }
}
