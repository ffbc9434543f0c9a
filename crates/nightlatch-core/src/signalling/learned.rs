//! The peers known from this host's own requests: a mirror of the kernel's sets.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
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
}

/// The longest of the timeouts: a denial lasts at least as long.
pub const MAX_TIMEOUT: Duration = LearnedBy::Registered.timeout();

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

/// All known peers, each with the time at which it is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    peers: BTreeMap<Place, Time>,
}

/// The key in the map, ordered by address.
type Place = (IpAddr, u16, u16, LearnedBy);

const fn place(peer: &Peer) -> Place {
    (peer.address, peer.port, peer.local_port, peer.by)
}

const fn peer_at((address, port, local_port, by): Place) -> Peer {
    Peer { by, address, port, local_port }
}

impl Learned {
    /// Adds or renews a peer.
    pub fn insert(&mut self, peer: Peer, until: Time) {
        self.peers.insert(place(&peer), until);
    }

    /// The peers known at `now`, each with the time at which it is forgotten.
    pub fn at(&self, now: Time) -> impl Iterator<Item = (Peer, Time)> {
        let counts = self.peers.iter().filter(move |(_, until)| **until > now);
        counts.map(|(place, until)| (peer_at(*place), *until))
    }

    /// Until when a peer is known, if it is known at `now`.
    pub fn until(&self, peer: Peer, now: Time) -> Option<Time> {
        let until = self.peers.get(&place(&peer)).copied();
        until.filter(|until| *until > now)
    }

    /// The known peers at one address.
    pub fn of(&self, address: IpAddr, now: Time) -> impl Iterator<Item = (Peer, Time)> {
        let first = (address, 0, 0, LearnedBy::Registered);
        let last = (address, u16::MAX, u16::MAX, LearnedBy::RegisteredByTcp);
        let found = self.peers.range(first..=last).filter(move |(_, until)| **until > now);
        found.map(|(place, until)| (peer_at(*place), *until))
    }

    /// Whether this host is registered at an address, over any protocol.
    pub fn is_registrar(&self, address: IpAddr, now: Time) -> bool {
        self.of(address, now)
            .any(|(peer, _)| matches!(peer.by, LearnedBy::Registered | LearnedBy::RegisteredByTcp))
    }

    /// Forgets the peers for which `forgotten` is true.
    pub fn forget(&mut self, forgotten: impl Fn(&Peer) -> bool) {
        self.peers.retain(|place, _| !forgotten(&peer_at(*place)));
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
