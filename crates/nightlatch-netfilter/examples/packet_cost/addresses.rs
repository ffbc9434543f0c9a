//! Addresses and networks, the same in every run: spread over all of IPv4, so that no two are
//! neighbours which a firewall could join.

use std::fmt;
use std::net::Ipv4Addr;

/// The most addresses that are allowed in any variant.
const MAX_ALLOWED: usize = 100_000;
/// The most that are banned.
pub(crate) const MAX_BANNED: usize = 100_000;

/// The first octets that are not special anywhere.
fn octets() -> impl Iterator<Item = u32> {
    let special = [10, 100, 127, 169, 172, 192, 198, 203];
    (1..224).filter(move |octet| !special.contains(octet))
}

/// `count` allowed addresses, ascending: one at a random place in each equal share.
pub(crate) fn addresses(count: usize) -> Vec<u32> {
    spread(count, 0x9e37_79b9_7f4a_7c15, 1)
}

/// `count` banned addresses, ascending. None is allowed anywhere.
pub(crate) fn banned(count: usize) -> Vec<u32> {
    let allowed = addresses(MAX_ALLOWED);
    let mut banned = spread(count, 0x6c62_272e_07bb_0142, 1);
    for address in &mut banned {
        // The next share begins much later than that.
        while allowed.binary_search(address).is_ok() {
            *address -= 1;
        }
    }
    banned
}

/// `count` networks of a feed, ascending and apart from each other: single addresses mostly, and
/// some of up to 256, as published lists have them.
pub(crate) fn networks(count: usize) -> Vec<Network> {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let places = spread(count, 0xda94_2042_e4dd_58b5, 512);
    let sized = places.into_iter().map(|place| {
        let bits = [0, 0, 0, 0, 0, 0, 3, 8][random.below(8)];
        Network { first: (place >> bits) << bits, prefix: 32 - bits }
    });
    sized.collect()
}

/// `count` strangers in random order, none of whom is allowed or banned anywhere, or in `listed`.
pub(crate) fn strangers(count: usize, listed: &[Network]) -> Vec<u32> {
    let (allowed, banned) = (addresses(MAX_ALLOWED), banned(MAX_BANNED));
    let octets: Vec<u32> = octets().collect();
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let address = (octets[random.below(octets.len())] << 24) | random.below(1 << 24) as u32;
        let is_known = [&allowed, &banned].iter().any(|all| all.binary_search(&address).is_ok());
        if !is_known && !is_listed(address, listed) {
            found.push(address);
        }
    }
    found
}

/// The same addresses in random order.
pub(crate) fn shuffled(mut addresses: Vec<u32>) -> Vec<u32> {
    let mut random = Random(0x0bad_cafe_1234_5679);
    for end in (1..addresses.len()).rev() {
        addresses.swap(end, random.below(end + 1));
    }
    addresses
}

fn is_listed(address: u32, listed: &[Network]) -> bool {
    let behind = listed.partition_point(|network| network.first <= address);
    behind > 0 && listed[behind - 1].holds(address)
}

/// A network.
pub(crate) struct Network {
    /// Its first address.
    pub(crate) first: u32,
    prefix: u32,
}

impl Network {
    fn holds(&self, address: u32) -> bool {
        address - self.first < 1 << (32 - self.prefix)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

/// One place in each of `count` equal shares of IPv4, the last `gap` addresses of a share left out.
fn spread(count: usize, seed: u64, gap: usize) -> Vec<u32> {
    let octets: Vec<u32> = octets().collect();
    let share = (octets.len() << 24) / count;
    let mut random = Random(seed);
    let place = |number| {
        let at = number * share + random.below(share - gap.min(share / 2));
        (octets[at >> 24] << 24) | (at & 0xff_ffff) as u32
    };
    (0..count).map(place).collect()
}

/// Xorshift: random enough, and the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}
