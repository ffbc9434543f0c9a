//! Signalling by UDP, judged packet by packet: what a packet is, by its first bytes, and which
//! peers this host has asked for something.
//!
//! Connection tracking is no evidence here: it forgets a flow within 30 to 120 seconds, and a
//! registration lasts an hour. So the kernel remembers the peers itself, in sets with time-outs
//! that this host's own requests fill ([`Learned`] mirrors them), and what a packet of such a peer
//! may be stands in one table ([`sip`], [`iax`]), read by [`crate::policy::judge`] and by the
//! compiler of the kernel's table alike.

pub mod iax;
mod learned;
pub mod sip;

pub use learned::{Learned, LearnedBy, MAX_TIMEOUT, Peer};

use crate::service::Role;

/// The first bytes of a datagram's payload: as many as any judgement looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstBytes {
    bytes: [u8; FirstBytes::MAX],
    length: usize,
}

impl FirstBytes {
    /// A full IAX2 frame has its type and subclass in bytes 10 and 11 (RFC 5456, section 8.1.1).
    pub const MAX: usize = 12;

    /// The first bytes of a payload.
    pub fn of(payload: &[u8]) -> FirstBytes {
        let mut first = FirstBytes::default();
        for (to, from) in first.bytes.iter_mut().zip(payload) {
            *to = *from;
            first.length += 1;
        }
        first
    }

    /// The bytes that there are.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Two bytes as the kernel compares them; `None` where the packet is shorter.
    pub(crate) fn two_at(&self, at: usize) -> Option<u16> {
        let bytes = self.as_slice().get(at..at + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    /// Four bytes as the kernel compares them.
    pub(crate) fn four_at(&self, at: usize) -> Option<u32> {
        let bytes = self.as_slice().get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// What a packet from outside is, as far as permissions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request of a known method, or a frame within a call: passes from peers at which this
    /// host registered or which it called.
    Request,
    /// A response: passes from peers to which this host sent something within
    /// [`LearnedBy::timeout`], whatever that was.
    Response,
    /// Anything else; REGISTER above all, which no peer may send by what this host did.
    Other,
}

/// What a packet to a port of that role is.
pub fn kind(role: Role, first: &FirstBytes) -> Kind {
    match role {
        Role::Sip => sip::kind(first),
        Role::Iax => iax::kind(first),
        Role::Plain | Role::Media | Role::Vpn => Kind::Other,
    }
}

/// What this host asks of a peer by sending such a packet from a port of that role; `None` where
/// it asks nothing, as a response does not.
pub fn asks(role: Role, first: &FirstBytes) -> Option<LearnedBy> {
    match role {
        Role::Sip => sip::asks(first),
        Role::Iax => iax::asks(first),
        Role::Plain | Role::Media | Role::Vpn => None,
    }
}

/// Packets that stand for all of their kind.
#[derive(Clone, Copy, Debug)]
pub struct Examples {
    /// A request of a known method.
    pub request: FirstBytes,
    /// What registers the sender.
    pub registration: FirstBytes,
    /// A response.
    pub response: FirstBytes,
}

/// Packets that stand for all of their kind, by the role of the port.
pub fn examples(role: Role) -> Examples {
    let full = |frame: u16| {
        let [kind, subclass] = frame.to_be_bytes();
        FirstBytes::of(&[iax::FULL_FRAME, 1, 0, 0, 0, 0, 0, 0, 0, 0, kind, subclass])
    };
    match role {
        Role::Iax => Examples {
            request: full(iax::CALLS),
            registration: full(iax::REGISTERS),
            response: full(0x0603),
        },
        _ => Examples {
            request: FirstBytes::of(b"INVITE sip:"),
            registration: FirstBytes::of(b"REGISTER sip"),
            response: FirstBytes::of(b"SIP/2.0 200 "),
        },
    }
}

/// What this host did, in a few words.
pub fn did(by: LearnedBy) -> &'static str {
    match by {
        LearnedBy::Registered => "this host sent a registration there",
        LearnedBy::Called => "this host called it",
        LearnedBy::Asked => "this host sent a request there",
        LearnedBy::RegisteredByTcp => "this host is registered there over TCP",
    }
}
