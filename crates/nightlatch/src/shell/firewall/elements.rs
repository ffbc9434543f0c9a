//! The elements of our sets: only differences go to the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_core::ruleset::{Difference, Ruleset, TABLE, closing_chain, difference, names};
use nightlatch_core::{AddrRange, Family};
use nightlatch_netfilter::{Element, Key, Kind, Netlink, Set, Verdict};

/// Syncs the elements of accounts and closures. Without `old`, they are first read from the kernel.
///
/// A packet looks for its single address first and for its network then, and a transaction does
/// not take hold in both maps at the same moment: an address that moves from one to the other would
/// be found in neither. So it is in both for a while: single addresses come first, then networks
/// change, and single addresses go last.
pub(super) fn bring(
    netlink: &mut Netlink,
    old: Option<&Ruleset>,
    desired: &Ruleset,
) -> Result<(), String> {
    let (mut first, mut then, mut last) = (Vec::new(), Vec::new(), Vec::new());
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
            last.push((set, Difference { gone, new: Vec::new() }));
        } else {
            then.push((set, Difference { gone, new }));
        }
    }
    commit(netlink, &first)?;
    commit(netlink, &then)?;
    commit(netlink, &last)
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

/// How often, and how long apart, a hash table is read before what it says is believed: while the
/// kernel makes it larger or smaller, which it does shortly after a change, a listing may name
/// elements twice or leave some out.
const READINGS: u32 = 5;
const BETWEEN_READINGS: Duration = Duration::from_millis(20);

/// Whether the kernel has exactly the accounts and closures of a ruleset.
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

fn listed_sets() -> [Set; 10] {
    let set = |name: &str, kind| Set::new(TABLE, name, kind);
    [
        set(names::CLOSED_IN_V4, Kind::Ranges(Family::V4)),
        set(names::CLOSED_IN_V6, Kind::Ranges(Family::V6)),
        set(names::CLOSED_OUT_V4, Kind::Ranges(Family::V4)),
        set(names::CLOSED_OUT_V6, Kind::Ranges(Family::V6)),
        set(names::CLOSED_FORWARD_V4, Kind::Ranges(Family::V4)),
        set(names::CLOSED_FORWARD_V6, Kind::Ranges(Family::V6)),
        set(names::HOSTS_V4, Kind::Addresses(Family::V4)),
        set(names::HOSTS_V6, Kind::Addresses(Family::V6)),
        set(names::ACCOUNTS_V4, Kind::Ranges(Family::V4)),
        set(names::ACCOUNTS_V6, Kind::Ranges(Family::V6)),
    ]
}

fn family_of(set: &Set) -> Option<Family> {
    match set.kind() {
        Kind::Ranges(family)
        | Kind::Flows(family)
        | Kind::Addresses(family)
        | Kind::Endpoints(family)
        | Kind::Peers(family) => Some(family),
        Kind::Number => None,
    }
}

const FORWARD: &str = "forward";

/// The hook to which a map of closed ranges belongs.
fn closing_hook(set: &Set) -> Option<&'static str> {
    match set.name() {
        names::CLOSED_IN_V4 | names::CLOSED_IN_V6 => Some("in"),
        names::CLOSED_OUT_V4 | names::CLOSED_OUT_V6 => Some("out"),
        names::CLOSED_FORWARD_V4 | names::CLOSED_FORWARD_V6 => Some(FORWARD),
        _ => None,
    }
}

/// A range, and the chain it leads to, if any.
type Item = (AddrRange, Option<Arc<str>>);

fn wanted(set: &Set, ruleset: &Ruleset) -> Vec<Item> {
    let family = family_of(set);
    let of_family = |range: &AddrRange| Some(range.family()) == family;
    if let Some(hook) = closing_hook(set) {
        if hook == FORWARD && !ruleset.structure.containers {
            return Vec::new();
        }
        let closed = ruleset.closed.iter().filter(|(range, _)| of_family(range));
        let chain = |name: &str| Some(Arc::from(closing_chain(hook, name)));
        return closed.map(|(range, name)| (*range, chain(name))).collect();
    }
    // Single addresses have a map of their own, a hash table: a look-up among intervals takes the
    // longer the more there are.
    let single = matches!(set.kind(), Kind::Addresses(_));
    let accounts = ruleset.accounts.iter();
    let accounts = accounts.filter(|(range, _)| of_family(range) && range.is_single() == single);
    accounts.map(|(range, chain)| (*range, Some(Arc::clone(chain)))).collect()
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
