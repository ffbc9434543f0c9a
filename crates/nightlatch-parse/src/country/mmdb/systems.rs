//! Databases of autonomous systems: which network an address belongs to, and whose that is (`GeoLite2` ASN, DB-IP
//! ASN). Looked up address by address; every step is bounded by the bits of an address.

use std::net::IpAddr;

use super::{Target, Tree, V4_DEPTH};
use crate::address::{AddrRange, Family, from_number};
use crate::country::CountryError;

/// The longest name of an organization, in characters.
const MAX_NAME: usize = 80;

/// A database of autonomous systems.
#[derive(Debug)]
pub struct Systems {
    bytes: Vec<u8>,
}

/// An autonomous system, and the network of it that has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// The network, as the database divides them.
    pub range: AddrRange,
    /// Its number.
    pub number: u64,
    /// Whose it is, as the database says: text from outside. Empty where it does not.
    pub organization: String,
}

impl Systems {
    /// Takes a whole database.
    ///
    /// # Errors
    /// [`CountryError::Database`] where it is damaged or in another format.
    pub fn open(bytes: Vec<u8>) -> Result<Systems, CountryError> {
        Tree::open(&bytes)?;
        Ok(Systems { bytes })
    }

    /// The system of an address; an IPv4 address written as IPv6 counts as the IPv4 address. `None` where
    /// the database does not tell, or is damaged there.
    pub fn of(&self, address: IpAddr) -> Option<System> {
        let tree = Tree::open(&self.bytes).ok()?;
        let address = address.to_canonical();
        let (number, family) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), Family::V4),
            IpAddr::V6(address) => (address.to_bits(), Family::V6),
        };
        if (tree.family, family) == (Family::V4, Family::V6) || tree.node_count == 0 {
            return None;
        }
        let (at, depth) = descend(&tree, number)?;
        let range = match (tree.family, family) {
            (Family::V6, Family::V4) => match depth.checked_sub(V4_DEPTH) {
                Some(depth) => AddrRange::network(address, depth)?,
                None => AddrRange::all(Family::V4),
            },
            _ => AddrRange::network(from_number(family, number), depth)?,
        };
        let organization = tree.data.text_of(at, b"autonomous_system_organization");
        let organization = String::from_utf8_lossy(organization.unwrap_or_default());
        Some(System {
            range,
            number: tree.data.number_of(at, b"autonomous_system_number")?,
            organization: organization.chars().take(MAX_NAME).collect(),
        })
    }
}

/// Where the record of an address is, and the length of its network.
fn descend(tree: &Tree<'_>, number: u128) -> Option<(usize, u32)> {
    let mut node = 0;
    for depth in 0..tree.family.bits() {
        let bit = number >> (tree.family.bits() - depth - 1) & 1;
        match tree.target(node, bit == 1).ok()? {
            Target::Node(next) => node = next,
            Target::Nothing => return None,
            Target::Data(at) => return Some((at, depth + 1)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assemble, insert, text};
    use super::*;

    /// A record: `{"autonomous_system_number": number, "autonomous_system_organization": name}`.
    fn record(number: u16, name: &str) -> Vec<u8> {
        [
            vec![0xe2],
            text("autonomous_system_number"),
            [[0xa2].as_slice(), &number.to_be_bytes()].concat(),
            text("autonomous_system_organization"),
            text(name),
        ]
        .concat()
    }

    fn database(family: Family) -> Vec<u8> {
        let (first, second) = (record(64_496, "Example A"), record(64_511, &"long ".repeat(30)));
        let at = first.len();
        let mut tree = vec![[Target::Nothing; 2]];
        let v4: AddrRange = "203.0.113.0/24".parse().unwrap();
        match family {
            Family::V4 => insert(&mut tree, family, v4.first(), 24, Target::Data(0)),
            Family::V6 => {
                insert(&mut tree, family, v4.first(), 120, Target::Data(0));
                let v6: AddrRange = "2001:db8::/32".parse().unwrap();
                insert(&mut tree, family, v6.first(), 32, Target::Data(at));
            }
        }
        assemble(family, 28, &tree, &[first, second].concat())
    }

    #[test]
    fn the_system_of_an_address() {
        for family in [Family::V4, Family::V6] {
            let systems = Systems::open(database(family)).unwrap();
            let of = |address: &str| systems.of(address.parse().unwrap());
            let found = of("203.0.113.7").unwrap();
            assert_eq!(found.range.to_string(), "203.0.113.0/24");
            assert_eq!((found.number, found.organization.as_str()), (64_496, "Example A"));
            assert_eq!(of("::ffff:203.0.113.7"), Some(found));
            assert_eq!(of("203.0.114.7"), None);
            let v6 = of("2001:db8:1::7").map(|it| (it.range.to_string(), it.number));
            let expected = Some(("2001:db8::/32".to_owned(), 64_511));
            assert_eq!(v6, expected.filter(|_| family == Family::V6));
            let long = of("2001:db8::1").map(|it| it.organization.chars().count());
            assert!(long.is_none_or(|long| long == MAX_NAME));
        }
        assert!(Systems::open(b"nothing".to_vec()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn damage_is_no_harm(place in 0..2000_usize, byte: u8, address: u128) {
            let mut bytes = database(Family::V6);
            let place = place % bytes.len();
            bytes[place] = byte;
            if let Ok(systems) = Systems::open(bytes) {
                for address in [address, 0x2001_0db8 << 96, 0xcb00_7107] {
                    let address = std::net::Ipv6Addr::from_bits(address);
                    let _ = systems.of(address.into());
                }
                let _ = systems.of("203.0.113.7".parse().unwrap());
            }
        }
    }
}
