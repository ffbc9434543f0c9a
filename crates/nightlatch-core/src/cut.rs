//! Which running flows have to end when a door is closed.
//!
//! Deleting a flow from connection tracking would not end it: the next packet the host itself
//! sends would begin it anew, from the inside, and answers to the host pass. So the kernel keeps a
//! list of cut flows, and their packets are judged as if each were the first.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::action::Flows;
use crate::address::merge;
use crate::policy::{self, Flow, Packet, To, What, World};
use crate::service::{Opening, Protocol};

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
    /// Whether the other side began it.
    pub began_by_peer: bool,
}

/// Decides which flows end.
#[derive(Debug)]
pub struct Cutter<'a> {
    world: World<'a>,
    /// `None`: whatever peers began.
    ranges: Option<Vec<AddrRange>>,
    services: Opening,
}

impl<'a> Cutter<'a> {
    /// For the flows concerned.
    pub fn new(world: World<'a>, flows: Flows) -> Cutter<'a> {
        let ranges = match flows {
            Flows::BegunByPeers => None,
            Flows::Of(ranges) => Some(merge(ranges)),
        };
        Cutter { world, ranges, services: world.catalogue.every_port() }
    }

    /// Whether the flow ends: it is concerned, and as a new one it would not be let in.
    ///
    /// Where an account was closed, flows that the host began from a service's own port end too:
    /// a telephone server writes to a registered phone every minute, and that is the very flow in
    /// which the phone would go on to register. What the host began otherwise goes on.
    pub fn must_end(&self, flow: &LiveFlow) -> bool {
        let concerned = match &self.ranges {
            None => flow.began_by_peer,
            Some(ranges) => {
                is_in(ranges, &AddrRange::from(flow.peer.to_canonical()))
                    && (flow.began_by_peer
                        || self.services.contains(flow.protocol, flow.local_port))
            }
        };
        let what = match flow.protocol {
            Protocol::Tcp => What::Tcp { port: flow.local_port },
            Protocol::Udp => What::Udp { from: flow.peer_port, port: flow.local_port },
        };
        let packet =
            Packet { peer: flow.peer, to: To::Host, what, flow: Flow::New, on_loopback: false };
        concerned && !policy::judge(&self.world, &packet).passes
    }
}

/// Whether merged ranges cover another one.
pub(crate) fn is_in(merged: &[AddrRange], other: &AddrRange) -> bool {
    let place = |range: &AddrRange| (range.family(), range.first());
    let behind = merged.partition_point(|range| place(range) <= place(other));
    behind.checked_sub(1).and_then(|at| merged.get(at)).is_some_and(|range| range.covers(other))
}
