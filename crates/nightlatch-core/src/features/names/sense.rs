//! Which addresses of an answer make sense. DNS is not authenticated, and whoever controls a zone can write
//! any address into it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::posture::Site;
use crate::ranges::is_private;

/// An address that does not count, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Senseless {
    /// The address.
    pub address: IpAddr,
    /// Why.
    pub why: Why,
}

/// Why an address does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// A private address, and no record that uses the name accepts these.
    Private,
    /// The machine itself.
    Loopback,
    /// Nobody's: unspecified, reserved, broadcast.
    Nobody,
    /// Multicast.
    Multicast,
    /// Only valid on one link.
    LinkLocal,
    /// An address of this server.
    Own,
    /// An IPv4 address written as one of IPv6.
    Mapped,
}

impl Why {
    /// In words, behind an address.
    pub fn text(self) -> &'static str {
        match self {
            Why::Private => "private",
            Why::Loopback => "loopback",
            Why::Nobody => "nobody's",
            Why::Multicast => "multicast",
            Why::LinkLocal => "link-local",
            Why::Own => "this server's own",
            Why::Mapped => "an IPv4 address in IPv6 form",
        }
    }
}

/// Why an address of an answer does not count, if it does not.
pub(super) fn senseless(address: IpAddr, private: bool, site: &Site) -> Option<Why> {
    let why = match address {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => of_v6(address),
    };
    match why {
        Some(Why::Private) if private => own(address, site),
        Some(why) => Some(why),
        None => own(address, site),
    }
}

fn own(address: IpAddr, site: &Site) -> Option<Why> {
    site.is_own(address).then_some(Why::Own)
}

fn of_v4(address: Ipv4Addr) -> Option<Why> {
    let [first, second, ..] = address.octets();
    match (first, second) {
        (127, _) => Some(Why::Loopback),
        (169, 254) => Some(Why::LinkLocal),
        (224..=239, _) => Some(Why::Multicast),
        (0 | 240.., _) => Some(Why::Nobody),
        _ => is_private(&address.into()).then_some(Why::Private),
    }
}

fn of_v6(address: Ipv6Addr) -> Option<Why> {
    if address.is_unspecified() {
        return Some(Why::Nobody);
    }
    if address.is_loopback() {
        return Some(Why::Loopback);
    }
    let [first, ..] = address.segments();
    match first {
        // `::a.b.c.d`, `::ffff:a.b.c.d` and the like.
        0 => Some(Why::Mapped),
        0xff00.. => Some(Why::Multicast),
        0xfe80..=0xfebf => Some(Why::LinkLocal),
        _ => is_private(&address.into()).then_some(Why::Private),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posture::OWN_ADDRESS;

    #[test]
    fn addresses_that_make_no_sense() {
        let own = |text: &str| (text.parse().unwrap(), OWN_ADDRESS.to_owned());
        let guarded = vec![own("198.51.100.1"), own("10.0.0.1")];
        let site = Site { guarded, ..Site::default() };
        for (text, public, private) in [
            ("203.0.113.7", None, None),
            ("2001:db8::7", None, None),
            ("10.0.0.7", Some(Why::Private), None),
            ("172.31.255.255", Some(Why::Private), None),
            ("172.32.0.1", None, None),
            ("192.168.1.1", Some(Why::Private), None),
            ("100.64.0.1", Some(Why::Private), None),
            ("fd00::1", Some(Why::Private), None),
            ("127.0.0.1", Some(Why::Loopback), Some(Why::Loopback)),
            ("::1", Some(Why::Loopback), Some(Why::Loopback)),
            ("0.0.0.0", Some(Why::Nobody), Some(Why::Nobody)),
            ("0.1.2.3", Some(Why::Nobody), Some(Why::Nobody)),
            ("::", Some(Why::Nobody), Some(Why::Nobody)),
            ("255.255.255.255", Some(Why::Nobody), Some(Why::Nobody)),
            ("240.0.0.1", Some(Why::Nobody), Some(Why::Nobody)),
            ("224.0.0.1", Some(Why::Multicast), Some(Why::Multicast)),
            ("ff02::1", Some(Why::Multicast), Some(Why::Multicast)),
            ("169.254.0.1", Some(Why::LinkLocal), Some(Why::LinkLocal)),
            ("fe80::1", Some(Why::LinkLocal), Some(Why::LinkLocal)),
            ("::ffff:203.0.113.7", Some(Why::Mapped), Some(Why::Mapped)),
            ("::203.0.113.7", Some(Why::Mapped), Some(Why::Mapped)),
            ("198.51.100.1", Some(Why::Own), Some(Why::Own)),
            ("10.0.0.1", Some(Why::Private), Some(Why::Own)),
        ] {
            let address = text.parse().unwrap();
            assert_eq!(senseless(address, false, &site), public, "{text}");
            assert_eq!(senseless(address, true, &site), private, "{text}");
        }
    }
}
