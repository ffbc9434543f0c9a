//! Addresses, networks and ranges of IPv4 and IPv6, as administrators and lists write them.

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, 32 bits.
    V4,
    /// IPv6, 128 bits.
    V6,
}

impl Family {
    /// The number of bits of an address: 32 or 128.
    pub const fn bits(self) -> u32 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// The highest address of the family as a number.
    pub const fn highest(self) -> u128 {
        match self {
            Family::V4 => u32::MAX as u128,
            Family::V6 => u128::MAX,
        }
    }

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }
}

/// An unbroken run of addresses of one family, both ends included: one address, a network
/// (CIDR), or any `first-last`.
///
/// Ordered by family, then first, then last address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AddrRange {
    family: Family,
    first: u128,
    last: u128,
}

impl AddrRange {
    /// A range of `family` from `first` to `last`, both included.
    ///
    /// `None` where the ends are in the wrong order or beyond the family's addresses.
    pub const fn new(family: Family, first: u128, last: u128) -> Option<AddrRange> {
        if first <= last && last <= family.highest() {
            Some(AddrRange { family, first, last })
        } else {
            None
        }
    }

    /// The network of `prefix` bits that `address` lies in; host bits are cut off.
    ///
    /// `None` where the prefix is longer than the address.
    pub const fn network(address: IpAddr, prefix: u32) -> Option<AddrRange> {
        let family = Family::of(address);
        if prefix > family.bits() {
            return None;
        }
        let hosts = match family.bits() - prefix {
            0 => 0,
            free => u128::MAX >> (128 - free),
        };
        let first = to_number(address) & !hosts;
        AddrRange::new(family, first, first | hosts)
    }

    /// Every address of a family.
    pub const fn all(family: Family) -> AddrRange {
        AddrRange { family, first: 0, last: family.highest() }
    }

    /// IPv4 or IPv6.
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The first address as a number (network order: `0.0.0.1` is 1).
    pub const fn first(&self) -> u128 {
        self.first
    }

    /// The last address as a number.
    pub const fn last(&self) -> u128 {
        self.last
    }

    /// The first address.
    pub fn first_address(&self) -> IpAddr {
        from_number(self.family, self.first)
    }

    /// The last address.
    pub fn last_address(&self) -> IpAddr {
        from_number(self.family, self.last)
    }

    /// How many addresses it holds besides the first: 0 for a single address. The smaller, the
    /// more specific the range.
    pub const fn width(&self) -> u128 {
        self.last - self.first
    }

    /// Whether it is exactly one address.
    pub const fn is_single(&self) -> bool {
        self.first == self.last
    }

    /// Whether `address` lies in it. An IPv4 address written as IPv6 (`::ffff:192.0.2.1`) counts
    /// as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let number = to_number(address);
        self.family == Family::of(address) && self.first <= number && number <= self.last
    }

    /// Whether every address of `other` lies in it.
    pub fn covers(&self, other: &AddrRange) -> bool {
        self.family == other.family && self.first <= other.first && other.last <= self.last
    }

    /// Whether both have an address in common.
    pub fn overlaps(&self, other: &AddrRange) -> bool {
        self.family == other.family && self.first <= other.last && other.first <= self.last
    }

    /// The prefix length, where the range is exactly a network.
    pub fn prefix(&self) -> Option<u32> {
        let width = self.width();
        let is_network = width & width.wrapping_add(1) == 0 && self.first & width == 0;
        is_network.then(|| self.family.bits() - width.count_ones())
    }

    /// The fewest networks that hold exactly the addresses of the range, ascending: at most two
    /// for each bit of an address.
    pub fn networks(&self) -> impl Iterator<Item = AddrRange> + use<> {
        let AddrRange { family, first, last } = *self;
        let mut rest = Some(first);
        std::iter::from_fn(move || {
            let from = rest?;
            // As many free bits as the place where it begins has, and as fit.
            let fit = (last - from).checked_add(1).map_or(128, u128::ilog2);
            let hosts = match from.trailing_zeros().min(fit) {
                0 => 0,
                free => u128::MAX >> (128 - free),
            };
            rest = (from | hosts).checked_add(1).filter(|next| *next <= last);
            Some(AddrRange { family, first: from, last: from | hosts })
        })
    }
}

/// An address as a number (network order).
pub const fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits() as u128,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address of a number. Bits beyond the family's are cut off.
#[expect(clippy::cast_possible_truncation, reason = "the family's bits are what is asked for")]
pub const fn from_number(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

impl From<IpAddr> for AddrRange {
    fn from(address: IpAddr) -> AddrRange {
        let address = address.to_canonical();
        let number = to_number(address);
        AddrRange { family: Family::of(address), first: number, last: number }
    }
}

/// Writes `192.0.2.1`, `192.0.2.0/24` or `192.0.2.1-192.0.2.9`, the shortest that is exact.
impl fmt::Display for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() {
            return write!(f, "{}", self.first_address());
        }
        match self.prefix() {
            Some(prefix) => write!(f, "{}/{prefix}", self.first_address()),
            None => write!(f, "{}-{}", self.first_address(), self.last_address()),
        }
    }
}

impl fmt::Debug for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<AddrRange> for String {
    fn from(range: AddrRange) -> String {
        range.to_string()
    }
}

/// What is wrong with a text that should be an address, a network or a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not an address at all; perhaps a host name.
    #[error(
        "\"{0}\" is not an IPv4 or IPv6 address, network (192.0.2.0/24) or range (192.0.2.1-192.0.2.9)"
    )]
    NotAnAddress(String),
    /// The part behind the slash is no prefix length of the family.
    #[error("\"{text}\": the part after \"/\" must be a number from 0 to {most}")]
    Prefix {
        /// The text as written.
        text: String,
        /// 32 or 128.
        most: u32,
    },
    /// The ends of a range are of two families, or the first is behind the last.
    #[error("\"{0}\": a range needs two addresses of the same family, the lower one first")]
    Range(String),
}

impl FromStr for AddrRange {
    type Err = AddressError;

    /// Reads `a`, `a/prefix` (host bits are cut off) or `a-b`. IPv4 written as IPv6 becomes IPv4.
    fn from_str(text: &str) -> Result<AddrRange, AddressError> {
        let text = text.trim();
        let address = |part: &str| -> Result<IpAddr, AddressError> {
            part.trim()
                .parse::<IpAddr>()
                .map(|address| address.to_canonical())
                .map_err(|_| AddressError::NotAnAddress(shorten(text)))
        };
        if let Some((base, prefix)) = text.split_once('/') {
            let written: IpAddr =
                base.parse().map_err(|_| AddressError::NotAnAddress(shorten(text)))?;
            let wrong =
                || AddressError::Prefix { text: shorten(text), most: Family::of(written).bits() };
            if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
                return Err(wrong());
            }
            let mut bits: u32 = prefix.parse().map_err(|_| wrong())?;
            let base = written.to_canonical();
            if Family::of(base) != Family::of(written) {
                bits = bits.checked_sub(96).ok_or_else(wrong)?;
            }
            return AddrRange::network(base, bits).ok_or_else(wrong);
        }
        if let Some((first, last)) = text.split_once('-') {
            let (first, last) = (address(first)?, address(last)?);
            if Family::of(first) != Family::of(last) {
                return Err(AddressError::Range(shorten(text)));
            }
            return AddrRange::new(Family::of(first), to_number(first), to_number(last))
                .ok_or_else(|| AddressError::Range(shorten(text)));
        }
        address(text).map(AddrRange::from)
    }
}

impl TryFrom<String> for AddrRange {
    type Error = AddressError;

    fn try_from(text: String) -> Result<AddrRange, AddressError> {
        text.parse()
    }
}

/// At most 60 characters of a text from outside, for a message.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Joins ranges that overlap or touch, and sorts them. `n log n`.
pub fn merge(mut ranges: Vec<AddrRange>) -> Vec<AddrRange> {
    ranges.sort_unstable();
    let mut merged: Vec<AddrRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(previous)
                if previous.family == range.family
                    && range.first.cmp(&previous.last.saturating_add(1)) != Ordering::Greater =>
            {
                previous.last = previous.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, shown: &str) {
        let range: AddrRange = text.parse().unwrap();
        assert_eq!(range.to_string(), shown, "{text}");
    }

    #[test]
    fn what_administrators_write() {
        check("203.0.113.7", "203.0.113.7");
        check(" 203.0.113.7/24 ", "203.0.113.0/24");
        check("203.0.113.7/32", "203.0.113.7");
        check("0.0.0.0/0", "0.0.0.0/0");
        check("::/0", "::/0");
        check("192.0.2.1-192.0.2.9", "192.0.2.1-192.0.2.9");
        check("192.0.2.0 - 192.0.2.255", "192.0.2.0/24");
        check("2001:db8::1/64", "2001:db8::/64");
        check("2001:DB8::1", "2001:db8::1");
        check("::ffff:192.0.2.1", "192.0.2.1");
        check("::ffff:192.0.2.1/120", "192.0.2.0/24");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, message) in [
            ("office", "\"office\" is not an IPv4"),
            ("192.0.2.1/33", "must be a number from 0 to 32"),
            ("192.0.2.1/", "must be a number from 0 to 32"),
            ("192.0.2.1/+8", "must be a number from 0 to 32"),
            ("::1/129", "must be a number from 0 to 128"),
            ("::ffff:192.0.2.1/64", "must be a number"),
            ("192.0.2.9-192.0.2.1", "the lower one first"),
            ("192.0.2.9-2001:db8::1", "of the same family"),
            ("192.0.2.256", "is not an IPv4"),
            ("", "is not an IPv4"),
        ] {
            let error = text.parse::<AddrRange>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn merging() {
        let ranges = ["192.0.2.4", "192.0.2.0/30", "2001:db8::1", "192.0.2.2-192.0.2.3", "::/0"]
            .map(|text| text.parse().unwrap());
        let merged: Vec<String> = merge(ranges.to_vec()).iter().map(ToString::to_string).collect();
        assert_eq!(merged, ["192.0.2.0-192.0.2.4", "::/0"]);
    }

    #[test]
    fn networks_of_a_range() {
        let check = |range: &str, expected: &[&str]| {
            let range: AddrRange = range.parse().unwrap();
            let networks: Vec<String> = range.networks().map(|net| net.to_string()).collect();
            assert_eq!(networks, expected);
        };
        check("192.0.2.1", &["192.0.2.1"]);
        check("192.0.2.0/24", &["192.0.2.0/24"]);
        check("192.0.2.1-192.0.2.2", &["192.0.2.1", "192.0.2.2"]);
        check("192.0.2.1-192.0.2.6", &["192.0.2.1", "192.0.2.2/31", "192.0.2.4/31", "192.0.2.6"]);
        check("0.0.0.0/0", &["0.0.0.0/0"]);
        check("::/0", &["::/0"]);
        check("2001:db8::ffff-2001:db8::1:0", &["2001:db8::ffff", "2001:db8::1:0"]);
        check(
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffd-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            &[
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffd",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
            ],
        );
    }

    proptest! {
        #[test]
        fn networks_join_to_the_range(a: u128, b: u128, v6: bool, narrow in 0_u32..120) {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let (a, b) = (a & family.highest(), a.wrapping_add(b >> narrow) & family.highest());
            let range = AddrRange::new(family, a.min(b), a.max(b)).unwrap();
            let networks: Vec<AddrRange> = range.networks().collect();
            prop_assert!(networks.iter().all(|network| network.prefix().is_some()));
            prop_assert!(networks.windows(2).all(|pair| pair[0].last() + 1 == pair[1].first()));
            prop_assert_eq!(merge(networks), vec![range]);
        }

        #[test]
        fn any_text_is_refused_or_read_back(text in "\\PC{0,40}") {
            if let Ok(range) = text.parse::<AddrRange>() {
                prop_assert_eq!(range.to_string().parse::<AddrRange>(), Ok(range));
            }
        }

        #[test]
        fn shown_ranges_read_back(a: u128, b: u128, v6: bool) {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let (a, b) = (a & family.highest(), b & family.highest());
            let range = AddrRange::new(family, a.min(b), a.max(b)).unwrap();
            prop_assert_eq!(range.to_string().parse::<AddrRange>(), Ok(range));
        }
    }
}
