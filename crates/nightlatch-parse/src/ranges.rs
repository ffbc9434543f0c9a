//! Hundreds of thousands of ranges in little memory.

use std::net::IpAddr;

use crate::address::{AddrRange, Family, to_number};

/// A list of ranges: 8 bytes for one of IPv4, 32 for one of IPv6.
///
/// IPv4 comes before IPv6; within a family the order is that of arrival until [`merge`] is called.
///
/// [`merge`]: RangeList::merge
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeList {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl RangeList {
    /// An empty list.
    pub const fn new() -> RangeList {
        RangeList { v4: Vec::new(), v6: Vec::new() }
    }

    /// Adds a range.
    pub fn push(&mut self, range: AddrRange) {
        match range.family() {
            Family::V4 => self.v4.push((low(range.first()), low(range.last()))),
            Family::V6 => self.v6.push((range.first(), range.last())),
        }
    }

    /// How many ranges it holds.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// How many ranges of a family it holds.
    pub fn len_of(&self, family: Family) -> usize {
        match family {
            Family::V4 => self.v4.len(),
            Family::V6 => self.v6.len(),
        }
    }

    /// Whether it holds no range.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The range at a place in the order of [`RangeList::iter`].
    pub fn get(&self, at: usize) -> Option<AddrRange> {
        match at.checked_sub(self.v4.len()) {
            None => {
                let (first, last) = *self.v4.get(at)?;
                AddrRange::new(Family::V4, first.into(), last.into())
            }
            Some(at) => {
                let (first, last) = *self.v6.get(at)?;
                AddrRange::new(Family::V6, first, last)
            }
        }
    }

    /// The ranges, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = AddrRange> + '_ {
        let v4 = self
            .v4
            .iter()
            .filter_map(|&(first, last)| AddrRange::new(Family::V4, first.into(), last.into()));
        let v6 =
            self.v6.iter().filter_map(|&(first, last)| AddrRange::new(Family::V6, first, last));
        v4.chain(v6)
    }

    /// Sorts the ranges and joins those that overlap or touch, in place. `n log n`.
    pub fn merge(&mut self) {
        merge_sorted(&mut self.v4, |last| last.checked_add(1));
        merge_sorted(&mut self.v6, |last| last.checked_add(1));
    }
}

/// What follows needs lists that were merged.
impl RangeList {
    /// The range that holds an address.
    pub fn find(&self, address: IpAddr) -> Option<AddrRange> {
        let address = address.to_canonical();
        let number = to_number(address);
        match Family::of(address) {
            Family::V4 => {
                let (first, last) = find_in(&self.v4, low(number))?;
                AddrRange::new(Family::V4, first.into(), last.into())
            }
            Family::V6 => {
                let (first, last) = find_in(&self.v6, number)?;
                AddrRange::new(Family::V6, first, last)
            }
        }
    }

    /// The first range that has an address in common with `range`.
    pub fn first_overlap(&self, range: &AddrRange) -> Option<AddrRange> {
        let (family, (first, last)) = (range.family(), (range.first(), range.last()));
        let found = match family {
            Family::V4 => first_overlap_in(&self.v4, low(first), low(last))
                .map(|(first, last)| (first.into(), last.into())),
            Family::V6 => first_overlap_in(&self.v6, first, last),
        };
        found.and_then(|(first, last)| AddrRange::new(family, first, last))
    }

    /// This list without the addresses of another. Linear.
    #[must_use]
    pub fn without(&self, other: &RangeList) -> RangeList {
        RangeList {
            v4: without_in(&self.v4, &other.v4, |n| n.checked_add(1), |n| n.wrapping_sub(1)),
            v6: without_in(&self.v6, &other.v6, |n| n.checked_add(1), |n| n.wrapping_sub(1)),
        }
    }

    /// Every address that is not in this list. Linear.
    #[must_use]
    pub fn complement(&self) -> RangeList {
        let everything = [Family::V4, Family::V6].map(AddrRange::all);
        RangeList::from_iter(everything).without(self)
    }

    /// The ranges of this list that do not stand, exactly so, in the other. Linear.
    pub fn not_in<'a>(&'a self, other: &'a RangeList) -> impl Iterator<Item = AddrRange> + 'a {
        let v4 = not_in(&self.v4, &other.v4)
            .filter_map(|(first, last)| AddrRange::new(Family::V4, first.into(), last.into()));
        let v6 = not_in(&self.v6, &other.v6)
            .filter_map(|(first, last)| AddrRange::new(Family::V6, first, last));
        v4.chain(v6)
    }
}

impl Extend<AddrRange> for RangeList {
    fn extend<I: IntoIterator<Item = AddrRange>>(&mut self, ranges: I) {
        for range in ranges {
            self.push(range);
        }
    }
}

impl FromIterator<AddrRange> for RangeList {
    fn from_iter<I: IntoIterator<Item = AddrRange>>(ranges: I) -> RangeList {
        let mut list = RangeList::new();
        list.extend(ranges);
        list
    }
}

fn merge_sorted<N: Copy + Ord>(ranges: &mut Vec<(N, N)>, next: impl Fn(N) -> Option<N>) {
    ranges.sort_unstable();
    ranges.dedup_by(|later, earlier| {
        let joins = next(earlier.1).is_none_or(|next| later.0 <= next);
        if joins {
            earlier.1 = earlier.1.max(later.1);
        }
        joins
    });
    ranges.shrink_to_fit();
}

fn find_in<N: Copy + Ord>(ranges: &[(N, N)], number: N) -> Option<(N, N)> {
    let behind = ranges.partition_point(|(first, _)| *first <= number);
    let candidate = behind.checked_sub(1).and_then(|at| ranges.get(at)).copied();
    candidate.filter(|(_, last)| number <= *last)
}

fn first_overlap_in<N: Copy + Ord>(ranges: &[(N, N)], first: N, last: N) -> Option<(N, N)> {
    let at = ranges.partition_point(|(_, end)| *end < first);
    ranges.get(at).copied().filter(|(start, _)| *start <= last)
}

fn without_in<N: Copy + Ord>(
    ranges: &[(N, N)],
    holes: &[(N, N)],
    next: impl Fn(N) -> Option<N>,
    previous: impl Fn(N) -> N,
) -> Vec<(N, N)> {
    let mut left = Vec::with_capacity(ranges.len());
    let mut holes = holes.iter().copied().peekable();
    for &(first, last) in ranges {
        while holes.next_if(|(_, end)| *end < first).is_some() {}
        let mut start = Some(first);
        while let (Some(from), Some(&(hole, end))) = (start, holes.peek()) {
            if hole > last {
                break;
            }
            if hole > from {
                left.push((from, previous(hole)));
            }
            start = next(end).filter(|next| *next <= last);
            // A hole that reaches beyond this range may take from the following one too.
            if end > last {
                break;
            }
            holes.next();
        }
        if let Some(from) = start {
            left.push((from, last));
        }
    }
    left
}

fn not_in<'a, N: Copy + Ord>(
    ranges: &'a [(N, N)],
    other: &'a [(N, N)],
) -> impl Iterator<Item = (N, N)> + 'a {
    let mut other = other.iter().copied().peekable();
    ranges.iter().copied().filter(move |range| {
        while other.next_if(|known| known < range).is_some() {}
        other.peek() != Some(range)
    })
}

/// The lower 32 bits: all there is of an IPv4 address.
#[expect(clippy::cast_possible_truncation, reason = "IPv4 has 32 bits")]
pub(crate) const fn low(number: u128) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::merge;
    use proptest::prelude::*;

    fn ranges() -> impl Strategy<Value = Vec<AddrRange>> {
        let edge = prop_oneof![0_u128..40, (u128::MAX - 40)..=u128::MAX];
        let range = (edge.clone(), edge, any::<bool>()).prop_map(|(a, b, v6)| {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let (a, b) = (a & family.highest(), b & family.highest());
            AddrRange::new(family, a.min(b), a.max(b)).unwrap()
        });
        proptest::collection::vec(range, 0..30)
    }

    proptest! {
        /// Each address near the edges looked at by itself.
        #[test]
        fn sets_of_addresses(a in ranges(), b in ranges()) {
            let (mut left, mut right): (RangeList, RangeList) =
                (a.iter().copied().collect(), b.iter().copied().collect());
            left.merge();
            right.merge();
            let (without, complement) = (left.without(&right), left.complement());
            for family in [Family::V4, Family::V6] {
                for number in (0..45).chain(family.highest() - 45..=family.highest()) {
                    let here = AddrRange::new(family, number, number).unwrap();
                    let address = here.first_address();
                    let (in_a, in_b) = (
                        a.iter().any(|range| range.contains(address)),
                        b.iter().any(|range| range.contains(address)),
                    );
                    prop_assert_eq!(left.find(address).is_some(), in_a);
                    prop_assert_eq!(left.first_overlap(&here).is_some(), in_a);
                    prop_assert_eq!(without.find(address).is_some(), in_a && !in_b);
                    prop_assert_eq!(complement.find(address).is_some(), !in_a);
                }
            }
            let gone: Vec<AddrRange> = left.not_in(&right).collect();
            let expected: Vec<AddrRange> =
                left.iter().filter(|range| !right.iter().any(|other| other == *range)).collect();
            prop_assert_eq!(gone, expected);
        }

        #[test]
        fn merges_as_the_plain_function(ranges in ranges()) {
            let mut list: RangeList = ranges.iter().copied().collect();
            prop_assert_eq!(list.len(), ranges.len());
            list.merge();
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), merge(ranges));
        }
    }
}
