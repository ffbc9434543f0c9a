//! Reading packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::build::{checksum, protocol};

/// A packet that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Whom it claims to come from.
    pub source: IpAddr,
    /// Whom it goes to.
    pub destination: IpAddr,
    /// Time to live, hop limit.
    pub hop_limit: u8,
    /// The protocol behind all extension headers.
    pub protocol: u8,
    /// Whether it is a fragment, and not the first one: then there is no transport header.
    pub later_fragment: bool,
    /// The whole packet from the IP header on.
    pub bytes: Vec<u8>,
    body: usize,
}

impl Caught {
    /// Reads the headers of an IP packet; `None` where it is none, or cut short.
    pub fn parse(bytes: &[u8]) -> Option<Caught> {
        match bytes.first()? >> 4 {
            4 => Caught::parse_v4(bytes),
            6 => Caught::parse_v6(bytes),
            _ => None,
        }
    }

    /// Everything behind the IP header and its extensions.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body..).unwrap_or_default()
    }

    /// The source with its port; `None` where the protocol has no ports.
    pub fn origin(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.source, self.port(0)?))
    }

    /// The destination with its port; `None` where the protocol has no ports.
    pub fn target(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.destination, self.port(2)?))
    }

    /// The flags of a TCP packet, see [`super::flags`].
    pub fn tcp_flags(&self) -> Option<u8> {
        if self.protocol == protocol::TCP && !self.later_fragment {
            self.body().get(13).copied()
        } else {
            None
        }
    }

    /// Type and code of an ICMP or `ICMPv6` packet.
    pub fn icmp(&self) -> Option<(u8, u8)> {
        let icmp = matches!(self.protocol, protocol::ICMP | protocol::ICMPV6);
        if !icmp || self.later_fragment {
            return None;
        }
        Some((*self.body().first()?, *self.body().get(1)?))
    }

    /// Whether it answers an echo request.
    pub fn is_echo_reply(&self) -> bool {
        self.icmp() == Some(if self.source.is_ipv4() { (0, 0) } else { (129, 0) })
    }

    /// The packet that an ICMP error speaks of.
    pub fn quoted(&self) -> Option<Caught> {
        let (kind, _) = self.icmp()?;
        let error =
            if self.source.is_ipv4() { matches!(kind, 3 | 4 | 5 | 11 | 12) } else { kind < 128 };
        if error { Caught::parse(self.body().get(8..)?) } else { None }
    }

    /// What a TCP or UDP packet carries.
    pub fn data(&self) -> &[u8] {
        let header = match self.protocol {
            protocol::UDP => 8,
            protocol::TCP => usize::from(self.body().get(12).copied().unwrap_or(0) >> 4) * 4,
            _ => 0,
        };
        self.body().get(header..).unwrap_or_default()
    }

    /// Whether the checksum of TCP, UDP, ICMP or `ICMPv6` is right; `None` for others, for
    /// fragments and where UDP has none.
    pub fn checksum_is_right(&self) -> Option<bool> {
        let known = [protocol::TCP, protocol::UDP, protocol::ICMP, protocol::ICMPV6];
        let no_sum = self.protocol == protocol::UDP && self.body().get(6..8) == Some(&[0, 0]);
        if !known.contains(&self.protocol) || self.later_fragment || no_sum {
            return None;
        }
        let length = u16::try_from(self.body().len()).ok()?.to_be_bytes();
        let addresses = match (self.source, self.destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) if self.protocol == protocol::ICMP => Vec::new(),
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                [source.octets(), destination.octets()].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                [source.octets(), destination.octets()].concat()
            }
            _ => return None,
        };
        let tail = [length.first().copied()?, length.last().copied()?, 0, self.protocol];
        let tail: &[u8] = if addresses.is_empty() { &[] } else { &tail };
        Some(checksum(&[&addresses, tail, self.body()]) == 0)
    }

    fn parse_v4(bytes: &[u8]) -> Option<Caught> {
        let header = usize::from(bytes.first()? & 0x0f) * 4;
        // Short frames are padded: the length in the header counts.
        let total = usize::from(u16::from_be_bytes(take(bytes, 2)?));
        let bytes = bytes.get(..total).unwrap_or(bytes);
        if header < 20 || bytes.len() < header {
            return None;
        }
        Some(Caught {
            source: Ipv4Addr::from(take::<4>(bytes, 12)?).into(),
            destination: Ipv4Addr::from(take::<4>(bytes, 16)?).into(),
            hop_limit: *bytes.get(8)?,
            protocol: *bytes.get(9)?,
            later_fragment: u16::from_be_bytes(take(bytes, 6)?) & 0x1fff != 0,
            bytes: bytes.to_vec(),
            body: header,
        })
    }

    fn parse_v6(bytes: &[u8]) -> Option<Caught> {
        let total = 40 + usize::from(u16::from_be_bytes(take(bytes, 4)?));
        let bytes = bytes.get(..total).unwrap_or(bytes);
        let mut caught = Caught {
            source: Ipv6Addr::from(take::<16>(bytes, 8)?).into(),
            destination: Ipv6Addr::from(take::<16>(bytes, 24)?).into(),
            hop_limit: *bytes.get(7)?,
            protocol: *bytes.get(6)?,
            later_fragment: false,
            bytes: bytes.to_vec(),
            body: 40,
        };
        // Each turn moves at least eight bytes on.
        while !caught.later_fragment {
            let place = caught.body;
            let length = match caught.protocol {
                0 | 43 | 60 => 8 + 8 * usize::from(*bytes.get(place + 1)?),
                44 => {
                    caught.later_fragment = u16::from_be_bytes(take(bytes, place + 2)?) >> 3 != 0;
                    8
                }
                _ => break,
            };
            caught.protocol = *bytes.get(place)?;
            caught.body = place + length;
        }
        Some(caught)
    }

    fn port(&self, place: usize) -> Option<u16> {
        let ported = matches!(self.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
        if !ported || self.later_fragment {
            return None;
        }
        Some(u16::from_be_bytes(take(self.body(), place)?))
    }
}

fn take<const LENGTH: usize>(bytes: &[u8], place: usize) -> Option<[u8; LENGTH]> {
    bytes.get(place..place + LENGTH)?.try_into().ok()
}
