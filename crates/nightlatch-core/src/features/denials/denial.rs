//! Denials: addresses of removed or expired accounts, and of phones registered without an account.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::policy::DenialScope;
use crate::records::Ranged;
use crate::signalling::MAX_TIMEOUT;
use crate::time::Time;

/// A range of addresses that is denied the services and media of this host, in both directions and
/// also in running flows, except what another account grants.
///
/// Without a denial, a removed phone would regain access: the PBX still has its contact and sends it
/// keep-alives and calls, and each of these packets would make it a known peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// The denied addresses.
    pub range: AddrRange,
    /// Since when.
    pub since: Time,
    /// When it ends, unless the PBX still has a contact there.
    pub until: Time,
    /// Why.
    pub cause: DenialCause,
    /// What is denied.
    #[serde(default)]
    pub scope: DenialScope,
}

/// Why a range is denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DenialCause {
    /// An account was removed or has expired.
    AccountGone {
        /// Its name; empty if an older version recorded only the range.
        account: String,
    },
    /// A phone is registered at the PBX from there, and no account covers it.
    UnlistedContact {
        /// The extension that is registered.
        extension: String,
    },
}

impl Denial {
    /// The minimum duration: the longest timeout of a known peer in the kernel.
    pub const DURATION: Duration = MAX_TIMEOUT;
    /// How much it is extended if the PBX still has a contact at its end, or did not answer.
    pub const PROLONGATION: Duration = Duration::from_secs(2 * 3600);

    /// A denial that begins now.
    pub fn new(range: AddrRange, cause: DenialCause, now: Time) -> Denial {
        let until = now.after(Denial::DURATION);
        Denial { range, since: now, until, cause, scope: DenialScope::Everything }
    }
}

impl Ranged for Denial {
    type Key = AddrRange;

    fn key(&self) -> AddrRange {
        self.range
    }

    fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        std::iter::once(self.range)
    }

    fn until(&self) -> Option<Time> {
        Some(self.until)
    }
}
