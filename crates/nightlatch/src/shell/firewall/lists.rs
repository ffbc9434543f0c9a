//! Feeds and countries in the kernel: hundreds of thousands of ranges, of which only the difference
//! goes there.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::iter::Peekable;
use std::sync::Arc;

use nightlatch_core::ruleset::{ListSet, ListSets, TABLE, render_list_sets};
use nightlatch_core::{AddrRange, Family};
use nightlatch_netfilter::{Element, Key, Kind, Netlink, NetlinkError, Set, Structure as Found};
use nightlatch_parse::ranges::RangeList;

/// How many changes go to the kernel in one transaction, about 6 ms: what is urgent waits for one part
/// at most.
///
/// Where any program of this machine listens to changes of rulesets, in whatever container, the
/// kernel writes 4 kB for each end of a range and keeps all of it until the transaction ends:
/// small ones keep that within some megabytes.
const AT_ONCE: usize = 4_096;

/// An exchange of the lists in the kernel, part by part.
///
/// A packet asks one set after the other, and a transaction does not take hold in all of them at the
/// same moment; so what comes into hash tables comes first, then the trees change, and what leaves
/// hash tables leaves last. What is and stays listed never leaves, and what is not and does not become
/// listed never comes in.
#[derive(Debug)]
pub struct Exchange {
    /// The lists that are in the kernel afterwards.
    pub(super) lists: Arc<RangeList>,
    /// The sets in which they are then.
    pub(super) sets: ListSets,
    /// Whether these are sets of their own, in the place that is not in force, to be created first.
    ///
    /// So it is where nothing is known of the lists that stand, or their sets do not suit what is
    /// desired: reading a long list back takes the kernel longer, and replacing it in one transaction
    /// gigabytes where somebody listens.
    pub(super) beside: bool,
    /// Whether the sets are to be put in force at the end, by other rules.
    pub(super) takes_force: bool,
    steps: VecDeque<Step>,
}

/// What an exchange starts from. To work it out takes a long list a tenth of a second, which nothing
/// else should wait for.
#[derive(Debug)]
pub struct Preparation {
    /// The lists in force, if they are known, and their sets.
    pub(super) old: Option<Arc<RangeList>>,
    pub(super) sets: ListSets,
    pub(super) new: Arc<RangeList>,
    /// Whether the table is closed to strangers until the lists are there.
    pub(super) waits: bool,
}

impl Preparation {
    /// Works out what is to be sent.
    pub fn exchange(self) -> Exchange {
        let Preparation { old, sets, new, waits } = self;
        if let Some(old) = old.filter(|_| sets.suit(&new)) {
            return Exchange::within(sets, &old, new, waits);
        }
        let place = ListSets::suiting(&new);
        let place = if sets.other == place.other { place.in_other_place() } else { place };
        let exchange = Exchange::within(place, &RangeList::new(), new, true);
        Exchange { beside: true, ..exchange }
    }
}

/// The changes of one set.
#[derive(Debug)]
struct Step {
    set: ListSet,
    gone: RangeList,
    come: RangeList,
    /// How many of these were sent.
    sent: (usize, usize),
}

impl Exchange {
    /// From some lists to others in the same sets.
    fn within(
        sets: ListSets,
        old: &RangeList,
        lists: Arc<RangeList>,
        takes_force: bool,
    ) -> Exchange {
        let mut gone = by_set(&sets, old.not_in(&lists));
        let mut come = by_set(&sets, lists.not_in(old));
        let (mut first, mut then, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for set in sets.all() {
            let key = (set.family, set.prefix);
            let gone = gone.remove(&key).unwrap_or_default();
            let come = come.remove(&key).unwrap_or_default();
            let step = |gone, come| Step { set: set.clone(), gone, come, sent: (0, 0) };
            if set.prefix.is_none() {
                then.push(step(gone, come));
            } else {
                let stays = |a: &RangeList, b: &RangeList| without(a.iter(), b.iter()).collect();
                first.push(step(RangeList::new(), stays(&come, &gone)));
                last.push(step(stays(&gone, &come), RangeList::new()));
            }
        }
        let steps = first.into_iter().chain(then).chain(last).collect();
        Exchange { lists, sets, beside: false, takes_force, steps }
    }

    /// Creates the sets, if they are new.
    pub(super) fn create_sets(&self, netlink: &mut Netlink) -> Result<(), String> {
        let there = sets_there(netlink)?;
        let stale = there.iter().map(String::as_str);
        let stale = stale.filter(|name| ListSet::is_of_place(name, self.sets.other));
        netlink.load(&render_list_sets(&self.sets, stale)).map_err(|error| error.to_string())
    }

    /// Sends the next part. Returns whether there are more.
    pub(super) fn step(&mut self, netlink: &mut Netlink) -> Result<bool, String> {
        while let Some(step) = self.steps.front_mut() {
            let (gone, come) = step.next_part(AT_ONCE);
            if gone.is_empty() && come.is_empty() {
                self.steps.pop_front();
                continue;
            }
            send(netlink, &step.set, gone, come).map_err(|error| error.to_string())?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// What each set has of the ranges of a list, ascending.
fn by_set(
    sets: &ListSets,
    list: impl Iterator<Item = AddrRange>,
) -> BTreeMap<(Family, Option<u32>), RangeList> {
    let mut parts: BTreeMap<_, RangeList> = BTreeMap::new();
    for range in list {
        for (prefix, part) in sets.parts_of(range) {
            parts.entry((range.family(), prefix)).or_default().push(part);
        }
    }
    parts
}

impl Step {
    fn next_part(&mut self, at_once: usize) -> (Vec<AddrRange>, Vec<AddrRange>) {
        let (gone_sent, come_sent) = self.sent;
        let mut gone = (gone_sent..self.gone.len()).map_while(|at| self.gone.get(at)).peekable();
        let mut come = (come_sent..self.come.len()).map_while(|at| self.come.get(at)).peekable();
        let (going, coming) = next_part(&mut gone, &mut come, at_once);
        self.sent = (gone_sent + going.len(), come_sent + coming.len());
        (going, coming)
    }
}

/// The sets of lists that the rules in force look in, by their names; none if the table has no such
/// rules.
pub(super) fn in_force(found: &Found) -> ListSets {
    let looked_in = found.chains.iter().flat_map(|chain| &chain.looks_in);
    ListSets::named(looked_in.map(String::as_str))
}

/// The names of all sets of lists in the kernel's table, of whichever place.
fn sets_there(netlink: &mut Netlink) -> Result<Vec<String>, String> {
    let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    let sets = found.into_iter().flat_map(|found| found.sets);
    Ok(sets.filter(|name| ListSet::is_name_of_one(name)).collect())
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
pub(super) fn samples_match(netlink: &mut Netlink, sets: &ListSets, lists: &RangeList) -> bool {
    const SAMPLES: usize = 32;
    [Family::V4, Family::V6].into_iter().all(|family| {
        let count = lists.len_of(family);
        if count == 0 {
            return sets.of(family).all(|set| is_empty(netlink, &set));
        }
        let mut holds = |range: AddrRange| {
            sets.of(family).all(|set| {
                let kernel = kernel_set(&set);
                sets.part_of(range, &set).all(|part| netlink.holds(&kernel, part).unwrap_or(false))
            })
        };
        let of_family = lists.iter().filter(|range| range.family() == family);
        of_family.step_by((count / SAMPLES).max(1)).all(&mut holds)
    })
}

/// Whether there are no lists in these sets.
pub(super) fn are_empty(netlink: &mut Netlink, sets: &ListSets) -> bool {
    sets.all().all(|set| is_empty(netlink, &set))
}

fn is_empty(netlink: &mut Netlink, set: &ListSet) -> bool {
    netlink.read(&kernel_set(set)).is_ok_and(|elements| elements.is_empty())
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
