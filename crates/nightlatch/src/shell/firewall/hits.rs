//! How many packets of each listed address were stopped, read from the kernel now and then.

use std::collections::HashMap;
use std::net::IpAddr;

use nightlatch_core::Family;
use nightlatch_core::ruleset::{TABLE, names};
use nightlatch_netfilter::{Kind, Netlink, Set};

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Hits {
    seen: HashMap<IpAddr, u64>,
    begun: bool,
}

impl Hits {
    /// The packets since the last look, by address. What was counted before the first look is not
    /// told: an earlier daemon has told of it.
    ///
    /// Bounded by the kernel, whose sets hold 65,536 addresses of a family. An address that has
    /// left them begins at nothing when it comes again.
    pub(super) fn since_last(&mut self, netlink: &mut Netlink) -> Vec<(IpAddr, u64)> {
        let mut now = HashMap::new();
        for (name, family) in [(names::HITS_V4, Family::V4), (names::HITS_V6, Family::V6)] {
            let set = Set::new(TABLE, name, Kind::Addresses(family));
            // Without a table nothing was stopped.
            let counters = netlink.read_counters(&set).unwrap_or_default();
            now.extend(counters.into_iter().map(|(from, counter)| (from, counter.packets)));
        }
        let since = now.iter().filter_map(|(from, packets)| {
            let before = self.seen.get(from).copied().filter(|before| before <= packets);
            Some((*from, packets - before.unwrap_or(0))).filter(|(_, since)| *since > 0)
        });
        let since = if self.begun { since.collect() } else { Vec::new() };
        (self.seen, self.begun) = (now, true);
        since
    }
}
