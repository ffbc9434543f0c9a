//! A table of disjoint ranges with their countries, and how overlapping ones become it.

use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;

use super::CountryCode;
use crate::address::{AddrRange, Family, to_number};
use crate::ranges::low;

/// Which country each address belongs to: sorted, disjoint ranges, 10 bytes for one of IPv4 and
/// 34 for one of IPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountryTable {
    v4: Columns<u32>,
    v6: Columns<u128>,
}

/// How much a country has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Ranges of IPv4.
    pub v4_ranges: usize,
    /// Addresses of IPv4.
    pub v4_addresses: u64,
    /// Ranges of IPv6.
    pub v6_ranges: usize,
}

impl CountryTable {
    /// The country of an address; an IPv4 address written as IPv6 counts as the IPv4 address.
    pub fn of(&self, address: IpAddr) -> Option<CountryCode> {
        self.entry(address).map(|(_, code)| code)
    }

    /// The range that an address lies in, with its country.
    pub fn entry(&self, address: IpAddr) -> Option<(AddrRange, CountryCode)> {
        let address = address.to_canonical();
        let number = to_number(address);
        match Family::of(address) {
            Family::V4 => self.v4.find(low(number)).and_then(v4_row),
            Family::V6 => self.v6.find(number).and_then(v6_row),
        }
    }

    /// Every range with its country: IPv4 before IPv6, each in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (AddrRange, CountryCode)> + '_ {
        let v4 = self.v4.iter().filter_map(v4_row);
        v4.chain(self.v6.iter().filter_map(v6_row))
    }

    /// The ranges of a country, in ascending order.
    pub fn ranges(&self, code: CountryCode) -> impl Iterator<Item = AddrRange> + '_ {
        self.iter().filter_map(move |(range, other)| (other == code).then_some(range))
    }

    /// How much each country has.
    pub fn sizes(&self) -> BTreeMap<CountryCode, Size> {
        let mut sizes: BTreeMap<CountryCode, Size> = BTreeMap::new();
        for (first, last, code) in self.v4.iter() {
            let size = sizes.entry(code).or_default();
            size.v4_ranges += 1;
            size.v4_addresses += u64::from(last - first) + 1;
        }
        for (_, _, code) in self.v6.iter() {
            sizes.entry(code).or_default().v6_ranges += 1;
        }
        sizes
    }

    /// How many ranges it holds.
    pub fn len(&self) -> usize {
        self.v4.codes.len() + self.v6.codes.len()
    }

    /// Whether it holds no range.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn v4_row((first, last, code): Row<u32>) -> Option<(AddrRange, CountryCode)> {
    AddrRange::new(Family::V4, first.into(), last.into()).map(|range| (range, code))
}

fn v6_row((first, last, code): Row<u128>) -> Option<(AddrRange, CountryCode)> {
    AddrRange::new(Family::V6, first, last).map(|range| (range, code))
}

/// Gathers ranges with their countries, from one source or many, in any order, overlapping or not.
///
/// Where ranges overlap, an address belongs to the narrowest of them; of ranges equally wide, to
/// the one that starts later; of the same range named twice, to the one added later. So an
/// assignment wins over the allocation it was made from, and a correction added behind a table
/// over the table.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    v4: Vec<Row<u32>>,
    v6: Vec<Row<u128>>,
}

impl Builder {
    /// An empty one.
    pub const fn new() -> Builder {
        Builder { v4: Vec::new(), v6: Vec::new() }
    }

    /// Adds a range.
    pub fn add(&mut self, range: AddrRange, code: CountryCode) {
        match range.family() {
            Family::V4 => self.v4.push((low(range.first()), low(range.last()), code)),
            Family::V6 => self.v6.push((range.first(), range.last(), code)),
        }
    }

    /// How many ranges were added.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether none was added.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Resolves what overlaps, joins what touches and is of one country. `n log n`.
    pub fn build(self) -> CountryTable {
        CountryTable { v4: disjoint(self.v4), v6: disjoint(self.v6) }
    }
}

/// First and last address, country.
type Row<N> = (N, N, CountryCode);

/// Rows kept by column, because a number of 128 bits beside a code would waste 14 bytes a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Columns<N> {
    firsts: Vec<N>,
    lasts: Vec<N>,
    codes: Vec<CountryCode>,
}

impl<N: Number> Columns<N> {
    fn find(&self, number: N) -> Option<Row<N>> {
        let behind = self.firsts.partition_point(|first| *first <= number);
        let row = self.row(behind.checked_sub(1)?)?;
        (number <= row.1).then_some(row)
    }

    fn row(&self, at: usize) -> Option<Row<N>> {
        Some((*self.firsts.get(at)?, *self.lasts.get(at)?, *self.codes.get(at)?))
    }

    fn iter(&self) -> impl Iterator<Item = Row<N>> + '_ {
        (0..self.codes.len()).filter_map(|at| self.row(at))
    }

    /// Adds a row behind all others, or makes the last one longer.
    fn push(&mut self, (first, last, code): Row<N>) {
        if let (Some(previous), Some(last_code)) = (self.lasts.last_mut(), self.codes.last())
            && *last_code == code
            && previous.next() == Some(first)
        {
            *previous = last;
            return;
        }
        self.firsts.push(first);
        self.lasts.push(last);
        self.codes.push(code);
    }

    fn shrink(mut self) -> Columns<N> {
        self.firsts.shrink_to_fit();
        self.lasts.shrink_to_fit();
        self.codes.shrink_to_fit();
        self
    }
}

/// An address as a number.
trait Number: Copy + Ord + Default {
    fn next(self) -> Option<Self>;
    fn before(self) -> Option<Self>;
    fn width(self, last: Self) -> Self;
}

macro_rules! number {
    ($($kind:ty),*) => {$(
        impl Number for $kind {
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn before(self) -> Option<Self> {
                self.checked_sub(1)
            }
            fn width(self, last: Self) -> Self {
                last.saturating_sub(self)
            }
        }
    )*};
}
number!(u32, u128);

/// Sweeps over the rows in ascending order. At every place the best of the open rows wins; each
/// step closes a row or reaches the start of one, so there are at most two steps a row.
fn disjoint<N: Number>(mut rows: Vec<Row<N>>) -> Columns<N> {
    // Stable, so that of the same range the later one stays behind.
    if !rows.is_sorted_by_key(|row| row.0) {
        rows.sort_by_key(|row| row.0);
    }
    let mut columns = Columns::default();
    let mut open: BinaryHeap<Open<N>> = BinaryHeap::new();
    let mut waiting = rows.iter().zip(0_usize..).peekable();
    let mut place = N::default();
    loop {
        while open.peek().is_some_and(|best| best.last < place) {
            open.pop();
        }
        if open.is_empty() {
            match waiting.peek() {
                Some((row, _)) => place = place.max(row.0),
                None => break,
            }
        }
        while let Some((row, order)) = waiting.next_if(|(row, _)| row.0 <= place) {
            open.push(Open {
                width: std::cmp::Reverse(row.0.width(row.1)),
                order,
                last: row.1,
                code: row.2,
            });
        }
        let Some(best) = open.peek() else {
            break;
        };
        let until_next = waiting.peek().and_then(|(row, _)| row.0.before());
        let end = until_next.map_or(best.last, |end| end.min(best.last));
        if end < place {
            // Only where a row's last were before its first; `AddrRange` does not let it be.
            open.pop();
            continue;
        }
        columns.push((place, end, best.code));
        match end.next() {
            Some(next) => place = next,
            None => break,
        }
    }
    columns.shrink()
}

/// A row that reaches the place of the sweep. The greatest wins: the narrowest, then the latest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Open<N> {
    width: std::cmp::Reverse<N>,
    order: usize,
    last: N,
    code: CountryCode,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(rows: &[(&str, &str)]) -> CountryTable {
        let mut builder = Builder::new();
        for (range, code) in rows {
            builder.add(range.parse().unwrap(), code.parse().unwrap());
        }
        builder.build()
    }

    fn check(rows: &[(&str, &str)], expected: &[&str]) {
        let table = table(rows);
        let shown: Vec<String> =
            table.iter().map(|(range, code)| format!("{range} {code}")).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_overlaps_is_resolved() {
        check(&[], &[]);
        check(&[("192.0.2.0/25", "DE"), ("192.0.2.128/25", "DE")], &["192.0.2.0/24 DE"]);
        check(
            &[("198.51.100.0/24", "FR"), ("192.0.2.0/24", "DE")],
            &["192.0.2.0/24 DE", "198.51.100.0/24 FR"],
        );
        check(
            &[("192.0.2.64/26", "FR"), ("192.0.2.0/24", "DE")],
            &["192.0.2.0/26 DE", "192.0.2.64/26 FR", "192.0.2.128/25 DE"],
        );
        check(&[("192.0.2.0/24", "FR"), ("192.0.2.0/24", "DE")], &["192.0.2.0/24 DE"]);
        check(
            &[("192.0.2.2-192.0.2.5", "FR"), ("192.0.2.0-192.0.2.3", "DE")],
            &["192.0.2.0/31 DE", "192.0.2.2-192.0.2.5 FR"],
        );
        check(
            &[("0.0.0.0/0", "US"), ("255.255.255.255", "DE"), ("::/0", "FR")],
            &["0.0.0.0-255.255.255.254 US", "255.255.255.255 DE", "::/0 FR"],
        );
    }

    #[test]
    fn questions() {
        let table =
            table(&[("192.0.2.0/24", "DE"), ("2001:db8::/32", "FR"), ("203.0.113.9", "DE")]);
        let of = |address: &str| {
            let code = table.of(address.parse().unwrap());
            code.map_or("none".to_owned(), |code| code.to_string())
        };
        assert_eq!(of("192.0.2.255"), "DE");
        assert_eq!(of("::ffff:192.0.2.1"), "DE");
        assert_eq!(of("192.0.3.0"), "none");
        assert_eq!(of("0.0.0.0"), "none");
        assert_eq!(of("255.255.255.255"), "none");
        assert_eq!(of("2001:db8:ffff::"), "FR");
        let germany = "DE".parse().unwrap();
        let ranges: Vec<String> = table.ranges(germany).map(|range| range.to_string()).collect();
        assert_eq!(ranges, ["192.0.2.0/24", "203.0.113.9"]);
        assert_eq!(
            table.sizes().get(&germany),
            Some(&Size { v4_ranges: 2, v4_addresses: 257, v6_ranges: 0 })
        );
    }

    /// Ranges over a few addresses at both ends of a family.
    fn rows() -> impl Strategy<Value = Vec<(AddrRange, CountryCode)>> {
        let place = prop_oneof![0_u128..24, (u128::MAX - 23)..=u128::MAX];
        let code = proptest::sample::select(vec!["DE", "FR", "US"]);
        let row = (place.clone(), place, any::<bool>(), code).prop_map(|(a, b, v6, code)| {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let (a, b) = (a & family.highest(), b & family.highest());
            let range = AddrRange::new(family, a.min(b), a.max(b)).unwrap();
            (range, code.parse().unwrap())
        });
        proptest::collection::vec(row, 0..20)
    }

    proptest! {
        #[test]
        fn equals_the_plain_rule(rows in rows()) {
            let mut builder = Builder::new();
            for (range, code) in &rows {
                builder.add(*range, *code);
            }
            let table = builder.build();
            for family in [Family::V4, Family::V6] {
                let highest = family.highest();
                for number in (0..26).chain(highest - 25..=highest) {
                    let address = crate::address::from_number(family, number);
                    let expected = rows
                        .iter()
                        .enumerate()
                        .filter(|(_, (range, _))| {
                            range.family() == family && range.first() <= number && number <= range.last()
                        })
                        .max_by_key(|(order, (range, _))| {
                            (std::cmp::Reverse(range.width()), range.first(), *order)
                        })
                        .map(|(_, (_, code))| *code);
                    // `::x` counts as IPv6 unless it is an IPv4 address written as one.
                    prop_assert_eq!(table.of(address), expected, "{}", address);
                }
            }
            let ranges: Vec<(AddrRange, CountryCode)> = table.iter().collect();
            for pair in ranges.windows(2) {
                let ((one, of_one), (other, of_other)) = (pair[0], pair[1]);
                if one.family() == other.family() {
                    prop_assert!(one.last() < other.first());
                    prop_assert!(one.last() + 1 < other.first() || of_one != of_other);
                }
            }
            prop_assert!(table.len() <= rows.len() * 2);
        }
    }
}
