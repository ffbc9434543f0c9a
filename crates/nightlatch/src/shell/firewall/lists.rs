//! Feeds and countries in the kernel: hundreds of thousands of ranges, of which only the difference
//! goes there.

use std::iter::Peekable;

use nightlatch_core::ruleset::{
    Ruleset, TABLE, names, render_emptied_lists, render_flushed_lists, render_without_lists,
};
use nightlatch_core::{AddrRange, Family};
use nightlatch_netfilter::{Kind, Netlink, Set, text};
use nightlatch_parse::ranges::RangeList;

/// How many changes go to the kernel in one transaction.
///
/// Where any program of this machine listens to changes of rulesets, in whatever container, the
/// kernel writes 4 kB for each end of a range and keeps all of it until the transaction ends:
/// smaller ones keep that within some hundred megabytes.
const AT_ONCE: usize = 30_000;

/// What is known of the lists in the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known<'a> {
    /// They are as we left them.
    As(&'a Ruleset),
    /// They are empty: the table has just been made.
    Empty,
}

/// Brings the lists in force to what is desired. What is and stays listed never leaves them, and
/// what is not and does not become listed never comes in.
pub(super) fn bring(
    netlink: &mut Netlink,
    known: Known<'_>,
    desired: &Ruleset,
) -> Result<(), String> {
    let none = RangeList::new();
    let new = desired.lists.as_ref();
    for (set, family) in sets(desired.structure.other_lists) {
        match known {
            Known::As(old) if old.lists == desired.lists => {}
            Known::As(old) => change(netlink, &set, family, &old.lists, new)?,
            Known::Empty => change(netlink, &set, family, &none, new)?,
        }
    }
    Ok(())
}

/// Where a table stands but nothing is known of its lists: puts them together in the pair of sets
/// that is not in force, part by part, and says which that is. Reading a long list back takes the
/// kernel longer, and replacing it in one transaction gigabytes where somebody listens.
pub(super) fn put_together(netlink: &mut Netlink, lists: &RangeList) -> Result<bool, String> {
    if lists.is_empty() {
        text::load(&render_flushed_lists(false)).map_err(|error| error.to_string())?;
        return Ok(false);
    }
    let other = text::load(&render_emptied_lists(true)).is_ok();
    if !other {
        // That pair is in force, so the first one is free.
        text::load(&render_emptied_lists(false)).map_err(|error| error.to_string())?;
    }
    for (set, family) in sets(other) {
        change(netlink, &set, family, &RangeList::new(), lists)?;
    }
    Ok(other)
}

/// Removes the pair of sets that is no longer in force.
pub(super) fn remove_old(in_force: bool) -> Result<(), String> {
    text::load(&render_without_lists(!in_force)).map_err(|error| error.to_string())
}

/// Sends the difference in several transactions. Ranges that overlap, old and new, go together, so
/// that each address is in one of them.
fn change(
    netlink: &mut Netlink,
    set: &Set,
    family: Family,
    old: &RangeList,
    new: &RangeList,
) -> Result<(), String> {
    let of_family = |range: &AddrRange| range.family() == family;
    let mut gone = old.not_in(new).filter(of_family).peekable();
    let mut come = new.not_in(old).filter(of_family).peekable();
    loop {
        let (gone, come) = next_part(&mut gone, &mut come, AT_ONCE);
        if gone.is_empty() && come.is_empty() {
            return Ok(());
        }
        let mut transaction = netlink.transaction();
        transaction.delete(set, gone);
        transaction.add(set, come);
        transaction.commit().map_err(|error| error.to_string())?;
    }
}

/// Takes about `at_once` changes from two ascending lists, and as many more as overlap or touch
/// them.
fn next_part(
    gone: &mut Peekable<impl Iterator<Item = AddrRange>>,
    come: &mut Peekable<impl Iterator<Item = AddrRange>>,
    at_once: usize,
) -> (Vec<AddrRange>, Vec<AddrRange>) {
    let (mut going, mut coming) = (Vec::new(), Vec::new());
    let mut reached = 0;
    loop {
        let first_gone = gone.peek().map(AddrRange::first);
        let first_come = come.peek().map(AddrRange::first);
        let (is_gone, first) = match (first_gone, first_come) {
            (None, None) => break,
            (Some(gone), Some(come)) => (gone <= come, gone.min(come)),
            (Some(gone), None) => (true, gone),
            (None, Some(come)) => (false, come),
        };
        let full = going.len() + coming.len() >= at_once;
        if full && first > u128::saturating_add(reached, 1) {
            break;
        }
        let taken = if is_gone { gone.next() } else { come.next() };
        reached = reached.max(taken.map_or(0, |range| range.last()));
        if is_gone { going.extend(taken) } else { coming.extend(taken) }
    }
    (going, coming)
}

/// Whether the kernel holds some of the ranges that it should hold, here and there in each list.
/// Asked one by one, which takes no time however long the lists are.
pub(super) fn samples_match(netlink: &mut Netlink, ruleset: &Ruleset) -> bool {
    const SAMPLES: usize = 32;
    sets(ruleset.structure.other_lists).iter().all(|(set, family)| {
        let count = ruleset.lists.len_of(*family);
        let of_family = ruleset.lists.iter().filter(|range| range.family() == *family);
        let mut samples = of_family.step_by((count / SAMPLES).max(1));
        samples.all(|range| netlink.holds(set, range).unwrap_or(false))
    })
}

fn sets(other: bool) -> [(Set, Family); 2] {
    let [lists4, lists6] = names::lists(other);
    [(lists4, Family::V4), (lists6, Family::V6)]
        .map(|(name, family)| (Set::new(TABLE, name, Kind::Ranges(family)), family))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list() -> impl Strategy<Value = RangeList> {
        let range = (0_u128..200, 0_u128..12).prop_filter_map("in bounds", |(first, more)| {
            AddrRange::new(Family::V4, first, first + more)
        });
        proptest::collection::vec(range, 0..30).prop_map(|ranges| {
            let mut list: RangeList = ranges.into_iter().collect();
            list.merge();
            list
        })
    }

    proptest! {
        /// Part by part, no address that is in both lists ever leaves, and none that is in neither
        /// ever comes in; each part leaves ranges that are disjoint.
        #[test]
        fn no_address_is_judged_wrongly_between_the_parts(
            old in list(), new in list(), at_once in 1_usize..6
        ) {
            let mut held: Vec<AddrRange> = old.iter().collect();
            let (mut gone, mut come) =
                (old.not_in(&new).peekable(), new.not_in(&old).peekable());
            loop {
                let (going, coming) = next_part(&mut gone, &mut come, at_once);
                if going.is_empty() && coming.is_empty() {
                    break;
                }
                held.retain(|range| !going.contains(range));
                for range in coming {
                    prop_assert!(!held.iter().any(|other| other.overlaps(&range)));
                    held.push(range);
                }
                for number in 0..220 {
                    let here = AddrRange::new(Family::V4, number, number).unwrap();
                    let address = here.first_address();
                    let is = held.iter().any(|range| range.contains(address));
                    let (was, will) =
                        (old.find(address).is_some(), new.find(address).is_some());
                    prop_assert!(is == was || is == will, "{}", address);
                }
            }
            held.sort_unstable();
            prop_assert_eq!(held, new.iter().collect::<Vec<_>>());
        }
    }
}
