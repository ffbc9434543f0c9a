//! Who is never listed.

use std::net::IpAddr;
use std::sync::LazyLock;

use nightlatch_parse::ranges::RangeList;

use super::sanity::{Remark, SparedBy};
use crate::AddrRange;
use crate::posture::Site;

/// Networks that are no stranger's: loopback, link-local, private, shared, multicast. No published
/// list can rightly name them, and no country owns them.
const SPECIAL_NETWORKS: [&str; 12] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
    "::/127",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

static SPECIAL: LazyLock<Vec<AddrRange>> =
    LazyLock::new(|| SPECIAL_NETWORKS.iter().filter_map(|network| network.parse().ok()).collect());

/// The special networks.
pub fn special() -> impl Iterator<Item = AddrRange> {
    SPECIAL.iter().copied()
}

/// Whether an address is in a special network.
pub fn is_special(address: IpAddr) -> bool {
    special().any(|network| network.contains(address))
}

/// What no list may hold: special networks, and what `up` found the server to need.
#[derive(Clone, Copy, Debug)]
pub struct Guard<'a> {
    /// The server's own addresses, gateways, resolvers, with a word for each.
    guarded: &'a [(AddrRange, String)],
}

impl<'a> Guard<'a> {
    /// The guard of a server.
    pub fn of(site: &'a Site) -> Guard<'a> {
        Guard { guarded: &site.guarded }
    }

    /// Whether an address is guarded.
    pub fn holds(&self, address: IpAddr) -> bool {
        is_special(address) || self.guarded.iter().any(|(range, _)| range.contains(address))
    }

    /// All that is guarded, merged.
    pub fn ranges(&self) -> RangeList {
        let mut ranges: RangeList =
            special().chain(self.guarded.iter().map(|(range, _)| *range)).collect();
        ranges.merge();
        ranges
    }

    /// What of a merged list is guarded, or belongs to an account; each thing once.
    pub fn hits(&self, content: &RangeList, allowed: &[(AddrRange, String)]) -> Vec<Remark> {
        let mut hits = Vec::new();
        let mut check = |range: AddrRange, is: &dyn Fn() -> SparedBy| {
            if let Some(entry) = content.first_overlap(&range) {
                hits.push(Remark::Spared { entry, range, is: is() });
            }
        };
        special().for_each(|range| check(range, &|| SparedBy::Special));
        for (range, what) in self.guarded {
            check(*range, &|| SparedBy::Server { what: what.clone() });
        }
        for (range, name) in allowed {
            check(*range, &|| SparedBy::Account { name: name.clone() });
        }
        hits
    }
}
