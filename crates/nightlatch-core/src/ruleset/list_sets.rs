//! In which sets the lists are kept, so that a look-up costs little and loading too.

use std::collections::BTreeSet;

use nightlatch_parse::ranges::RangeList;
use serde::{Deserialize, Serialize};

use crate::{AddrRange, Family};

/// The sets of the lists in force.
///
/// The kernel keeps intervals in a tree, in which a look-up among hundreds of thousands waits for
/// memory a dozen times, and one insertion as well. A hash table waits once; but it knows no
/// intervals. So the networks of each frequent length have a hash table of their own, in which a
/// packet's address is looked up without its last bits, and the rest is in the tree. Of a published
/// list of bad addresses nearly all then is in two or three tables; of a country, whose networks
/// are of twenty lengths but few in number, nearly all is in the tree.
///
/// There are two of each, of which one is in force: long lists are put together in the other ones
/// before they take the first ones' place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListSets {
    /// Which of the two is in force.
    pub other: bool,
    /// The lengths of networks that have a hash table, IPv4, the longest first.
    v4: Vec<u32>,
    /// The same for IPv6.
    v6: Vec<u32>,
}

/// One set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSet {
    /// Its name.
    pub name: String,
    /// Whose addresses it holds.
    pub family: Family,
    /// The length of its networks; none for the tree of all others.
    pub prefix: Option<u32>,
}

/// A range of more networks than these is left to the tree.
const MAX_NETWORKS: usize = 4;
/// Fewer networks of a length than these are left to the tree, which then is fast.
const FEW: usize = 8_192;
/// A length of which there are less than this part of all is left to the tree: each hash table costs
/// every stranger's packet a look-up.
const PART: usize = 24;

impl ListSets {
    /// Those that suit these lists best, in the place that is in force first.
    pub fn suiting(lists: &RangeList) -> ListSets {
        let [v4, v6] = [Family::V4, Family::V6].map(|family| frequent(lists, family));
        ListSets { other: false, v4, v6 }
    }

    /// Those with these names: all of the place in which most of them are.
    pub fn named<'a>(names: impl Iterator<Item = &'a str> + Clone) -> ListSets {
        let count = |other| names.clone().filter(|name| ListSet::is_of_place(name, other)).count();
        let other = count(true) > count(false);
        let lengths = |family| {
            let prefix = |name: &str| {
                let (tree, prefix) = name.split_once('_')?;
                let prefix = prefix.parse().ok()?;
                (tree == ListSet::place(family, other)).then_some(prefix)
            };
            let lengths: BTreeSet<u32> = names.clone().filter_map(prefix).collect();
            lengths.into_iter().rev().collect()
        };
        ListSets { other, v4: lengths(Family::V4), v6: lengths(Family::V6) }
    }

    /// Whether they suit these lists well enough: what others would be better at is not worth
    /// loading everything anew.
    pub fn suit(&self, lists: &RangeList) -> bool {
        const WORTH: usize = 30_000;
        let best = ListSets::suiting(lists);
        let same = (&self.v4, &self.v6) == (&best.v4, &best.v6);
        same || self.in_trees(lists) <= WORTH.max(2 * best.in_trees(lists))
    }

    /// The same in the place that is not in force.
    #[must_use]
    pub fn in_other_place(&self) -> ListSets {
        ListSets { other: !self.other, ..self.clone() }
    }

    /// The sets of a family: hash tables, and the tree last.
    pub fn of(&self, family: Family) -> impl Iterator<Item = ListSet> + use<'_> {
        let set = move |prefix| {
            let mut name = ListSet::place(family, self.other).to_owned();
            if let Some(prefix) = prefix {
                name = format!("{name}_{prefix}");
            }
            ListSet { name, family, prefix }
        };
        self.lengths(family).iter().map(move |prefix| set(Some(*prefix))).chain([set(None)])
    }

    /// All sets of both families.
    pub fn all(&self) -> impl Iterator<Item = ListSet> + use<'_> {
        [Family::V4, Family::V6].into_iter().flat_map(|family| self.of(family))
    }

    /// What of a range a set holds: the networks of its length, or the whole range in the tree.
    pub fn part_of(
        &self,
        range: AddrRange,
        set: &ListSet,
    ) -> impl Iterator<Item = AddrRange> + use<> {
        let hashed = self.is_hashed(&range);
        let whole = (!hashed && set.prefix.is_none()).then_some(range);
        let prefix = set.prefix.filter(|_| hashed);
        let networks = prefix
            .map(|prefix| range.networks().filter(move |network| network.prefix() == Some(prefix)));
        whole.into_iter().chain(networks.into_iter().flatten())
    }

    /// What the sets have of a range, each part with the length of its networks: those of hash tables,
    /// or the whole range in the tree.
    pub fn parts_of(
        &self,
        range: AddrRange,
    ) -> impl Iterator<Item = (Option<u32>, AddrRange)> + use<> {
        let hashed = self.is_hashed(&range);
        let whole = (!hashed).then_some((None, range));
        let networks = hashed.then(|| range.networks().map(|it| (it.prefix(), it)));
        whole.into_iter().chain(networks.into_iter().flatten())
    }

    /// How much memory the kernel needs for these lists. It does not tell itself: this is what was
    /// measured of its slabs before and after (6.18).
    pub fn kernel_bytes(&self, lists: &RangeList) -> u64 {
        const IN_A_TREE: u64 = 160;
        const IN_A_TABLE: u64 = 102;
        let bytes = lists.iter().map(|range| match self.is_hashed(&range) {
            true => range.networks().map(|_| IN_A_TABLE).sum(),
            false => IN_A_TREE,
        });
        bytes.sum()
    }

    /// Whether a range is in hash tables only; otherwise it is in the tree only.
    fn is_hashed(&self, range: &AddrRange) -> bool {
        let lengths = self.lengths(range.family());
        !lengths.is_empty()
            && prefixes(range).is_some_and(|prefixes| {
                prefixes.into_iter().flatten().all(|prefix| lengths.contains(&prefix))
            })
    }

    fn in_trees(&self, lists: &RangeList) -> usize {
        lists.iter().filter(|range| !self.is_hashed(range)).count()
    }

    fn lengths(&self, family: Family) -> &[u32] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

impl ListSet {
    /// How the names of all sets of a family in one of the two places begin; that of the tree is
    /// no longer.
    pub const fn place(family: Family, other: bool) -> &'static str {
        match (family, other) {
            (Family::V4, false) => "list4",
            (Family::V6, false) => "list6",
            (Family::V4, true) => "list4b",
            (Family::V6, true) => "list6b",
        }
    }

    /// Whether a set of that name holds lists, in whichever place.
    pub fn is_name_of_one(name: &str) -> bool {
        ListSet::is_of_place(name, false) || ListSet::is_of_place(name, true)
    }

    /// Whether a set of that name is of that place.
    pub fn is_of_place(name: &str, other: bool) -> bool {
        let tree = name.split_once('_').map_or(name, |(tree, _)| tree);
        [Family::V4, Family::V6].iter().any(|family| tree == ListSet::place(*family, other))
    }
}

/// The lengths of the networks that a range consists of, where they are few.
fn prefixes(range: &AddrRange) -> Option<[Option<u32>; MAX_NETWORKS]> {
    let mut prefixes = [None; MAX_NETWORKS];
    // Nearly every range is a network.
    if let Some(prefix) = range.prefix() {
        prefixes[0] = Some(prefix);
        return Some(prefixes);
    }
    let mut networks = range.networks();
    for (place, network) in prefixes.iter_mut().zip(&mut networks) {
        *place = network.prefix();
    }
    networks.next().is_none().then_some(prefixes)
}

/// The lengths of which there are many, the longest first.
fn frequent(lists: &RangeList, family: Family) -> Vec<u32> {
    let mut counts = [0_usize; 129];
    let of_family = lists.iter().filter(|range| range.family() == family);
    for prefix in of_family.filter_map(|range| prefixes(&range)).flatten().flatten() {
        if let Some(count) = counts.get_mut(prefix as usize) {
            *count += 1;
        }
    }
    let many = FEW.max(counts.iter().sum::<usize>() / PART);
    let counts = (0..129_u32).zip(counts).rev();
    counts.filter(|(_, count)| *count >= many).map(|(prefix, _)| prefix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `count` networks of a length, apart from each other.
    fn networks(prefix: u32, count: u128) -> impl Iterator<Item = AddrRange> {
        (0..count).map(move |number| {
            let first = (u128::from(prefix) << 26 | number << 10) >> (32 - prefix) << (32 - prefix);
            AddrRange::new(Family::V4, first, first | ((1 << (32 - prefix)) - 1)).unwrap()
        })
    }

    fn list(parts: &[(u32, u128)]) -> RangeList {
        let mut list: RangeList =
            parts.iter().flat_map(|(prefix, count)| networks(*prefix, *count)).collect();
        list.merge();
        list
    }

    #[test]
    fn frequent_lengths_have_a_table() {
        let check = |parts: &[(u32, u128)], expected: &[&str]| {
            let sets = ListSets::suiting(&list(parts));
            let names: Vec<String> = sets.of(Family::V4).map(|set| set.name).collect();
            assert_eq!(names, expected);
        };
        check(&[], &["list4"]);
        check(&[(32, 8_000)], &["list4"]);
        check(&[(32, 9_000), (24, 500)], &["list4_32", "list4"]);
        check(&[(32, 60_000), (24, 9_000), (30, 8_000)], &["list4_32", "list4_24", "list4"]);
        // Too small a part to be worth a look-up for everybody.
        check(
            &[(32, 65_000), (31, 65_000), (30, 65_000), (24, 8_300)],
            &["list4_32", "list4_31", "list4_30", "list4"],
        );
    }

    #[test]
    fn sets_are_kept_while_they_suit() {
        let small = ListSets::suiting(&list(&[(32, 1_000)]));
        assert!(small.suit(&list(&[(32, 29_000)])));
        assert!(!small.suit(&list(&[(32, 31_000)])));
        let singles = ListSets::suiting(&list(&[(32, 60_000)]));
        assert!(singles.suit(&list(&[])));
        assert!(singles.suit(&list(&[(32, 60_000), (24, 20_000)])));
        assert!(!singles.suit(&list(&[(32, 10_000), (24, 60_000)])));
    }

    #[test]
    fn the_two_places_are_told_apart() {
        let check = |name: &str, other: bool, expected: bool| {
            assert_eq!(ListSet::is_of_place(name, other), expected, "{name} {other}");
        };
        check("list4", false, true);
        check("list6_48", false, true);
        check("list4", true, false);
        check("list4b", true, true);
        check("list4b_32", true, true);
        check("list4b_32", false, false);
        check("listing", false, false);
        assert!(ListSet::is_name_of_one("list6b_48") && !ListSet::is_name_of_one("cut4"));
    }

    proptest! {
        /// Every range is in the sets, once, and nothing else is.
        #[test]
        fn the_sets_hold_every_range_once(first in 0_u128..2_000, width in 0_u128..40) {
            let sets = ListSets::suiting(&list(&[(32, 9_000), (30, 9_000)]));
            let range = AddrRange::new(Family::V4, first, first + width).unwrap();
            let parts: Vec<AddrRange> =
                sets.all().filter(|set| set.family == Family::V4)
                    .flat_map(|set| sets.part_of(range, &set).collect::<Vec<_>>()).collect();
            let held: u128 = parts.iter().map(|part| part.width() + 1).sum();
            prop_assert_eq!(held, width + 1);
            prop_assert_eq!(nightlatch_parse::address::merge(parts), vec![range]);
        }
    }
}
