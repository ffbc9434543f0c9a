//! What is claimed for ranges of addresses, and which claim wins.
//!
//! Accounts, blocks, denials and lists may overlap freely. [`Weighing`] alone decides what follows
//! for an address: `judge` asks it for one address, and the kernel's table is made by moving it along
//! the ends of all claims ([`pieces`]).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::features::By;
use crate::hours::Hours;
use crate::service::{Grant, ServiceName};
use crate::time::Time;
use crate::watched::Kind;
use crate::{AddrRange, Family};

/// A claim for a range of addresses, borrowed from its owner.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The range.
    pub over: AddrRange,
    /// What is claimed.
    pub says: Says<'a>,
    /// Which record claims it.
    pub by: By<'a>,
}

/// What is claimed.
#[derive(Clone, Copy, Debug)]
pub enum Says<'a> {
    /// Allow these services.
    Allow(&'a Grant),
    /// Allow these services where a [`Condition`] is met.
    AllowIf {
        /// The services.
        grant: &'a Grant,
        /// The hours during which it counts.
        hours: Option<&'a Hours>,
        /// If it is a lease: after how long without an accepted packet this ends.
        idle: Option<Duration>,
    },
    /// Deny everything.
    Block,
    /// Deny all services that no other claim allows.
    Deny(DenialScope),
    /// A list names the addresses. A list of any length is one claim, and only for single addresses:
    /// the kernel has the lists in sets of their own.
    List,
    /// No list counts for these addresses. Allows nothing.
    Spare,
    /// Deny everything until a time, except where an account, a lease or an exemption counts. The kernel has
    /// bans in sets of their own, from which they leave by themselves.
    Ban(Time),
    /// No ban counts for these addresses. Allows nothing.
    Unbanned,
}

/// What a denial denies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DenialScope {
    /// All services, but not media: no packet proves that the contact is really there. A phone may
    /// register with somebody else's address, e.g. that of a carrier's media.
    ExceptMedia,
    /// Services and media.
    #[default]
    Everything,
}

/// What follows from all claims for an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// Who it is.
    pub stance: Stance,
    /// What is denied, running flows and outbound packets included. Nothing if it is blocked.
    pub denied: Option<DenialScope>,
    /// Whether bans cover the address that do not count for it.
    pub excepted: bool,
}

/// Who an address is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stance {
    /// No account, block or list names it.
    #[default]
    Stranger,
    /// A list names it.
    Listed,
    /// A stranger for whom no list counts.
    Spared,
    /// Blocked, running flows included.
    Blocked,
    /// Allowed by accounts.
    Account {
        /// The union of the services of all accounts.
        grant: Grant,
        /// Whether a wider block contains it, so that everything else is dropped.
        walled: bool,
        /// What is granted besides, under conditions.
        conditional: Conditional,
    },
}

/// What is granted under conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conditional {
    /// The union of the services, by condition.
    pub grants: BTreeMap<Condition, Grant>,
    /// If there are leases among them: after how long without an accepted packet these end.
    pub idle: Option<Duration>,
}

impl Conditional {
    /// Whether it certainly grants no more than another, together with what is always granted there.
    fn is_within(&self, other: &Conditional, always: &Grant) -> bool {
        let is_granted = |(condition, grant): (&Condition, &Grant)| {
            let same = other.grants.get(condition);
            grant.is_within(always) || same.is_some_and(|before| grant.is_within(before))
        };
        self.idle <= other.idle && self.grants.iter().all(is_granted)
    }
}

impl Answer {
    /// What follows from one lease alone.
    pub fn of_lease(kind: &Kind) -> Answer {
        let mut weighing = Weighing { leases: 1, ..Weighing::default() };
        weighing.idles.insert(kind.idle, 1);
        let granted = weighing.conditional.entry((kind.hours.as_ref(), true)).or_default();
        granted.count(&kind.services, 1);
        weighing.answer()
    }

    /// What accounts grant under no condition; `None` if none counts.
    pub fn grant(&self) -> Option<&Grant> {
        match &self.stance {
            Stance::Account { grant, .. } => Some(grant),
            _ => None,
        }
    }

    /// What accounts grant under conditions.
    pub fn conditional(&self) -> impl Iterator<Item = (&Condition, &Grant)> {
        let conditional = match &self.stance {
            Stance::Account { conditional, .. } => Some(&conditional.grants),
            _ => None,
        };
        conditional.into_iter().flatten()
    }

    /// What accounts grant where all conditions are met; nothing without an account.
    pub fn most(&self) -> Grant {
        let mut union = Union::default();
        self.grant().into_iter().for_each(|grant| union.count(grant, 1));
        self.conditional().for_each(|(_, grant)| union.count(grant, 1));
        union.grant()
    }

    /// Whether it certainly gives nobody more than another answer, whatever is open to strangers. An
    /// exception from a ban comes with the ban or with what is allowed, and gives nothing by itself.
    pub fn is_at_most(&self, other: &Answer) -> bool {
        use Stance::{Account, Blocked, Listed, Spared, Stranger};

        if self == other || self.stance == Blocked {
            return true;
        }
        let stance = match (&self.stance, &other.stance) {
            // Who has an account loses it; what is open to strangers was open to it before, unless
            // a wider block contained it.
            (Stranger | Listed, Stranger | Spared | Account { walled: false, .. })
            | (Spared, Spared | Account { walled: false, .. })
            | (Listed, Listed) => true,
            (
                Account { grant, walled, conditional },
                Account { grant: before, walled: was_walled, conditional: others },
            ) => {
                grant.is_within(before)
                    && (*walled || !was_walled)
                    && conditional.is_within(others, before)
            }
            _ => false,
        };
        stance && self.denied >= other.denied
    }

    /// Whether it differs from what holds for any stranger.
    pub fn is_special(&self) -> bool {
        *self != Answer::default()
    }
}

/// The claims for one address, counted so that the answer costs the same however many there are.
#[derive(Debug, Default)]
pub struct Weighing<'a> {
    /// The accounts and blocks by the widths of their ranges: the narrower is more specific.
    accounts: BTreeMap<u128, usize>,
    blocks: BTreeMap<u128, usize>,
    denials: BTreeMap<DenialScope, usize>,
    lists: usize,
    exemptions: usize,
    bans: usize,
    unbanned: usize,
    /// Leases: whoever has a credential does not override what an administrator has blocked.
    leases: usize,
    /// What is granted under no condition.
    always: Union<'a>,
    /// What is granted under conditions: hours, and whether it is a lease.
    conditional: BTreeMap<(Option<&'a Hours>, bool), Union<'a>>,
    idles: BTreeMap<Duration, usize>,
}

/// The union of grants.
#[derive(Debug, Default)]
struct Union<'a> {
    /// The grants of everything.
    unlimited: usize,
    services: BTreeMap<&'a ServiceName, usize>,
}

impl<'a> Union<'a> {
    fn count(&mut self, grant: &'a Grant, by: isize) {
        match grant {
            Grant::All => self.unlimited = self.unlimited.saturating_add_signed(by),
            Grant::Some(names) => {
                names.iter().for_each(|name| count(&mut self.services, name, by));
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.unlimited == 0 && self.services.is_empty()
    }

    fn grant(&self) -> Grant {
        if self.unlimited > 0 {
            return Grant::All;
        }
        Grant::of(self.services.keys().map(|name| (*name).clone()))
    }
}

impl<'a> Weighing<'a> {
    /// Adds a claim.
    pub fn add(&mut self, claim: &Claim<'a>) {
        self.count(claim, 1);
    }

    /// Removes a claim that was added.
    pub fn remove(&mut self, claim: &Claim<'a>) {
        self.count(claim, -1);
    }

    fn count(&mut self, claim: &Claim<'a>, by: isize) {
        let width = claim.over.width();
        match claim.says {
            Says::Block => count(&mut self.blocks, width, by),
            Says::Deny(scope) => count(&mut self.denials, scope, by),
            Says::List => self.lists = self.lists.saturating_add_signed(by),
            Says::Spare => self.exemptions = self.exemptions.saturating_add_signed(by),
            Says::Ban(_) => self.bans = self.bans.saturating_add_signed(by),
            Says::Unbanned => self.unbanned = self.unbanned.saturating_add_signed(by),
            Says::Allow(grant) => {
                count(&mut self.accounts, width, by);
                self.always.count(grant, by);
            }
            Says::AllowIf { grant, hours, idle } => {
                match idle {
                    None => count(&mut self.accounts, width, by),
                    Some(_) => self.leases = self.leases.saturating_add_signed(by),
                }
                let key = (hours, idle.is_some());
                let union = self.conditional.entry(key).or_default();
                union.count(grant, by);
                if union.is_empty() {
                    self.conditional.remove(&key);
                }
                idle.into_iter().for_each(|idle| count(&mut self.idles, idle, by));
            }
        }
    }

    /// Adds that a list names the address.
    pub fn add_list(&mut self) {
        self.lists += 1;
    }

    /// Who wins: a block that is at least as specific as every account; else the accounts and leases; else
    /// the exemptions; else the lists. Of denials, the one that denies most.
    pub fn answer(&self) -> Answer {
        let account = self.accounts.keys().next();
        let block = self.blocks.keys().next();
        let stance = match (account, block) {
            (None, None) if self.leases > 0 => self.account(false),
            (None, None) if self.exemptions > 0 => Stance::Spared,
            (None, None) if self.lists > 0 => Stance::Listed,
            (None, None) => Stance::Stranger,
            (None, Some(_)) => Stance::Blocked,
            (Some(account), Some(block)) if block <= account => Stance::Blocked,
            (Some(_), block) => self.account(block.is_some()),
        };
        let denied = self.denials.keys().next_back().copied();
        let denied = denied.filter(|_| stance != Stance::Blocked);
        let excepted = self.bans > 0 && stance != Stance::Blocked && self.is_never_banned();
        Answer { stance, denied, excepted }
    }

    /// Whether no ban counts.
    fn is_never_banned(&self) -> bool {
        !self.accounts.is_empty() || self.leases > 0 || self.exemptions > 0 || self.unbanned > 0
    }

    fn account(&self, walled: bool) -> Stance {
        let (grant, conditional) = (self.always.grant(), self.conditional());
        Stance::Account { grant, walled, conditional }
    }

    /// What is granted under conditions: nothing where everything is granted without.
    fn conditional(&self) -> Conditional {
        if self.always.unlimited > 0 {
            return Conditional::default();
        }
        let grants = self.conditional.iter().map(|((hours, leased), union)| {
            (Condition { hours: hours.cloned(), leased: *leased }, union.grant())
        });
        let idle = self.idles.keys().next_back().copied();
        Conditional { grants: grants.collect(), idle }
    }
}

fn count<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K, by: isize) {
    let number = counts.get(&key).copied().unwrap_or(0).saturating_add_signed(by);
    if number == 0 {
        counts.remove(&key);
    } else {
        counts.insert(key, number);
    }
}

/// Splits a range where claims begin or end, and returns the pieces for which something holds other
/// than for any stranger, in ascending order.
///
/// Neighbours with equal answers stay apart, so that a change affects only the pieces that it
/// touches, and the result does not depend on the order of changes. Only bans split nothing where the
/// answer stays the same: there may be many inside a wide block. `n log n`, also if all claims overlap.
pub fn pieces(claims: &[Claim<'_>], within: &AddrRange) -> Vec<(AddrRange, Answer)> {
    let family = within.family();
    let mut ends: Vec<End<'_, '_>> = Vec::with_capacity(claims.len() * 2);
    for claim in claims.iter().filter(|claim| claim.over.overlaps(within)) {
        ends.push(End { at: claim.over.first().max(within.first()), begins: true, claim });
        // What ends with the range or behind it needs no end.
        if let Some(behind) = claim.over.last().checked_add(1).filter(|at| *at <= within.last()) {
            ends.push(End { at: behind, begins: false, claim });
        }
    }
    ends.sort_unstable_by_key(|end| end.at);
    let mut found: Vec<(AddrRange, Answer)> = Vec::new();
    let mut weighing = Weighing::default();
    let mut ends = ends.into_iter().peekable();
    // Whether only bans begin or end at this place.
    let mut only_bans = true;
    while let Some(end) = ends.next() {
        only_bans &= end.is_of_ban();
        if end.begins {
            weighing.add(end.claim);
        } else {
            weighing.remove(end.claim);
        }
        let next = ends.peek().map(|next| next.at);
        if next == Some(end.at) {
            continue;
        }
        let last = next.map_or(within.last(), |next| next - 1);
        let answer = weighing.answer();
        let continues = std::mem::replace(&mut only_bans, true);
        if let Some((range, before)) = found.last_mut()
            && continues
            && *before == answer
            && range.last().checked_add(1) == Some(end.at)
        {
            *range = piece(family, range.first(), last).unwrap_or(*range);
            continue;
        }
        if let Some(range) = piece(family, end.at, last).filter(|_| answer.is_special()) {
            // Mostly the same as the one before, with which it then shares its services.
            let same = found.last().map(|(_, before)| before).filter(|before| **before == answer);
            let answer = same.cloned().unwrap_or(answer);
            found.push((range, answer));
        }
    }
    found
}

fn piece(family: Family, first: u128, last: u128) -> Option<AddrRange> {
    AddrRange::new(family, first, last)
}

/// Where a claim begins, or the address behind its end.
struct End<'a, 'b> {
    at: u128,
    begins: bool,
    claim: &'b Claim<'a>,
}

impl End<'_, '_> {
    fn is_of_ban(&self) -> bool {
        matches!(self.claim.says, Says::Ban(_) | Says::Unbanned)
    }
}

#[cfg(test)]
mod tests;
