//! The sets of known peers, which this host's own requests fill.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use nightlatch_core::Family;
use nightlatch_core::ruleset::{TABLE, names};
use nightlatch_core::signalling::{LearnedBy, Peer};
use nightlatch_netfilter::{Element, EndpointKey, Key, Kind, Netlink, PeerKey, Set};

/// The set for a kind of peers.
fn set_of(by: LearnedBy, family: Family) -> Set {
    let name = match (by, family) {
        (LearnedBy::Registered, Family::V4) => names::REGISTERED_V4,
        (LearnedBy::Registered, Family::V6) => names::REGISTERED_V6,
        (LearnedBy::Called, Family::V4) => names::CALLED_V4,
        (LearnedBy::Called, Family::V6) => names::CALLED_V6,
        (LearnedBy::Asked, Family::V4) => names::ASKED_V4,
        (LearnedBy::Asked, Family::V6) => names::ASKED_V6,
        (LearnedBy::RegisteredByTcp, Family::V4) => names::REGISTERED_TCP_V4,
        (LearnedBy::RegisteredByTcp, Family::V6) => names::REGISTERED_TCP_V6,
    };
    let kind = match by {
        LearnedBy::RegisteredByTcp => Kind::Addresses(family),
        _ => Kind::Peers(family),
    };
    Set::new(TABLE, name, kind)
}

fn sets() -> impl Iterator<Item = (LearnedBy, Set)> {
    let families = [Family::V4, Family::V6];
    LearnedBy::ALL.into_iter().flat_map(move |by| families.map(|family| (by, set_of(by, family))))
}

fn key(peer: &Peer) -> Key {
    match peer.by {
        LearnedBy::RegisteredByTcp => Key::Address(peer.address),
        _ => Key::Peer(PeerKey {
            address: peer.address,
            port: peer.port,
            local_port: peer.local_port,
        }),
    }
}

/// Reads all peers, each with the time it has left.
pub(super) fn read(netlink: &mut Netlink) -> Result<Vec<(Peer, Duration)>, String> {
    let mut peers = Vec::new();
    for (by, set) in sets() {
        let elements = netlink.read(&set).map_err(|error| error.to_string())?;
        peers.extend(elements.into_iter().filter_map(|element| {
            let (address, port, local_port) = match element.key {
                Key::Peer(peer) => (peer.address, peer.port, peer.local_port),
                Key::Address(address) => (address, 0, 0),
                _ => return None,
            };
            let peer = Peer { by, address, port, local_port };
            Some((peer, element.timeout.unwrap_or(by.timeout())))
        }));
    }
    Ok(peers)
}

/// A peer is renewed only if that prolongs it by more than this.
const MIN_RENEWAL: Duration = Duration::from_secs(1);

/// Adds peers, and renews those that would expire earlier.
///
/// Other peers must not be touched: the kernel would count a change, so that long lists would be loaded
/// again at the next start. Since 6.12 the kernel would also shorten their timeout; older kernels never
/// update the timeout of an existing element, so a renewal removes the element first.
pub(super) fn teach(netlink: &mut Netlink, peers: &[(Peer, Duration)]) -> Result<(), String> {
    if peers.is_empty() {
        return Ok(());
    }
    // Fails if an element expires between the reading and the change; then try once more.
    try_to_teach(netlink, peers).or_else(|_| try_to_teach(netlink, peers))
}

fn try_to_teach(netlink: &mut Netlink, peers: &[(Peer, Duration)]) -> Result<(), String> {
    let there: BTreeMap<Peer, Duration> = read(netlink)?.into_iter().collect();
    let is_news = |(peer, left): &&(Peer, Duration)| {
        !left.is_zero() && there.get(peer).is_none_or(|known| *known + MIN_RENEWAL < *left)
    };
    let news: Vec<&(Peer, Duration)> = peers.iter().filter(is_news).collect();
    if news.is_empty() {
        return Ok(());
    }
    let mut transaction = netlink.transaction();
    for (by, set) in sets() {
        let is_of_set = |peer: &Peer| peer.by == by && super::elements::is_of(&set, peer.address);
        let of_set: Vec<_> = news.iter().filter(|(peer, _)| is_of_set(peer)).collect();
        let stale = of_set.iter().filter(|(peer, _)| there.contains_key(peer));
        let stale: Vec<Element> = stale.map(|(peer, _)| Element::from(key(peer))).collect();
        transaction.remove(&set, stale);
        let fresh = of_set.iter().map(|(peer, left)| Element::from(key(peer)).lasting(*left));
        transaction.add(&set, fresh.collect::<Vec<_>>());
    }
    transaction.commit().map_err(|error| error.to_string())
}

/// Removes the peers concerned.
pub(super) fn unlearn(
    netlink: &mut Netlink,
    concerned: impl Fn(&Peer) -> bool,
) -> Result<(), String> {
    let gone: Vec<Peer> =
        read(netlink)?.into_iter().map(|(peer, _)| peer).filter(concerned).collect();
    if gone.is_empty() {
        return Ok(());
    }
    let mut transaction = netlink.transaction();
    for (by, set) in sets() {
        let of_set = |peer: &&Peer| peer.by == by && super::elements::is_of(&set, peer.address);
        let elements: Vec<Element> =
            gone.iter().filter(of_set).map(|peer| Element::from(key(peer))).collect();
        transaction.remove(&set, elements);
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
        let wanted: BTreeSet<Key> = of_family.map(|to| Key::Endpoint(endpoint(to))).collect();
        let there = netlink.read(&set).map_err(|error| error.to_string())?;
        if there.into_iter().map(|element| element.key).collect::<BTreeSet<Key>>() != wanted {
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
