//! Ranges that nothing may be said about, because they are nobody's, or everybody's.

use std::net::IpAddr;

use crate::{AddrRange, Family};

/// Networks that no block may touch: the host would lose itself or its link.
pub const UNTOUCHABLE: [(&str, Untouchable); 5] = [
    ("127.0.0.0/8", Untouchable::Loopback),
    ("::1", Untouchable::Loopback),
    ("fe80::/10", Untouchable::Link),
    ("169.254.0.0/16", Untouchable::Link),
    ("224.0.0.0/4", Untouchable::Multicast),
];

/// What a network is that no block may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Untouchable {
    /// The machine itself.
    Loopback,
    /// The addresses of the link.
    Link,
    /// Multicast.
    Multicast,
}

/// Whether a range lies where no peer has its address: loopback, "this host", multicast.
pub fn is_nobody_else(range: &AddrRange) -> bool {
    const NOBODY: [&str; 6] = ["127.0.0.0/8", "0.0.0.0/8", "224.0.0.0/3", "::1", "::", "ff00::/8"];
    NOBODY
        .iter()
        .any(|network| network.parse::<AddrRange>().is_ok_and(|network| network.covers(range)))
}

/// Whether an address is private: used in many networks, or behind the NAT of a carrier (RFC 1918,
/// RFC 6598, RFC 4193, and the site-local addresses that were before the latter).
pub fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private() || first == 100 && (64..128).contains(&second)
        }
        IpAddr::V6(address) => {
            matches!(address.segments(), [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..])
        }
    }
}

/// Whether a range is so wide that a record needs the administrator's word for it: wider than a /16 of
/// IPv4, a /32 of IPv6.
pub fn is_wide(range: &AddrRange) -> bool {
    let most = match range.family() {
        Family::V4 => 16,
        Family::V6 => 96,
    };
    range.width() >> most != 0
}

/// Whether a range is so wide that no record should hold it: wider than a /5 of IPv4, a /11 of IPv6.
pub fn is_everybody(range: &AddrRange) -> bool {
    let most = match range.family() {
        Family::V4 => 27,
        Family::V6 => 117,
    };
    range.width() >> most != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_ranges() {
        for (text, wide, everybody) in [
            ("203.0.113.7", false, false),
            ("203.0.0.0/16", false, false),
            ("203.0.0.0-203.1.0.0", true, false),
            ("203.0.0.0/15", true, false),
            ("64.0.0.0/5", true, false),
            ("64.0.0.0/4", true, true),
            ("2001:db8::/32", false, false),
            ("2001:db8::/31", true, false),
            ("2001:d00::/10", true, true),
        ] {
            let range: AddrRange = text.parse().unwrap();
            assert_eq!((is_wide(&range), is_everybody(&range)), (wide, everybody), "{text}");
        }
    }
}
