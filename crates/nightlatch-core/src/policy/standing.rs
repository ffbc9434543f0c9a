//! What is known of one address.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::claims::{Answer, Says, Weighing};
use super::packet::What;
use super::{World, admits, grants, is_held, is_of_calls};
use crate::AddrRange;
use crate::condition::{Condition, Met};
use crate::features::By;
use crate::lists::Guard;
use crate::service::Grant;
use crate::time::Time;

/// What is known of one address: the claims that cover it, and what follows from them.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// What follows.
    pub answer: Answer,
    /// The accounts that cover it and whose conditions are met, each once, by name.
    pub accounts: Vec<Allowed<'a>>,
    /// How far the conditions are met, and what is granted then.
    conditional: Vec<(Met, Grant)>,
    /// The range of the denial that counts: of those that deny most, the most specific.
    pub denial: Option<AddrRange>,
    /// The range of the most specific block covering it.
    pub block: Option<AddrRange>,
    /// The ban that counts, with its end: of those that have not ended, the one that ends last.
    pub ban: Option<(AddrRange, Time)>,
}

/// What an account allows an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowed<'a> {
    /// The account.
    pub by: By<'a>,
    /// What it grants.
    pub grant: &'a Grant,
    /// How far its condition is met.
    pub met: Met,
}

impl<'a> Standing<'a> {
    /// What is known of an address.
    pub fn of(world: &World<'a>, address: IpAddr) -> Standing<'a> {
        let here = AddrRange::from(address.to_canonical());
        let mut weighing = Weighing::default();
        let (mut accounts, mut denials, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
        let mut ban: Option<(AddrRange, Time)> = None;
        world.state.claims(here, world.now, &mut |claim| {
            weighing.add(&claim);
            match claim.says {
                Says::Allow(grant) => {
                    accounts.push(Allowed { by: claim.by, grant, met: Met::Fully });
                }
                Says::AllowIf { grant, hours, idle } => {
                    let condition = Condition { hours: hours.cloned(), leased: idle.is_some() };
                    let met = condition.met(address, &world.learned.sets, world.now);
                    accounts.push(Allowed { by: claim.by, grant, met });
                }
                Says::Deny(scope) => denials.push((scope, claim.over)),
                Says::Block => blocks.push(claim.over),
                Says::Ban(until) => {
                    let lasts_longer = ban.is_none_or(|(_, longest)| longest < until);
                    if until > world.now && lasts_longer {
                        ban = Some((claim.over, until));
                    }
                }
                Says::List | Says::Spare | Says::Unbanned => {}
            }
        });
        let posture = world.state.posture();
        let is_held = world.assume_listed.unwrap_or_else(|| is_held(world.state, address));
        if is_held && !Guard::of(&posture.site).holds(address) {
            weighing.add_list();
        }
        accounts.retain(|account| account.met > Met::No);
        accounts.sort_unstable();
        accounts.dedup();
        let width = |range: &AddrRange| Reverse(range.width());
        let denial = denials.into_iter().max_by_key(|(scope, range)| (*scope, width(range)));
        let denial = denial.map(|(_, range)| range);
        let block = blocks.into_iter().max_by_key(width);
        let answer = weighing.answer();
        let ban = ban.filter(|_| !answer.excepted);
        let conditional = answer.conditional().map(|(condition, grant)| {
            (condition.met(address, &world.learned.sets, world.now), grant.clone())
        });
        let conditional = conditional.collect();
        Standing { answer, accounts, conditional, denial, block, ban }
    }

    /// Whether accounts let the packet in.
    pub(super) fn grants(&self, world: &World<'_>, what: What) -> bool {
        let always = self.answer.grant().is_some_and(|it| grants(world.catalogue, it, what));
        always || self.conditional.iter().any(|(met, grant)| admits(world, *met, grant, what))
    }

    /// Whether accounts would let the packet in if all conditions were met.
    pub(super) fn may_grant(&self, world: &World<'_>, what: What) -> bool {
        let always = self.answer.grant().into_iter();
        let mut all = always.chain(self.answer.conditional().map(|(_, grant)| grant));
        all.any(|grant| grants(world.catalogue, grant, what))
    }

    /// Whether accounts let the signalling or media in during hours only, which it is not now: a phone that
    /// this host has called is no known peer then.
    pub(super) fn is_outside_hours(&self, world: &World<'_>, what: What) -> bool {
        let mut within = self.answer.conditional().filter(|(it, _)| it.hours.is_some());
        is_of_calls(world.catalogue, what)
            && within.any(|(_, grant)| grants(world.catalogue, grant, what))
    }

    /// The names of the accounts that let the packet in.
    pub(super) fn granting(&self, world: &World<'_>, what: What) -> Vec<String> {
        let accounts = self.accounts.iter();
        let granting = accounts.filter(|it| admits(world, it.met, it.grant, what));
        granting.map(|it| it.by.to_string()).collect()
    }
}
