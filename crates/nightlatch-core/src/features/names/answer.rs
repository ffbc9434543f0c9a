//! What a look-up brings.

use std::net::IpAddr;
use std::time::Duration;

use super::name::Failure;
use crate::entry::HostName;

/// The answers about one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The name.
    pub name: HostName,
    /// Its IPv4 addresses.
    pub v4: Found,
    /// Its IPv6 addresses.
    pub v6: Found,
}

/// The answer about one family of addresses.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It has these.
    Addresses {
        /// At least one.
        addresses: Vec<IpAddr>,
        /// For how long the answer is valid.
        lifetime: Duration,
        /// Whether others may be missing, because of several servers some could not be looked up.
        is_partial: bool,
    },
    /// There is no such name, or it has no address of this family.
    Nothing,
    /// It could not be looked up.
    Failed(Failure),
}
