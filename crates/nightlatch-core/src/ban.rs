//! The kernel's sets of banned sources, from which these leave by themselves.

use std::time::Duration;

use crate::AddrRange;
use crate::learned::{Effect, Filled, Key, SetSpec, Shape};

/// The longest ban.
pub const MAX_BAN: Duration = Duration::from_secs(365 * 86_400);
/// The most elements of each of the kernel's sets.
const MAX_ELEMENTS: u32 = 262_144;

/// Banned IPv4 addresses, and IPv6 networks of 64 bits.
pub static BAN: SetSpec = SetSpec {
    name: "ban",
    shape: Shape::Address,
    timeout: MAX_BAN,
    size: MAX_ELEMENTS,
    filled: Filled::FromRecords,
    effect: Effect::Denies,
    saved: None,
};
/// Banned IPv6 networks of 56 bits.
pub static BAN_56: SetSpec = SetSpec { name: "ban56_", shape: Shape::NetworkV6, ..BAN };
/// Banned IPv6 networks of 48 bits.
pub static BAN_48: SetSpec = SetSpec { name: "ban48_", shape: Shape::NetworkV6, ..BAN };

/// The sets of banned sources.
pub static SETS: [&SetSpec; 3] = [&BAN, &BAN_56, &BAN_48];

/// The kernel's set for a range, and the key in it; `None` if bans have no such ranges.
pub fn place(range: &AddrRange) -> Option<(&'static SetSpec, Key)> {
    let set = match (range.first_address().is_ipv4(), range.prefix()?) {
        (true, 32) | (false, 64) => &BAN,
        (false, 56) => &BAN_56,
        (false, 48) => &BAN_48,
        _ => return None,
    };
    Some((set, Key { address: range.first_address(), protocol: 0, port: 0, local_port: 0 }))
}

/// The range of an element of these sets.
pub fn range_of(set: &SetSpec, key: &Key) -> Option<AddrRange> {
    let prefix = match (set.name, key.address.is_ipv4()) {
        (name, true) if name == BAN.name => 32,
        (name, false) if name == BAN.name => 64,
        (name, false) if name == BAN_56.name => 56,
        (name, false) if name == BAN_48.name => 48,
        _ => return None,
    };
    AddrRange::network(key.address, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_their_places() {
        for (text, set) in [
            ("192.0.2.7", Some("ban")),
            ("2001:db8::/64", Some("ban")),
            ("2001:db8::/56", Some("ban56_")),
            ("2001:db8::/48", Some("ban48_")),
            ("2001:db8::1", None),
            ("192.0.2.0/24", None),
            ("2001:db8::1-2001:db8::3", None),
        ] {
            let range: AddrRange = text.parse().unwrap();
            let place = place(&range);
            assert_eq!(place.map(|(set, _)| set.name), set, "{text}");
            let back = place.and_then(|(set, key)| range_of(set, &key));
            assert_eq!(back, set.map(|_| range), "{text}");
        }
    }
}
