//! The sets of learned state: read, put back, deleted. What they are for is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use nightlatch_core::Family;
use nightlatch_core::action::Unlearn;
use nightlatch_core::knock::KNOCKED;
use nightlatch_core::learned::{self, Effect, Filled, Key, Lasting, SetSpec, Shape};
use nightlatch_core::ruleset::{TABLE, names, render_learned_sets};
use nightlatch_netfilter::{
    Element, EndpointKey, FlowKey, Key as KernelKey, Kind, Netlink, PeerKey, Set,
};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// How many elements are added in one transaction: if a set becomes full, only that transaction fails.
pub(super) const MAX_AT_ONCE: usize = 16_384;

/// How many elements are put back before the chains of a new table are loaded: some tens of
/// milliseconds, in which the machine is open.
const MAX_BEFORE_CHAINS: usize = MAX_AT_ONCE;

/// An element is renewed only if that prolongs it by more than this.
const MIN_RENEWAL: Duration = Duration::from_secs(1);

/// How often elements are deleted again that packets have renewed meanwhile, and how many of them.
const MAX_REMOVALS: usize = 8;
const MAX_LOOKED_UP: usize = 4_096;

/// The kernel's set for a family.
pub(super) fn set_of(spec: &SetSpec, family: Family) -> Set {
    let kind = match spec.shape {
        Shape::Address | Shape::NetworkV6 => Kind::Addresses(family),
        Shape::Port | Shape::Source => Kind::Endpoints(family),
        Shape::Peer => Kind::Peers(family),
        Shape::Flow => Kind::Flows(family),
    };
    Set::new(TABLE, spec.name_of(family), kind)
}

fn to_kernel(spec: &SetSpec, key: &Key) -> KernelKey {
    let Key { address, protocol, port, local_port } = *key;
    match spec.shape {
        Shape::Address | Shape::NetworkV6 => KernelKey::Address(address),
        Shape::Port => KernelKey::Endpoint(EndpointKey { address, port: local_port }),
        Shape::Source => KernelKey::Endpoint(EndpointKey { address, port }),
        Shape::Peer => KernelKey::Peer(PeerKey { address, port, local_port }),
        Shape::Flow => {
            KernelKey::Flow(FlowKey { peer: address, protocol, peer_port: port, local_port })
        }
    }
}

fn from_kernel(key: &KernelKey) -> Option<Key> {
    let (address, protocol, port, local_port) = match *key {
        KernelKey::Address(address) => (address, 0, 0, 0),
        KernelKey::Endpoint(EndpointKey { address, port }) => (address, 0, 0, port),
        KernelKey::Peer(PeerKey { address, port, local_port }) => (address, 0, port, local_port),
        KernelKey::Flow(FlowKey { peer, protocol, peer_port, local_port }) => {
            (peer, protocol, peer_port, local_port)
        }
        _ => return None,
    };
    Some(Key { address, protocol, port, local_port })
}

/// Reads the elements of sets, each with the time that it has left.
pub(super) fn read(
    netlink: &mut Netlink,
    specs: impl Iterator<Item = &'static SetSpec>,
) -> Result<Vec<Lasting>, String> {
    let mut elements = Vec::new();
    for spec in specs {
        for family in families(spec) {
            let found = netlink.read(&set_of(spec, family)).map_err(|error| error.to_string())?;
            elements.extend(found.iter().filter_map(|element| {
                let (set, key) = (spec, from_kernel(&element.key)?);
                Some(Lasting { set, key, left: element.timeout.unwrap_or(spec.timeout) })
            }));
        }
    }
    Ok(elements)
}

/// Makes a table that has these sets only, and puts elements back into them: the chains that follow
/// judge no packet without them. Returns the elements that are still to be put back, because they are
/// too many or because it failed.
pub(super) fn put_back_first(netlink: &mut Netlink, mut elements: Vec<Lasting>) -> Vec<Lasting> {
    if elements.is_empty() {
        return elements;
    }
    // What denies something is missed at once. What ends last was renewed last.
    elements.sort_by_key(|it| (it.set.effect != Effect::Denies, std::cmp::Reverse(it.left)));
    let rest = elements.split_off(elements.len().min(MAX_BEFORE_CHAINS));
    let made = netlink.load(&render_learned_sets()).map_err(|error| error.to_string());
    match made.and_then(|()| commit(netlink, &elements, &BTreeSet::new())) {
        Ok(()) => rest,
        Err(_) => [elements, rest].concat(),
    }
}

/// Adds elements, and renews those that would end earlier.
///
/// Others must not be touched: the kernel would count a change, so that long lists would be loaded
/// again at the next start. Since 6.12 the kernel would also shorten their timeout; older kernels never
/// update the timeout of an existing element, so a renewal removes the element first.
pub(super) fn teach(netlink: &mut Netlink, elements: &[Lasting]) -> Result<(), String> {
    if elements.is_empty() {
        return Ok(());
    }
    // Fails if an element expires between the reading and the change; then try once more.
    try_to_teach(netlink, elements).or_else(|_| try_to_teach(netlink, elements))
}

fn try_to_teach(netlink: &mut Netlink, elements: &[Lasting]) -> Result<(), String> {
    let count = |spec: &SetSpec| elements.iter().filter(|it| it.set == spec).count();
    // To list a long set would take longer than to add everything: what is there stays.
    let is_listed = |spec: &&'static SetSpec| (1..=learned::MAX_LISTED).contains(&count(spec));
    let there = read(netlink, learned::all().filter(is_listed))?;
    let there: BTreeMap<Place, Duration> = there.iter().map(|it| (place(it), it.left)).collect();
    let is_news = |element: &&Lasting| {
        let known = there.get(&place(element));
        !element.left.is_zero() && known.is_none_or(|known| *known + MIN_RENEWAL < element.left)
    };
    let news: Vec<Lasting> = elements.iter().filter(is_news).copied().collect();
    let stale = news.iter().map(place).filter(|it| there.contains_key(it)).collect();
    let mut result = Ok(());
    for part in news.chunks(MAX_AT_ONCE) {
        // The others are added all the same.
        result = result.and(commit(netlink, part, &stale));
    }
    result
}

/// An element of a set.
pub(super) type Place = (&'static SetSpec, Key);

fn place(element: &Lasting) -> Place {
    (element.set, element.key)
}

/// Adds elements in one transaction. The stale ones are removed before.
fn commit(
    netlink: &mut Netlink,
    elements: &[Lasting],
    stale: &BTreeSet<Place>,
) -> Result<(), String> {
    if elements.is_empty() {
        return Ok(());
    }
    let mut transaction = netlink.transaction();
    for (spec, family) in sets() {
        let set = set_of(spec, family);
        let of_set = |it: &&Lasting| it.set == spec && Family::of(it.key.address) == family;
        let of_set: Vec<&Lasting> = elements.iter().filter(of_set).collect();
        let old = of_set.iter().filter(|it| stale.contains(&place(it)));
        let old: Vec<Element> = old.map(|it| to_kernel(spec, &it.key).into()).collect();
        transaction.remove(&set, old);
        let new = of_set.iter().map(|it| Element::from(to_kernel(spec, &it.key)).lasting(it.left));
        transaction.add(&set, new.collect::<Vec<_>>());
    }
    transaction.commit().map_err(|error| error.to_string())
}

fn sets() -> impl Iterator<Item = (&'static SetSpec, Family)> {
    learned::all().flat_map(|spec| families(spec).map(move |family| (spec, family)))
}

fn families(spec: &SetSpec) -> impl Iterator<Item = Family> + use<> {
    let shape = spec.shape;
    FAMILIES.into_iter().filter(move |family| shape.exists(*family))
}

/// Changes sets that follow from records, in one transaction. Nothing is read: what may be there already is
/// named.
pub(super) fn deny(
    netlink: &mut Netlink,
    elements: &[Lasting],
    stale: &BTreeSet<Place>,
) -> Result<(), String> {
    let mut transaction = netlink.transaction();
    for (spec, family) in sets().filter(|(spec, _)| spec.filled == Filled::FromRecords) {
        let set = set_of(spec, family);
        let is_here = |set: &SetSpec, key: &Key| set == spec && Family::of(key.address) == family;
        let stale = stale.iter().filter(|(set, key)| is_here(set, key));
        let stale: Vec<Element> = stale.map(|(_, key)| to_kernel(spec, key).into()).collect();
        transaction.remove(&set, stale);
        let new = elements.iter().filter(|it| is_here(it.set, &it.key));
        transaction
            .add(&set, new.map(|it| Element::from(to_kernel(spec, &it.key)).lasting(it.left)));
    }
    transaction.commit().map_err(|error| error.to_string())
}

/// Empties the sets that follow from records, and fills them, in one transaction: what a table that stands
/// has may be older than the records.
pub(super) fn deny_only(netlink: &mut Netlink, elements: &[Lasting]) -> Result<(), String> {
    let mut transaction = netlink.transaction();
    for (spec, family) in sets().filter(|(spec, _)| spec.filled == Filled::FromRecords) {
        let set = set_of(spec, family);
        transaction.flush(&set);
        let new =
            elements.iter().filter(|it| it.set == spec && Family::of(it.key.address) == family);
        transaction
            .add(&set, new.map(|it| Element::from(to_kernel(spec, &it.key)).lasting(it.left)));
    }
    transaction.commit().map_err(|error| error.to_string())
}

/// Deletes elements. While the firewall is off there is no table, and nothing to delete. `opened` are the
/// sets that hold addresses because of elements of [`KNOCKED`].
pub(super) fn unlearn(
    netlink: &mut Netlink,
    unlearn: &Unlearn,
    opened: &[(String, Family)],
) -> Result<(), String> {
    if !netlink.table_exists(TABLE).map_err(|error| error.to_string())? {
        return Ok(());
    }
    let gone: Vec<Place> = match unlearn {
        Unlearn::Exactly(elements) => elements.iter().copied().collect(),
        Unlearn::Within(_) | Unlearn::UnregisteredExcept(_) => {
            let there = read(netlink, learned::all().filter(|spec| unlearn.concerns_set(spec)))?;
            let there = there.iter().map(place);
            there.filter(|(spec, key)| unlearn.concerns(spec, key)).collect()
        }
    };
    for part in gone.chunks(MAX_AT_ONCE) {
        remove(netlink, part, opened)?;
        for _ in 0..MAX_REMOVALS {
            let back = renewed_meanwhile(netlink, part);
            if back.is_empty() {
                break;
            }
            remove(netlink, &back, opened)?;
        }
    }
    Ok(())
}

/// Those that are there again: a packet that was just being judged found its element before it was
/// deleted, and renewed it afterwards. Of many only the first are looked up.
fn renewed_meanwhile(netlink: &mut Netlink, gone: &[Place]) -> Vec<Place> {
    let by_packets = gone.iter().filter(|(spec, _)| spec.filled != Filled::ByDaemon);
    let mut is_there = |(spec, key): &&Place| {
        let set = set_of(spec, Family::of(key.address));
        netlink.has(&set, to_kernel(spec, key)).unwrap_or(false)
    };
    by_packets.take(MAX_LOOKED_UP).filter(&mut is_there).copied().collect()
}

/// Deletes elements in one transaction.
fn remove(
    netlink: &mut Netlink,
    gone: &[Place],
    opened: &[(String, Family)],
) -> Result<(), String> {
    let mut transaction = netlink.transaction();
    for (spec, family) in sets() {
        let of_set = |(set, key): &&Place| *set == spec && Family::of(key.address) == family;
        let keys = gone.iter().filter(of_set).map(|(_, key)| to_kernel(spec, key));
        let elements: Vec<Element> = keys.map(Element::from).collect();
        transaction.remove(&set_of(spec, family), elements);
    }
    let knocked = gone.iter().filter(|(spec, _)| *spec == &KNOCKED);
    let knocked: BTreeSet<_> = knocked.map(|(_, key)| key.address).collect();
    for (name, family) in opened {
        let of_family = knocked.iter().filter(|address| Family::of(**address) == *family);
        let elements = of_family.map(|address| Element::from(KernelKey::Address(*address)));
        let set = Set::new(TABLE, name.as_str(), Kind::Addresses(*family));
        transaction.remove(&set, elements.collect::<Vec<_>>());
    }
    transaction.commit().map_err(|error| error.to_string())
}

/// Updates the sets of published ports in one transaction.
pub(super) fn set_published(
    netlink: &mut Netlink,
    published: &BTreeSet<SocketAddr>,
) -> Result<(), String> {
    let mut changes = Vec::new();
    for (name, family) in [(names::PUBLISHED_V4, Family::V4), (names::PUBLISHED_V6, Family::V6)] {
        let set = Set::new(TABLE, name, Kind::Endpoints(family));
        let of_family = published.iter().filter(|to| Family::of(to.ip()) == family);
        let endpoint = |to: &SocketAddr| EndpointKey { address: to.ip(), port: to.port() };
        let wanted: BTreeSet<KernelKey> =
            of_family.map(|to| KernelKey::Endpoint(endpoint(to))).collect();
        let there = netlink.read(&set).map_err(|error| error.to_string())?;
        if there.into_iter().map(|element| element.key).collect::<BTreeSet<KernelKey>>() != wanted {
            changes.push((set, wanted));
        }
    }
    // The kernel would count an empty change too.
    if changes.is_empty() {
        return Ok(());
    }
    let mut transaction = netlink.transaction();
    for (set, wanted) in changes {
        transaction.flush(&set);
        transaction.add(&set, wanted.into_iter().map(Element::from).collect::<Vec<_>>());
    }
    transaction.commit().map_err(|error| error.to_string())
}
