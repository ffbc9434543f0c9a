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
/// Why it is refused as a whole, in words: it is empty, it has shrunk or grown beyond belief, or it
/// covers a great part of the internet. What was in force stays.
pub fn inspect(
    old: Option<&RangeList>,
    new: &RangeList,
    guard: &Guard,
    ledger: &Ledger,
) -> Result<Inspected, String> {
    let mut notes = Vec::new();
    let (wide, narrow): (Vec<AddrRange>, Vec<AddrRange>) = new.iter().partition(is_too_wide);
    if let Some(first) = wide.first() {
        notes.push(format!(
            "{} entries are wider than any list should name, such as {first}: left out",
            wide.len()
        ));
    }
    let mut content: RangeList = narrow.into_iter().collect();
    content.merge();
    // Many narrow entries must not add up to what a wide one may not.
    if let Some(reason) = covers_too_much(&content) {
        return Err(reason);
    }
    notes.extend(guard.hits(&content, ledger));
    let content = content.without(&guard.ranges());
    if content.is_empty() {
        return Err("it holds no entry that may be listed".to_owned());
    }
    if let Some(reason) = old.and_then(|old| beyond_belief(old.len(), content.len())) {
        return Err(reason);
    }
    if notes.len() > MOST_NOTES {
        let more = notes.len() - MOST_NOTES;
        notes.truncate(MOST_NOTES);
        notes.push(format!("and {more} more"));
    }
    Ok(Inspected { content, notes })
}

/// Wider than a /8 of IPv4 or a /16 of IPv6.
fn is_too_wide(range: &AddrRange) -> bool {
    let most = match range.family() {
        Family::V4 => 24,
        Family::V6 => 112,
    };
    range.width() >> most != 0
}

/// Most of some /8, of many /8s, or of the IPv6 internet (2000::/3).
fn covers_too_much(content: &RangeList) -> Option<String> {
    let mut of_eight = vec![0u64; 256];
    let mut six: u128 = 0;
    for range in content.iter() {
        match range.family() {
            Family::V4 => count_by_eight(&mut of_eight, &range),
            Family::V6 => six = six.saturating_add(range.width()),
        }
    }
    let most_of = of_eight.iter().filter(|count| **count > 3 << 22).count();
    if most_of > 8 {
        return Some(format!(
            "it covers most of {most_of} of the 256 /8 networks: no list of attackers does"
        ));
    }
    let all: u64 = of_eight.iter().sum();
    if all > 1 << 30 {
        return Some("it covers more than a quarter of all IPv4 addresses".to_owned());
    }
    (six >> 122 != 0).then(|| "it covers more than a part in 64 of all IPv6 addresses".to_owned())
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

fn beyond_belief(old: usize, new: usize) -> Option<String> {
    if old > SMALL && new < old / 3 {
        return Some(format!(
            "it shrank from {old} to {new} entries: refused until it recovers; \"nightlatch feed refresh NAME --force\" believes it"
        ));
    }
    (old > SMALL && new > old * 5 && new - old > GROWTH).then(|| {
        format!("it grew from {old} to {new} entries: refused; \"nightlatch feed refresh NAME --force\" believes it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Site;

    fn list(ranges: &[&str]) -> RangeList {
        ranges.iter().map(|range| range.parse::<AddrRange>().unwrap()).collect()
    }

    fn guard() -> Guard {
        let guarded = vec![("198.51.100.1".parse().unwrap(), "the gateway".to_owned())];
        Guard::of(&Site { guarded, ..Site::default() })
    }

    fn check(ranges: &[&str], content: &[&str], notes: &[&str]) {
        let inspected = inspect(None, &list(ranges), &guard(), &Ledger::default()).unwrap();
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
        check(&["0.0.0.0/0", "203.0.113.9"], &["203.0.113.9"], &["1 entries are wider"]);
        check(
            &["198.51.100.0/30", "203.0.113.9"],
            &["198.51.100.0", "198.51.100.2/31", "203.0.113.9"],
            &["198.51.100.0/30 reaches into 198.51.100.1, the gateway"],
        );
        check(
            &["127.0.0.1", "10.1.0.0/16", "203.0.113.9"],
            &["203.0.113.9"],
            &["10.1.0.0/16", "127.0.0.1"],
        );
        check(&["fe80::/64", "2001:db8::/32"], &["2001:db8::/32"], &["fe80::/64"]);
    }

    #[test]
    fn poison_is_refused() {
        let refused = |old: Option<&RangeList>, new: &RangeList| {
            inspect(old, new, &guard(), &Ledger::default()).unwrap_err()
        };
        assert!(refused(None, &list(&["0.0.0.0/0"])).contains("no entry"));
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
        assert!(inspect(Some(&many(1000)), &many(400), &guard(), &Ledger::default()).is_ok());
    }
}
