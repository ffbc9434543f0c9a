//! Reads the text forms of country tables as they arrive.

use super::CountryCode;
use super::table::{Builder, CountryTable};
use crate::address::{AddrRange, Family, to_number};
use crate::feed::{Found, MAX_LINE_LEN, plain_line};
use crate::lines::{Line, Lines, without_byte_order_mark};
use crate::sniff::{self, NotAList};
use crate::tally::Tally;

/// So many refused lines without a single entry are enough to know that this is no table.
const HOPELESS: u64 = 10_000;

/// How a table of countries is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Found out from the first line: [`Layout::Delegated`] or [`Layout::Ranges`].
    #[default]
    Auto,
    /// The networks of one country, one a line, as ipdeny publishes them.
    Zone(CountryCode),
    /// A registry's statistics (delegated, delegated-extended):
    /// `ripencc|DE|ipv4|192.0.2.0|256|20100101|allocated`.
    Delegated,
    /// `first,last,CC`, with addresses or their decimal numbers, quoted or not: Debian's
    /// tor-geoipdb, DB-IP and `IP2Location` in their CSV forms.
    Ranges,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Countries {
    /// The ranges, not yet disjoint; more tables can be added before it is built.
    pub builder: Builder,
    /// How many lines could be read, and what could not.
    pub tally: Tally,
}

impl Countries {
    /// How many ranges were read.
    pub fn len(&self) -> usize {
        self.builder.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// The table.
    pub fn build(self) -> CountryTable {
        self.builder.build()
    }
}

/// Why a table of countries cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountryError {
    /// It is something else.
    #[error(transparent)]
    NotAList(#[from] NotAList),
    /// It holds more ranges than the caller allows.
    #[error("the table has more than {limit} ranges; raise the limit if that is expected")]
    TooMany {
        /// The caller's limit.
        limit: usize,
    },
    /// It has lines, but none names a country.
    #[error(
        "none of the {lines} lines read is a range with its country (first: \"{sample}\"); check the address and the kind of table"
    )]
    NothingUsable {
        /// How many lines were read.
        lines: u64,
        /// The first of them.
        sample: String,
    },
    /// A database in the `MaxMind` format that is damaged or of another kind.
    #[error("cannot use the .mmdb database: {0}")]
    Database(&'static str),
}

/// Reads a table as it arrives.
///
/// After an error the table is to be given up.
#[derive(Debug)]
pub struct Reader {
    layout: Layout,
    limit: usize,
    head: Option<Vec<u8>>,
    lines: Lines,
    builder: Builder,
    tally: Tally,
}

impl Reader {
    /// A reader of `layout` that takes at most `limit` ranges.
    pub fn new(layout: Layout, limit: usize) -> Reader {
        Reader {
            layout,
            limit,
            head: Some(Vec::new()),
            lines: Lines::new(MAX_LINE_LEN),
            builder: Builder::new(),
            tally: Tally::default(),
        }
    }

    /// Reads the next block.
    ///
    /// # Errors
    /// As soon as it is plain that this is no table of countries, or too large a one.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), CountryError> {
        let Some(head) = &mut self.head else {
            return self.read(bytes);
        };
        let room = sniff::HEAD.saturating_sub(head.len());
        let (first, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        head.extend_from_slice(first);
        if head.len() < sniff::HEAD {
            return Ok(());
        }
        self.begin(false)?;
        self.read(rest)
    }

    /// The end of the table.
    ///
    /// # Errors
    /// See [`CountryError`].
    pub fn finish(mut self) -> Result<Countries, CountryError> {
        self.begin(true)?;
        let mut sink = Sink {
            layout: self.layout,
            limit: self.limit,
            builder: &mut self.builder,
            tally: &mut self.tally,
        };
        self.lines.finish(|line| sink.line(line))?;
        if self.builder.is_empty() && self.tally.refused > 0 {
            return Err(self.hopeless());
        }
        Ok(Countries { builder: self.builder, tally: self.tally })
    }

    fn begin(&mut self, whole: bool) -> Result<(), CountryError> {
        let Some(head) = self.head.take() else {
            return Ok(());
        };
        if let Some(other) = sniff::not_a_list(&head, whole) {
            return Err(other.into());
        }
        if self.layout == Layout::Auto {
            self.layout = detect(&head);
        }
        self.read(&head)
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), CountryError> {
        let mut sink = Sink {
            layout: self.layout,
            limit: self.limit,
            builder: &mut self.builder,
            tally: &mut self.tally,
        };
        self.lines.push(bytes, |line| sink.line(line))?;
        if self.builder.is_empty() && self.tally.refused >= HOPELESS {
            return Err(self.hopeless());
        }
        Ok(())
    }

    fn hopeless(&self) -> CountryError {
        CountryError::NothingUsable { lines: self.tally.lines, sample: self.tally.first_sample() }
    }
}

/// Whether the first line with something in it looks like a registry's.
fn detect(head: &[u8]) -> Layout {
    let first = without_byte_order_mark(head)
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty() && !line.starts_with(b"#"))
        .unwrap_or_default();
    if first.contains(&b'|') { Layout::Delegated } else { Layout::Ranges }
}

/// What a line holds.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// Nothing that matters: a comment, a summary, an AS number, an unknown country.
    Nothing,
    Entry(AddrRange, CountryCode),
    Refused,
}

struct Sink<'a> {
    layout: Layout,
    limit: usize,
    builder: &'a mut Builder,
    tally: &'a mut Tally,
}

impl Sink<'_> {
    fn line(&mut self, line: Line<'_>) -> Result<(), CountryError> {
        let meaning = match self.layout {
            Layout::Zone(code) => zone(line.text, code),
            Layout::Delegated => delegated(line.text),
            Layout::Auto | Layout::Ranges => ranges(line.text),
        };
        match meaning {
            Meaning::Nothing => {}
            Meaning::Entry(range, code) if !line.too_long => {
                if self.builder.len() >= self.limit {
                    return Err(CountryError::TooMany { limit: self.limit });
                }
                self.builder.add(range, code);
                self.tally.accept();
            }
            Meaning::Entry(..) | Meaning::Refused => self.tally.refuse(line.number, line.text),
        }
        Ok(())
    }
}

fn zone(text: &[u8], code: CountryCode) -> Meaning {
    match plain_line(text) {
        Found::Nothing => Meaning::Nothing,
        Found::Entry(range) => Meaning::Entry(range, code),
        Found::Refused => Meaning::Refused,
    }
}

/// `registry|CC|type|start|value|date|status[|...]`: the value of IPv4 is a number of addresses,
/// not always a power of two; that of IPv6 is a prefix length.
fn delegated(text: &[u8]) -> Meaning {
    let text = text.trim_ascii();
    if text.is_empty() || text.starts_with(b"#") {
        return Meaning::Nothing;
    }
    let Ok(text) = std::str::from_utf8(text) else {
        return Meaning::Refused;
    };
    let mut cells = text.split('|').map(str::trim);
    let mut cell = || cells.next().unwrap_or_default();
    let (registry, country, kind, start, value) = (cell(), cell(), cell(), cell(), cell());
    let status = (cell(), cell()).1;
    let is_version = registry.starts_with(|first: char| first.is_ascii_digit());
    if is_version || kind == "asn" || status == "summary" || start == "*" || country == "*" {
        return Meaning::Nothing;
    }
    let range = match kind {
        "ipv4" => counted(start, value),
        "ipv6" => prefixed(start, value),
        _ => None,
    };
    let Some(range) = range else {
        return Meaning::Refused;
    };
    // What is free or reserved has no country, or `ZZ`.
    if matches!(status, "available" | "reserved") {
        return Meaning::Nothing;
    }
    CountryCode::of_table(country.as_bytes())
        .map_or(Meaning::Nothing, |code| Meaning::Entry(range, code))
}

fn counted(start: &str, count: &str) -> Option<AddrRange> {
    let first = u128::from(start.parse::<std::net::Ipv4Addr>().ok()?.to_bits());
    let count: u64 = number(count)?;
    let last = first + u128::from(count.checked_sub(1)?);
    AddrRange::new(Family::V4, first, last)
}

fn prefixed(start: &str, prefix: &str) -> Option<AddrRange> {
    let start: std::net::Ipv6Addr = start.parse().ok()?;
    let network = AddrRange::network(start.into(), number(prefix)?)?;
    // A start that is not the network's first address is damaged.
    (network.first() == start.to_bits()).then_some(network)
}

/// Digits only: `parse` alone would take a sign.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// `first,last,CC`; `??`, `ZZ` and `-` are unknown countries.
fn ranges(text: &[u8]) -> Meaning {
    let text = text.trim_ascii();
    if text.is_empty() || text.starts_with(b"#") {
        return Meaning::Nothing;
    }
    let Ok(text) = std::str::from_utf8(text) else {
        return Meaning::Refused;
    };
    let mut cells = text.split(',').map(|cell| cell.trim().trim_matches('"'));
    let (Some(first), Some(last), Some(country)) = (cells.next(), cells.next(), cells.next())
    else {
        return Meaning::Refused;
    };
    let range = end(first).zip(end(last)).and_then(|(first, last)| {
        let same = first.0 == last.0;
        same.then(|| AddrRange::new(first.0, first.1, last.1))?
    });
    let Some(range) = range else {
        return Meaning::Refused;
    };
    match (CountryCode::of_table(country.as_bytes()), country) {
        (Some(code), _) => Meaning::Entry(range, code),
        (None, "??" | "ZZ" | "-" | "") => Meaning::Nothing,
        (None, _) => Meaning::Refused,
    }
}

/// An address, or its decimal number. IPv6 numbers of mapped IPv4 addresses are IPv4.
fn end(text: &str) -> Option<(Family, u128)> {
    let address = match number::<u128>(text) {
        Some(number) if !text.is_empty() => match u32::try_from(number) {
            Ok(v4) => std::net::IpAddr::from(v4.to_be_bytes()),
            Err(_) => std::net::IpAddr::from(number.to_be_bytes()),
        },
        _ => text.parse().ok()?,
    };
    let address = address.to_canonical();
    Some((Family::of(address), to_number(address)))
}

#[cfg(test)]
mod tests;
