//! What opens an address, and what a user's change does to those that are open.

use std::time::Duration;

use super::ending::{outlast, shorten};
use super::{Deed, Event, Lease, LeaseKey, Leases, Notice, Reply};
use crate::AddrRange;
use crate::condition;
use crate::features::{Fact, Plan, UserOpens, UserRights, View};
use crate::policy::{Claim, Says};
use crate::time::Time;

/// The most addresses of a user, and the most permanent ones: the oldest ends.
pub(super) const MAX_ADDRESSES: usize = 4;
/// The most leases of all users. The kernel's sets have room for more.
const MAX_LEASES: usize = 50_000;

/// The kernel tells when it has opened something by the time that is left, which is read with some delay:
/// what differs by no more is the same.
const SAME: Duration = Duration::from_secs(2);

impl Leases {
    /// A credential opens an address, or does so again.
    pub(crate) fn open(&self, opens: &UserOpens, view: &View<'_>) -> Plan<Leases> {
        let mut plan = Plan::default();
        let key = LeaseKey {
            user: opens.user.as_str().into(),
            address: opens.address.to_canonical(),
            permanent: opens.permanent,
        };
        if self.all.len() >= MAX_LEASES && !self.all.contains_key(&key) {
            return plan;
        }
        let now = view.now();
        let at = opens.at.map_or(now, |at| at.min(now));
        if opens.at.is_some() && self.is_opened_since(&key, at) {
            return plan;
        }
        self.make_room(&mut plan, &key, view);
        let lease = Lease {
            credential: opens.credential.clone(),
            services: opens.services.clone(),
            hours: opens.hours.clone(),
            idle: opens.idle.min(condition::MAX_IDLE).as_secs(),
            since: at,
            until: opens.longest.map(|longest| at.after(longest)),
            key,
        };
        // Of an address that was open for longer, the new limits count.
        let others = self.all.at(lease.key.address).filter(|other| other.key != lease.key);
        let all: Vec<&Lease> = others.chain([&lease]).collect();
        let before: Vec<&Lease> = self.all.get(&lease.key).into_iter().collect();
        let is_sure = self.is_written(lease.key.address) && !outlast(&before, &all);
        shorten(&mut plan, lease.key.address, &all, is_sure, view);
        // What the kernel has opened by itself has set a limit for a permanent lease of the address too.
        let is_limited = opens.at.is_some() && all.iter().any(|lease| lease.until.is_none());
        let end = lease.until.filter(|_| !is_limited);
        let left = end.map_or(condition::MAX_LEASE, |until| until.since(now));
        let idle = lease.since.after(lease.idle()).since(now);
        plan.effects.teach.extend(condition::lease(lease.key.address, idle, left));
        plan.effects.facts.push(Fact::Allowed {
            name: lease.key.user.to_string(),
            services: lease.services.clone(),
            ranges: vec![lease.range()],
        });
        plan.effects.waits_for_up = true;
        plan.said.extend(stays_blocked(&lease, view));
        plan.notices.push(Notice::Opened(lease.clone()));
        plan.events.push(Event::Begun(lease.key.clone(), lease.since));
        plan.put(lease.key.clone(), lease, Deed::Open);
        plan
    }

    /// Whether a lease was opened then, or later.
    fn is_opened_since(&self, key: &LeaseKey, at: Time) -> bool {
        self.all.get(key).is_some_and(|lease| lease.since.after(SAME) >= at)
    }

    /// Ends the oldest leases of a user who is about to have one too many.
    fn make_room(&self, plan: &mut Plan<Leases>, new: &LeaseKey, view: &View<'_>) {
        let mut others: Vec<&Lease> = self.of_user(&new.user).collect();
        others.retain(|lease| lease.key != *new && lease.key.permanent == new.permanent);
        // What was opened later than now was opened before the clock was set back.
        others.sort_by_key(|lease| (lease.since <= view.now(), lease.since, &lease.key));
        let surplus = (others.len() + 1).saturating_sub(MAX_ADDRESSES);
        others.truncate(surplus);
        self.end(plan, &others, Deed::Replace, view);
    }

    /// A user may use other services from now on, or none.
    pub(super) fn user_may(
        &self,
        user: &str,
        may: Option<&UserRights>,
        view: &View<'_>,
    ) -> Plan<Leases> {
        let mut plan = Plan::default();
        let mut ended = Vec::new();
        for lease in self.of_user(user) {
            match may {
                None => ended.push(lease),
                Some(UserRights { services, hours })
                    if lease.granted(services) == lease.services && *hours == lease.hours => {}
                Some(UserRights { services, hours }) => {
                    let (services, hours) = (lease.granted(services), hours.clone());
                    let changed = Lease { services, hours, ..lease.clone() };
                    plan.effects.facts.push(Fact::Allowed {
                        name: user.to_owned(),
                        services: changed.services.clone(),
                        ranges: vec![lease.range()],
                    });
                    plan.effects.cut_flows_of(&[lease.range()]);
                    plan.put(lease.key.clone(), changed, Deed::Change);
                }
            }
        }
        self.end(&mut plan, &ended, Deed::Revoke, view);
        let ended: Vec<Lease> = ended.into_iter().cloned().collect();
        plan.said.extend((!ended.is_empty()).then_some(Reply::Ended(ended)));
        plan
    }

    /// The leases of a user.
    fn of_user(&self, user: &str) -> impl Iterator<Item = &Lease> {
        self.all.values().filter(move |lease| *lease.key.user == *user)
    }
}

/// Says so where a network around the address is blocked. (Of a block of the address alone, its owner says
/// so.)
fn stays_blocked(lease: &Lease, view: &View<'_>) -> Option<Reply> {
    let claims = view.claims(lease.range());
    let blocks = claims.iter().filter(|claim| matches!(claim.says, Says::Block));
    let block = blocks.map(|claim| claim.over).min_by_key(AddrRange::width)?;
    let is_account =
        |says: Says<'_>| matches!(says, Says::Allow(_) | Says::AllowIf { idle: None, .. });
    let is_narrower =
        |claim: &Claim<'_>| is_account(claim.says) && claim.over.width() < block.width();
    let stays = block.width() > lease.range().width() && !claims.iter().any(is_narrower);
    stays.then_some(Reply::StaysBlocked { address: lease.key.address, block })
}
