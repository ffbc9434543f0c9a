//! The elements of our sets: only differences go to the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_core::ruleset::{Difference, Ruleset, TABLE, difference, names};
use nightlatch_core::{AddrRange, Family};
use nightlatch_netfilter::{Element, Key, Kind, Netlink, Set, Verdict};

/// Brings accounts and blocks to what is desired. Without `old`, the kernel is asked what it holds.
///
/// A packet looks for its single address first and for its network then. Between the two looks a
/// transaction may take hold: an address that moves from a network to a place of its own would be
/// found in neither. So it gets its place first, and only then the network is cut.
pub(super) fn bring(
    netlink: &mut Netlink,
    old: Option<&Ruleset>,
    desired: &Ruleset,
) -> Result<(), String> {
    let (mut first, mut then) = (Vec::new(), Vec::new());
    for set in listed_sets() {
        let before = match old {
            Some(old) => wanted(&set, old),
            None => held(netlink, &set)?,
        };
        let Difference { gone, new } = difference(&before, &wanted(&set, desired));
        if matches!(set.kind(), Kind::Addresses(_)) {
            let places: BTreeSet<AddrRange> = new.iter().map(|(range, _)| *range).collect();
            let (replaced, gone) = gone.into_iter().partition(|(range, _)| places.contains(range));
            first.push((set.clone(), Difference { gone: replaced, new }));
            then.push((set, Difference { gone, new: Vec::new() }));
        } else {
            then.push((set, Difference { gone, new }));
        }
    }
    commit(netlink, &first)?;
    commit(netlink, &then)
}

fn commit(
    netlink: &mut Netlink,
    steps: &[(Set, Difference<Option<Arc<str>>>)],
) -> Result<(), String> {
    if steps.iter().all(|(_, difference)| difference.is_empty()) {
        return Ok(());
    }
    let mut transaction = netlink.transaction();
    for (set, Difference { gone, new }) in steps {
        transaction.delete(set, gone.iter().map(|item| element(set, item)));
        transaction.add(set, new.iter().map(|item| element(set, item)));
    }
    transaction.commit().map_err(|error| error.to_string())
}

/// Brings feeds and countries to what is desired, in one transaction: only the difference where it
/// is known, and otherwise all of it in the place of whatever is there. (Reading a long list back
/// takes the kernel longer than replacing it.)
pub(super) fn bring_lists(
    netlink: &mut Netlink,
    old: Option<&Ruleset>,
    desired: &Ruleset,
) -> Result<(), String> {
    if old.is_some_and(|old| old.lists == desired.lists) {
        return Ok(());
    }
    for (set, family) in list_sets() {
        let of_family = |range: &AddrRange| range.family() == family;
        // A transaction for each family: a packet is of one of them, and together they would take
        // twice the memory.
        let mut transaction = netlink.transaction();
        if let Some(old) = old {
            let (old, new) = (&old.lists, &desired.lists);
            transaction.delete(&set, old.not_in(new).filter(of_family));
            transaction.add(&set, new.not_in(old).filter(of_family));
        } else {
            transaction.flush(&set);
            transaction.add(&set, desired.lists.iter().filter(of_family));
        }
        transaction.commit().map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Whether the kernel holds some of the ranges that it should hold, here and there in each list,
/// and nothing at some places where nothing should be. Asked one by one, which takes no time
/// however long the lists are.
pub(super) fn samples_match(netlink: &mut Netlink, ruleset: &Ruleset) -> bool {
    const SAMPLES: usize = 32;
    list_sets().iter().all(|(set, family)| {
        let count = ruleset.lists.len_of(*family);
        let of_family = ruleset.lists.iter().filter(|range| range.family() == *family);
        let mut samples = of_family.step_by((count / SAMPLES).max(1));
        samples.all(|range| netlink.holds(set, range).unwrap_or(false))
    })
}

fn list_sets() -> [(Set, Family); 2] {
    [(names::LISTS_V4, Family::V4), (names::LISTS_V6, Family::V6)]
        .map(|(name, family)| (Set::new(TABLE, name, Kind::Ranges(family)), family))
}

/// How often, and how long apart, a hash table is read before what it says is believed: while the
/// kernel makes it larger or smaller, which it does shortly after a change, a listing may name
/// elements twice or leave some out.
const READINGS: u32 = 5;
const BETWEEN_READINGS: Duration = Duration::from_millis(20);

/// Whether the kernel holds exactly the accounts and blocks of a ruleset.
pub(super) fn all_match(netlink: &mut Netlink, ruleset: &Ruleset) -> bool {
    listed_sets().iter().all(|set| {
        let wanted = wanted(set, ruleset);
        let mut matches = || {
            let elements = wanted.iter().map(|item| element(set, item));
            netlink.matches(set, elements).unwrap_or(false)
        };
        if !matches!(set.kind(), Kind::Addresses(_)) {
            return matches();
        }
        (0..READINGS).any(|reading| {
            if reading > 0 {
                std::thread::sleep(BETWEEN_READINGS);
            }
            matches()
        })
    })
}

/// The sets of cut flows.
pub(super) fn cut_sets() -> [Set; 2] {
    [
        Set::new(TABLE, names::CUTS_V4, Kind::Flows(Family::V4)),
        Set::new(TABLE, names::CUTS_V6, Kind::Flows(Family::V6)),
    ]
}

/// Whether an address is of the set's family.
pub(super) fn is_of(set: &Set, address: IpAddr) -> bool {
    family_of(set) == Some(Family::of(address))
}

fn listed_sets() -> [Set; 6] {
    let set = |name: &str, kind| Set::new(TABLE, name, kind);
    [
        set(names::BLOCKS_V4, Kind::Ranges(Family::V4)),
        set(names::BLOCKS_V6, Kind::Ranges(Family::V6)),
        set(names::HOSTS_V4, Kind::Addresses(Family::V4)),
        set(names::HOSTS_V6, Kind::Addresses(Family::V6)),
        set(names::ACCOUNTS_V4, Kind::Ranges(Family::V4)),
        set(names::ACCOUNTS_V6, Kind::Ranges(Family::V6)),
    ]
}

fn family_of(set: &Set) -> Option<Family> {
    match set.kind() {
        Kind::Ranges(family) | Kind::Flows(family) | Kind::Addresses(family) => Some(family),
        Kind::Number => None,
    }
}

/// A range, and the chain it leads to, if any.
type Item = (AddrRange, Option<Arc<str>>);

fn wanted(set: &Set, ruleset: &Ruleset) -> Vec<Item> {
    let family = family_of(set);
    let of_family = |range: &AddrRange| Some(range.family()) == family;
    if set.name().starts_with("block") {
        let blocks = ruleset.blocks.iter().filter(|range| of_family(range));
        return blocks.map(|range| (*range, None)).collect();
    }
    // Single addresses have a map of their own, a hash table: a look-up among intervals takes the
    // longer the more there are.
    let single = matches!(set.kind(), Kind::Addresses(_));
    let accounts = ruleset.accounts.iter();
    let accounts = accounts.filter(|(range, _)| of_family(range) && range.is_single() == single);
    accounts.map(|(range, chain)| (*range, Some(Arc::from(chain.as_str())))).collect()
}

/// What the kernel holds. Elements that lead anywhere but to a chain are not ours: they come back
/// with a chain that no ruleset names, and so leave.
fn held(netlink: &mut Netlink, set: &Set) -> Result<Vec<Item>, String> {
    let elements = netlink.read(set).map_err(|error| error.to_string())?;
    let item = |element: Element| {
        let range = match element.key {
            Key::Range(range) => range,
            Key::Address(address) => AddrRange::from(address),
            _ => return None,
        };
        let chain = element.verdict.map(|verdict| match verdict {
            Verdict::Jump(chain) => chain,
            other => Arc::from(format!("{other:?}")),
        });
        Some((range, chain))
    };
    let mut items: Vec<Item> = elements.into_iter().filter_map(item).collect();
    // A hash table that is being made larger may have been listed twice in part.
    items.dedup();
    Ok(items)
}

fn element(set: &Set, (range, chain): &Item) -> Element {
    let key = match set.kind() {
        Kind::Addresses(_) => Key::Address(range.first_address()),
        _ => Key::Range(*range),
    };
    Element { verdict: chain.clone().map(Verdict::Jump), ..Element::from(key) }
}
