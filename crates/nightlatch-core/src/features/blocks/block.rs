//! Blocks: an administrator's "never".

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::records::Ranged;
use crate::time::Time;

/// An administrator's "never" for an address, network or range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Whom it shuts out.
    pub range: AddrRange,
    /// When it ends by itself; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Why, in the administrator's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it was set.
    pub since: Time,
    /// Who set it.
    pub by: String,
}

impl Ranged for Block {
    type Key = AddrRange;

    fn key(&self) -> AddrRange {
        self.range
    }

    fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        std::iter::once(self.range)
    }

    fn until(&self) -> Option<Time> {
        self.until
    }
}
