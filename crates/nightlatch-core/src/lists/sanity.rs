//! Whether new content may be believed.

use nightlatch_parse::ranges::RangeList;

use super::Guard;
use crate::ledger::Ledger;
use crate::{AddrRange, Family};

/// Above this number of entries a list's shrinking and growing is watched.
const SMALL: usize = 100;
/// A list that falls below a third, or grows beyond five times and by more than this, is doubted.
const GROWTH: usize = 50_000;
/// How many remarks are kept.
const MOST_NOTES: usize = 20;
/// Three quarters of a /8, in addresses.
const MOST_OF_AN_EIGHT: u64 = 3 << 22;
/// How many /8 may be left out of a list before none of it is believed.
const MOST_EIGHTS: usize = 8;
/// A quarter of all IPv4 addresses.
const MOST_OF_IPV4: u64 = 1 << 30;
/// A part in 64 of all IPv6 addresses.
const MOST_OF_IPV6_BITS: u32 = 122;

/// Why content is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing is left of it.
    #[error("it holds no entry that may be listed{}", reasons(notes))]
    Empty {
        /// What was taken out, in words.
        notes: Vec<String>,
    },
    /// It has lost most of its entries: a broken download.
    #[error("it shrank from {old} to {new} entries, and is refused until it recovers")]
    Shrank {
        /// How many there were.
        old: usize,
        /// How many there are.
        new: usize,
    },
    /// It has many times more entries.
    #[error("it grew from {old} to {new} entries, and is refused")]
    Grew {
        /// How many there were.
        old: usize,
        /// How many there are.
        new: usize,
    },
    /// It names most of many /8 networks.
    #[error("it covers most of {eights} of the 256 /8 networks: no list of attackers does")]
    ManyEights {
        /// How many.
        eights: usize,
    },
    /// It names more than a quarter of all IPv4 addresses.
    #[error("it covers more than a quarter of all IPv4 addresses: no list of attackers does")]
    MuchOfIpv4,
    /// It names more than a part in 64 of all IPv6 addresses.
    #[error("it covers more than a part in 64 of all IPv6 addresses: no list of attackers does")]
    MuchOfIpv6,
}

impl Refused {
    /// What to do about it: the command that believes the content all the same, where one does.
    pub fn advice(&self, command: &str) -> String {
        match self {
            Refused::Shrank { .. } | Refused::Grew { .. } => {
                format!("; \"{command}\" believes it")
            }
            _ => String::new(),
        }
    }
}

/// Content that passed, trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// What may be listed: merged.
    pub content: RangeList,
    /// What was taken out or is remarkable, in words.
    pub notes: Vec<String>,
}

/// Looks at new content before it counts.
///
/// # Errors
/// Why it is refused as a whole. What was in force stays.
pub fn inspect(
    old: Option<&RangeList>,
    new: &RangeList,
    guard: &Guard<'_>,
    ledger: &Ledger,
) -> Result<Inspected, Refused> {
    let mut notes = Vec::new();
    let wide = || new.iter().filter(is_too_wide);
    if let Some(first) = wide().next() {
        notes.push(match wide().count() {
            1 => format!("{first} is wider than any list should name: left out"),
            many => format!(
                "{many} entries are wider than any list should name, such as {first}: left out"
            ),
        });
    }
    let mut content: RangeList = new.iter().filter(|range| !is_too_wide(range)).collect();
    content.merge();
    notes.extend(guard.hits(&content, ledger));
    // Many narrow entries must not add up to what a wide one may not.
    let content = without_full_eights(content.without(&guard.ranges()), &mut notes)?;
    if content.is_empty() {
        return Err(Refused::Empty { notes });
    }
    if let Some(old) = old {
        beyond_belief(old.len(), content.len())?;
    }
    if notes.len() > MOST_NOTES {
        let more = notes.len() - MOST_NOTES;
        notes.truncate(MOST_NOTES);
        notes.push(format!("and {more} more"));
    }
    Ok(Inspected { content, notes })
}

/// The first of the notes, and how many there are besides.
fn reasons(notes: &[String]) -> String {
    match notes {
        [] => String::new(),
        [one] => format!(": {one}"),
        [first, more @ ..] => format!(": {first}; and {} more like that", more.len()),
    }
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
fn without_full_eights(content: RangeList, notes: &mut Vec<String>) -> Result<RangeList, Refused> {
    let mut of_eight = vec![0u64; 256];
    let mut six: u128 = 0;
    for range in content.iter() {
        match range.family() {
            Family::V4 => count_by_eight(&mut of_eight, &range),
            Family::V6 => six = six.saturating_add(range.width()),
        }
    }
    let full = (0u128..).zip(&of_eight).filter(|(_, count)| **count > MOST_OF_AN_EIGHT);
    let full: RangeList = full
        .filter_map(|(eight, _)| AddrRange::new(Family::V4, eight << 24, (eight << 24) | 0xff_ffff))
        .collect();
    if full.len() > MOST_EIGHTS {
        return Err(Refused::ManyEights { eights: full.len() });
    }
    if of_eight.iter().sum::<u64>() > MOST_OF_IPV4 {
        return Err(Refused::MuchOfIpv4);
    }
    if six >> MOST_OF_IPV6_BITS != 0 {
        return Err(Refused::MuchOfIpv6);
    }
    let named = full.iter().map(|eight| format!("most of {eight} is named: all of that left out"));
    notes.extend(named);
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
    use crate::ledger::Site;

    fn list(ranges: &[&str]) -> RangeList {
        ranges.iter().map(|range| range.parse::<AddrRange>().unwrap()).collect()
    }

    fn site() -> Site {
        let guarded = vec![("198.51.100.1".parse().unwrap(), "the gateway".to_owned())];
        Site { guarded, ..Site::default() }
    }

    fn check(ranges: &[&str], content: &[&str], notes: &[&str]) {
        let inspected =
            inspect(None, &list(ranges), &Guard::of(&site()), &Ledger::default()).unwrap();
        let shown: Vec<String> = inspected.content.iter().map(|range| range.to_string()).collect();
        assert_eq!(shown, content);
        assert_eq!(inspected.notes.len(), notes.len(), "{:?}", inspected.notes);
        for (note, begin) in inspected.notes.iter().zip(notes) {
            assert!(note.starts_with(begin), "{note}");
        }
    }

    #[test]
    fn poison_is_trimmed() {
        check(&["203.0.113.0/24"], &["203.0.113.0/24"], &[]);
        check(&["0.0.0.0/0", "203.0.113.9"], &["203.0.113.9"], &["0.0.0.0/0 is wider"]);
        check(
            &["198.51.100.0/30", "203.0.113.9"],
            &["198.51.100.0", "198.51.100.2/31", "203.0.113.9"],
            &["198.51.100.0/30 reaches into 198.51.100.1, which is the gateway: not listed"],
        );
        check(
            &["127.0.0.1", "10.1.0.0/16", "203.0.113.9"],
            &["203.0.113.9"],
            &[
                "10.1.0.0/16 lies in 10.0.0.0/8, which is no stranger's: not listed",
                "127.0.0.1 lies in 127.0.0.0/8, which is no stranger's: not listed",
            ],
        );
        check(
            &["198.51.100.1", "203.0.113.9"],
            &["203.0.113.9"],
            &["198.51.100.1 is the gateway: not listed"],
        );
        check(&["fe80::/64", "2001:db8::/32"], &["2001:db8::/32"], &["fe80::/64"]);
        check(
            &["80.0.0.0/9", "80.128.0.0/9", "81.0.0.0/9", "203.0.113.9"],
            &["81.0.0.0/9", "203.0.113.9"],
            &["most of 80.0.0.0/8 is named"],
        );
        check(&["80.0.0.0/8", "203.0.113.9"], &["203.0.113.9"], &["most of 80.0.0.0/8"]);
        check(&["2000::/15", "2001:db8::/32"], &["2001:db8::/32"], &["2000::/15 is wider"]);
    }

    #[test]
    fn poison_is_refused() {
        let refused = |old: Option<&RangeList>, new: &RangeList| {
            inspect(old, new, &Guard::of(&site()), &Ledger::default()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(None, &list(&["0.0.0.0/0"])),
            "it holds no entry that may be listed: 0.0.0.0/0 is wider than any list should name: left out"
        );
        assert_eq!(
            refused(None, &list(&["10.0.0.0/8", "198.51.100.1"])),
            "it holds no entry that may be listed: 10.0.0.0/8 is no stranger's: not listed; and 1 more like that"
        );
        // Many /9s: none is too wide by itself.
        let halves: RangeList = (1..120u128)
            .flat_map(|eight| [eight << 24, eight << 24 | 1 << 23])
            .filter_map(|first| AddrRange::new(Family::V4, first, first + (1 << 23) - 2))
            .collect();
        assert!(refused(None, &halves).contains("most of"));
        let many = |count: u128| -> RangeList {
            (0..count)
                .filter_map(|n| {
                    AddrRange::new(Family::V4, 0x0800_0000 + n * 2, 0x0800_0000 + n * 2)
                })
                .collect()
        };
        assert!(refused(Some(&many(1000)), &many(300)).contains("shrank"));
        assert!(refused(Some(&many(1000)), &many(100_000)).contains("grew"));
        assert!(
            inspect(Some(&many(1000)), &many(400), &Guard::of(&site()), &Ledger::default()).is_ok()
        );
    }
}
