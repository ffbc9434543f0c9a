//! The peers known from this host's own requests: the sets, and a view of what is known of them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::learned::{Effect, Element, Filled, Key, Lasting, LearnedSets, SetSpec, Shape};
use crate::time::Time;

/// Why a peer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LearnedBy {
    /// This host registered there: REGISTER, IAX2 REGREQ.
    Registered,
    /// This host called it: INVITE, SUBSCRIBE, ACK, PRACK, UPDATE, IAX2 NEW.
    Called,
    /// This host sent something else: only responses are accepted.
    Asked,
    /// This host is registered there over TCP or TLS, according to the PBX or to its connection: the
    /// peer may open connections to the SIP ports. Added by the daemon, not by packets.
    RegisteredByTcp,
}

impl LearnedBy {
    /// All of them.
    pub const ALL: [LearnedBy; 4] =
        [LearnedBy::Registered, LearnedBy::Called, LearnedBy::Asked, LearnedBy::RegisteredByTcp];

    /// How long a peer stays known after the last packet. A registration is usually renewed once an
    /// hour, and at least once a day; a call may last hours; a response arrives within 32 seconds
    /// (RFC 3261, timer F).
    pub const fn timeout(self) -> Duration {
        Duration::from_secs(match self {
            LearnedBy::Registered => 26 * 3600,
            LearnedBy::Called => 12 * 3600,
            LearnedBy::Asked => 40,
            LearnedBy::RegisteredByTcp => 1800,
        })
    }

    /// The set of these peers.
    pub const fn set(self) -> &'static SetSpec {
        match self {
            LearnedBy::Registered => &REGISTERED,
            LearnedBy::Called => &CALLED,
            LearnedBy::Asked => &ASKED,
            LearnedBy::RegisteredByTcp => &REGISTERED_BY_TCP,
        }
    }

    fn of(set: &SetSpec) -> Option<LearnedBy> {
        LearnedBy::ALL.into_iter().find(|by| by.set() == set)
    }
}

/// The longest of the timeouts: a denial lasts at least as long.
pub const MAX_TIMEOUT: Duration = LearnedBy::Registered.timeout();

/// The most elements in a set that packets fill. A full set adds no new peers, so that a peer may stay
/// unknown; it never allows more.
const MAX_LEARNED: u32 = 65_536;

static REGISTERED: SetSpec = peers("registered", LearnedBy::Registered, Some("registered"));
static CALLED: SetSpec = peers("called", LearnedBy::Called, Some("called"));
// It expires within a minute: too soon for a file.
static ASKED: SetSpec = peers("asked", LearnedBy::Asked, None);
static REGISTERED_BY_TCP: SetSpec = SetSpec {
    shape: Shape::Address,
    filled: Filled::ByDaemon,
    ..peers("registered_tcp", LearnedBy::RegisteredByTcp, Some("registered-by-tcp"))
};

/// The sets of known peers.
pub static SETS: [&SetSpec; 4] = [&REGISTERED, &CALLED, &ASKED, &REGISTERED_BY_TCP];

const fn peers(name: &'static str, by: LearnedBy, saved: Option<&'static str>) -> SetSpec {
    SetSpec {
        name,
        shape: Shape::Peer,
        timeout: by.timeout(),
        size: MAX_LEARNED,
        filled: Filled::ByPackets,
        effect: Effect::Allows,
        saved,
    }
}

/// A peer, and the port of this host that sent to it. The peer's own port matters too: many hosts may
/// share one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// Why it is known.
    pub by: LearnedBy,
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 for [`LearnedBy::RegisteredByTcp`].
    pub port: u16,
    /// The port of this host; 0 for [`LearnedBy::RegisteredByTcp`], which applies to all SIP ports.
    pub local_port: u16,
}

impl Peer {
    /// Its key in its set.
    pub fn key(&self) -> Key {
        let Peer { address, port, local_port, .. } = *self;
        Key { address, protocol: 0, port, local_port }
    }

    /// The peer of a key; `None` if the set is not one of peers.
    pub fn of(set: &SetSpec, key: &Key) -> Option<Peer> {
        let by = LearnedBy::of(set)?;
        Some(Peer { by, address: key.address, port: key.port, local_port: key.local_port })
    }

    /// The element with which it is known until some time.
    pub fn until(&self, until: Time) -> Element {
        Element { set: self.by.set(), key: self.key(), until }
    }

    /// The element with which it is known for some time.
    pub fn lasting(&self, left: Duration) -> Lasting {
        Lasting { set: self.by.set(), key: self.key(), left }
    }
}

/// All learned state, seen as known peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The elements of all sets.
    pub sets: LearnedSets,
}

impl Learned {
    /// Adds or renews a peer.
    pub fn insert(&mut self, peer: Peer, until: Time) {
        self.sets.put(peer.until(until));
    }

    /// The peers known at `now`, each with the time at which it is forgotten.
    pub fn at(&self, now: Time) -> impl Iterator<Item = (Peer, Time)> {
        LearnedBy::ALL.into_iter().flat_map(move |by| self.sets.of(by.set(), now)).filter_map(peer)
    }

    /// Until when a peer is known, if it is known at `now`.
    pub fn until(&self, peer: Peer, now: Time) -> Option<Time> {
        self.sets.until(peer.by.set(), &peer.key(), now)
    }

    /// The known peers at one address, by their ports.
    pub fn of(&self, address: IpAddr, now: Time) -> impl Iterator<Item = (Peer, Time)> {
        let of = |by: LearnedBy| self.sets.of_address(by.set(), address, now);
        let mut found: Vec<(Peer, Time)> =
            LearnedBy::ALL.into_iter().flat_map(of).filter_map(peer).collect();
        found.sort_unstable_by_key(|(peer, _)| (peer.port, peer.local_port, peer.by));
        found.into_iter()
    }

    /// Whether this host is registered at an address, over any protocol.
    pub fn is_registrar(&self, address: IpAddr, now: Time) -> bool {
        let is_at = |by: LearnedBy| self.sets.of_address(by.set(), address, now).next().is_some();
        is_at(LearnedBy::Registered) || is_at(LearnedBy::RegisteredByTcp)
    }

    /// The addresses and ports in a range at which this host is registered, over any protocol; port 0 over TCP.
    pub fn registrars_within(
        &self,
        range: AddrRange,
        now: Time,
    ) -> impl Iterator<Item = SocketAddr> {
        [LearnedBy::Registered, LearnedBy::RegisteredByTcp].into_iter().flat_map(move |by| {
            let peers = self.sets.within(by.set(), range, now);
            peers.map(|element| SocketAddr::new(element.key.address, element.key.port))
        })
    }

    /// Forgets the peers for which `forgotten` is true.
    pub fn forget(&mut self, forgotten: impl Fn(&Peer) -> bool) {
        self.sets.forget(|set, key| Peer::of(set, key).is_some_and(|peer| forgotten(&peer)));
    }

    /// Forgets the peers within ranges of addresses.
    pub fn forget_within(&mut self, ranges: &[AddrRange]) {
        self.forget(|peer| ranges.iter().any(|range| range.contains(peer.address)));
    }

    /// When this host last sent the packet that makes a peer known.
    pub fn seen(by: LearnedBy, until: Time) -> Time {
        Time::from_millis(
            until.millis().saturating_sub(i64::try_from(by.timeout().as_millis()).unwrap_or(0)),
        )
    }
}

fn peer(element: Element) -> Option<(Peer, Time)> {
    Some((Peer::of(element.set, &element.key)?, element.until))
}

impl FromIterator<(Peer, Time)> for Learned {
    fn from_iter<I: IntoIterator<Item = (Peer, Time)>>(peers: I) -> Learned {
        let mut learned = Learned::default();
        peers.into_iter().for_each(|(peer, until)| learned.insert(peer, until));
        learned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_known_until_they_expire() {
        let at = Time::from_millis;
        let address = "203.0.113.70".parse().unwrap();
        let peer = |by, local_port| Peer { by, address, port: 5060, local_port };
        let mut learned: Learned = [
            (peer(LearnedBy::Registered, 5060), at(100)),
            (peer(LearnedBy::Called, 5060), at(50)),
            (Peer { address: "203.0.113.71".parse().unwrap(), ..peer(LearnedBy::Asked, 0) }, at(9)),
        ]
        .into_iter()
        .collect();
        let count = |learned: &Learned, now| learned.at(at(now)).count();
        assert_eq!([0, 9, 50, 99, 100].map(|now| count(&learned, now)), [3, 2, 1, 1, 0]);
        assert_eq!(learned.of(address, at(0)).count(), 2);
        assert!(learned.is_registrar(address, at(99)) && !learned.is_registrar(address, at(100)));
        assert_eq!(Learned::seen(LearnedBy::Asked, at(50_000)), at(10_000));
        learned.forget_within(&["203.0.113.70/31".parse().unwrap()]);
        assert_eq!(count(&learned, 0), 0);
    }
}
