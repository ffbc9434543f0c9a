//! Whether new content may be believed.

use nightlatch_parse::ranges::RangeList;

use serde::{Deserialize, Serialize};

use super::Guard;
use crate::{AddrRange, Family};

/// Above this number of entries a list's shrinking and growing is watched.
const SMALL: usize = 100;
/// A list that falls below a third, or grows beyond five times and by more than this, is doubted.
const GROWTH: usize = 50_000;
/// How many remarks are kept.
const MAX_REMARKS: usize = 20;
/// Three quarters of a /8, in addresses.
const MAX_IN_AN_EIGHT: u64 = 3 << 22;
/// How many /8 may be left out of a list before none of it is believed.
const MAX_EIGHTS: usize = 8;
/// A quarter of all IPv4 addresses.
const MAX_IPV4_ADDRESSES: u64 = 1 << 30;
/// A part in 64 of all IPv6 addresses.
const MAX_IPV6_BITS: u32 = 122;

/// Why content is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// Nothing is left of it.
    Empty {
        /// What was taken out.
        remarks: Vec<Remark>,
    },
    /// It has lost most of its entries: a broken download.
    Shrank {
        /// How many there were.
        old: usize,
        /// How many there are.
        new: usize,
    },
    /// It has many times more entries.
    Grew {
        /// How many there were.
        old: usize,
        /// How many there are.
        new: usize,
    },
    /// It names most of many /8 networks.
    ManyEights {
        /// How many.
        eights: usize,
    },
    /// It names more than a quarter of all IPv4 addresses.
    MuchOfIpv4,
    /// It names more than a part in 64 of all IPv6 addresses.
    MuchOfIpv6,
}

/// What was taken out of a list, or is remarkable about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remark {
    /// Entries are wider than any list should name.
    TooWide {
        /// The first of them.
        first: AddrRange,
        /// How many there are.
        count: usize,
    },
    /// An entry overlaps what no list may hold.
    Spared {
        /// The entry.
        entry: AddrRange,
        /// What it overlaps.
        range: AddrRange,
        /// What that is.
        is: SparedBy,
    },
    /// Most of a /8 network is named.
    MostOf {
        /// The network.
        eight: AddrRange,
    },
    /// There are further remarks.
    More {
        /// How many.
        count: usize,
    },
}

/// Why no list may hold a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SparedBy {
    /// It is no stranger's: loopback, private, multicast.
    Special,
    /// This server needs it.
    Server {
        /// What it is, such as "the gateway".
        what: String,
    },
    /// An account covers it.
    Account {
        /// The account's name.
        name: String,
    },
}

/// Content that passed, trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// What may be listed: merged.
    pub content: RangeList,
    /// What was taken out or is remarkable.
    pub remarks: Vec<Remark>,
}

/// Looks at new content before it counts. `allowed` are the ranges of accounts, each with a name.
///
/// # Errors
/// Why it is refused as a whole. What was in force stays.
pub fn inspect(
    old: Option<&RangeList>,
    new: &RangeList,
    guard: &Guard<'_>,
    allowed: &[(AddrRange, String)],
) -> Result<Inspected, Refused> {
    let mut remarks = Vec::new();
    let wide = || new.iter().filter(is_too_wide);
    if let Some(first) = wide().next() {
        remarks.push(Remark::TooWide { first, count: wide().count() });
    }
    let mut content: RangeList = new.iter().filter(|range| !is_too_wide(range)).collect();
    content.merge();
    remarks.extend(guard.hits(&content, allowed));
    // Many narrow entries must not add up to what a wide one may not.
    let content = without_full_eights(content.without(&guard.ranges()), &mut remarks)?;
    if content.is_empty() {
        return Err(Refused::Empty { remarks });
    }
    if let Some(old) = old {
        beyond_belief(old.len(), content.len())?;
    }
    if remarks.len() > MAX_REMARKS {
        let count = remarks.len() - MAX_REMARKS;
        remarks.truncate(MAX_REMARKS);
        remarks.push(Remark::More { count });
    }
    Ok(Inspected { content, remarks })
}

/// Wider than a /8 of IPv4 or a /16 of IPv6.
fn is_too_wide(range: &AddrRange) -> bool {
    let most = match range.family() {
        Family::V4 => 24,
        Family::V6 => 112,
    };
    range.width() >> most != 0
}

/// Leaves out every /8 of which the list names most. A list that names most of many, or a great
/// part of all addresses, is refused.
fn without_full_eights(
    content: RangeList,
    remarks: &mut Vec<Remark>,
) -> Result<RangeList, Refused> {
    let mut of_eight = vec![0u64; 256];
    let mut six: u128 = 0;
    for range in content.iter() {
        match range.family() {
            Family::V4 => count_by_eight(&mut of_eight, &range),
            Family::V6 => six = six.saturating_add(range.width()),
        }
    }
    let full = (0u128..).zip(&of_eight).filter(|(_, count)| **count > MAX_IN_AN_EIGHT);
    let full: RangeList = full
        .filter_map(|(eight, _)| AddrRange::new(Family::V4, eight << 24, (eight << 24) | 0xff_ffff))
        .collect();
    if full.len() > MAX_EIGHTS {
        return Err(Refused::ManyEights { eights: full.len() });
    }
    if of_eight.iter().sum::<u64>() > MAX_IPV4_ADDRESSES {
        return Err(Refused::MuchOfIpv4);
    }
    if six >> MAX_IPV6_BITS != 0 {
        return Err(Refused::MuchOfIpv6);
    }
    remarks.extend(full.iter().map(|eight| Remark::MostOf { eight }));
    Ok(if full.is_empty() { content } else { content.without(&full) })
}

fn count_by_eight(of_eight: &mut [u64], range: &AddrRange) {
    let (first, last) = (range.first() >> 24, range.last() >> 24);
    for eight in first..=last {
        let (start, end) = (eight << 24, (eight << 24) | 0xff_ffff);
        let held = range.last().min(end) - range.first().max(start) + 1;
        if let Some(count) = usize::try_from(eight).ok().and_then(|eight| of_eight.get_mut(eight)) {
            *count += u64::try_from(held).unwrap_or(0);
        }
    }
}

fn beyond_belief(old: usize, new: usize) -> Result<(), Refused> {
    if old > SMALL && new < old / 3 {
        return Err(Refused::Shrank { old, new });
    }
    if old > SMALL && new > old * 5 && new - old > GROWTH {
        return Err(Refused::Grew { old, new });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posture::Site;

    fn list(ranges: &[&str]) -> RangeList {
        ranges.iter().map(|range| range.parse::<AddrRange>().unwrap()).collect()
    }

    fn site() -> Site {
        let guarded = vec![("198.51.100.1".parse().unwrap(), "the gateway".to_owned())];
        Site { guarded, ..Site::default() }
    }

    fn range(text: &str) -> AddrRange {
        text.parse().unwrap()
    }

    fn too_wide(first: &str) -> Remark {
        Remark::TooWide { first: range(first), count: 1 }
    }

    fn spared(entry: &str, of: &str, is: SparedBy) -> Remark {
        Remark::Spared { entry: range(entry), range: range(of), is }
    }

    fn gateway() -> SparedBy {
        SparedBy::Server { what: "the gateway".to_owned() }
    }

    fn check(ranges: &[&str], content: &[&str], remarks: &[Remark]) {
        let inspected = inspect(None, &list(ranges), &Guard::of(&site()), &[]).unwrap();
        let shown: Vec<String> = inspected.content.iter().map(|range| range.to_string()).collect();
        assert_eq!(shown, content);
        assert_eq!(inspected.remarks, remarks);
    }

    #[test]
    fn poison_is_trimmed() {
        use SparedBy::Special;

        check(&["203.0.113.0/24"], &["203.0.113.0/24"], &[]);
        check(&["0.0.0.0/0", "203.0.113.9"], &["203.0.113.9"], &[too_wide("0.0.0.0/0")]);
        check(
            &["198.51.100.0/30", "203.0.113.9"],
            &["198.51.100.0", "198.51.100.2/31", "203.0.113.9"],
            &[spared("198.51.100.0/30", "198.51.100.1", gateway())],
        );
        check(
            &["127.0.0.1", "10.1.0.0/16", "203.0.113.9"],
            &["203.0.113.9"],
            &[
                spared("10.1.0.0/16", "10.0.0.0/8", Special),
                spared("127.0.0.1", "127.0.0.0/8", Special),
            ],
        );
        check(
            &["198.51.100.1", "203.0.113.9"],
            &["203.0.113.9"],
            &[spared("198.51.100.1", "198.51.100.1", gateway())],
        );
        check(
            &["fe80::/64", "2001:db8::/32"],
            &["2001:db8::/32"],
            &[spared("fe80::/64", "fe80::/10", Special)],
        );
        let most = Remark::MostOf { eight: range("80.0.0.0/8") };
        check(
            &["80.0.0.0/9", "80.128.0.0/9", "81.0.0.0/9", "203.0.113.9"],
            &["81.0.0.0/9", "203.0.113.9"],
            std::slice::from_ref(&most),
        );
        check(&["80.0.0.0/8", "203.0.113.9"], &["203.0.113.9"], &[most]);
        check(&["2000::/15", "2001:db8::/32"], &["2001:db8::/32"], &[too_wide("2000::/15")]);
    }

    #[test]
    fn poison_is_refused() {
        let refused = |old: Option<&RangeList>, new: &RangeList| {
            inspect(old, new, &Guard::of(&site()), &[]).unwrap_err()
        };
        let empty = |remarks: &[Remark]| Refused::Empty { remarks: remarks.to_vec() };
        assert_eq!(refused(None, &list(&["0.0.0.0/0"])), empty(&[too_wide("0.0.0.0/0")]));
        assert_eq!(
            refused(None, &list(&["10.0.0.0/8", "198.51.100.1"])),
            empty(&[
                spared("10.0.0.0/8", "10.0.0.0/8", SparedBy::Special),
                spared("198.51.100.1", "198.51.100.1", gateway()),
            ])
        );
        // Many /9s: none is too wide by itself.
        let halves: RangeList = (1..120u128)
            .flat_map(|eight| [eight << 24, eight << 24 | 1 << 23])
            .filter_map(|first| AddrRange::new(Family::V4, first, first + (1 << 23) - 2))
            .collect();
        assert_eq!(refused(None, &halves), Refused::ManyEights { eights: 117 });
        let many = |count: u128| -> RangeList {
            (0..count)
                .filter_map(|n| {
                    AddrRange::new(Family::V4, 0x0800_0000 + n * 2, 0x0800_0000 + n * 2)
                })
                .collect()
        };
        let grown = |old, new| refused(Some(&many(old)), &many(new));
        assert_eq!(grown(1000, 300), Refused::Shrank { old: 1000, new: 300 });
        assert_eq!(grown(1000, 100_000), Refused::Grew { old: 1000, new: 100_000 });
        assert!(inspect(Some(&many(1000)), &many(400), &Guard::of(&site()), &[]).is_ok());
    }
}
