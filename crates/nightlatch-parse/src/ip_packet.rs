//! Whole IP packets: who sends what to whom, with the payload of UDP datagrams.
//!
//! For packets that the kernel copies to user space from the IP header on, perhaps cut short. Where
//! only the ends of a datagram matter, [`packet::udp`](crate::packet::udp) needs less of it.
//!
//! Checksums are not verified: the kernel copies packets before it does so itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::packet::{MAX_EXTENSIONS, take};

/// A UDP datagram or TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPacket<'a> {
    /// The source that it claims. An IPv4-mapped IPv6 address stays one of IPv6.
    pub source: SocketAddr,
    /// The destination.
    pub destination: SocketAddr,
    /// What it carries.
    pub transport: Transport<'a>,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport<'a> {
    /// UDP.
    Udp {
        /// What of the payload is there: within the lengths that both the UDP and the IP header give.
        payload: &'a [u8],
        /// Whether a part of the payload is missing, because the packet was cut short or is only the
        /// first of several fragments.
        is_truncated: bool,
    },
    /// TCP; the payload is not read.
    Tcp(TcpFlags),
}

impl Transport<'_> {
    /// The protocol's number.
    pub fn protocol(&self) -> u8 {
        match self {
            Transport::Udp { .. } => UDP,
            Transport::Tcp(_) => TCP,
        }
    }
}

/// The flags of a TCP segment: byte 13 of its header (RFC 9293, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// Whether it requests a connection: SYN is set; ACK, RST and FIN are not. Other flags do not matter,
    /// e.g. those of ECN.
    pub fn is_request(self) -> bool {
        const FIN: u8 = 0x01;
        const SYN: u8 = 0x02;
        const RST: u8 = 0x04;
        const ACK: u8 = 0x10;
        self.0 & (SYN | ACK | RST | FIN) == SYN
    }
}

/// Why a packet is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IpPacketError {
    /// The first four bits are not 4 or 6.
    #[error("not an IPv4 or IPv6 packet")]
    NotIp,
    /// It ends within a header, either its bytes or its own length.
    #[error("the packet ends within a header")]
    HeaderCutShort,
    /// A length contradicts another one, or is not possible.
    #[error("a length in the packet's headers is not possible")]
    WrongLength,
    /// A fragment other than the first, which has no ports.
    #[error("a fragment other than the first has no ports")]
    LaterFragment,
    /// More extension headers than any real packet has.
    #[error("more than {MAX_EXTENSIONS} IPv6 extension headers")]
    TooManyExtensions,
    /// Something other than UDP and TCP, by its number; for IPv6 also an unknown extension header.
    #[error("protocol {0} is neither UDP nor TCP")]
    OtherProtocol(u8),
}

use IpPacketError::{
    HeaderCutShort, LaterFragment, NotIp, OtherProtocol, TooManyExtensions, WrongLength,
};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// The lengths of headers without options, in bytes.
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
const TCP_HEADER: usize = 20;
/// As far as the byte with the flags.
const TCP_WITH_FLAGS: usize = 14;

/// The header of IP with its extensions, read.
struct Header {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// Where the header of UDP or TCP begins.
    at: usize,
    /// Where the packet ends by its own length; its bytes may end earlier.
    end: usize,
    /// Whether other fragments follow.
    is_fragment: bool,
}

/// Reads a UDP or TCP packet of IPv4 or IPv6. Bytes behind the packet's own length are ignored.
///
/// RFC 791, section 3.1; RFC 8200, sections 3 and 4; RFC 768; RFC 9293, section 3.1. Jumbograms (RFC 2675)
/// are not read.
///
/// # Errors
/// See [`IpPacketError`].
pub fn read(packet: &[u8]) -> Result<IpPacket<'_>, IpPacketError> {
    let header = match packet.first().ok_or(HeaderCutShort)? >> 4 {
        4 => v4_header(packet)?,
        6 => v6_header(packet)?,
        _ => return Err(NotIp),
    };
    if !matches!(header.protocol, UDP | TCP) {
        return Err(OtherProtocol(header.protocol));
    }
    let there = header.end.min(packet.len());
    let body = packet.get(header.at..there).ok_or(HeaderCutShort)?;
    // How long the body is by the packet's own length.
    let claimed = header.end.saturating_sub(header.at);
    let port = |place| take(body, place).map(u16::from_be_bytes).ok_or(HeaderCutShort);
    Ok(IpPacket {
        source: SocketAddr::new(header.source, port(0)?),
        destination: SocketAddr::new(header.destination, port(2)?),
        transport: if header.protocol == UDP {
            udp(body, claimed, header.is_fragment)?
        } else {
            tcp(body, claimed)?
        },
    })
}

fn udp(body: &[u8], claimed: usize, is_fragment: bool) -> Result<Transport<'_>, IpPacketError> {
    let length = usize::from(u16::from_be_bytes(take(body, 4).ok_or(HeaderCutShort)?));
    if length < UDP_HEADER || (length > claimed && !is_fragment) {
        return Err(WrongLength);
    }
    let payload = body.get(UDP_HEADER..length.min(body.len())).ok_or(HeaderCutShort)?;
    Ok(Transport::Udp { payload, is_truncated: length > body.len() })
}

fn tcp(body: &[u8], claimed: usize) -> Result<Transport<'_>, IpPacketError> {
    let [words, flags] = take(body, TCP_WITH_FLAGS - 2).ok_or(HeaderCutShort)?;
    let header = usize::from(words >> 4) * 4;
    if header < TCP_HEADER || header > claimed {
        return Err(WrongLength);
    }
    Ok(Transport::Tcp(TcpFlags(flags)))
}

fn v4_header(packet: &[u8]) -> Result<Header, IpPacketError> {
    let fixed: [u8; V4_HEADER] = take(packet, 0).ok_or(HeaderCutShort)?;
    let [first, _, l0, l1, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = fixed;
    let at = usize::from(first & 0x0f) * 4;
    let end = usize::from(u16::from_be_bytes([l0, l1]));
    if at < V4_HEADER || end < at {
        return Err(WrongLength);
    }
    // "More fragments", and the offset.
    let fragment = u16::from_be_bytes([f0, f1]) & 0x3fff;
    if fragment & 0x1fff != 0 {
        return Err(LaterFragment);
    }
    Ok(Header {
        source: Ipv4Addr::new(s0, s1, s2, s3).into(),
        destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
        protocol,
        at,
        end,
        is_fragment: fragment != 0,
    })
}

fn v6_header(packet: &[u8]) -> Result<Header, IpPacketError> {
    let source: [u8; 16] = take(packet, 8).ok_or(HeaderCutShort)?;
    let destination: [u8; 16] = take(packet, 24).ok_or(HeaderCutShort)?;
    let [l0, l1, protocol] = take(packet, 4).ok_or(HeaderCutShort)?;
    let mut header = Header {
        source: Ipv6Addr::from(source).into(),
        destination: Ipv6Addr::from(destination).into(),
        protocol,
        at: V6_HEADER,
        end: V6_HEADER + usize::from(u16::from_be_bytes([l0, l1])),
        is_fragment: false,
    };
    for _ in 0..=MAX_EXTENSIONS {
        let length = match header.protocol {
            // Hop-by-hop options, routing, destination options: the length in units of 8 bytes,
            // without the first 8.
            0 | 43 | 60 => {
                let [_, units] = take(packet, header.at).ok_or(HeaderCutShort)?;
                8 + 8 * usize::from(units)
            }
            44 => {
                let place = u16::from_be_bytes(take(packet, header.at + 2).ok_or(HeaderCutShort)?);
                if place & 0xfff8 != 0 {
                    return Err(LaterFragment);
                }
                header.is_fragment |= place & 1 != 0;
                8
            }
            _ => return Ok(header),
        };
        [header.protocol] = take(packet, header.at).ok_or(HeaderCutShort)?;
        header.at += length;
        if header.at > header.end {
            return Err(WrongLength);
        }
    }
    Err(TooManyExtensions)
}

#[cfg(test)]
mod tests;
