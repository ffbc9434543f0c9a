//! What the records and the kernel have.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nightlatch_core::AddrRange;
use nightlatch_lab::stage::Host;
use serde_json::Value;

use crate::support::{Installation, range_of_element};

/// The blocked ranges, as `list` tells them.
pub(super) fn blocks(nightlatch: &Installation<'_>) -> BTreeSet<AddrRange> {
    let list = nightlatch.json(&["list"]);
    let blocks = list["list"]["blocks"].as_array().unwrap().iter();
    blocks.map(|block| block["range"].as_str().unwrap().parse().unwrap()).collect()
}

/// The ranges that are blocked in the kernel, as `nft` shows them.
pub(super) struct Closed(Vec<AddrRange>);

impl Closed {
    /// `None` where there is no table.
    pub(super) fn on(server: &Host) -> Option<Closed> {
        let of = |map: &str| {
            let list = ["-j", "list", "map", "inet", "nightlatch", map];
            let output = server.command("nft").args(list).output().unwrap();
            let listed: Value = serde_json::from_slice(&output.stdout).ok()?;
            let objects = listed["nftables"].as_array()?;
            let map = objects.iter().find_map(|object| object.get("map"))?;
            let elements = map["elem"].as_array().cloned().unwrap_or_default();
            // A denial leads to a chain.
            let blocked = elements.iter().filter(|pair| pair[1].get("return").is_some());
            Some(blocked.map(|pair| range_of_element(&pair[0])).collect::<Vec<_>>())
        };
        Some(Closed([of("closed_in4")?, of("closed_in6")?].concat()))
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }
}
