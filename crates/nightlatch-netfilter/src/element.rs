//! Sets and their elements, and how an element is written for the kernel.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::address::{AddrRange, Family, from_number};

use crate::constants::{element as e, object, rule};
use crate::inventory::Counter;
use crate::wire::{Attributes, Buffer};

/// What a set's key is, as its declaration in the structure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `type ipv4_addr; flags interval` (or `ipv6_addr`), with or without `: verdict` (a map).
    /// Keys: [`Key::Range`].
    Ranges(Family),
    /// `type ipv4_addr` (or `ipv6_addr`), a hash set of single addresses. Keys: [`Key::Address`].
    Addresses(Family),
    /// `type ipv4_addr . inet_proto . inet_service . inet_service` (or `ipv6_addr`).
    /// Keys: [`Key::Flow`].
    Flows(Family),
    /// `type ipv4_addr . inet_service` (or `ipv6_addr`). Keys: [`Key::Endpoint`].
    Endpoints(Family),
    /// `type ipv4_addr . inet_service . inet_service` (or `ipv6_addr`). Keys: [`Key::Peer`].
    Peers(Family),
    /// A key of one byte, such as `type nf_proto` or `inet_proto`. Keys: [`Key::Number`].
    Number,
}

/// A set or map of a table of the family `inet`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Set {
    pub(crate) table: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
}

impl Set {
    /// Names a set; whether it exists is not asked.
    pub fn new(table: impl Into<Arc<str>>, name: impl Into<Arc<str>>, kind: Kind) -> Set {
        Set { table: table.into(), name: name.into(), kind }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The set's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its key is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// A flow seen from this host: the key of a set of [`Kind::Flows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The other side's address.
    pub peer: IpAddr,
    /// The protocol's number: 6 TCP, 17 UDP.
    pub protocol: u8,
    /// The other side's port.
    pub peer_port: u16,
    /// This host's port.
    pub local_port: u16,
}

/// An address and a port: the key of a set of [`Kind::Endpoints`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// A peer of one of this host's ports: the key of a set of [`Kind::Peers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey {
    /// The other side's address.
    pub address: IpAddr,
    /// The other side's port.
    pub port: u16,
    /// This host's port.
    pub local_port: u16,
}

/// What an element matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A run of addresses.
    Range(AddrRange),
    /// One address of a hash set.
    Address(IpAddr),
    /// A flow.
    Flow(FlowKey),
    /// An address and a port.
    Endpoint(EndpointKey),
    /// A peer of one of this host's ports.
    Peer(PeerKey),
    /// A number of one byte.
    Number(u8),
    /// Whatever no other element matches (`*`). Nightlatch does not write it; somebody else may.
    CatchAll,
}

/// What an element of a verdict map leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Into a chain, and back at its end.
    Jump(Arc<str>),
    /// Into a chain, without coming back.
    Goto(Arc<str>),
    /// Let through.
    Accept,
    /// Thrown away.
    Drop,
    /// On with the next rule.
    Continue,
    /// Back to the calling chain.
    Return,
}

/// An element of a set or map.
///
/// Made from an [`AddrRange`], [`IpAddr`], [`FlowKey`] or [`Key`] by `into()`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// What it matches.
    pub key: Key,
    /// What it leads to, in a verdict map.
    pub verdict: Option<Verdict>,
    /// When written: how long it is to live. When read: how long it has still to live. In
    /// milliseconds; `None` for ever (or as long as the set's own `timeout` says). The set needs
    /// `flags timeout`.
    pub timeout: Option<Duration>,
}

impl Element {
    /// An element of a verdict map that jumps to a chain.
    pub fn jump(range: AddrRange, chain: impl Into<Arc<str>>) -> Element {
        Element { verdict: Some(Verdict::Jump(chain.into())), ..Element::from(Key::Range(range)) }
    }

    /// The same element, living as long as said.
    #[must_use]
    pub fn lasting(mut self, timeout: Duration) -> Element {
        self.timeout = Some(timeout);
        self
    }
}

impl From<Key> for Element {
    fn from(key: Key) -> Element {
        Element { key, verdict: None, timeout: None }
    }
}

impl From<AddrRange> for Element {
    fn from(range: AddrRange) -> Element {
        Key::Range(range).into()
    }
}

impl From<IpAddr> for Element {
    fn from(address: IpAddr) -> Element {
        Key::Address(address).into()
    }
}

impl From<FlowKey> for Key {
    fn from(flow: FlowKey) -> Key {
        Key::Flow(flow)
    }
}

impl From<FlowKey> for Element {
    fn from(flow: FlowKey) -> Element {
        Key::Flow(flow).into()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Range(range) => range.fmt(f),
            Key::Address(address) => address.fmt(f),
            Key::Flow(flow) => write!(
                f,
                "{} . {} . {} . {}",
                flow.peer, flow.protocol, flow.peer_port, flow.local_port
            ),
            Key::Endpoint(endpoint) => write!(f, "{} . {}", endpoint.address, endpoint.port),
            Key::Peer(peer) => {
                write!(f, "{} . {} . {}", peer.address, peer.port, peer.local_port)
            }
            Key::Number(number) => number.fmt(f),
            Key::CatchAll => f.write_str("*"),
        }
    }
}

/// What a list element of the kernel says: half an interval, or a whole key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Raw {
    pub(crate) key: RawKey,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) timeout: Option<Duration>,
    /// The element's own counter, where the set has one for each.
    pub(crate) counter: Option<Counter>,
}

/// A key of a list element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RawKey {
    /// The first address of an interval.
    Start(u128),
    /// The first address behind an interval.
    End(u128),
    /// Any other key.
    Whole(Key),
}

/// Whether the key belongs into a set of that kind.
pub(crate) fn fits(kind: Kind, key: &Key) -> bool {
    match (kind, key) {
        (Kind::Ranges(family), Key::Range(range)) => range.family() == family,
        (Kind::Addresses(family), Key::Address(address)) => Family::of(*address) == family,
        (Kind::Flows(family), Key::Flow(flow)) => Family::of(flow.peer) == family,
        (Kind::Endpoints(family), Key::Endpoint(endpoint)) => {
            Family::of(endpoint.address) == family
        }
        (Kind::Peers(family), Key::Peer(peer)) => Family::of(peer.address) == family,
        (Kind::Number, Key::Number(_)) | (_, Key::CatchAll) => true,
        _ => false,
    }
}

/// Writes an element as one list element, or two for the ends of a range. To delete, only the
/// key is written.
pub(crate) fn write(buffer: &mut Buffer, element: &Element, deleting: bool) {
    let mut list = |flags: u32, key: &[u8]| {
        let open = buffer.open(e::LIST_ELEMENT);
        if !key.is_empty() {
            let nest = buffer.open(e::KEY);
            buffer.attribute(e::DATA_VALUE, key);
            buffer.close(nest);
        }
        if flags != 0 {
            buffer.number(e::FLAGS, flags);
        }
        // The end of an interval carries nothing of its own.
        if !deleting && flags & e::FLAG_INTERVAL_END == 0 {
            write_details(buffer, element);
        }
        buffer.close(open);
    };
    match element.key {
        Key::Range(range) => {
            let family = range.family();
            list(0, AddressBytes::of(range.first_address()).as_slice());
            // Behind the family's last address there is none: the range stays open.
            if range.last() != family.highest() {
                let behind = from_number(family, range.last() + 1);
                list(e::FLAG_INTERVAL_END, AddressBytes::of(behind).as_slice());
            }
        }
        Key::Address(address) => list(0, AddressBytes::of(address).as_slice()),
        Key::Flow(flow) => list(0, &flow_bytes(&flow)),
        Key::Endpoint(endpoint) => {
            list(0, &address_and_ports(endpoint.address, &[endpoint.port]));
        }
        Key::Peer(peer) => {
            list(0, &address_and_ports(peer.address, &[peer.port, peer.local_port]));
        }
        Key::Number(number) => list(0, &[number]),
        Key::CatchAll => list(e::FLAG_CATCH_ALL, &[]),
    }
}

/// Writes one end of an interval alone, to ask for it.
pub(crate) fn write_place(buffer: &mut Buffer, family: Family, at: u128, end: bool) {
    let open = buffer.open(e::LIST_ELEMENT);
    let nest = buffer.open(e::KEY);
    buffer.attribute(e::DATA_VALUE, AddressBytes::of(from_number(family, at)).as_slice());
    buffer.close(nest);
    if end {
        buffer.number(e::FLAGS, e::FLAG_INTERVAL_END);
    }
    buffer.close(open);
}

fn write_details(buffer: &mut Buffer, element: &Element) {
    if let Some(timeout) = element.timeout {
        // Zero would mean "for ever".
        let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        buffer.attribute(e::TIMEOUT, &milliseconds.to_be_bytes());
    }
    if let Some(verdict) = &element.verdict {
        let (code, chain) = verdict.code();
        let data = buffer.open(e::DATA);
        let nest = buffer.open(e::DATA_VERDICT);
        buffer.attribute(e::VERDICT_CODE, &code.to_be_bytes());
        if let Some(chain) = chain {
            buffer.text(e::VERDICT_CHAIN, chain);
        }
        buffer.close(nest);
        buffer.close(data);
    }
}

impl Raw {
    /// This one, sharing the name of a chain with another that leads there too.
    pub(crate) fn sharing(self, other: Option<&Raw>) -> Raw {
        match other.filter(|other| other.verdict == self.verdict) {
            Some(other) => Raw { verdict: other.verdict.clone(), ..self },
            None => self,
        }
    }
}

/// Reads a list element of a set of that kind; `None` where it is not understood.
pub(crate) fn read(kind: Kind, attributes: Attributes<'_>) -> Option<Raw> {
    let whole = RawKey::Whole(Key::CatchAll);
    let mut raw = Raw { key: whole, verdict: None, timeout: None, counter: None };
    let mut flags = 0;
    let mut key: &[u8] = &[];
    for attribute in attributes {
        match attribute.kind {
            e::KEY => key = attribute.nested().find(e::DATA_VALUE)?.payload,
            e::FLAGS => flags = attribute.u32()?,
            e::EXPIRATION => raw.timeout = Some(Duration::from_millis(attribute.u64()?)),
            e::DATA => {
                let verdict = attribute.nested().nested(e::DATA_VERDICT);
                raw.verdict = Some(Verdict::read(verdict)?);
            }
            e::EXPRESSION => raw.counter = raw.counter.or_else(|| counter(attribute.nested())),
            e::EXPRESSIONS => {
                let mut all = attribute.nested().into_iter();
                let found = all.find_map(|expression| counter(expression.nested()));
                raw.counter = raw.counter.or(found);
            }
            _ => {}
        }
    }
    if flags & e::FLAG_CATCH_ALL == 0 {
        raw.key = read_key(kind, key, flags & e::FLAG_INTERVAL_END != 0)?;
    }
    Some(raw)
}

/// The counter that an expression is, if it is one.
fn counter(expression: Attributes<'_>) -> Option<Counter> {
    if expression.find(rule::EXPRESSION_NAME)?.text_bytes() != b"counter" {
        return None;
    }
    let data = expression.nested(rule::EXPRESSION_DATA);
    Some(Counter {
        packets: data.find(object::COUNTER_PACKETS)?.u64()?,
        bytes: data.find(object::COUNTER_BYTES)?.u64()?,
    })
}

fn read_key(kind: Kind, bytes: &[u8], end: bool) -> Option<RawKey> {
    let key = match kind {
        Kind::Ranges(family) => {
            let number = nightlatch_parse::address::to_number(read_address(family, bytes)?);
            return Some(if end { RawKey::End(number) } else { RawKey::Start(number) });
        }
        Kind::Addresses(family) => Key::Address(read_address(family, bytes)?),
        Kind::Flows(family) => {
            let (peer, rest) = bytes.split_at_checked(address_length(family))?;
            let [protocol, _, _, _, p0, p1, _, _, l0, l1, _, _] = *rest.first_chunk::<12>()?;
            Key::Flow(FlowKey {
                peer: read_address(family, peer)?,
                protocol,
                peer_port: u16::from_be_bytes([p0, p1]),
                local_port: u16::from_be_bytes([l0, l1]),
            })
        }
        Kind::Endpoints(family) => {
            let (address, port) = bytes.split_at_checked(address_length(family))?;
            let port = u16::from_be_bytes(*port.first_chunk::<2>()?);
            Key::Endpoint(EndpointKey { address: read_address(family, address)?, port })
        }
        Kind::Peers(family) => {
            let (address, ports) = bytes.split_at_checked(address_length(family))?;
            let [p0, p1, _, _, l0, l1, _, _] = *ports.first_chunk::<8>()?;
            Key::Peer(PeerKey {
                address: read_address(family, address)?,
                port: u16::from_be_bytes([p0, p1]),
                local_port: u16::from_be_bytes([l0, l1]),
            })
        }
        Kind::Number => Key::Number(*bytes.first()?),
    };
    Some(RawKey::Whole(key))
}

fn read_address(family: Family, bytes: &[u8]) -> Option<IpAddr> {
    Some(match family {
        Family::V4 => IpAddr::from(*bytes.first_chunk::<4>()?),
        Family::V6 => IpAddr::from(*bytes.first_chunk::<16>()?),
    })
}

const fn address_length(family: Family) -> usize {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

impl Verdict {
    /// `linux/netfilter.h` and `enum nft_verdicts`.
    fn code(&self) -> (i32, Option<&str>) {
        match self {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            Verdict::Continue => (-1, None),
            Verdict::Jump(chain) => (-3, Some(chain)),
            Verdict::Goto(chain) => (-4, Some(chain)),
            Verdict::Return => (-5, None),
        }
    }

    fn read(attributes: Attributes<'_>) -> Option<Verdict> {
        let code = attributes.find(e::VERDICT_CODE)?.u32()?.cast_signed();
        let chain = || Some(Arc::from(attributes.find(e::VERDICT_CHAIN)?.text()));
        Some(match code {
            0 => Verdict::Drop,
            1 => Verdict::Accept,
            -1 => Verdict::Continue,
            -3 => Verdict::Jump(chain()?),
            -4 => Verdict::Goto(chain()?),
            -5 => Verdict::Return,
            _ => return None,
        })
    }
}

/// An address in network order.
enum AddressBytes {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl AddressBytes {
    fn of(address: IpAddr) -> AddressBytes {
        match address {
            IpAddr::V4(v4) => AddressBytes::V4(v4.octets()),
            IpAddr::V6(v6) => AddressBytes::V6(v6.octets()),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            AddressBytes::V4(bytes) => bytes,
            AddressBytes::V6(bytes) => bytes,
        }
    }
}

/// The address, then the ports, each padded to four bytes.
fn address_and_ports(address: IpAddr, ports: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24);
    bytes.extend_from_slice(AddressBytes::of(address).as_slice());
    for port in ports {
        bytes.extend_from_slice(&port.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
    }
    bytes
}

/// The fields one behind the other, each padded to four bytes.
fn flow_bytes(flow: &FlowKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(28);
    bytes.extend_from_slice(AddressBytes::of(flow.peer).as_slice());
    bytes.extend_from_slice(&[flow.protocol, 0, 0, 0]);
    for port in [flow.peer_port, flow.local_port] {
        bytes.extend_from_slice(&port.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
    }
    bytes
}
