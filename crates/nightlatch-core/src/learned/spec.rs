//! The declaration of a set, and its elements.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::Family;
use crate::time::Time;

/// A pair of sets in the kernel's table, one for each family: `name4` and `name6`.
#[derive(Clone, Copy, Debug)]
pub struct SetSpec {
    /// Its name, without the number of the family. No other set has it.
    pub name: &'static str,
    /// Which fields its key has.
    pub shape: Shape,
    /// How long an element lasts after it was added or renewed. None lasts longer.
    pub timeout: Duration,
    /// The most elements of a family.
    pub size: u32,
    /// Who adds elements.
    pub filled: Filled,
    /// What an element does for its address.
    pub effect: Effect,
    /// Its name in the file that a reboot restores it from; `None` if it is not saved.
    pub saved: Option<&'static str>,
}

/// The fields of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The peer's address.
    Address,
    /// The first address of the peer's IPv6 network, which is as long as the rules that ask say. There is no
    /// set for IPv4.
    NetworkV6,
    /// The peer's address, and this host's port.
    Port,
    /// The peer's address, and its port.
    Source,
    /// The peer's address, its port, and this host's port.
    Peer,
    /// The peer's address, the protocol, the peer's port, and this host's port.
    Flow,
}

/// Who adds elements, and how long these last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Packets do. The set has the timeout.
    ByPackets,
    /// The daemon does. The set has the timeout.
    ByDaemon,
    /// The daemon does, and packets may renew them. Each element, and the rule that renews it, has a
    /// timeout of its own.
    ByDaemonRenewedByPackets,
    /// The daemon does, and what they are follows from its records ([`Feature::denies`]): so the sets are
    /// never read. Each element has a timeout of its own.
    ///
    /// [`Feature::denies`]: crate::features::Feature::denies
    FromRecords,
}

/// What an element does for its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Packets are accepted because of it: it is deleted when the address is closed. The kernel decides
    /// what the set contains.
    Allows,
    /// A claim counts only while the element is there, which accepts nothing by itself: it is deleted only
    /// by name. The kernel decides what the set contains.
    Conditions,
    /// Packets are not accepted because of it: it lasts when the address is closed, and is deleted when
    /// the address is allowed. What the daemon has added stays in its memory until its end, even if the
    /// kernel no longer has it.
    Denies,
}

/// Two declarations are the same set if they have the same name.
impl PartialEq for SetSpec {
    fn eq(&self, other: &SetSpec) -> bool {
        self.name == other.name
    }
}

impl Eq for SetSpec {}

impl PartialOrd for SetSpec {
    fn partial_cmp(&self, other: &SetSpec) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SetSpec {
    fn cmp(&self, other: &SetSpec) -> Ordering {
        self.name.cmp(other.name)
    }
}

impl SetSpec {
    /// The name of the kernel's set for a family.
    pub fn name_of(&self, family: Family) -> String {
        let number = if family == Family::V4 { '4' } else { '6' };
        format!("{}{number}", self.name)
    }

    /// The most elements of both families.
    pub fn capacity(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX).saturating_mul(2)
    }

    /// The set's declaration for `nft`, for a family.
    pub(crate) fn declaration(&self, family: Family) -> String {
        if !self.shape.exists(family) {
            return String::new();
        }
        let key = self.shape.declaration(family);
        let (size, timeout) = (self.size, self.timeout.as_secs());
        let mut text = format!("\tset {} {{\n\t\ttype {key}\n", self.name_of(family));
        // Writing to a `String` does not fail.
        let _ = match self.filled {
            Filled::ByPackets => {
                writeln!(text, "\t\tsize {size}\n\t\tflags dynamic,timeout\n\t\ttimeout {timeout}s")
            }
            Filled::ByDaemon => writeln!(text, "\t\tflags timeout\n\t\ttimeout {timeout}s"),
            Filled::ByDaemonRenewedByPackets => {
                writeln!(text, "\t\tsize {size}\n\t\tflags dynamic,timeout")
            }
            Filled::FromRecords => writeln!(text, "\t\tsize {size}\n\t\tflags timeout"),
        };
        text.push_str("\t}\n");
        text
    }
}

impl Shape {
    /// Whether a key has exactly these fields.
    pub fn fits(self, key: &Key) -> bool {
        match self {
            Shape::Address | Shape::NetworkV6 => {
                (key.protocol, key.port, key.local_port) == (0, 0, 0)
            }
            Shape::Port => (key.protocol, key.port) == (0, 0),
            Shape::Source => (key.protocol, key.local_port) == (0, 0),
            Shape::Peer => key.protocol == 0,
            Shape::Flow => key.protocol != 0,
        }
    }

    /// Whether there is a set for a family.
    pub fn exists(self, family: Family) -> bool {
        self != Shape::NetworkV6 || family == Family::V6
    }

    fn declaration(self, family: Family) -> String {
        let address = match family {
            Family::V4 => "ipv4_addr",
            Family::V6 => "ipv6_addr",
        };
        let others = match self {
            Shape::Address | Shape::NetworkV6 => "",
            Shape::Port | Shape::Source => " . inet_service",
            Shape::Peer => " . inet_service . inet_service",
            Shape::Flow => " . inet_proto . inet_service . inet_service",
        };
        format!("{address}{others}")
    }
}

/// The key of an element. Fields that the set's key does not have are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The peer's address.
    pub address: IpAddr,
    /// The protocol's number: 6 TCP, 17 UDP.
    pub protocol: u8,
    /// The peer's port.
    pub port: u16,
    /// This host's port.
    pub local_port: u16,
}

impl Key {
    /// The first possible key of an address.
    pub(super) fn first_of(address: IpAddr) -> Key {
        Key { address, protocol: 0, port: 0, local_port: 0 }
    }

    /// The last possible key of an address.
    pub(super) fn last_of(address: IpAddr) -> Key {
        Key { address, protocol: u8::MAX, port: u16::MAX, local_port: u16::MAX }
    }
}

/// An element, and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// Its set.
    pub set: &'static SetSpec,
    /// Its key.
    pub key: Key,
    /// When it ends.
    pub until: Time,
}

impl Element {
    /// The element with the time that it has left, at most the set's timeout; `None` if it has ended.
    pub fn lasting(&self, now: Time) -> Option<Lasting> {
        let left = self.until.since(now).min(self.set.timeout);
        (!left.is_zero()).then_some(Lasting { set: self.set, key: self.key, left })
    }
}

/// An element, and how long it lasts from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lasting {
    /// Its set.
    pub set: &'static SetSpec,
    /// Its key.
    pub key: Key,
    /// The time that it has left.
    pub left: Duration,
}

impl Lasting {
    /// The element with its end.
    pub fn until(&self, now: Time) -> Element {
        Element { set: self.set, key: self.key, until: now.after(self.left) }
    }
}
