//! Databases in the `MaxMind` format (`.mmdb`), version 2: `GeoLite2` and DB-IP Country and City,
//! `IPinfo` and others that keep `country.iso_code`, `country_code` or `country`.
//!
//! Format: <https://maxmind.github.io/MaxMind-DB/>. The whole tree is walked once. Every step is
//! bounded by the size of the file, so that a damaged one gives an error and not a loop.

mod data;
mod systems;

use std::collections::HashMap;

use super::reader::{Countries, CountryError};
use super::{Builder, CountryCode};
use crate::address::{AddrRange, Family, from_number};
use crate::tally::Tally;
use data::{Data, number_at};

pub use systems::{System, Systems};

/// Where the metadata begins, at most this far from the file's end.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
const MAX_METADATA_BYTES: usize = 128 * 1024;
/// Zeros between tree and data.
const SEPARATOR: usize = 16;
/// The bit at which the IPv4 addresses begin in a tree of IPv6.
const V4_DEPTH: u32 = 96;

/// Whether a file that ends in `tail` may be a database in this format.
pub fn is_database(tail: &[u8]) -> bool {
    tail.windows(MARKER.len()).any(|window| window == MARKER)
}

/// Reads a whole database. `limit` is the most ranges it may have; neighbours of one country
/// count once.
///
/// # Errors
/// [`CountryError::Database`] where it is damaged or has no countries, [`CountryError::TooMany`].
pub fn read(bytes: &[u8], limit: usize) -> Result<Countries, CountryError> {
    let tree = Tree::open(bytes)?;
    let mut walk = Walk {
        tree: &tree,
        limit,
        steps: u64::from(tree.node_count) * 4 + 256,
        known: HashMap::new(),
        pending: None,
        countries: Countries { builder: Builder::new(), tally: Tally::default() },
    };
    walk.run()?;
    let countries = walk.countries;
    if countries.builder.is_empty() {
        return Err(wrong("none of its networks has a country"));
    }
    Ok(countries)
}

fn wrong(what: &'static str) -> CountryError {
    CountryError::Database(what)
}

/// The search tree and the data behind it.
struct Tree<'a> {
    nodes: &'a [u8],
    node_count: u32,
    /// Bytes of a node, which is two records.
    node_size: usize,
    family: Family,
    data: Data<'a>,
}

/// What a record points to.
#[derive(Clone, Copy)]
enum Target {
    Node(u32),
    Nothing,
    Data(usize),
}

impl<'a> Tree<'a> {
    fn open(bytes: &'a [u8]) -> Result<Tree<'a>, CountryError> {
        let tail_at = bytes.len().saturating_sub(MAX_METADATA_BYTES);
        let tail = bytes.get(tail_at..).unwrap_or_default();
        let marker = tail
            .windows(MARKER.len())
            .rposition(|window| window == MARKER)
            .ok_or(wrong("it has no MaxMind metadata"))?;
        let metadata = Data::new(tail.get(marker + MARKER.len()..).unwrap_or_default());
        let field = |name: &[u8]| metadata.number_of(0, name);
        if field(b"binary_format_major_version") != Some(2) {
            return Err(wrong("its format is not version 2"));
        }
        let family = match field(b"ip_version") {
            Some(4) => Family::V4,
            Some(6) => Family::V6,
            _ => return Err(wrong("its metadata has no IP version")),
        };
        let node_size = match field(b"record_size") {
            Some(24) => 6,
            Some(28) => 7,
            Some(32) => 8,
            _ => return Err(wrong("the record size is not 24, 28 or 32 bits")),
        };
        let node_count = field(b"node_count")
            .and_then(|count| u32::try_from(count).ok())
            .ok_or(wrong("its metadata has no number of nodes"))?;
        let too_short = || wrong("it is shorter than its metadata says");
        let tree_size = usize::try_from(node_count)
            .ok()
            .and_then(|count| count.checked_mul(node_size))
            .ok_or_else(too_short)?;
        let (nodes, rest) = bytes
            .get(..tail_at + marker)
            .and_then(|bytes| bytes.split_at_checked(tree_size))
            .ok_or_else(too_short)?;
        Ok(Tree {
            nodes,
            node_count,
            node_size,
            family,
            data: Data::new(rest.get(SEPARATOR..).ok_or_else(too_short)?),
        })
    }

    fn target(&self, node: u32, right: bool) -> Result<Target, CountryError> {
        let outside = || wrong("its search tree points outside itself");
        let at = usize::try_from(node).ok().map(|node| node * self.node_size);
        let node = at.and_then(|at| self.nodes.get(at..at + self.node_size)).ok_or_else(outside)?;
        let record = match (node, right) {
            (&[a, b, c, _, _, _], false) | (&[_, _, _, a, b, c], true) => number_at(&[a, b, c]),
            (&[a, b, c, high, _, _, _], false) => number_at(&[high >> 4, a, b, c]),
            (&[_, _, _, high, a, b, c], true) => number_at(&[high & 15, a, b, c]),
            (&[a, b, c, d, _, _, _, _], false) | (&[_, _, _, _, a, b, c, d], true) => {
                number_at(&[a, b, c, d])
            }
            _ => return Err(outside()),
        };
        let count = u64::from(self.node_count);
        match record.checked_sub(count) {
            None => Ok(Target::Node(u32::try_from(record).map_err(|_| outside())?)),
            Some(0) => Ok(Target::Nothing),
            Some(behind) => usize::try_from(behind)
                .ok()
                .and_then(|behind| behind.checked_sub(SEPARATOR))
                .map(Target::Data)
                .ok_or_else(outside),
        }
    }

    /// The node at which the IPv4 addresses begin, where there is one.
    fn v4_node(&self) -> Result<Option<u32>, CountryError> {
        let mut node = 0;
        for _ in 0..V4_DEPTH {
            match self.target(node, false)? {
                Target::Node(next) => node = next,
                Target::Nothing | Target::Data(_) => return Ok(None),
            }
        }
        Ok(Some(node))
    }
}

/// One walk through the tree.
struct Walk<'a> {
    tree: &'a Tree<'a>,
    limit: usize,
    /// How many nodes may still be visited. A sound tree visits each once.
    steps: u64,
    /// The countries of records already read.
    known: HashMap<usize, Option<CountryCode>>,
    /// The last range, which the next one may make longer.
    pending: Option<(AddrRange, CountryCode)>,
    countries: Countries,
}

/// A network by its first bits and their number.
#[derive(Clone, Copy)]
struct Network {
    bits: u128,
    depth: u32,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), CountryError> {
        if self.tree.node_count == 0 {
            return Ok(());
        }
        let v4_node = match self.tree.family {
            Family::V4 => None,
            Family::V6 => self.tree.v4_node()?,
        };
        let top = Network { bits: 0, depth: 0 };
        let mut waiting = vec![(Target::Node(0), top)];
        while let Some((target, network)) = waiting.pop() {
            let node = match target {
                Target::Nothing => continue,
                Target::Data(at) => {
                    self.found(at, network)?;
                    continue;
                }
                Target::Node(node) => node,
            };
            // Other ways to the IPv4 addresses (::ffff:0:0/96, 2002::/16) only repeat them.
            if v4_node == Some(node) && (network.bits, network.depth) != (0, V4_DEPTH) {
                continue;
            }
            if network.depth >= self.tree.family.bits() {
                return Err(wrong("its search tree is deeper than an address has bits"));
            }
            self.steps =
                self.steps.checked_sub(1).ok_or(wrong("its search tree contains a cycle"))?;
            // The left half is taken next: ranges come in ascending order.
            waiting.push((self.tree.target(node, true)?, self.half(network, true)));
            waiting.push((self.tree.target(node, false)?, self.half(network, false)));
        }
        self.flush()
    }

    fn half(&self, network: Network, right: bool) -> Network {
        let bit = self.tree.family.bits() - network.depth - 1;
        Network { bits: network.bits | (u128::from(right) << bit), depth: network.depth + 1 }
    }

    /// A network with the record at `at`.
    fn found(&mut self, at: usize, network: Network) -> Result<(), CountryError> {
        let code = if let Some(code) = self.known.get(&at) {
            *code
        } else {
            let code = self.tree.data.country(at).map_err(wrong)?;
            self.known.insert(at, code);
            code
        };
        let Some(code) = code else {
            return Ok(());
        };
        let Network { bits, depth } = network;
        let in_v4 = self.tree.family == Family::V6 && bits >> 32 == 0;
        let (family, depth) = match depth.checked_sub(V4_DEPTH) {
            Some(depth) if in_v4 => (Family::V4, depth),
            _ => (self.tree.family, depth),
        };
        let range = AddrRange::network(from_number(family, bits), depth)
            .ok_or(wrong("its search tree is deeper than an address has bits"))?;
        if in_v4 && family == Family::V6 {
            // A network that holds ::/96 holds all of IPv4.
            self.add(AddrRange::all(Family::V4), code)?;
        }
        self.add(range, code)
    }

    /// Adds a range, or makes the one before it longer.
    fn add(&mut self, range: AddrRange, code: CountryCode) -> Result<(), CountryError> {
        if let Some((before, its_code)) = &mut self.pending
            && *its_code == code
            && before.family() == range.family()
            && before.last().checked_add(1) == Some(range.first())
            && let Some(longer) = AddrRange::new(range.family(), before.first(), range.last())
        {
            *before = longer;
            return Ok(());
        }
        self.flush()?;
        self.pending = Some((range, code));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CountryError> {
        if let Some((range, code)) = self.pending.take() {
            if self.countries.builder.len() >= self.limit {
                return Err(CountryError::TooMany { limit: self.limit });
            }
            self.countries.builder.add(range, code);
            self.countries.tally.accept();
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
