//! Making packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The flags of a TCP header (RFC 9293 section 3.1).
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// A new connection.
    pub const SYN: u8 = 0x02;
    /// Away with the connection.
    pub const RST: u8 = 0x04;
    /// Hand the data on.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
    /// What scanners call a Christmas tree: FIN, PSH and URG.
    pub const XMAS: u8 = FIN | PSH | URG;
}

/// Protocol numbers of the IP header (IANA "Assigned Internet Protocol Numbers").
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// Generic routing encapsulation.
    pub const GRE: u8 = 47;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// An extension header of IPv6 (RFC 8200 section 4). IPv4 packets leave them out, but
/// for [`Extension::Fragment`], which goes into their own header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Hop-by-hop options, padding only.
    HopByHop,
    /// Destination options, padding only.
    DestinationOptions,
    /// Hop-by-hop options with one that nobody knows and that asks for an error message. Every
    /// router on the way judges it, so it reaches a host from its own network only.
    UnknownHopByHop,
    /// Destination options with one that nobody knows and that asks for an error message.
    UnknownDestinationOption,
    /// A routing header of the given type with no segment left.
    Routing(u8),
    /// A fragment header as it stands, true or not: the packet is not cut.
    Fragment {
        /// In units of eight bytes.
        offset: u16,
        /// Whether more fragments follow.
        more: bool,
    },
}

/// A packet to be sent. Checksums and lengths come out right; everything else is as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    identification: u32,
    extensions: Vec<Extension>,
    protocol: u8,
    /// The transport header, its checksum zero, and the data behind it.
    body: Vec<u8>,
}

impl Packet {
    /// A TCP packet with the given [`flags`] and no data.
    ///
    /// The family is the destination's; a source of the other family becomes 0.0.0.0 or `::`.
    pub fn tcp(source: SocketAddr, destination: SocketAddr, flags: u8) -> Packet {
        let mut body = Vec::with_capacity(20);
        body.extend(source.port().to_be_bytes());
        body.extend(destination.port().to_be_bytes());
        // Recognisable numbers; the acknowledgement is only sent where its flag is set.
        body.extend(0x4e49_4748_u32.to_be_bytes());
        let acknowledgement: u32 = if flags & flags::ACK == 0 { 0 } else { 0x4c41_5443 };
        body.extend(acknowledgement.to_be_bytes());
        body.extend([5 << 4, flags]);
        body.extend(64_240_u16.to_be_bytes());
        body.extend([0; 4]);
        Packet::other(source.ip(), destination.ip(), protocol::TCP, &body)
    }

    /// A UDP packet.
    pub fn udp(source: SocketAddr, destination: SocketAddr, data: &[u8]) -> Packet {
        let mut body = Vec::with_capacity(8 + data.len());
        body.extend(source.port().to_be_bytes());
        body.extend(destination.port().to_be_bytes());
        body.extend(length16(8 + data.len()));
        body.extend([0; 2]);
        body.extend(data);
        Packet::other(source.ip(), destination.ip(), protocol::UDP, &body)
    }

    /// An echo request ("ping") of ICMP or `ICMPv6`.
    pub fn echo(source: IpAddr, destination: IpAddr, identifier: u16, data: &[u8]) -> Packet {
        let (protocol, kind) =
            if destination.is_ipv4() { (protocol::ICMP, 8) } else { (protocol::ICMPV6, 128) };
        Packet::icmp(source, destination, protocol, kind, identifier, data)
    }

    /// A packet of any protocol with `body` behind its IP header. The checksums of TCP, UDP,
    /// ICMP and `ICMPv6` are filled in; for others `body` goes as it is.
    pub fn other(source: IpAddr, destination: IpAddr, protocol: u8, body: &[u8]) -> Packet {
        let source = match (source, destination) {
            (IpAddr::V6(_), IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
            (IpAddr::V4(_), IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
            _ => source,
        };
        Packet {
            source,
            destination,
            hop_limit: 64,
            identification: 0x4e4c,
            extensions: Vec::new(),
            protocol,
            body: body.to_vec(),
        }
    }

    /// The same packet with data behind its header, after any it has already.
    #[must_use]
    pub fn with_data(mut self, data: &[u8]) -> Packet {
        self.body.extend(data);
        self
    }

    /// The same packet with one more extension header behind those it has.
    #[must_use]
    pub fn with_extension(mut self, extension: Extension) -> Packet {
        self.extensions.push(extension);
        self
    }

    /// The same packet with another time to live (hop limit) than 64.
    #[must_use]
    pub fn with_hop_limit(mut self, hop_limit: u8) -> Packet {
        self.hop_limit = hop_limit;
        self
    }

    /// The same packet with an identification, by which its fragments belong together.
    #[must_use]
    pub fn with_identification(mut self, identification: u32) -> Packet {
        self.identification = identification;
        self
    }

    /// Whom it claims to come from.
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// Whom it goes to.
    pub fn destination(&self) -> IpAddr {
        self.destination
    }

    /// The protocol behind all extension headers.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The whole packet from the IP header on.
    pub fn bytes(&self) -> Vec<u8> {
        self.assemble(&self.extensions, &self.checked_body())
    }

    /// The packet cut into fragments with `piece` bytes of it each (rounded down to a multiple of
    /// eight, at least eight): whole IP packets, in order. What is short enough is one fragment.
    pub fn fragments(&self, piece: usize) -> Vec<Vec<u8>> {
        let piece = (piece / 8 * 8).max(8);
        let body = self.checked_body();
        let count = body.len().div_ceil(piece).max(1);
        let mut fragments = Vec::with_capacity(count);
        for (place, part) in body.chunks(piece).enumerate() {
            let mut extensions = self.extensions.clone();
            extensions.push(Extension::Fragment {
                offset: u16::try_from(place * piece / 8).unwrap_or(u16::MAX),
                more: place + 1 < count,
            });
            fragments.push(self.assemble(&extensions, part));
        }
        fragments
    }

    fn icmp(
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        kind: u8,
        identifier: u16,
        data: &[u8],
    ) -> Packet {
        let mut body = vec![kind, 0, 0, 0];
        body.extend(identifier.to_be_bytes());
        body.extend(1_u16.to_be_bytes());
        body.extend(data);
        Packet::other(source, destination, protocol, &body)
    }

    /// The body with its length and checksum.
    fn checked_body(&self) -> Vec<u8> {
        let mut body = self.body.clone();
        let place = match self.protocol {
            protocol::TCP => 16,
            protocol::UDP => {
                let length = length16(body.len());
                put(&mut body, 4, length);
                6
            }
            protocol::ICMP | protocol::ICMPV6 => 2,
            _ => return body,
        };
        put(&mut body, place, [0; 2]);
        let pseudo = self.pseudo_header(body.len());
        let sum = match checksum(&[&pseudo, &body]) {
            // In UDP a zero means "none".
            0 if self.protocol == protocol::UDP => 0xffff,
            sum => sum,
        };
        put(&mut body, place, sum.to_be_bytes());
        body
    }

    /// What the checksum covers besides the body (RFC 9293 section 3.1, RFC 8200 section 8.1).
    fn pseudo_header(&self, length: usize) -> Vec<u8> {
        let mut pseudo = Vec::with_capacity(40);
        match (self.source, self.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                pseudo.extend(source.octets());
                pseudo.extend(destination.octets());
                pseudo.extend([0, 0]);
            }
            (IpAddr::V4(source), IpAddr::V4(destination)) if self.protocol != protocol::ICMP => {
                pseudo.extend(source.octets());
                pseudo.extend(destination.octets());
            }
            _ => return pseudo,
        }
        pseudo.extend(length16(length));
        pseudo.extend([0, self.protocol]);
        pseudo
    }

    fn assemble(&self, extensions: &[Extension], body: &[u8]) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.assemble_v4(source, destination, extensions, body)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.assemble_v6(source, destination, extensions, body)
            }
            // `other` has made the families one.
            _ => Vec::new(),
        }
    }

    fn assemble_v4(
        &self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        extensions: &[Extension],
        body: &[u8],
    ) -> Vec<u8> {
        let fragment = extensions.iter().find_map(|extension| match *extension {
            Extension::Fragment { offset, more } => {
                Some((offset & 0x1fff) | if more { 0x2000 } else { 0 })
            }
            _ => None,
        });
        let mut bytes = vec![0x45, 0];
        bytes.extend(length16(20 + body.len()));
        // The lower half of the identification, as far as IPv4 has room.
        bytes.extend((self.identification.to_be_bytes()).iter().skip(2));
        bytes.extend(fragment.unwrap_or(0).to_be_bytes());
        bytes.extend([self.hop_limit, self.protocol, 0, 0]);
        bytes.extend(source.octets());
        bytes.extend(destination.octets());
        let sum = checksum(&[&bytes]);
        put(&mut bytes, 10, sum.to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn assemble_v6(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        extensions: &[Extension],
        body: &[u8],
    ) -> Vec<u8> {
        let numbers = extensions.iter().map(|extension| extension.number());
        let mut next = numbers.chain([self.protocol]);
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(length16(8 * extensions.len() + body.len()));
        bytes.extend([next.next().unwrap_or(self.protocol), self.hop_limit]);
        bytes.extend(source.octets());
        bytes.extend(destination.octets());
        for (extension, next) in extensions.iter().zip(next) {
            bytes.extend(extension.bytes(next, self.identification));
        }
        bytes.extend(body);
        bytes
    }
}

impl Extension {
    const fn number(self) -> u8 {
        match self {
            Extension::HopByHop | Extension::UnknownHopByHop => 0,
            Extension::Routing(_) => 43,
            Extension::Fragment { .. } => 44,
            Extension::DestinationOptions | Extension::UnknownDestinationOption => 60,
        }
    }

    fn bytes(self, next: u8, identification: u32) -> [u8; 8] {
        match self {
            // One option: padding of six bytes in all.
            Extension::HopByHop | Extension::DestinationOptions => [next, 0, 1, 4, 0, 0, 0, 0],
            // The upper two bits 10: throw the packet away and tell its sender.
            Extension::UnknownHopByHop | Extension::UnknownDestinationOption => {
                [next, 0, 0x9e, 4, 0, 0, 0, 0]
            }
            Extension::Routing(kind) => [next, 0, kind, 0, 0, 0, 0, 0],
            Extension::Fragment { offset, more } => {
                let [high, low] = ((offset << 3) | u16::from(more)).to_be_bytes();
                let [a, b, c, d] = identification.to_be_bytes();
                [next, 0, high, low, a, b, c, d]
            }
        }
    }
}

/// The Internet checksum (RFC 1071) over parts of which all but the last have even length.
pub(super) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            let high = pair.first().copied().unwrap_or(0);
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([high, low]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

fn length16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn put(bytes: &mut [u8], place: usize, value: [u8; 2]) {
    if let Some(target) = bytes.get_mut(place..place + 2) {
        target.copy_from_slice(&value);
    }
}
