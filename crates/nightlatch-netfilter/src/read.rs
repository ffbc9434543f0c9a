//! Reading sets back.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;

use nightlatch_parse::address::{AddrRange, Family};

use crate::constants::{FAMILY_INET, element as e, nft};
use crate::element::{self, Element, Key, Kind, Raw, RawKey, Set, Verdict};
use crate::inventory::Counter;
use crate::netlink::{Netlink, NetlinkError};
use crate::wire::Buffer;

const DOING: &str = "reading a set";
/// After so many elements listed in vain, a set is not listed once more.
const TIMEOUT: u64 = 1_500_000;

impl Netlink {
    /// Every element of a set, ascending; intervals as ranges, timeouts as what remains.
    ///
    /// Elements that Nightlatch never writes and that are not understood are left out; use
    /// [`matches`](Netlink::matches) to know whether a set is exactly as it should be.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`] (`is_missing`) where table or set do not exist;
    /// [`NetlinkError::Restless`].
    pub fn read(&mut self, set: &Set) -> Result<Vec<Element>, NetlinkError> {
        let raw = self.undisturbed_set(set, Vec::new, |elements: &mut Vec<Raw>, raw| {
            elements.extend(raw.map(|raw| raw.sharing(elements.last())));
        })?;
        let mut elements = match set.kind() {
            Kind::Ranges(family) => assemble(family, raw),
            _ => raw.into_iter().filter_map(whole).collect(),
        };
        elements.sort_unstable_by_key(|element| element.key);
        Ok(elements)
    }

    /// The addresses of a set of single addresses whose elements count for themselves
    /// (`update @set { ip saddr counter }`), each with its counter; in no order.
    ///
    /// Elements without a counter are left out. The kernel's time grows with the square of the
    /// size; a set of 65,536 is read in some tenths of a second.
    ///
    /// # Errors
    /// As [`read`](Netlink::read).
    pub fn read_counters(&mut self, set: &Set) -> Result<Vec<(IpAddr, Counter)>, NetlinkError> {
        self.undisturbed_set(set, Vec::new, |counters, raw| {
            if let Some(Raw { key: RawKey::Whole(Key::Address(address)), counter, .. }) = raw {
                counters.extend(counter.map(|counter| (address, counter)));
            }
        })
    }

    /// Whether a set of [`Kind::Ranges`] has exactly this range as an element, or a set of
    /// [`Kind::Addresses`] its first address. Takes no longer with a long set than with a short one.
    ///
    /// Of a range right before another one the kernel does not tell the end, so that the answer is
    /// no: ask only where ranges that touch were merged.
    ///
    /// # Errors
    /// As [`read`](Netlink::read), but where table or set do not exist the answer is no.
    pub fn holds(&mut self, set: &Set, range: AddrRange) -> Result<bool, NetlinkError> {
        let family = range.family();
        if matches!(set.kind(), Kind::Addresses(_)) {
            return self.has(set, Key::Address(range.first_address()));
        }
        let mut finds = |at, end, wanted| {
            self.finds(set, |buffer| element::write_place(buffer, family, at, end), wanted)
        };
        if !finds(range.first(), false, RawKey::Start(range.first()))? {
            return Ok(false);
        }
        if range.last() == range.family().highest() {
            return Ok(true);
        }
        let behind = range.last() + 1;
        finds(behind, true, RawKey::End(behind))
    }

    /// Whether a set of single keys has this one. Takes no longer with a long set than with a short one.
    ///
    /// # Errors
    /// As [`read`](Netlink::read), but where table or set do not exist the answer is no.
    pub fn has(&mut self, set: &Set, key: Key) -> Result<bool, NetlinkError> {
        let write = |buffer: &mut Buffer| element::write(buffer, &Element::from(key), true);
        self.finds(set, write, RawKey::Whole(key))
    }

    /// Asks for one list element.
    fn finds(
        &mut self,
        set: &Set,
        write: impl Fn(&mut Buffer),
        wanted: RawKey,
    ) -> Result<bool, NetlinkError> {
        let found = self.get(
            nft::GETSETELEM,
            DOING,
            |buffer| {
                buffer.text(e::LIST_TABLE, set.table());
                buffer.text(e::LIST_SET, set.name());
                let list = buffer.open(e::LIST_ELEMENTS);
                write(buffer);
                buffer.close(list);
            },
            |message| {
                let mut entries = message.attributes().nested(e::LIST_ELEMENTS).into_iter();
                entries.any(|entry| {
                    element::read(set.kind(), entry.nested()).is_some_and(|raw| raw.key == wanted)
                })
            },
        );
        match found {
            Err(error) if error.is_missing() => Ok(false),
            found => found,
        }
    }

    /// How many elements a set has; a range counts as one.
    ///
    /// # Errors
    /// As [`read`](Netlink::read).
    pub fn count(&mut self, set: &Set) -> Result<usize, NetlinkError> {
        self.undisturbed_set(
            set,
            || 0,
            |count, raw| {
                let is_end = matches!(raw.map(|raw| raw.key), Some(RawKey::End(_)));
                *count += usize::from(!is_end);
            },
        )
    }

    /// Whether a set holds exactly the expected elements: keys and verdicts, not timeouts. In
    /// any order; neither side is held in memory.
    ///
    /// The kernel's time grows with the square of the size, as it walks the set from its
    /// beginning for every part of the listing: 0.3 s for 100,000 ranges, 25 s for 600,000.
    /// To be sure of a set of that size, replace it (`flush` and `add` in one transaction):
    /// that takes a tenth of the time.
    ///
    /// # Errors
    /// As [`read`](Netlink::read).
    pub fn matches<I>(&mut self, set: &Set, expected: I) -> Result<bool, NetlinkError>
    where
        I: IntoIterator,
        I::Item: Into<Element>,
    {
        let hasher = Sum::hasher();
        let mut wanted = Sum::default();
        for element in expected {
            let Element { key, verdict, .. } = element.into();
            match key {
                Key::Range(range) => {
                    wanted.count(&hasher, RawKey::Start(range.first()), verdict.as_ref());
                    if range.last() != range.family().highest() {
                        wanted.count(&hasher, RawKey::End(range.last() + 1), None);
                    }
                }
                key => wanted.count(&hasher, RawKey::Whole(key), verdict.as_ref()),
            }
        }
        let found = self.undisturbed_set(set, Sum::default, |found, raw| match raw {
            // `nft` closes what is before the first interval; it means nothing.
            Some(Raw { key: RawKey::End(0), .. }) => {}
            Some(raw) => found.count(&hasher, raw.key, raw.verdict.as_ref()),
            // Not understood, so not ours.
            None => found.elements += 1,
        })?;
        Ok(found == wanted)
    }

    /// Lists a set until the ruleset did not change meanwhile. `fold` sees every list element,
    /// `None` for one that is not understood.
    fn undisturbed_set<T>(
        &mut self,
        set: &Set,
        begin: impl Fn() -> T,
        mut fold: impl FnMut(&mut T, Option<Raw>),
    ) -> Result<T, NetlinkError> {
        let mut listed = 0;
        self.undisturbed(DOING, |netlink| {
            if listed > TIMEOUT {
                return Err(NetlinkError::Restless { doing: DOING });
            }
            let mut folded = begin();
            let consistent = netlink.dump(
                nft::GETSETELEM,
                FAMILY_INET,
                DOING,
                |buffer| {
                    buffer.text(e::LIST_TABLE, set.table());
                    buffer.text(e::LIST_SET, set.name());
                },
                |message| {
                    for entry in message.attributes().nested(e::LIST_ELEMENTS) {
                        listed += 1;
                        fold(&mut folded, element::read(set.kind(), entry.nested()));
                    }
                },
            )?;
            Ok(consistent.then_some(folded))
        })
    }
}

/// A sum over elements that does not depend on their order. Keyed at random, so that nobody can
/// choose elements whose sums are alike.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    elements: u64,
    first: u64,
    second: u64,
}

impl Sum {
    fn hasher() -> [RandomState; 2] {
        [RandomState::new(), RandomState::new()]
    }

    fn count(&mut self, hasher: &[RandomState; 2], key: RawKey, verdict: Option<&Verdict>) {
        let [first, second] = hasher;
        self.elements += 1;
        self.first = self.first.wrapping_add(first.hash_one((key, verdict)));
        self.second = self.second.wrapping_add(second.hash_one((key, verdict)));
    }
}

fn whole(raw: Raw) -> Option<Element> {
    match raw.key {
        RawKey::Whole(key) => Some(Element { key, verdict: raw.verdict, timeout: raw.timeout }),
        _ => None,
    }
}

/// Puts the ends of intervals, in any order, together to ranges.
fn assemble(family: Family, mut raw: Vec<Raw>) -> Vec<Element> {
    // An end comes before a start at the same place: ranges that touch.
    raw.sort_unstable_by_key(|raw| match raw.key {
        RawKey::End(at) => (at, 0),
        RawKey::Start(at) => (at, 1),
        RawKey::Whole(_) => (0, 2),
    });
    let mut elements = Vec::with_capacity(raw.len() / 2);
    let mut open: Option<(u128, Raw)> = None;
    let mut close = |open: &mut Option<(u128, Raw)>, last: Option<u128>| {
        let Some((first, raw)) = open.take() else {
            return;
        };
        if let Some(range) = last.and_then(|last| AddrRange::new(family, first, last)) {
            elements.push(Element {
                key: Key::Range(range),
                verdict: raw.verdict,
                timeout: raw.timeout,
            });
        }
    };
    let mut others = Vec::new();
    for raw in raw {
        match raw.key {
            RawKey::End(at) => close(&mut open, at.checked_sub(1)),
            RawKey::Start(at) => {
                close(&mut open, at.checked_sub(1));
                open = Some((at, raw));
            }
            RawKey::Whole(_) => others.extend(whole(raw)),
        }
    }
    close(&mut open, Some(family.highest()));
    elements.append(&mut others);
    elements
}
