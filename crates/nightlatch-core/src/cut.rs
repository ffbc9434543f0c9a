//! Which running flows are cut when services are closed.
//!
//! Deleting a flow from connection tracking would not end it: the next packet the host itself
//! sends would begin it anew, from the inside, and answers to the host pass. So the kernel keeps a
//! list of cut flows, and their packets are judged as if each were the first.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::address::merge;
pub use crate::began::Began;
use crate::learned::{Effect, Element, Filled, Key, SetSpec, Shape};
use crate::policy::{self, Packet, What, World};
use crate::service::{Catalogue, Opening, Protocol, Role};
use crate::signalling;
use crate::time::Time;

#[cfg(test)]
mod tests;

/// Whose flows to look through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flows {
    /// All that peers began.
    BegunByPeers,
    /// All with peers in these ranges, whoever began them, where they reach a service.
    Of(Vec<AddrRange>),
}

/// How long a cut flow stays cut: the longest time for which a telephone server keeps a registration
/// (7200 s in chan_pjsip). Until then it sends to the phone, which would reopen the flow from the
/// inside. Each packet that the peer sends restarts the timeout.
pub const CUT_TIMEOUT: Duration = Duration::from_secs(7200);

/// The set of cut flows. It is not saved for a reboot: no flow survives one, since connection tracking
/// is empty afterwards and each packet of a peer is judged as the first of its flow.
pub static SET: SetSpec = SetSpec {
    name: "cut",
    shape: Shape::Flow,
    timeout: CUT_TIMEOUT,
    size: 262_144,
    filled: Filled::ByDaemonRenewedByPackets,
    effect: Effect::Denies,
    saved: None,
};

/// A running flow, seen from this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LiveFlow {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The other side.
    pub peer: IpAddr,
    /// The other side's port.
    pub peer_port: u16,
    /// This host's port.
    pub local_port: u16,
    /// Who began it.
    pub began: Began,
    /// Whether this host sends packets in it: it began the flow, or its packets were seen.
    pub host_sends: bool,
}

impl LiveFlow {
    /// A TCP connection: both sides send in it.
    pub fn tcp(peer: SocketAddr, local_port: u16, began: Began) -> LiveFlow {
        LiveFlow {
            protocol: Protocol::Tcp,
            peer: peer.ip(),
            peer_port: peer.port(),
            local_port,
            began,
            host_sends: true,
        }
    }

    /// The flow of a cut flow's key: who began it is not known any more.
    fn of(key: &Key) -> Option<LiveFlow> {
        let protocol = Protocol::ALL.into_iter().find(|it| it.number() == key.protocol)?;
        Some(LiveFlow {
            protocol,
            peer: key.address,
            peer_port: key.port,
            local_port: key.local_port,
            began: Began::Unknown,
            host_sends: false,
        })
    }

    /// The element that cuts the flow from now on.
    pub fn cut(&self, now: Time) -> Element {
        let (address, port) = (self.peer, self.peer_port);
        let protocol = self.protocol.number();
        let key = Key { address, protocol, port, local_port: self.local_port };
        Element { set: &SET, key, until: now.after(CUT_TIMEOUT) }
    }
}

/// What a port is used for, where that matters to running flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// SIP and IAX2 over UDP: each packet is judged without connection tracking, so there is nothing
    /// to cut.
    Signalling,
    /// Voice and video.
    Media,
    /// WireGuard and OpenVPN, which authenticate each packet themselves.
    Vpn,
    /// Another service of this host.
    Service,
    /// No service: this host begins flows from such ports.
    Other,
}

/// What the ports of this host are used for.
#[derive(Clone, Debug)]
pub struct PortUses {
    signalling: Opening,
    media: Opening,
    vpn: Opening,
    /// The ports of all other services.
    services: Opening,
}

impl PortUses {
    /// The uses according to a catalogue.
    pub fn of(catalogue: &Catalogue) -> PortUses {
        let of = |wanted: &dyn Fn(Role) -> bool| {
            let services = catalogue.0.values().filter(|service| wanted(service.role));
            let ports = services.flat_map(|service| service.ports.iter().copied()).collect();
            Opening { ports, ping: false }
        };
        PortUses {
            signalling: of(&|role| role.is_signalling()),
            media: of(&|role| role == Role::Media),
            vpn: of(&|role| role == Role::Vpn),
            services: of(&|role| !matches!(role, Role::Media | Role::Vpn)),
        }
    }

    /// The first and the last UDP port of media.
    pub fn media_range(&self) -> Option<(u16, u16)> {
        let first = self.media.of(Protocol::Udp).map(|ports| ports.first).min()?;
        let last = self.media.of(Protocol::Udp).map(|ports| ports.last).max()?;
        Some((first, last))
    }

    /// What a port is used for. A port shared by several services has the first use in the order of
    /// [`Use`], but is a VPN port only if no other service uses it.
    pub fn at(&self, protocol: Protocol, port: u16) -> Use {
        let is_udp = protocol == Protocol::Udp;
        if is_udp && self.signalling.contains(protocol, port) {
            Use::Signalling
        } else if is_udp && self.media.contains(protocol, port) {
            Use::Media
        } else if self.services.contains(protocol, port) {
            Use::Service
        } else if self.vpn.contains(protocol, port) {
            Use::Vpn
        } else if self.media.contains(protocol, port) {
            Use::Service
        } else {
            Use::Other
        }
    }
}

/// Decides which flows end.
#[derive(Debug)]
pub struct Cutter<'a> {
    world: World<'a>,
    /// `None`: those of all strangers.
    ranges: Option<Vec<AddrRange>>,
    uses: PortUses,
}

impl<'a> Cutter<'a> {
    /// For the flows concerned.
    pub fn new(world: World<'a>, flows: Flows) -> Cutter<'a> {
        let ranges = match flows {
            Flows::BegunByPeers => None,
            Flows::Of(ranges) => Some(merge(ranges)),
        };
        Cutter { world, ranges, uses: PortUses::of(world.catalogue) }
    }

    /// Whether the flow ends: it is in scope, and as a new flow it would be dropped.
    pub fn must_end(&self, flow: &LiveFlow) -> bool {
        self.concerns(flow) && !self.allows(flow)
    }

    /// Whether the flow ends without being cut: a stranger's media stream in which this host sends
    /// nothing. For connection tracking it is new, so the kernel judges each of its packets, and once
    /// this host sends in it, it continues.
    pub fn ends_uncut(&self, flow: &LiveFlow) -> bool {
        self.ranges.is_none() && self.use_of(flow) == Use::Media && self.must_end(flow)
    }

    /// Whether this is a UDP signalling flow that the peer began and whose packets are dropped now: it
    /// is not cut, but the peer gets no more answers.
    pub fn denies_signalling(&self, flow: &LiveFlow) -> bool {
        let begun_by_peer = flow.began == Began::Peer;
        begun_by_peer && self.use_of(flow) == Use::Signalling && !self.allows(flow)
    }

    /// Whether the flow continues although a new one would be dropped, because it is unknown who began
    /// it.
    pub fn continues_unknown(&self, flow: &LiveFlow) -> bool {
        let by_beginning = matches!(self.use_of(flow), Use::Service | Use::Other);
        let unknown = flow.began == Began::Unknown && by_beginning;
        unknown && !self.must_end(flow) && !self.allows(flow)
    }

    /// Whether this is a VPN flow that continues although a new one would be dropped.
    pub fn continues_as_vpn(&self, flow: &LiveFlow) -> bool {
        self.use_of(flow) == Use::Vpn && !self.must_end(flow) && !self.allows(flow)
    }

    /// Whether the flow's first packet would be accepted now.
    pub fn allows(&self, flow: &LiveFlow) -> bool {
        let what = match flow.protocol {
            Protocol::Tcp => What::Tcp { port: flow.local_port },
            Protocol::Udp => What::Udp { from: flow.peer_port, port: flow.local_port },
        };
        let packet = Packet::new(flow.peer, what);
        let passes = |packet: &Packet| policy::judge(&self.world, packet).passes;
        // A known peer may send requests, but may not register.
        let request = || {
            let role = self.world.catalogue.role(flow.local_port);
            Packet { first: signalling::examples(role).request, ..packet }
        };
        passes(&packet) || (self.use_of(flow) == Use::Signalling && passes(&request()))
    }

    /// Whether a flow that was cut before would be accepted now: it is cut no longer.
    pub fn allows_again(&self, key: &Key) -> bool {
        LiveFlow::of(key).is_some_and(|flow| self.allows(&flow))
    }

    /// Whether the flow is in scope, allowed or not.
    ///
    /// Strangers: TCP and UDP that the peer began, and UDP at the ports of services whoever began it,
    /// because connection tracking may take a reply for the first packet. Not in scope are media
    /// streams to which this host sends (they belong to calls of its telephone server) and VPNs.
    ///
    /// Addresses whose accounts were removed: everything except flows that this host began from
    /// ports that belong to no service. A telephone server sends to a registered phone every minute,
    /// and in that same flow the phone would keep registering; it also keeps sending the other
    /// side's audio to a removed phone.
    fn concerns(&self, flow: &LiveFlow) -> bool {
        let used = self.use_of(flow);
        let Some(ranges) = &self.ranges else {
            return match (used, flow.protocol) {
                (Use::Signalling | Use::Vpn, _) => false,
                (Use::Media, _) => !flow.host_sends,
                (Use::Service, Protocol::Udp) => true,
                (Use::Service | Use::Other, _) => flow.began == Began::Peer,
            };
        };
        let at_service = matches!(used, Use::Media | Use::Vpn | Use::Service);
        used != Use::Signalling
            && (at_service || flow.began != Began::Host)
            && is_in(ranges, &AddrRange::from(flow.peer.to_canonical()))
    }

    fn use_of(&self, flow: &LiveFlow) -> Use {
        self.uses.at(flow.protocol, flow.local_port)
    }
}

/// Whether merged ranges cover another one.
pub(crate) fn is_in(merged: &[AddrRange], other: &AddrRange) -> bool {
    let place = |range: &AddrRange| (range.family(), range.first());
    let behind = merged.partition_point(|range| place(range) <= place(other));
    behind.checked_sub(1).and_then(|at| merged.get(at)).is_some_and(|range| range.covers(other))
}
