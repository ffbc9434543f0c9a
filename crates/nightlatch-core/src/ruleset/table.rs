//! The desired elements of the sets of accounts and closures, kept and changed in place.

mod chain_names;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub(super) use chain_names::{condition_chain, fingerprint, hours_name};
use chain_names::{condition_name, shortened, union_name};

use super::{BLOCKED, ConditionChain, SPARED, ServiceChain, Structure};
use crate::features::State;
use crate::policy::{Answer, DenialScope, Stance, World, pieces};
use crate::service::{Catalogue, Grant, Opening, Ports, Role};
use crate::time::Time;
use crate::{AddrRange, Family};

/// Disjoint ranges, each with one answer: for any other address, what holds for strangers holds.
///
/// A piece begins or ends wherever a claim begins or ends, so the table follows from the claims alone
/// and not from the order of changes, and a change moves only the pieces that it touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    v4: BTreeMap<u32, (u32, Arc<Target>)>,
    v6: BTreeMap<u128, (u128, Arc<Target>)>,
    /// The distinct answers, each with the number of its pieces.
    targets: BTreeMap<Answer, (Arc<Target>, usize)>,
}

/// Where the elements of a piece lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What holds there.
    pub answer: Answer,
    /// The chain of the accounts' services, or [`SPARED`].
    pub chain: Option<Arc<str>>,
    /// What is closed in both directions: [`BLOCKED`] or the name of one of
    /// [`Structure::closures`].
    pub closure: Option<Arc<str>>,
}

/// A range, and where its elements lead.
pub type Piece = (AddrRange, Arc<Target>);

/// What changes in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The pieces that go.
    pub gone: Vec<Piece>,
    /// The pieces that come.
    pub new: Vec<Piece>,
}

impl Delta {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }

    /// This and a later change as one.
    pub fn then(&mut self, later: Delta) {
        if self.is_empty() {
            *self = later;
            return;
        }
        let mut new: BTreeMap<AddrRange, Arc<Target>> = self.new.drain(..).collect();
        let mut gone: BTreeMap<AddrRange, Arc<Target>> = self.gone.drain(..).collect();
        for (range, target) in later.gone {
            // What came only just was never in the kernel.
            if new.remove(&range).is_none() {
                gone.insert(range, target);
            }
        }
        for (range, target) in later.new {
            if gone.get(&range) == Some(&target) {
                gone.remove(&range);
            } else {
                new.insert(range, target);
            }
        }
        (self.gone, self.new) = (gone.into_iter().collect(), new.into_iter().collect());
    }
}

impl Table {
    /// The table of all claims in a state.
    pub fn compile(state: &State, now: Time) -> Table {
        let mut table = Table::default();
        let _ = table.renew(&[Family::V4, Family::V6].map(AddrRange::all), state, now);
        table
    }

    /// Follows the state within ranges whose claims have changed, and returns what changes.
    ///
    /// The cost follows the pieces in those ranges, not the size of the table.
    pub fn renew(&mut self, touched: &[AddrRange], state: &State, now: Time) -> Delta {
        self.renew_except(touched, state, now, &[])
    }

    /// As [`Table::renew`], but in ranges that are withheld (sorted, disjoint), only what gives nobody
    /// more than before changes.
    pub fn renew_except(
        &mut self,
        touched: &[AddrRange],
        state: &State,
        now: Time,
        withheld: &[AddrRange],
    ) -> Delta {
        let mut delta = Delta::default();
        for range in self.widened(touched) {
            let mut claims = Vec::new();
            state.claims(range, now, &mut |claim| claims.push(claim));
            let mut wanted = pieces(&claims, &range);
            let withheld = overlapping(withheld, &range);
            if !withheld.is_empty() {
                let old: Vec<Piece> = self.over(range).collect();
                wanted = restrained(&range, &old, &wanted, withheld);
            }
            self.replace(&range, wanted, &mut delta);
        }
        delta
    }

    /// The ranges with the pieces that they overlap or touch: a piece ends where a neighbour begins,
    /// so it may grow when that one goes. Merged, in ascending order.
    fn widened(&self, touched: &[AddrRange]) -> Vec<AddrRange> {
        let widened = touched.iter().filter_map(|range| {
            let first = range.first().saturating_sub(1);
            let last = range.last().saturating_add(1).min(range.family().highest());
            let around = AddrRange::new(range.family(), first, last)?;
            let (mut first, mut last) = (range.first(), range.last());
            for (piece, _) in self.ends_over(around) {
                first = first.min(piece.first());
                last = last.max(piece.last());
            }
            AddrRange::new(range.family(), first, last)
        });
        crate::address::merge(widened.collect())
    }

    /// The first and the last piece that overlap a range.
    fn ends_over(&self, range: AddrRange) -> impl Iterator<Item = Piece> {
        let last = AddrRange::new(range.family(), range.last(), range.last());
        let first = self.over(range).next();
        first.into_iter().chain(last.and_then(|last| self.over(last).next()))
    }

    /// The pieces that overlap a range, in ascending order.
    pub fn over(&self, range: AddrRange) -> impl Iterator<Item = Piece> {
        let (v4, v6) = match range.family() {
            Family::V4 => (Some(over(&self.v4, low(range.first()), low(range.last()))), None),
            Family::V6 => (None, Some(over(&self.v6, range.first(), range.last()))),
        };
        let v4 = v4.into_iter().flatten().filter_map(|(first, last, target)| {
            Some((AddrRange::new(Family::V4, first.into(), last.into())?, Arc::clone(target)))
        });
        let v6 = v6.into_iter().flatten().filter_map(|(first, last, target)| {
            Some((AddrRange::new(Family::V6, first, last)?, Arc::clone(target)))
        });
        v4.chain(v6)
    }

    /// All pieces, IPv4 first, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Piece> {
        [Family::V4, Family::V6].into_iter().flat_map(|family| self.over(AddrRange::all(family)))
    }

    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The answer for an address.
    pub fn at(&self, address: IpAddr) -> Answer {
        let here = AddrRange::from(address.to_canonical());
        self.over(here).next().map_or_else(Answer::default, |(_, target)| target.answer.clone())
    }

    /// Replaces the pieces within a range whose ends no piece crosses, and adds the difference to
    /// `delta`.
    fn replace(&mut self, within: &AddrRange, new: Vec<(AddrRange, Answer)>, delta: &mut Delta) {
        let mut old = self.over(*within).peekable();
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for (range, answer) in new {
            while let Some(before) = old.next_if(|(old, _)| *old < range) {
                gone.push(before);
            }
            match old.next_if(|(old, _)| *old == range) {
                Some((_, target)) if target.answer == answer => continue,
                before => gone.extend(before),
            }
            come.push((range, answer));
        }
        gone.extend(old);
        // First all that goes: a piece that comes may begin where one goes.
        gone.into_iter().for_each(|piece| self.remove(piece, delta));
        come.into_iter().for_each(|(range, answer)| self.insert(range, answer, delta));
    }

    fn insert(&mut self, range: AddrRange, answer: Answer, delta: &mut Delta) {
        let target = if let Some((target, pieces)) = self.targets.get_mut(&answer) {
            *pieces += 1;
            Arc::clone(target)
        } else {
            let target = Arc::new(Target::of(answer.clone()));
            self.targets.insert(answer, (Arc::clone(&target), 1));
            target
        };
        delta.new.push((range, Arc::clone(&target)));
        self.set(range, Some(target));
    }

    fn remove(&mut self, (range, target): Piece, delta: &mut Delta) {
        self.set(range, None);
        let left = self.targets.get_mut(&target.answer).map(|(_, pieces)| {
            *pieces -= 1;
            *pieces
        });
        if left == Some(0) {
            self.targets.remove(&target.answer);
        }
        delta.gone.push((range, target));
    }

    fn set(&mut self, range: AddrRange, target: Option<Arc<Target>>) {
        match (range.family(), target) {
            (Family::V4, Some(target)) => {
                self.v4.insert(low(range.first()), (low(range.last()), target));
            }
            (Family::V6, Some(target)) => {
                self.v6.insert(range.first(), (range.last(), target));
            }
            (Family::V4, None) => {
                self.v4.remove(&low(range.first()));
            }
            (Family::V6, None) => {
                self.v6.remove(&range.first());
            }
        }
    }

    /// Adds the chains that the pieces lead to.
    pub(super) fn add_chains(&self, structure: &mut Structure, world: &World<'_>) {
        for (target, _) in self.targets.values() {
            target.add_chains(structure, world);
        }
    }

    /// Whether all pieces lead to chains of a structure.
    pub fn leads_into(&self, structure: &Structure) -> bool {
        self.targets.values().all(|(target, _)| target.leads_into(structure))
    }
}

/// The last 32 bits of an address, which are all that an IPv4 address has.
#[expect(clippy::cast_possible_truncation, reason = "IPv4 addresses have 32 bits")]
const fn low(address: u128) -> u32 {
    address as u32
}

fn over<N: Copy + Ord>(
    pieces: &BTreeMap<N, (N, Arc<Target>)>,
    first: N,
    last: N,
) -> impl Iterator<Item = (N, N, &Arc<Target>)> {
    // A piece that begins before the range may reach into it.
    let before = pieces.range(..first).next_back().filter(move |(_, (end, _))| *end >= first);
    let found = before.into_iter().chain(pieces.range(first..=last));
    found.map(|(begin, (end, target))| (*begin, *end, target))
}

/// Those of sorted, disjoint ranges that overlap a range.
fn overlapping<'a>(ranges: &'a [AddrRange], over: &AddrRange) -> &'a [AddrRange] {
    let place = |range: &AddrRange| (range.family(), range.last());
    let end = |range: &AddrRange| (range.family(), range.first());
    let first = ranges.partition_point(|range| place(range) < (over.family(), over.first()));
    let behind = ranges.partition_point(|range| end(range) <= (over.family(), over.last()));
    ranges.get(first..behind).unwrap_or(&[])
}

/// What is wanted within a range, but in the withheld ranges what was there before, unless what is
/// wanted gives nobody more. Pieces are cut only where one of the two is.
fn restrained(
    within: &AddrRange,
    old: &[Piece],
    wanted: &[(AddrRange, Answer)],
    withheld: &[AddrRange],
) -> Vec<(AddrRange, Answer)> {
    let ranges = old.iter().map(|(range, _)| range).chain(wanted.iter().map(|(range, _)| range));
    let ends = ranges.chain(withheld).flat_map(|range| [Some(range.first()), behind(range)]);
    let mut cuts: Vec<u128> = ends.flatten().filter(|at| *at <= within.last()).collect();
    cuts.push(within.first());
    cuts.retain(|at| *at >= within.first());
    cuts.sort_unstable();
    cuts.dedup();
    let stranger = Answer::default();
    // Where a piece came from, to join its parts again.
    let mut found: Vec<(AddrRange, Answer, (bool, Option<usize>))> = Vec::new();
    for (number, first) in cuts.iter().enumerate() {
        let last = cuts.get(number + 1).map_or(within.last(), |next| next - 1);
        let Some(here) = AddrRange::new(within.family(), *first, last) else { continue };
        let was = position(old, |(range, _)| range, &here);
        let will = position(wanted, |(range, _)| range, &here);
        let before = was.and_then(|at| old.get(at)).map_or(&stranger, |(_, target)| &target.answer);
        let after = will.and_then(|at| wanted.get(at)).map_or(&stranger, |(_, answer)| answer);
        let keeps = !overlapping(withheld, &here).is_empty() && !after.is_at_most(before);
        let (answer, source) = if keeps { (before, (true, was)) } else { (after, (false, will)) };
        if !answer.is_special() {
            continue;
        }
        match found.last_mut() {
            Some((range, _, of)) if *of == source && behind(range) == Some(*first) => {
                *range = AddrRange::new(within.family(), range.first(), last).unwrap_or(*range);
            }
            _ => found.push((here, answer.clone(), source)),
        }
    }
    found.into_iter().map(|(range, answer, _)| (range, answer)).collect()
}

/// The address behind a range.
fn behind(range: &AddrRange) -> Option<u128> {
    range.last().checked_add(1)
}

/// The one of sorted, disjoint pieces that covers a range.
fn position<T>(
    pieces: &[T],
    range_of: impl Fn(&T) -> &AddrRange,
    here: &AddrRange,
) -> Option<usize> {
    let behind = pieces.partition_point(|piece| range_of(piece).first() <= here.first());
    let at = behind.checked_sub(1)?;
    pieces.get(at).filter(|piece| range_of(piece).covers(here)).map(|_| at)
}

impl Target {
    /// Where the elements of pieces with this answer lead.
    pub(super) fn of(answer: Answer) -> Target {
        let chain = match &answer.stance {
            Stance::Account { grant, walled, conditional } => {
                let kind = if *walled { "walled" } else { "to" };
                let names = conditional.grants.iter().map(|(condition, grant)| {
                    format!(".{}", condition_name(condition, conditional.idle, grant))
                });
                let name = format!("{kind}.{}{}", union_name(grant), names.collect::<String>());
                Some(shortened(name, kind).into())
            }
            Stance::Spared => Some(SPARED.into()),
            _ => None,
        };
        let closure = match (&answer.stance, answer.denied) {
            (Stance::Blocked, _) => Some(BLOCKED.into()),
            (_, None) => None,
            (Stance::Account { .. }, _) if answer.most() == Grant::All => None,
            (_, Some(scope)) => {
                let name = union_name(&answer.most());
                Some(match scope {
                    DenialScope::Everything => name.into(),
                    DenialScope::ExceptMedia => format!("{name}.except_media").into(),
                })
            }
        };
        Target { answer, chain, closure }
    }

    /// The idle limit of the leases, in seconds, if there are any.
    pub fn idle_limit(&self) -> Option<u64> {
        let Stance::Account { conditional, .. } = &self.answer.stance else { return None };
        let is_leased = conditional.grants.iter().any(|(condition, _)| condition.leased);
        conditional.idle.filter(|_| is_leased).map(|idle| idle.as_secs())
    }

    pub(super) fn add_chains(&self, structure: &mut Structure, world: &World<'_>) {
        let catalogue = world.catalogue;
        if let Some(name) = &self.chain {
            let (opening, walled) = match &self.answer.stance {
                Stance::Account { grant: Grant::All, walled, .. } => (None, *walled),
                Stance::Account { grant: Grant::Some(names), walled, .. } => {
                    (Some(catalogue.opening(&**names)), *walled)
                }
                _ => (Some(Opening::default()), false),
            };
            let conditional = self.add_conditions(structure, world);
            let only_in_hours = only_in_hours(&self.answer, catalogue);
            let chain = ServiceChain { opening, walled, conditional, only_in_hours };
            structure.chains.insert(name.to_string(), chain);
        }
        if let (Some(name), Some(scope)) = (&self.closure, self.answer.denied)
            && **name != *BLOCKED
        {
            structure.closures.insert(name.to_string(), self.spared(scope, catalogue));
        }
    }

    /// Adds the chains of what is granted under conditions, and returns their names.
    fn add_conditions(&self, structure: &mut Structure, world: &World<'_>) -> Vec<String> {
        let Stance::Account { conditional, .. } = &self.answer.stance else { return Vec::new() };
        let chains = conditional.grants.iter().map(|(condition, grant)| {
            let name = condition_chain(condition, conditional.idle, grant);
            let chain = ConditionChain::new(condition, conditional.idle, grant, world);
            structure.conditions.insert(name.clone(), chain);
            name
        });
        chains.collect()
    }

    /// What a denial leaves open.
    fn spared(&self, scope: DenialScope, catalogue: &Catalogue) -> Opening {
        let mut spared = match self.answer.most() {
            Grant::Some(names) => catalogue.opening(&*names),
            Grant::All => Opening::default(),
        };
        if scope == DenialScope::ExceptMedia {
            // Ports that are also used for signalling do not count as media.
            spared.ports.extend(catalogue.udp_ports(Role::Media));
            spared.ports = crate::service::merge(spared.ports);
        }
        spared
    }

    fn leads_into(&self, structure: &Structure) -> bool {
        let chain = self.chain.as_ref().is_none_or(|name| structure.chains.contains_key(&**name));
        let closure = self
            .closure
            .as_ref()
            .is_none_or(|name| **name == *BLOCKED || structure.closures.contains_key(&**name));
        chain && closure
    }
}

/// The ports of signalling and media that are granted during hours.
fn only_in_hours(answer: &Answer, catalogue: &Catalogue) -> Vec<Ports> {
    let within = answer.conditional().filter(|(condition, _)| condition.hours.is_some());
    let granted = within.map(|(_, grant)| match grant {
        Grant::All => catalogue.of_calls(),
        Grant::Some(names) => catalogue.opening(&**names).ports,
    });
    let granted = granted.flatten().collect();
    catalogue.of_calls_among(&crate::service::merge(granted))
}

#[cfg(test)]
mod tests;
