//! Denials: the addresses of accounts that are gone, and of phones that nobody listed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::signalling::MAX_TIMEOUT;
use crate::time::Time;

/// The services and media of this host are denied to a range of addresses, in both directions and
/// also to running flows; what another account grants is not.
///
/// Without it a removed phone would return: the PBX still holds its contact, goes on asking whether
/// it is there and rings it, and each of these packets would make it a peer of the host's own choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// Whom it concerns.
    pub range: AddrRange,
    /// Since when.
    pub since: Time,
    /// When it ends, unless the PBX still holds a contact there.
    pub until: Time,
    /// Why.
    pub cause: DenialCause,
}

/// Why a range is denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DenialCause {
    /// An account was removed, or has ended.
    AccountGone {
        /// Its name; empty where a version before denials had noted the range alone.
        account: String,
    },
    /// The PBX holds a registration from there, and no account covers it.
    UnlistedContact {
        /// The extension that is registered.
        extension: String,
    },
}

impl Denial {
    /// How long it lasts: as long as the kernel remembers a peer, at least.
    pub const DURATION: Duration = MAX_TIMEOUT;
    /// How much longer, where the PBX still holds a contact at its end, or did not answer.
    pub const PROLONGATION: Duration = Duration::from_secs(2 * 3600);

    /// A denial that begins now.
    pub fn new(range: AddrRange, cause: DenialCause, now: Time) -> Denial {
        Denial { range, since: now, until: now.after(Denial::DURATION), cause }
    }
}
