//! Headers of IP packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The source and destination of a UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Datagram {
    /// The source that it claims.
    pub source: SocketAddr,
    /// The destination.
    pub destination: SocketAddr,
}

/// The most IPv6 extension headers that are skipped.
pub(crate) const MAX_EXTENSIONS: usize = 8;

const UDP: u8 = 17;

/// Reads source and destination of a UDP datagram from an IPv4 or IPv6 packet; only its headers are
/// needed. `None` for other packets and for fragments, of which only the first has ports.
///
/// RFC 791, section 3.1; RFC 8200, sections 3 and 4; RFC 768.
pub fn udp(packet: &[u8]) -> Option<Datagram> {
    let (source, destination, ports) = match packet.first()? >> 4 {
        4 => udp_over_v4(packet)?,
        6 => udp_over_v6(packet)?,
        _ => return None,
    };
    let port = |place: usize| Some(u16::from_be_bytes(take(packet, ports.checked_add(place)?)?));
    Some(Datagram {
        source: SocketAddr::new(source, port(0)?),
        destination: SocketAddr::new(destination, port(2)?),
    })
}

/// Source, destination and the offset of the UDP header.
fn udp_over_v4(packet: &[u8]) -> Option<(IpAddr, IpAddr, usize)> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    // "More fragments" and the offset.
    let fragment = u16::from_be_bytes(take(packet, 6)?) & 0x3fff != 0;
    if header < 20 || fragment || *packet.get(9)? != UDP {
        return None;
    }
    let source = Ipv4Addr::from(take::<4>(packet, 12)?);
    let destination = Ipv4Addr::from(take::<4>(packet, 16)?);
    Some((source.into(), destination.into(), header))
}

fn udp_over_v6(packet: &[u8]) -> Option<(IpAddr, IpAddr, usize)> {
    let source = Ipv6Addr::from(take::<16>(packet, 8)?);
    let destination = Ipv6Addr::from(take::<16>(packet, 24)?);
    let (mut next, mut place) = (*packet.get(6)?, 40_usize);
    for _ in 0..=MAX_EXTENSIONS {
        match next {
            UDP => return Some((source.into(), destination.into(), place)),
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => {
                let [following, length] = take::<2>(packet, place)?;
                next = following;
                place = place.checked_add(8 + 8 * usize::from(length))?;
            }
            _ => return None,
        }
    }
    None
}

pub(crate) fn take<const LENGTH: usize>(bytes: &[u8], place: usize) -> Option<[u8; LENGTH]> {
    bytes.get(place..place.checked_add(LENGTH)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes from hexadecimal digits.
    fn bytes(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
        let pair = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    const V4: &str = "45000020 00004000 40110000 cb00714b c633640a 9dd842c2 000c0000";
    const V4_OPTIONS: &str = "46000024 00000000 40110000 cb00714b c633640a 01010101 9dd842c2";
    const V6: &str = "60000000 000c1140 20010db8000000000000000000000075 20010db8000000000000000000000010 9dd842c2";
    const V6_OPTIONS: &str = "60000000 001c0040 20010db8000000000000000000000075 20010db8000000000000000000000010 3c00050200000000 1101050200000000 0000000000000000 9dd842c2";

    #[test]
    fn ends_of_datagrams() {
        for (packet, expected) in [
            (V4, "203.0.113.75:40408 > 198.51.100.10:17090"),
            (V4_OPTIONS, "203.0.113.75:40408 > 198.51.100.10:17090"),
            (V6, "[2001:db8::75]:40408 > [2001:db8::10]:17090"),
            (V6_OPTIONS, "[2001:db8::75]:40408 > [2001:db8::10]:17090"),
        ] {
            let whole = bytes(packet);
            let found = udp(&whole).map(|it| format!("{} > {}", it.source, it.destination));
            assert_eq!(found.as_deref(), Some(expected), "{packet}");
            let ports = if packet == V4 { 4 } else { 0 };
            for length in 0..whole.len() - ports {
                assert_eq!(udp(&whole[..length]), None, "cut short at {length}: {packet}");
            }
        }
    }

    #[test]
    fn other_packets_are_rejected() {
        for packet in [
            "",
            "00",
            // TCP; a header too short; the first fragment and a later one.
            "45000020 00004000 40060000 cb00714b c633640a 9dd842c2",
            "44000020 00004000 40110000 cb00714b c633640a 9dd842c2",
            "45000020 00002000 40110000 cb00714b c633640a 9dd842c2",
            "45000020 00000010 40110000 cb00714b c633640a 9dd842c2",
            // A VLAN tag before the IP header.
            "00640800 45000020 00004000 40110000 cb00714b c633640a 9dd842c2",
        ] {
            assert_eq!(udp(&bytes(packet)), None, "{packet}");
        }
        let v6 = |next: &str| V6.replace("000c11", &format!("000c{next}"));
        for next in ["06", "2c", "3b", "32"] {
            assert_eq!(udp(&bytes(&v6(next))), None, "{next}");
        }
        // More extension headers than any real packet has.
        let many = format!("{}{}", V6.replace("000c11", "000c3c"), "3c00050200000000".repeat(50));
        assert_eq!(udp(&bytes(&many)), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = udp(&packet);
        }
    }
}
