//! The frames: Ethernet, IP, and UDP or a TCP SYN; 74 bytes with IPv4, 94 with IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest frame.
pub(crate) const MAX: usize = ETHERNET + 40 + CONTENT;
const ETHERNET: usize = 14;
/// How long the part behind the IP header is, that of an ordinary TCP SYN.
const CONTENT: usize = 40;

/// The family of all packets of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The server's address.
    pub(crate) fn server(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    /// The address of a number. Those of IPv6 are in networks of 64 bits of their own.
    pub(crate) fn address(self, number: u32) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::from(number).into(),
            Family::V6 => {
                let network = 0x2001_0db8 << 96 | u128::from(number) << 64;
                Ipv6Addr::from(network | 1).into()
            }
        }
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(text: &str) -> Result<Family, String> {
        match text {
            "4" => Ok(Family::V4),
            "6" => Ok(Family::V6),
            _ => Err(format!("unknown family: {text}")),
        }
    }
}

/// A frame.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    bytes: [u8; MAX],
    length: usize,
}

impl Frame {
    /// Nothing.
    pub(crate) const EMPTY: Frame = Frame { bytes: [0; MAX], length: 0 };

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Where the service listens.
pub(crate) const SERVICE: u16 = 5060;
/// Where nothing listens, in no mode. No knock has it either: those are from 1024 on.
const CLOSED: u16 = 9;

/// The media port of all calls.
pub(crate) const MEDIA: u16 = 10_000;
/// The request that the host sends to its trunks.
pub(crate) const REGISTERS: &[u8] = b"REGISTER sip:192.0.2.2 SIP/2.0\r\n";

/// What is sent, by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// UDP from an address that is not allowed: a REGISTER.
    Stranger,
    /// UDP of an allowed address, each packet the first of a flow.
    Allowed,
    /// TCP SYN of an address that is not allowed.
    StrangerSyn,
    /// The same to a port of no service, as scanners send it.
    ScannerSyn,
    /// TCP SYN of an allowed address.
    AllowedSyn,
    /// UDP within 1,000 running flows of allowed addresses.
    Running,
    /// An INVITE from each of 1,000 peers at which this host registered, without accounts.
    Trunk,
    /// Media of 1,000 calls, to which this host sends too.
    RtpIn,
    /// The same in the other direction.
    RtpOut,
    /// This host's responses within 1,000 running flows of allowed addresses.
    ResponseOut,
    /// UDP of a stranger who is on a list.
    Listed,
    /// UDP of a stranger who is on no list, to a closed port.
    Unlisted,
    /// UDP of a stranger who is banned where anybody is.
    Banned,
}

/// Every kind by the name that the command line takes, and in words.
const KINDS: [(Kind, &str, &str); 13] = [
    (Kind::Stranger, "stranger", "a stranger's UDP packet"),
    (Kind::Allowed, "allowed", "an allowed address's first UDP packet"),
    (Kind::StrangerSyn, "stranger-syn", "a stranger's TCP SYN"),
    (Kind::ScannerSyn, "scanner-syn", "a stranger's TCP SYN to a port of no service"),
    (Kind::AllowedSyn, "allowed-syn", "an allowed address's TCP SYN"),
    (Kind::Running, "running", "a UDP packet of a running flow"),
    (Kind::Trunk, "trunk", "an INVITE of a trunk without account"),
    (Kind::RtpIn, "rtp-in", "an RTP packet inwards"),
    (Kind::RtpOut, "rtp-out", "an RTP packet outwards"),
    (Kind::ResponseOut, "response-out", "a response outwards"),
    (Kind::Listed, "listed", "a UDP packet of a stranger on a list"),
    (Kind::Unlisted, "unlisted", "a UDP packet of a stranger on no list, to a closed port"),
    (Kind::Banned, "banned", "a UDP packet of a banned stranger"),
];

impl Kind {
    /// What a firewall should do with it.
    pub(crate) fn passes(self) -> bool {
        !matches!(
            self,
            Kind::Stranger
                | Kind::StrangerSyn
                | Kind::ScannerSyn
                | Kind::Listed
                | Kind::Unlisted
                | Kind::Banned
        )
    }

    /// Whether it is TCP.
    pub(crate) fn is_tcp(self) -> bool {
        matches!(self, Kind::StrangerSyn | Kind::ScannerSyn | Kind::AllowedSyn)
    }

    /// Whether this host sends it.
    pub(crate) fn is_outwards(self) -> bool {
        matches!(self, Kind::RtpOut | Kind::ResponseOut)
    }

    /// In words.
    pub(crate) fn title(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).unwrap().2
    }

    /// This host's port.
    pub(crate) fn port(self) -> u16 {
        match self {
            Kind::Unlisted | Kind::ScannerSyn => CLOSED,
            Kind::RtpIn | Kind::RtpOut => MEDIA,
            _ => SERVICE,
        }
    }

    /// The payload of a datagram.
    pub(crate) fn payload(self) -> &'static [u8] {
        match self {
            Kind::Trunk => b"INVITE sip:1@192.0.2.1 SIP/2.0\r\n",
            Kind::RtpIn | Kind::RtpOut => &[0x80; 32],
            Kind::ResponseOut => b"SIP/2.0 200 OK\r\nTo: <sip:1@192.0",
            _ => b"REGISTER sip:192.0.2.1 SIP/2.0\r\n",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        let found = KINDS.iter().find(|(_, name, _)| *name == text);
        found.map(|(kind, ..)| *kind).ok_or_else(|| format!("unknown kind of packet: {text}"))
    }
}

/// A frame from an address and port.
pub(crate) fn frame(family: Family, kind: Kind, source: u32, port: u16) -> Frame {
    let mut frame = Frame::EMPTY;
    // The server's interface, then the sender's, both as the script sets them.
    frame.bytes[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    let protocol = if kind.is_tcp() { 6 } else { 17 };
    let (source, server) = (family.address(source), family.server());
    let begin = match (source, server) {
        (IpAddr::V4(source), IpAddr::V4(server)) => {
            ipv4(&mut frame.bytes, protocol, source, server)
        }
        (IpAddr::V6(source), IpAddr::V6(server)) => {
            ipv6(&mut frame.bytes, protocol, source, server)
        }
        _ => panic!("addresses of two families"),
    };
    frame.length = begin + CONTENT;
    // The sum takes in both addresses, the protocol and the length.
    let octets = |address| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let sum = partial(u32::from(protocol) + CONTENT as u32, &octets(source));
    let sum = partial(sum, &octets(server));
    content(&mut frame.bytes[begin..begin + CONTENT], kind, port, sum);
    frame
}

/// Writes the header of IPv4; returns where the content begins.
fn ipv4(bytes: &mut [u8], protocol: u8, source: Ipv4Addr, server: Ipv4Addr) -> usize {
    bytes[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, protocol]);
    bytes[26..30].copy_from_slice(&source.octets());
    bytes[30..34].copy_from_slice(&server.octets());
    let sum = checksum(0, &bytes[14..34]);
    bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    34
}

/// The same of IPv6.
fn ipv6(bytes: &mut [u8], protocol: u8, source: Ipv6Addr, server: Ipv6Addr) -> usize {
    bytes[12..22].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, CONTENT as u8, protocol, 64]);
    bytes[22..38].copy_from_slice(&source.octets());
    bytes[38..54].copy_from_slice(&server.octets());
    54
}

/// Writes what is behind the IP header; `sum` is that of the addresses.
fn content(bytes: &mut [u8], kind: Kind, port: u16, sum: u32) {
    bytes[..2].copy_from_slice(&port.to_be_bytes());
    bytes[2..4].copy_from_slice(&kind.port().to_be_bytes());
    let place = if kind.is_tcp() {
        // Sequence 1; 40 bytes of header; SYN; window; then a maximum segment size of 1460 and
        // padding.
        bytes[7] = 1;
        bytes[12..16].copy_from_slice(&[0xa0, 2, 0xff, 0xff]);
        bytes[20..24].copy_from_slice(&[2, 4, 5, 0xb4]);
        bytes[24..].fill(1);
        16
    } else {
        bytes[5] = CONTENT as u8;
        bytes[8..].copy_from_slice(&kind.payload()[..CONTENT - 8]);
        6
    };
    let sum = checksum(sum, bytes);
    bytes[place..place + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The internet checksum (RFC 1071).
fn checksum(begin: u32, bytes: &[u8]) -> u16 {
    let mut sum = partial(begin, bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn partial(begin: u32, bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    begin + words.sum::<u32>()
}
