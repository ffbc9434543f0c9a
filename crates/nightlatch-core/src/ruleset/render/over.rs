//! What happens to packets over the limit of their source: they are dropped, and the source is noted.

use crate::ruleset::{Structure, names};

/// How many packets over the limits are counted by source in a second, of each family.
const COUNTED_BY_SOURCE: u32 = 1_000;

/// Leads packets over the limit of their source to the chain that drops them.
pub(super) const DROPPED: &str = "goto over_limit";

/// Counts each source by itself, up to so many packets a second: in a flood, an entry for each forged source
/// would cost more than all the rest. Beyond, and where the set is full, a packet is only dropped.
pub(super) fn chain(structure: &Structure) -> String {
    if structure.open.is_none() && structure.limited.is_empty() {
        return String::new();
    }
    let limit = format!("limit rate {COUNTED_BY_SOURCE}/second burst {COUNTED_BY_SOURCE} packets");
    format!(
        "\tchain over_limit {{\n\
         \t\tmeta nfproto ipv4 {limit} update @{} {{ ip saddr counter }}\n\
         \t\tmeta nfproto ipv6 {limit} update @{} {{ ip6 saddr & ffff:ffff:ffff:ffff:: counter }}\n\
         \t\tcounter name {} drop\n\
         \t}}\n",
        names::OVER_V4,
        names::OVER_V6,
        names::LIMITED,
    )
}
