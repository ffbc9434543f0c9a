//! Hundreds of thousands of ranges in little memory.

use crate::address::{AddrRange, Family};

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
        #[test]
        fn merges_as_the_plain_function(ranges in ranges()) {
            let mut list: RangeList = ranges.iter().copied().collect();
            prop_assert_eq!(list.len(), ranges.len());
            list.merge();
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), merge(ranges));
        }
    }
}
