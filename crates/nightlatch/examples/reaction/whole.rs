//! When the table in the kernel has all accounts.

use std::time::{Duration, Instant};

use nightlatch_core::ruleset::{TABLE, names};
use nightlatch_netfilter::{Kind, Netlink, Set};
use nightlatch_parse::address::Family;

/// Waits until chains and that many addresses of accounts are there, in the namespace of the calling
/// thread. Looks again after each `pause`.
pub(crate) fn when_whole(addresses: usize, pause: Duration, patience: Duration) -> Instant {
    let mut netlink = Netlink::open().unwrap();
    let set = Set::new(TABLE, names::HOSTS_V4, Kind::Addresses(Family::V4));
    let begin = Instant::now();
    loop {
        let there = netlink.table_exists(TABLE).unwrap();
        if there && netlink.count(&set).is_ok_and(|count| count >= addresses) {
            return Instant::now();
        }
        assert!(begin.elapsed() < patience, "the table does not have all accounts");
        std::thread::sleep(pause);
    }
}
