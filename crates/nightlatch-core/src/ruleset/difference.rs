//! The difference between what a set holds and what it should hold.

use crate::AddrRange;

/// What has to leave a set and what has to come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference<T> {
    /// To delete.
    pub gone: Vec<(AddrRange, T)>,
    /// To add.
    pub new: Vec<(AddrRange, T)>,
}

impl<T> Difference<T> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }
}

/// Compares two sorted lists of disjoint ranges. Linear.
pub fn difference<T: Clone + PartialEq>(
    old: &[(AddrRange, T)],
    new: &[(AddrRange, T)],
) -> Difference<T> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut found = Difference { gone: Vec::new(), new: Vec::new() };
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return found,
            (Some(before), Some(after)) if before == after => {
                old.next();
                new.next();
            }
            (Some((before, _)), Some((after, _))) if before <= after => {
                found.gone.extend(old.next().cloned());
            }
            (Some(_), None) => found.gone.extend(old.next().cloned()),
            _ => found.new.extend(new.next().cloned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use crate::Family;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_difference_of_sets(
            old in proptest::collection::btree_map(0u8..20, 0u8..3, 0..20),
            new in proptest::collection::btree_map(0u8..20, 0u8..3, 0..20),
        ) {
            let list = |map: &std::collections::BTreeMap<u8, u8>| -> Vec<(AddrRange, u8)> {
                let range = |at: u8| AddrRange::new(Family::V4, at.into(), at.into()).unwrap();
                map.iter().map(|(at, target)| (range(*at), *target)).collect()
            };
            let (old, new) = (list(&old), list(&new));
            let set = |list: &[(AddrRange, u8)]| list.iter().copied().collect::<BTreeSet<_>>();
            let found = difference(&old, &new);
            prop_assert_eq!(set(&found.gone), &set(&old) - &set(&new));
            prop_assert_eq!(set(&found.new), &set(&new) - &set(&old));
        }
    }
}
