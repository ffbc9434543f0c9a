//! An index of ranges of addresses: which of them overlap a given range.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::{AddrRange, Family, effort};

/// Ranges of both families, each with an item. Ranges may overlap freely, and several items may have
/// the same range.
///
/// Ranges are kept in classes by the number of bits of their width. All ranges of a class that
/// overlap a given one begin in one stretch of addresses, so a look-up searches each class in use:
/// `O(classes * log n + found)`, with at most 33 classes for IPv4 and 129 for IPv6.
#[derive(Clone, Debug)]
pub(crate) struct RangeMap<T> {
    v4: Classes<u32, T>,
    v6: Classes<u128, T>,
}

impl<T> Default for RangeMap<T> {
    fn default() -> RangeMap<T> {
        RangeMap { v4: Classes::default(), v6: Classes::default() }
    }
}

impl<T: Ord> RangeMap<T> {
    /// Adds a range with an item. Nothing changes if that pair is already there.
    pub(crate) fn insert(&mut self, range: AddrRange, item: T) {
        match range.family() {
            Family::V4 => self.v4.insert(low(range.first()), low(range.last()), item),
            Family::V6 => self.v6.insert(range.first(), range.last(), item),
        }
    }

    /// Removes a range with an item.
    pub(crate) fn remove(&mut self, range: AddrRange, item: T) {
        match range.family() {
            Family::V4 => self.v4.remove(low(range.first()), low(range.last()), item),
            Family::V6 => self.v6.remove(range.first(), range.last(), item),
        }
    }

    /// All that overlap a range, in no particular order.
    pub(crate) fn overlapping(&self, over: AddrRange) -> impl Iterator<Item = (AddrRange, &T)> {
        let (first, last) = (over.first(), over.last());
        let (v4, v6) = match over.family() {
            Family::V4 => (Some(self.v4.overlapping(low(first), low(last))), None),
            Family::V6 => (None, Some(self.v6.overlapping(first, last))),
        };
        let v4 = v4.into_iter().flatten().filter_map(|(first, last, item)| {
            Some((AddrRange::new(Family::V4, first.into(), last.into())?, item))
        });
        let v6 = v6.into_iter().flatten().filter_map(|(first, last, item)| {
            Some((AddrRange::new(Family::V6, first, last)?, item))
        });
        v4.chain(v6)
    }
}

impl<T: Ord> FromIterator<(AddrRange, T)> for RangeMap<T> {
    fn from_iter<I: IntoIterator<Item = (AddrRange, T)>>(ranges: I) -> RangeMap<T> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (range, item) in ranges {
            match range.family() {
                Family::V4 => v4.push((low(range.first()), low(range.last()), item)),
                Family::V6 => v6.push((range.first(), range.last(), item)),
            }
        }
        RangeMap { v4: Classes::of(v4), v6: Classes::of(v6) }
    }
}

/// The last 32 bits of an address, which are all that an IPv4 address has.
#[expect(clippy::cast_possible_truncation, reason = "IPv4 addresses have 32 bits")]
const fn low(address: u128) -> u32 {
    address as u32
}

/// The ranges of one family.
#[derive(Clone, Debug)]
struct Classes<N, T> {
    /// Class, first and last address, item. The item is optional only so that a search can begin
    /// before all items of a range.
    ranges: BTreeSet<(u8, N, N, Option<T>)>,
    /// How many ranges are in each class.
    counts: Vec<usize>,
}

impl<N, T> Default for Classes<N, T> {
    fn default() -> Classes<N, T> {
        Classes { ranges: BTreeSet::new(), counts: Vec::new() }
    }
}

impl<N: Number, T: Ord> Classes<N, T> {
    fn of(ranges: Vec<(N, N, T)>) -> Classes<N, T> {
        let ranges = ranges.into_iter();
        let ranges: BTreeSet<(u8, N, N, Option<T>)> = ranges
            .map(|(first, last, item)| (first.class(last), first, last, Some(item)))
            .collect();
        let mut counts = Vec::new();
        for (class, ..) in &ranges {
            counts.resize(counts.len().max(usize::from(*class) + 1), 0);
            if let Some(count) = counts.get_mut(usize::from(*class)) {
                *count += 1;
            }
        }
        Classes { ranges, counts }
    }

    fn insert(&mut self, first: N, last: N, item: T) {
        let class = first.class(last);
        if self.ranges.insert((class, first, last, Some(item))) {
            let count = usize::from(class) + 1;
            self.counts.resize(self.counts.len().max(count), 0);
            if let Some(count) = self.counts.get_mut(usize::from(class)) {
                *count += 1;
            }
        }
    }

    fn remove(&mut self, first: N, last: N, item: T) {
        let class = first.class(last);
        if self.ranges.remove(&(class, first, last, Some(item)))
            && let Some(count) = self.counts.get_mut(usize::from(class))
        {
            *count -= 1;
        }
    }

    fn overlapping(&self, first: N, last: N) -> impl Iterator<Item = (N, N, &T)> {
        let in_use = (0u8..).zip(&self.counts).filter(|(_, count)| **count > 0);
        in_use.flat_map(move |(class, _)| {
            let begin = (class, first.reaching(class), N::ZERO, None);
            let candidates = self.ranges.range((Bound::Included(begin), Bound::Unbounded));
            candidates
                .take_while(move |(of, begin, ..)| *of == class && *begin <= last)
                .inspect(|_| effort::step())
                .filter(move |(_, _, end, _)| *end >= first)
                .filter_map(|(_, begin, end, item)| Some((*begin, *end, item.as_ref()?)))
        })
    }
}

/// An address of one family as a number.
trait Number: Copy + Ord {
    const ZERO: Self;
    /// The number of bits of the width of the range from here to `last`.
    fn class(self, last: Self) -> u8;
    /// The lowest address at which a range of a class can begin that reaches here.
    fn reaching(self, class: u8) -> Self;
}

macro_rules! number {
    ($number:ty) => {
        impl Number for $number {
            const ZERO: $number = 0;

            fn class(self, last: $number) -> u8 {
                let bits = <$number>::BITS - last.saturating_sub(self).leading_zeros();
                u8::try_from(bits).unwrap_or(u8::MAX)
            }

            fn reaching(self, class: u8) -> $number {
                let widest = <$number>::MAX.checked_shr(<$number>::BITS - u32::from(class));
                self.saturating_sub(widest.unwrap_or(0))
            }
        }
    };
}

number!(u32);
number!(u128);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(family: Family, first: u128, width: u128) -> AddrRange {
        // The upper half lies at the end of the address space.
        let highest = family.highest();
        let first = if first >= 32 { highest - 63 + first } else { first };
        AddrRange::new(family, first, first.saturating_add(width).min(highest)).unwrap()
    }

    proptest! {
        #[test]
        fn it_finds_what_a_search_of_all_finds(
            changes in proptest::collection::vec(
                (any::<bool>(), 0u128..64, 0u128..40, 0u8..3, any::<bool>()), 0..60),
            over in (any::<bool>(), 0u128..64, 0u128..40),
        ) {
            let family = |v6| if v6 { Family::V6 } else { Family::V4 };
            let (mut map, mut all) = (RangeMap::default(), BTreeSet::new());
            for (v6, first, width, item, add) in changes {
                let range = range(family(v6), first, width);
                if add {
                    map.insert(range, item);
                    all.insert((range, item));
                } else {
                    map.remove(range, item);
                    all.remove(&(range, item));
                }
            }
            let wide = AddrRange::all(family(over.0));
            for over in [range(family(over.0), over.1, over.2), wide] {
                let found: BTreeSet<(AddrRange, u8)> =
                    map.overlapping(over).map(|(range, item)| (range, *item)).collect();
                let expected: BTreeSet<(AddrRange, u8)> =
                    all.iter().copied().filter(|(range, _)| range.overlaps(&over)).collect();
                prop_assert_eq!(found, expected, "over {}", over);
            }
        }
    }
}
