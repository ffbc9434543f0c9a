//! What the kernel gets, as a value: the structure (chains and rules, rendered to nft text) and
//! the elements of its sets. Made from the ledger by [`compile`], compared by [`difference`].

mod compile;
mod difference;
mod list_sets;
mod render;

use std::collections::BTreeMap;

pub use compile::{compile, disjoint};
pub use difference::{Difference, difference};
pub use list_sets::{ListSet, ListSets};
pub use render::{COUNTED_BY_ADDRESS, render, render_hush, render_list_sets};

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use std::sync::Arc;

use nightlatch_parse::ranges::RangeList;

use crate::config::Rate;
use crate::service::Opening;

/// The name of the table, of family `inet`.
pub const TABLE: &str = "nightlatch";

/// Names of the sets and counters in the table; those of the lists are told by [`ListSets`](super::ListSets).
pub mod names {
    /// Map of the accounts' single addresses to the chain of their services, IPv4: a hash table,
    /// in which a look-up takes as long whatever their number.
    pub const HOSTS_V4: &str = "host4";
    /// The same for IPv6.
    pub const HOSTS_V6: &str = "host6";
    /// Map of the accounts' networks and ranges to the chain of their services, IPv4.
    pub const ACCOUNTS_V4: &str = "account4";
    /// The same for IPv6.
    pub const ACCOUNTS_V6: &str = "account6";
    /// Blocked ranges, IPv4.
    pub const BLOCKS_V4: &str = "block4";
    /// The same for IPv6.
    pub const BLOCKS_V6: &str = "block6";
    /// Listed addresses that came lately, each with a counter, IPv4.
    pub const HITS_V4: &str = "hit4";
    /// The same for IPv6.
    pub const HITS_V6: &str = "hit6";
    /// Counts what listed addresses sent.
    pub const LISTED: &str = "listed";
    /// Cut flows (peer . protocol . peer's port . local port), IPv4.
    pub const CUTS_V4: &str = "cut4";
    /// The same for IPv6.
    pub const CUTS_V6: &str = "cut6";
    /// What each source has sent to rate-limited services, IPv4.
    pub const METER_V4: &str = "meter4";
    /// The same for IPv6.
    pub const METER_V6: &str = "meter6";
    /// The families protected during a trial: they leave the set by themselves when it ends.
    pub const TRIAL: &str = "trial";
    /// Counts what strangers sent and nobody answered.
    pub const SILENT: &str = "silent";
    /// Counts what blocked addresses sent.
    pub const BLOCKED: &str = "blocked";
    /// Counts what exceeded the rate limits.
    pub const LIMITED: &str = "limited";
}

/// The whole desired table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Chains and rules.
    pub structure: Structure,
    /// Where accounts come in: disjoint ranges of both families, sorted, each with the name of
    /// its chain.
    pub accounts: Vec<(AddrRange, String)>,
    /// Who is shut out: disjoint ranges, sorted.
    pub blocks: Vec<AddrRange>,
    /// Who is on a list: merged. Copies of a ruleset on disk leave it out: lists have their own.
    #[serde(skip)]
    pub lists: Arc<RangeList>,
}

/// Chains and rules: everything that does not grow with the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// Whether the kernel is to open by itself when the trial's set runs empty.
    pub trial: bool,
    /// The chains that accounts lead to, by name.
    pub chains: BTreeMap<String, ServiceChain>,
    /// What strangers reach; `None` where silence is for everyone.
    pub open: Option<OpenServices>,
    /// In which sets the lists are. The kernel's side decides.
    #[serde(default)]
    pub list_sets: ListSets,
}

/// The chain of one union of services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChain {
    /// What it accepts; `None` accepts everything.
    pub opening: Option<Opening>,
    /// Whether what it does not accept is dropped at once, because a wider block lies around it.
    pub walled: bool,
}

/// What strangers reach in open mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenServices {
    /// Everything they reach.
    pub opening: Opening,
    /// The part of it under the limits.
    pub limited: Opening,
    /// The limit of one source.
    pub per_source: Rate,
    /// The limit of all together.
    pub total: Rate,
}
