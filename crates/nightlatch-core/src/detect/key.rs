//! What counts as one source: an IPv4 address, an IPv6 /64. The /48 around it is kept beside, and so is what a
//! filter of fail2ban counts, for each log by itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::AddrRange;

/// A source that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    /// An IPv4 address.
    V4(u32),
    /// An IPv6 network of the length 64: its upper 64 bits.
    V6(u64),
    /// An IPv6 network of the length 48 that is the neighbourhood of others: its upper 48 bits.
    Around(u64),
    /// An IPv4 address in a log that counts by itself: the hash of the log.
    Apart4(u32, u32),
    /// An IPv6 network of the length 64 in such a log.
    Apart6(u32, u64),
}

impl Key {
    pub(super) fn of(address: IpAddr) -> Key {
        match address.to_canonical() {
            IpAddr::V4(address) => Key::V4(address.to_bits()),
            IpAddr::V6(address) => Key::V6(upper(address)),
        }
    }

    /// The same in a log that counts by itself.
    pub(super) fn apart(self, log: u32) -> Key {
        match self {
            Key::V4(bits) => Key::Apart4(log, bits),
            Key::V6(bits) => Key::Apart6(log, bits),
            other => other,
        }
    }

    /// The network around, and which of its 65,536 networks this one is.
    pub(super) fn around(self) -> Option<(Key, u16)> {
        match self {
            Key::V6(bits) => {
                let child = u16::try_from(bits & 0xffff).unwrap_or_default();
                Some((Key::Around(bits >> 16), child))
            }
            Key::V4(_) | Key::Around(_) | Key::Apart4(..) | Key::Apart6(..) => None,
        }
    }

    /// The addresses.
    pub(super) fn range(self) -> Option<AddrRange> {
        match self {
            Key::V4(bits) | Key::Apart4(_, bits) => {
                AddrRange::network(Ipv4Addr::from_bits(bits).into(), 32)
            }
            Key::V6(bits) | Key::Apart6(_, bits) => AddrRange::network(address(bits), 64),
            Key::Around(bits) => AddrRange::network(address(bits << 16), 48),
        }
    }

    /// A number for each source, other for an address than for any network that there is.
    pub(super) fn number(self) -> u64 {
        match self {
            Key::V4(bits) | Key::Apart4(_, bits) => 0xffff_0000_0000 | u64::from(bits),
            Key::V6(bits) | Key::Apart6(_, bits) | Key::Around(bits) => bits,
        }
    }

    /// As a row is named.
    pub(super) fn bytes(self) -> Vec<u8> {
        let (kind, log, bits) = match self {
            Key::V4(bits) => (4, None, u64::from(bits)),
            Key::V6(bits) => (64, None, bits),
            Key::Around(bits) => (48, None, bits),
            Key::Apart4(log, bits) => (5, Some(log), u64::from(bits)),
            Key::Apart6(log, bits) => (65, Some(log), bits),
        };
        let mut bytes = vec![kind];
        bytes.extend(log.map(u32::to_be_bytes).into_iter().flatten());
        bytes.extend_from_slice(&bits.to_be_bytes());
        bytes
    }

    /// The opposite of [`Key::bytes`].
    pub(super) fn read(bytes: &[u8]) -> Option<Key> {
        let (kind, rest) = bytes.split_first()?;
        let (rest, bits) = rest.split_last_chunk()?;
        let bits = u64::from_be_bytes(*bits);
        let log = rest.try_into().ok().map(u32::from_be_bytes);
        match (kind, log) {
            (4, None) if rest.is_empty() => u32::try_from(bits).ok().map(Key::V4),
            (64, None) if rest.is_empty() => Some(Key::V6(bits)),
            (48, None) if rest.is_empty() && bits >> 48 == 0 => Some(Key::Around(bits)),
            (5, Some(log)) => Some(Key::Apart4(log, u32::try_from(bits).ok()?)),
            (65, Some(log)) => Some(Key::Apart6(log, bits)),
            _ => None,
        }
    }
}

/// The network of the length 56 within the /48 `around` in which the /64 `child` lies.
pub(super) fn network_56(around: Key, child: u16) -> Option<AddrRange> {
    let Key::Around(bits) = around else { return None };
    AddrRange::network(address(bits << 16 | u64::from(child & 0xff00)), 56)
}

fn upper(address: Ipv6Addr) -> u64 {
    u64::try_from(address.to_bits() >> 64).unwrap_or_default()
}

fn address(upper: u64) -> IpAddr {
    Ipv6Addr::from_bits(u128::from(upper) << 64).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_what_is_around_them() {
        let v4 = Key::of("::ffff:192.0.2.7".parse().unwrap());
        assert_eq!(v4.range().unwrap().to_string(), "192.0.2.7");
        assert_eq!(v4.around(), None);
        let v6 = Key::of("2001:db8:66:1234:5::6".parse().unwrap());
        assert_eq!(v6.range().unwrap().to_string(), "2001:db8:66:1234::/64");
        let (around, child) = v6.around().unwrap();
        assert_eq!(
            (around.range().unwrap().to_string(), child),
            ("2001:db8:66::/48".into(), 0x1234)
        );
        assert_eq!(network_56(around, child).unwrap().to_string(), "2001:db8:66:1200::/56");
        for key in [v4, v6, around, v4.apart(7), v6.apart(u32::MAX)] {
            assert_eq!(Key::read(&key.bytes()), Some(key));
        }
        assert_eq!(v4.apart(7).range(), v4.range());
        assert_eq!((v6.apart(7).range(), v6.apart(7).around()), (v6.range(), None));
        assert_eq!(size_of::<Key>(), 16);
        assert_eq!(Key::read(&[9; 9]), None);
        assert_eq!(Key::read(&[5; 9]), None);
        assert_eq!(Key::read(&[4; 13]), None);
        assert_eq!(Key::read(&[48, 255, 255, 0, 0, 0, 0, 0, 0]), None);
    }
}
