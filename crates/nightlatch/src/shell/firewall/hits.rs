//! How many packets of each listed address were stopped, read from the kernel now and then.

use std::collections::HashMap;
use std::net::IpAddr;

use nightlatch_core::Family;
use nightlatch_core::ruleset::{TABLE, names};
use nightlatch_netfilter::{Kind, Netlink, Set};

/// After so many readings without it, an address is taken to have left the set. While the kernel
/// makes a set larger or smaller, a listing may leave some out.
const ABSENCES: u8 = 3;

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Hits {
    seen: HashMap<IpAddr, Seen>,
    begun: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    packets: u64,
    absences: u8,
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
        let since = self.compare(now);
        if std::mem::replace(&mut self.begun, true) { since } else { Vec::new() }
    }

    fn compare(&mut self, now: HashMap<IpAddr, u64>) -> Vec<(IpAddr, u64)> {
        self.seen.retain(|from, seen| {
            seen.absences = if now.contains_key(from) { 0 } else { seen.absences + 1 };
            seen.absences < ABSENCES
        });
        let mut since = Vec::new();
        for (from, packets) in now {
            let seen = self.seen.entry(from).or_default();
            // Fewer than before: it has left and come again.
            let before = if seen.packets <= packets { seen.packets } else { 0 };
            seen.packets = packets;
            if packets > before {
                since.push((from, packets - before));
            }
        }
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_counters() {
        let mut hits = Hits::default();
        let mut check = |now: &[(&str, u64)], expected: &[(&str, u64)]| {
            let list = |list: &[(&str, u64)]| -> Vec<(IpAddr, u64)> {
                list.iter().map(|(from, packets)| (from.parse().unwrap(), *packets)).collect()
            };
            let mut since = hits.compare(list(now).into_iter().collect());
            since.sort_unstable();
            assert_eq!(since, list(expected));
        };
        let (one, two) = ("192.0.2.1", "2001:db8::1");
        check(&[(one, 3)], &[(one, 3)]);
        check(&[(one, 3), (two, 1)], &[(two, 1)]);
        check(&[(one, 5), (two, 1)], &[(one, 2)]);
        // Left out of a listing, it has not begun anew.
        check(&[(two, 1)], &[]);
        check(&[(one, 6), (two, 4)], &[(one, 1), (two, 3)]);
        // It began anew at once, or after it was gone for a while.
        check(&[(one, 2), (two, 4)], &[(one, 2)]);
        check(&[(two, 4)], &[]);
        check(&[(two, 4)], &[]);
        check(&[(two, 4)], &[]);
        check(&[(one, 9), (two, 4)], &[(one, 9)]);
    }
}
