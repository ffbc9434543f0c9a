//! The elements of our sets: only differences go to the kernel.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use nightlatch_core::ruleset::{
    BLOCKED, Delta, Difference, Piece, Ruleset, TABLE, Target, closing_chain, difference,
    keeping_chain, names,
};
use nightlatch_core::{AddrRange, Family};
use nightlatch_netfilter::{Element, Key, Kind, Netlink, Set, Verdict};

/// Brings the elements of accounts and closures to what is desired. `begins`: the sets are empty;
/// otherwise they are read first.
pub(super) fn bring(netlink: &mut Netlink, begins: bool, desired: &Ruleset) -> Result<(), String> {
    change(netlink, |netlink, set| {
        let before = if begins { Vec::new() } else { held(netlink, set)? };
        Ok(difference(&before, &wanted(set, desired)))
    })
}

/// Changes the elements of accounts and closures by a difference. Returns what it adds to the digest
/// of all of them.
pub(super) fn apply(netlink: &mut Netlink, delta: &Delta) -> Result<u64, String> {
    let mut digest = 0u64;
    change(netlink, |_, set| {
        let items = |pieces: &[Piece]| -> Vec<Item> {
            pieces.iter().flat_map(|(range, target)| items(set, *range, target)).collect()
        };
        let difference = Difference { gone: items(&delta.gone), new: items(&delta.new) };
        let (gone, new) = (digest_of(set, &difference.gone), digest_of(set, &difference.new));
        digest = digest.wrapping_add(new).wrapping_sub(gone);
        Ok(difference)
    })?;
    Ok(digest)
}

/// Makes a change in all sets of accounts and closures.
///
/// A packet looks for its single address first and for its network then, and a transaction does
/// not take hold in both maps at the same moment: an address that moves from one to the other would
/// be found in neither. So it is in both for a while: single addresses come first, then networks
/// change, and single addresses go last.
fn change(
    netlink: &mut Netlink,
    mut difference_of: impl FnMut(&mut Netlink, &Set) -> Result<Difference<LeadsTo>, String>,
) -> Result<(), String> {
    let (mut first, mut then, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for set in listed_sets() {
        let Difference { gone, new } = difference_of(netlink, &set)?;
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

fn commit(netlink: &mut Netlink, steps: &[(Set, Difference<LeadsTo>)]) -> Result<(), String> {
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

/// A digest of the elements of accounts and closures that a ruleset has. It does not depend on their
/// order, so it follows differences.
pub(super) fn digest(ruleset: &Ruleset) -> u64 {
    let of_set = |set: &Set| digest_of(set, &wanted(set, ruleset));
    listed_sets().iter().map(of_set).fold(0, u64::wrapping_add)
}

fn digest_of(set: &Set, items: &[Item]) -> u64 {
    let hash = |item: &Item| {
        let mut hasher = DefaultHasher::new();
        (set.name(), item).hash(&mut hasher);
        hasher.finish()
    };
    items.iter().map(hash).fold(0, u64::wrapping_add)
}

/// Whether the kernel has exactly the accounts and closures with this digest.
pub(super) fn all_match(netlink: &mut Netlink, digest: u64) -> bool {
    let mut read = || {
        listed_sets().iter().try_fold(0u64, |sum, set| {
            let held = held(netlink, set).ok()?;
            Some(sum.wrapping_add(digest_of(set, &held)))
        })
    };
    (0..READINGS).any(|reading| {
        if reading > 0 {
            std::thread::sleep(BETWEEN_READINGS);
        }
        read() == Some(digest)
    })
}

fn listed_sets() -> [Set; 14] {
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
        set(names::KEPT_V4, Kind::Addresses(Family::V4)),
        set(names::KEPT_V6, Kind::Addresses(Family::V6)),
        set(names::BAN_EXCEPT_V4, Kind::Ranges(Family::V4)),
        set(names::BAN_EXCEPT_V6, Kind::Ranges(Family::V6)),
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

/// The hook to which a map of closed ranges belongs.
fn closing_hook(set: &Set) -> Option<&'static str> {
    match set.name() {
        names::CLOSED_IN_V4 | names::CLOSED_IN_V6 => Some("in"),
        names::CLOSED_OUT_V4 | names::CLOSED_OUT_V6 => Some("out"),
        names::CLOSED_FORWARD_V4 | names::CLOSED_FORWARD_V6 => Some("forward"),
        _ => None,
    }
}

/// A range, and where it leads.
type Item = (AddrRange, LeadsTo);

/// Where an element leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum LeadsTo {
    /// To a chain.
    Chain(Arc<str>),
    /// Back from the look-up.
    Return,
}

/// Whether a set has the addresses with leases, by which packets of running flows renew these.
fn keeps(set: &Set) -> bool {
    matches!(set.name(), names::KEPT_V4 | names::KEPT_V6)
}

/// Whether a set has the ranges for which no ban counts.
fn excepts(set: &Set) -> bool {
    matches!(set.name(), names::BAN_EXCEPT_V4 | names::BAN_EXCEPT_V6)
}

/// What a set has of a piece.
fn items(set: &Set, range: AddrRange, target: &Target) -> Vec<Item> {
    if excepts(set) {
        let is_in = target.answer.excepted && family_of(set) == Some(range.family());
        return is_in.then_some((range, LeadsTo::Return)).into_iter().collect();
    }
    if keeps(set) {
        return kept(set, range, target.idle_limit());
    }
    let item = element_of(set, range, target.chain.as_ref(), target.closure.as_ref());
    item.into_iter().collect()
}

/// The addresses of a piece with leases of an idle limit. Each has at least one, so they are few; where
/// neighbours have the same, they are one piece.
fn kept(set: &Set, range: AddrRange, idle: Option<u64>) -> Vec<Item> {
    let Some(idle) = idle.filter(|_| family_of(set) == Some(range.family())) else {
        return Vec::new();
    };
    let chain: Arc<str> = keeping_chain(idle).into();
    let addresses = (range.first()..=range.last())
        .filter_map(|number| AddrRange::new(range.family(), number, number));
    addresses.map(|address| (address, LeadsTo::Chain(Arc::clone(&chain)))).collect()
}

/// What a set has of a range whose accounts lead to a chain, and which is closed by a closure.
fn element_of(
    set: &Set,
    range: AddrRange,
    chain: Option<&Arc<str>>,
    closure: Option<&Arc<str>>,
) -> Option<Item> {
    if Some(range.family()) != family_of(set) {
        return None;
    }
    if let Some(hook) = closing_hook(set) {
        let leads_to = |name: &Arc<str>| match &**name {
            BLOCKED => LeadsTo::Return,
            name => LeadsTo::Chain(Arc::from(closing_chain(hook, name))),
        };
        return closure.map(|name| (range, leads_to(name)));
    }
    // Single addresses have a map of their own, a hash table: a look-up among intervals takes the
    // longer the more there are.
    let single = matches!(set.kind(), Kind::Addresses(_));
    let chain = chain.filter(|_| range.is_single() == single);
    chain.map(|chain| (range, LeadsTo::Chain(Arc::clone(chain))))
}

fn wanted(set: &Set, ruleset: &Ruleset) -> Vec<Item> {
    if excepts(set) {
        let of_family = |range: &&AddrRange| family_of(set) == Some(range.family());
        let excepted = ruleset.excepted.iter().filter(of_family);
        return excepted.map(|range| (*range, LeadsTo::Return)).collect();
    }
    if keeps(set) {
        let accounts = ruleset.accounts.iter();
        let items = accounts
            .flat_map(|(range, chain)| kept(set, *range, ruleset.structure.idle_limit(chain)));
        return items.collect();
    }
    let elements = if closing_hook(set).is_some() { &ruleset.closed } else { &ruleset.accounts };
    let item =
        |(range, name): &(AddrRange, Arc<str>)| element_of(set, *range, Some(name), Some(name));
    elements.iter().filter_map(item).collect()
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
        let leads_to = match element.verdict? {
            Verdict::Jump(chain) => LeadsTo::Chain(chain),
            Verdict::Return => LeadsTo::Return,
            other => LeadsTo::Chain(Arc::from(format!("{other:?}"))),
        };
        Some((range, leads_to))
    };
    let mut items: Vec<Item> = elements.into_iter().filter_map(item).collect();
    // A hash table that is being made larger may have been listed twice in part.
    items.dedup();
    Ok(items)
}

fn element(set: &Set, (range, leads_to): &Item) -> Element {
    let key = match set.kind() {
        Kind::Addresses(_) => Key::Address(range.first_address()),
        _ => Key::Range(*range),
    };
    let verdict = match leads_to {
        LeadsTo::Chain(chain) => Verdict::Jump(Arc::clone(chain)),
        LeadsTo::Return => Verdict::Return,
    };
    Element { verdict: Some(verdict), ..Element::from(key) }
}
