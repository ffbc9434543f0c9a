//! How many packets of each listed address were stopped, read from the kernel now and then.

use std::collections::HashMap;
use std::net::IpAddr;

use nightlatch_core::Family;
use nightlatch_core::ruleset::{COUNTED_BY_ADDRESS, TABLE, names};
use nightlatch_netfilter::{Kind, Netlink, Set};

/// After so many readings without it, an address is taken to have left the set. While the kernel
/// makes a set larger or smaller, a listing may leave some out.
const ABSENCES: u8 = 3;

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Hits {
    seen: HashMap<IpAddr, Seen>,
    begun: bool,
    /// What the counter of all listed packets said last.
    sum: u64,
    /// How many of these were told of by address; more than there were, where some came between
    /// two readings.
    told: u64,
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
    ///
    /// In a flood the kernel counts only a part of the packets by address. The others are taken to
    /// be of the same senders.
    pub(super) fn since_last(&mut self, netlink: &mut Netlink) -> Vec<(IpAddr, u64)> {
        let mut now = HashMap::new();
        // First the sum: what comes in between must not be taken for uncounted.
        let counters = netlink.counters(TABLE).unwrap_or_default();
        let sum = counters.get(names::LISTED).map_or(0, |counter| counter.packets);
        for (name, family) in [(names::HITS_V4, Family::V4), (names::HITS_V6, Family::V6)] {
            let set = Set::new(TABLE, name, Kind::Addresses(family));
            // Without a table nothing was stopped.
            let counters = netlink.read_counters(&set).unwrap_or_default();
            now.extend(counters.into_iter().map(|(from, counter)| (from, counter.packets)));
        }
        let since = self.compare(now);
        if std::mem::replace(&mut self.begun, true) {
            self.stretch(since, sum)
        } else {
            (self.sum, self.told) = (sum, sum);
            Vec::new()
        }
    }

    /// Spreads what was not counted by address over the addresses that were.
    fn stretch(&mut self, mut since: Vec<(IpAddr, u64)>, sum: u64) -> Vec<(IpAddr, u64)> {
        if sum < self.sum {
            // The table was made anew.
            self.told = 0;
        }
        self.sum = sum;
        let seen: u64 = since.iter().map(|(_, packets)| packets).sum();
        let all = sum.saturating_sub(self.told);
        if seen > 0 && all > seen.max(COUNTED_BY_ADDRESS) {
            for (_, packets) in &mut since {
                let part = u128::from(*packets) * u128::from(all) / u128::from(seen);
                *packets = u64::try_from(part).unwrap_or(u64::MAX);
            }
        }
        self.told = self.told.saturating_add(since.iter().map(|(_, packets)| packets).sum());
        since
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
    fn a_flood_is_spread_over_its_senders() {
        let mut hits = Hits::default();
        let mut check = |sum: u64, counted: &[u64], expected: &[u64]| {
            let addresses = (1..).map(|number| IpAddr::from([192, 0, 2, number]));
            let counted = addresses.zip(counted.iter().copied()).collect();
            let told: Vec<u64> =
                hits.stretch(counted, sum).into_iter().map(|(_, packets)| packets).collect();
            assert_eq!(told, expected);
        };
        // As many as were counted.
        check(4, &[3, 1], &[3, 1]);
        // Some are missing, but too few for a flood: they are nobody's.
        check(900, &[3, 1], &[3, 1]);
        check(10_008, &[1_000, 3_000], &[2_500, 7_500]);
        // Some came between the two readings, and are not told of twice.
        check(10_008, &[5], &[5]);
        check(10_018, &[5], &[5]);
        // A new table.
        check(2, &[2], &[2]);
        check(50_002, &[], &[]);
    }

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
