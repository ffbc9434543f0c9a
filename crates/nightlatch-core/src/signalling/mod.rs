//! UDP signalling, judged packet by packet: the kind of a packet, by its first bytes, and the peers
//! to which this host has sent requests.
//!
//! Connection tracking cannot be relied on here: it forgets a flow after 30 to 120 seconds, while a
//! registration lasts an hour. So the kernel itself remembers the peers, in sets with timeouts that
//! this host's own requests fill ([`Learned`] mirrors them). One table ([`sip`], [`iax`]) defines
//! what such a peer may send; [`crate::policy::judge`] and the compiler of the kernel's table share it.

pub mod iax;
mod learned;
pub mod sip;

pub use learned::{Learned, LearnedBy, MAX_TIMEOUT, Peer, SETS};

use crate::learned::SetSpec;
use crate::service::Role;

/// The first bytes of a datagram's payload: as many as any rule inspects.
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

    /// The bytes of the payload, at most [`FirstBytes::MAX`].
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Two bytes as the kernel compares them; `None` if the packet is shorter.
    pub(crate) fn two_at(&self, at: usize) -> Option<u16> {
        let bytes = self.as_slice().get(at..at + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    /// Four bytes as the kernel compares them; `None` if the packet is shorter.
    pub(crate) fn four_at(&self, at: usize) -> Option<u32> {
        let bytes = self.as_slice().get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// The kind of an incoming packet, as far as permissions depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request with a known method, or a frame within a call: accepted from peers at which this
    /// host registered or which it called.
    Request,
    /// A response: accepted from peers to which this host sent anything within
    /// [`LearnedBy::timeout`].
    Response,
    /// Anything else, above all REGISTER, which is never accepted from known peers.
    Other,
}

/// The kind of a packet to a port with that role.
pub fn kind(role: Role, first: &FirstBytes) -> Kind {
    match role {
        Role::Sip => sip::kind(first),
        Role::Iax => iax::kind(first),
        Role::Plain | Role::Media | Role::Vpn => Kind::Other,
    }
}

/// How a peer becomes known when this host sends it such a packet from a port with that role; `None`
/// if it does not, e.g. for a response.
pub fn asks(role: Role, first: &FirstBytes) -> Option<LearnedBy> {
    match role {
        Role::Sip => sip::asks(first),
        Role::Iax => iax::asks(first),
        Role::Plain | Role::Media | Role::Vpn => None,
    }
}

/// One typical packet of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Examples {
    /// A request of a known method.
    pub request: FirstBytes,
    /// A packet that registers its sender.
    pub registration: FirstBytes,
    /// A response.
    pub response: FirstBytes,
}

/// Typical packets for a port with that role.
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

/// Whether peers of a set are forgotten when signalling is closed to strangers: all but those at which
/// the kernel saw this host register.
pub(crate) fn is_forgotten_on_closing(set: &SetSpec) -> bool {
    SETS.contains(&set) && set != LearnedBy::Registered.set()
}
