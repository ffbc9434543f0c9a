//! A packet, as far as a judgement depends on it.

use std::net::IpAddr;

use crate::service::Protocol;
use crate::signalling::FirstBytes;

/// A packet that arrives at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The source address.
    pub peer: IpAddr,
    /// Whom it is addressed to.
    pub to: To,
    /// Protocol and ports.
    pub what: What,
    /// What connection tracking knows of its flow.
    pub flow: Flow,
    /// Whether it arrived on the loopback interface.
    pub on_loopback: bool,
    /// The first bytes of its payload, which matter for UDP signalling.
    pub first: FirstBytes,
}

impl Packet {
    /// A packet to this host that begins a flow, with nothing else known about it.
    pub fn new(peer: IpAddr, what: What) -> Packet {
        Packet {
            peer,
            to: To::Host,
            what,
            flow: Flow::New,
            on_loopback: false,
            first: FirstBytes::default(),
        }
    }
}

/// Whom a packet is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// This host, by one of its addresses.
    Host,
    /// Everybody on the link.
    Broadcast,
    /// A multicast group.
    Multicast,
    /// Another host, for which this one is the router.
    Elsewhere,
}

/// Protocol and ports of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// TCP, whatever its flags.
    Tcp {
        /// The destination port.
        port: u16,
    },
    /// UDP.
    Udp {
        /// The source port.
        from: u16,
        /// The destination port.
        port: u16,
    },
    /// ICMP of IPv4.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
    },
    /// ICMP of IPv6.
    Icmp6 {
        /// The type.
        kind: u8,
        /// The hop limit it arrived with: 255 proves that no router has passed it on.
        hop_limit: u8,
    },
    /// Any other protocol, by its number.
    Other(u8),
}

impl What {
    /// Protocol and destination port, where there is one.
    pub fn service_port(self) -> Option<(Protocol, u16)> {
        match self {
            What::Tcp { port } => Some((Protocol::Tcp, port)),
            What::Udp { port, .. } => Some((Protocol::Udp, port)),
            _ => None,
        }
    }

    /// Whether it is an ICMP error, which speaks of a packet of its flow.
    pub fn is_error(self) -> bool {
        matches!(
            self,
            What::Icmp { kind: 3 | 4 | 5 | 11 | 12, .. } | What::Icmp6 { kind: ..128, .. }
        )
    }

    /// Whether it is an echo request.
    pub fn is_echo_request(self) -> bool {
        matches!(self, What::Icmp { kind: 8, .. } | What::Icmp6 { kind: 128, .. })
    }
}

/// What connection tracking knows of a packet's flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Nothing, or the flow was cut: it has to be judged.
    New,
    /// The host began it; this is an answer.
    HostBegan,
    /// The peer began it and was let in then.
    PeerBegan,
}
