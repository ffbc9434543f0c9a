//! Feeds and countries in the kernel: hundreds of thousands of ranges, of which only the difference
//! goes there.

use std::cmp::Ordering;
use std::iter::Peekable;

use nightlatch_core::ruleset::{ListSet, ListSets, Ruleset, TABLE, render_list_sets};
use nightlatch_core::{AddrRange, Family};
use nightlatch_netfilter::{Element, Key, Kind, Netlink, NetlinkError, Set, text};
use nightlatch_parse::ranges::RangeList;

/// How many changes go to the kernel in one transaction.
///
/// Where any program of this machine listens to changes of rulesets, in whatever container, the
/// kernel writes 4 kB for each end of a range and keeps all of it until the transaction ends:
/// smaller ones keep that within some hundred megabytes.
const AT_ONCE: usize = 30_000;

/// How far the lists are when their sets are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InPlace {
    /// They stand already.
    Stand,
    /// They have just been put together.
    PutTogether,
    /// The sets are those of the old lists, or empty.
    ToBeBrought,
}

/// Chooses the sets of the desired lists: those of the old ones or, at a restart, those that
/// `stand`; and where none do, or they do not suit, others, in which the lists are put together.
/// Where the table `begins` nothing is there yet.
pub(super) fn place(
    netlink: &mut Netlink,
    begins: bool,
    old: Option<&Ruleset>,
    stand: Option<&ListSets>,
    desired: &mut Ruleset,
) -> Result<InPlace, String> {
    let lists = &desired.lists;
    let old_sets = old
        .filter(|old| old.lists == *lists || old.structure.list_sets.suit(lists))
        .map(|old| &old.structure.list_sets);
    let (sets, in_place) = match (old_sets, stand) {
        (Some(sets), _) => (sets.clone(), InPlace::ToBeBrought),
        (None, Some(sets)) if old.is_none() && !begins => (sets.clone(), InPlace::Stand),
        _ if begins => (ListSets::suiting(lists), InPlace::ToBeBrought),
        _ => (put_together(netlink, lists)?, InPlace::PutTogether),
    };
    desired.structure.list_sets = sets;
    Ok(in_place)
}

/// Brings the lists in force from the old ones, or none, to what is desired. What is and stays
/// listed never leaves them, and what is not and does not become listed never comes in.
pub(super) fn bring(
    netlink: &mut Netlink,
    old: Option<&Ruleset>,
    desired: &Ruleset,
) -> Result<(), String> {
    let none = RangeList::new();
    let old = match old {
        Some(old) if old.lists == desired.lists => return Ok(()),
        Some(old) => &old.lists,
        None => &none,
    };
    change(netlink, &desired.structure.list_sets, old, &desired.lists)
        .map_err(|error| error.to_string())
}

/// Puts the lists together in sets of their own, in the place that is not in force, part by part,
/// and says which sets these are: where nothing is known of the lists that stand, or their sets do
/// not suit what is desired. Reading a long list back takes the kernel longer, and replacing it in
/// one transaction gigabytes where somebody listens.
fn put_together(netlink: &mut Netlink, lists: &RangeList) -> Result<ListSets, String> {
    let there = sets_there(netlink)?;
    let empty = |sets: &ListSets| {
        let stale = there.iter().map(String::as_str);
        let stale = stale.filter(|name| ListSet::is_of_place(name, sets.other));
        text::load(&render_list_sets(sets, stale))
    };
    let mut sets = ListSets::suiting(lists).in_other_place();
    if empty(&sets).is_err() {
        // Those are in force, so the first place is free.
        sets = sets.in_other_place();
        empty(&sets).map_err(|error| error.to_string())?;
    }
    change(netlink, &sets, &RangeList::new(), lists).map_err(|error| error.to_string())?;
    Ok(sets)
}

/// The names of all sets of lists in the kernel's table, of whichever place.
fn sets_there(netlink: &mut Netlink) -> Result<Vec<String>, String> {
    let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    let sets = found.into_iter().flat_map(|found| found.sets);
    Ok(sets.filter(|name| ListSet::is_name_of_one(name)).collect())
}

/// Sends the difference in several transactions. A packet asks one set after the other, and a
/// transaction does not take hold in all of them at the same moment; so what comes into hash tables
/// comes first, then the trees change, and what leaves hash tables leaves last.
fn change(
    netlink: &mut Netlink,
    sets: &ListSets,
    old: &RangeList,
    new: &RangeList,
) -> Result<(), NetlinkError> {
    let (tables, trees): (Vec<ListSet>, Vec<ListSet>) =
        sets.all().partition(|set| set.prefix.is_some());
    let gone: RangeList = old.not_in(new).collect();
    let come: RangeList = new.not_in(old).collect();
    let going = |set| parts(sets, set, &gone);
    let coming = |set| parts(sets, set, &come);
    for set in &tables {
        let come = without(coming(set), going(set));
        in_parts(come, |part| send(netlink, set, Vec::new(), part))?;
    }
    for set in &trees {
        let (mut gone, mut come) = (going(set).peekable(), coming(set).peekable());
        loop {
            let (gone, come) = next_part(&mut gone, &mut come, AT_ONCE);
            if gone.is_empty() && come.is_empty() {
                break;
            }
            send(netlink, set, gone, come)?;
        }
    }
    for set in &tables {
        let gone = without(going(set), coming(set));
        in_parts(gone, |part| send(netlink, set, part, Vec::new()))?;
    }
    Ok(())
}

/// What a set holds of the ranges of a list, ascending.
fn parts<'a>(
    sets: &'a ListSets,
    set: &'a ListSet,
    list: &'a RangeList,
) -> impl Iterator<Item = AddrRange> + 'a {
    let ranges = list.iter().filter(|range| range.family() == set.family);
    ranges.flat_map(|range| sets.part_of(range, set))
}

fn send(
    netlink: &mut Netlink,
    set: &ListSet,
    gone: Vec<AddrRange>,
    come: Vec<AddrRange>,
) -> Result<(), NetlinkError> {
    let (kernel, hashed) = (kernel_set(set), set.prefix.is_some());
    let element = |range: AddrRange| match hashed {
        true => Element::from(Key::Address(range.first_address())),
        false => Element::from(Key::Range(range)),
    };
    let mut transaction = netlink.transaction();
    transaction.delete(&kernel, gone.into_iter().map(element));
    transaction.add(&kernel, come.into_iter().map(element));
    transaction.commit()
}

fn kernel_set(set: &ListSet) -> Set {
    let kind = match set.prefix {
        Some(_) => Kind::Addresses(set.family),
        None => Kind::Ranges(set.family),
    };
    Set::new(TABLE, set.name.as_str(), kind)
}

/// Those of an ascending list that are not in another one.
fn without(
    list: impl Iterator<Item = AddrRange>,
    other: impl Iterator<Item = AddrRange>,
) -> impl Iterator<Item = AddrRange> {
    let mut other = other.peekable();
    list.filter(move |range| {
        while other.next_if(|known| known.cmp(range) == Ordering::Less).is_some() {}
        other.peek() != Some(range)
    })
}

fn in_parts(
    mut list: impl Iterator<Item = AddrRange>,
    mut send: impl FnMut(Vec<AddrRange>) -> Result<(), NetlinkError>,
) -> Result<(), NetlinkError> {
    loop {
        let part: Vec<AddrRange> = list.by_ref().take(AT_ONCE).collect();
        if part.is_empty() {
            return Ok(());
        }
        send(part)?;
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
/// Asked one by one, which takes no time however long the lists are. Where there is to be nothing,
/// nothing may be.
pub(super) fn samples_match(netlink: &mut Netlink, ruleset: &Ruleset) -> bool {
    const SAMPLES: usize = 32;
    let sets = &ruleset.structure.list_sets;
    [Family::V4, Family::V6].into_iter().all(|family| {
        let count = ruleset.lists.len_of(family);
        if count == 0 {
            return sets.of(family).all(|set| {
                netlink.read(&kernel_set(&set)).is_ok_and(|elements| elements.is_empty())
            });
        }
        let mut holds = |range: AddrRange| {
            sets.of(family).all(|set| {
                let kernel = kernel_set(&set);
                sets.part_of(range, &set).all(|part| netlink.holds(&kernel, part).unwrap_or(false))
            })
        };
        let of_family = ruleset.lists.iter().filter(|range| range.family() == family);
        of_family.step_by((count / SAMPLES).max(1)).all(&mut holds)
    })
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
