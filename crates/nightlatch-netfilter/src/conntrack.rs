//! The flows that the kernel tracks.

use std::net::IpAddr;

use crate::constants::{CONNTRACK_GET, FAMILY_UNSPEC, conntrack as ct};
use crate::netlink::{Netlink, NetlinkError};
use crate::wire::{Attributes, Message};

/// One direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Where packets come from.
    pub source: IpAddr,
    /// Where packets go to.
    pub destination: IpAddr,
    /// The source port; 0 for protocols without ports.
    pub source_port: u16,
    /// The destination port; 0 for protocols without ports.
    pub destination_port: u16,
}

/// A tracked flow.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the kernel, unlike the others"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The protocol's number: 6 TCP, 17 UDP, 1 ICMP.
    pub protocol: u8,
    /// As the first packet had it, before any translation of addresses.
    pub original: Tuple,
    /// As answers have it; differs from the original turned round where addresses are
    /// translated.
    pub reply: Tuple,
    /// In how many seconds it ends unless another packet comes.
    pub timeout_seconds: u32,
    /// Whether its first packet got through the firewall.
    pub confirmed: bool,
    /// Whether it has lasted, and is kept when the table is full.
    pub assured: bool,
    /// Whether an answer was seen.
    pub seen_reply: bool,
    /// The mark that rules gave it.
    pub mark: u32,
    /// For TCP, whether the kernel picked up the connection in the middle, without having seen its
    /// beginning; then `original` is only the direction of the first packet that it saw.
    pub picked_up: bool,
}

impl Netlink {
    /// Shows every tracked flow, IPv4 and IPv6, to `on_flow`; nothing is kept. Flows that begin
    /// or end meanwhile may or may not be shown. `Ok(false)` if a part of the answer was lost,
    /// so that others may be missing too.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`] without `CAP_NET_ADMIN` or where the kernel does not track
    /// connections; [`NetlinkError::NoAnswer`].
    pub fn for_each_flow(&mut self, mut on_flow: impl FnMut(Flow)) -> Result<bool, NetlinkError> {
        self.dump(
            CONNTRACK_GET,
            FAMILY_UNSPEC,
            "listing the tracked connections",
            |_| {},
            |message| {
                if let Some(flow) = read_flow(message) {
                    on_flow(flow);
                }
            },
        )
    }
}

pub(crate) fn read_flow(message: &Message<'_>) -> Option<Flow> {
    let mut flow_protocol = None;
    let (mut original, mut reply) = (None, None);
    let (mut status, mut timeout_seconds, mut mark) = (0, 0, 0);
    let mut picked_up = false;
    for attribute in message.attributes() {
        match attribute.kind {
            ct::TUPLE_ORIGINAL => {
                let (protocol, tuple) = read_tuple(attribute.nested())?;
                flow_protocol = Some(protocol);
                original = Some(tuple);
            }
            ct::TUPLE_REPLY => reply = Some(read_tuple(attribute.nested())?.1),
            ct::STATUS => status = attribute.u32()?,
            ct::TIMEOUT => timeout_seconds = attribute.u32()?,
            ct::MARK => mark = attribute.u32()?,
            ct::PROTOCOL_INFO => picked_up = was_picked_up(attribute.nested()),
            _ => {}
        }
    }
    Some(Flow {
        protocol: flow_protocol?,
        original: original?,
        reply: reply?,
        timeout_seconds,
        confirmed: status & ct::STATUS_CONFIRMED != 0,
        assured: status & ct::STATUS_ASSURED != 0,
        seen_reply: status & ct::STATUS_SEEN_REPLY != 0,
        mark,
        picked_up,
    })
}

/// `struct nf_ct_tcp_flags`: the flags, then a mask that means something only in requests.
fn was_picked_up(info: Attributes<'_>) -> bool {
    let flags = info.nested(ct::INFO_TCP).find(ct::TCP_FLAGS_ORIGINAL);
    let flags = flags.and_then(|flags| flags.payload.first().copied());
    flags.is_some_and(|flags| flags & ct::TCP_FLAG_BE_LIBERAL != 0)
}

fn read_tuple(attributes: Attributes<'_>) -> Option<(u8, Tuple)> {
    let addresses = attributes.nested(ct::TUPLE_ADDRESSES);
    let address = |v4: u16, v6: u16| -> Option<IpAddr> {
        if let Some(attribute) = addresses.find(v4) {
            return Some(IpAddr::from(*attribute.payload.first_chunk::<4>()?));
        }
        Some(IpAddr::from(*addresses.find(v6)?.payload.first_chunk::<16>()?))
    };
    let protocol = attributes.nested(ct::TUPLE_PROTOCOL);
    let port = |kind| protocol.find(kind).and_then(|a| a.u16()).unwrap_or(0);
    let tuple = Tuple {
        source: address(ct::V4_SOURCE, ct::V6_SOURCE)?,
        destination: address(ct::V4_DESTINATION, ct::V6_DESTINATION)?,
        source_port: port(ct::SOURCE_PORT),
        destination_port: port(ct::DESTINATION_PORT),
    };
    let number = *protocol.find(ct::PROTOCOL_NUMBER)?.payload.first()?;
    Some((number, tuple))
}
