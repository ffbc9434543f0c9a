//! What ends a lease.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{Deed, Event, Lease, Leases, Notice, Refusal, Reply};
use crate::AddrRange;
use crate::action::Unlearn;
use crate::condition::{self, LEASE, LEASE_END};
use crate::features::{Fact, Plan, View};
use crate::time::Time;

/// How long after a moment the daemon knows what the kernel's sets were then: they are read every ten
/// seconds.
const READING_LAG: Duration = Duration::from_secs(15);
/// The least time between two examinations of a lease.
pub(super) const MIN_PAUSE: Duration = READING_LAG;
/// How long after the start of the daemon nothing is examined.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(30);

impl Leases {
    /// Ends the leases of an address.
    pub(super) fn close_address(&self, address: IpAddr) -> Result<Plan<Leases>, Refusal> {
        let address = address.to_canonical();
        let leases: Vec<Lease> = self.all.at(address).cloned().collect();
        if leases.is_empty() {
            return Err(Refusal::None { address });
        }
        let mut plan = Plan::default();
        leases.iter().for_each(|lease| self.end(&mut plan, lease, Deed::Close));
        plan.effects.waits_for_up = true;
        plan.said.push(Reply::Ended(leases));
        Ok(plan)
    }

    /// Ends a lease and its running flows.
    pub(super) fn end(&self, plan: &mut Plan<Leases>, lease: &Lease, deed: Deed) {
        let range = lease.range();
        plan.remove(lease.key.clone(), deed);
        plan.effects.cut_flows_of(&[range]);
        plan.effects
            .facts
            .push(Fact::Withdrawn { name: lease.key.user.to_string(), ranges: vec![range] });
        // Another user behind the same address keeps what the kernel knows of it.
        if !self.is_shared(lease) {
            let key = condition::key(lease.key.address);
            let elements: BTreeSet<_> = [(&LEASE, key), (&LEASE_END, key)].into();
            plan.effects.unlearn.push(Unlearn::Exactly(elements));
        }
    }

    /// Whether another user has a lease for the same address.
    fn is_shared(&self, lease: &Lease) -> bool {
        self.all.at(lease.key.address).any(|other| other.key != lease.key)
    }

    /// Ends what the kernel no longer honours, and says when each of the others is examined again.
    pub(super) fn end_what_has_ended(&self, view: &View<'_>) -> Plan<Leases> {
        let mut plan = Plan::default();
        let now = view.now();
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        for lease in due.filter_map(|(_, key)| self.all.get(key)) {
            if let Some(next) = self.next_examination(lease, view) {
                plan.at_once.push(Event::Examined(lease.key.clone(), next));
                continue;
            }
            self.end(&mut plan, lease, Deed::Expire);
            plan.notices.push(Notice::Expired(lease.clone()));
            plan.effects.must_happen = true;
        }
        plan
    }

    /// When a lease is examined next; `None` if it has ended. It never ends during a call.
    fn next_examination(&self, lease: &Lease, view: &View<'_>) -> Option<Time> {
        let now = view.now();
        let soon = now.after(MIN_PAUSE);
        if condition::is_in_call(lease.key.address, &view.learned().sets, now) {
            return Some(soon);
        }
        let idle_end = self.last_packet(lease.key.address, view)?.after(lease.idle());
        let end = lease.until.map_or(idle_end, |until| idle_end.min(until));
        // What the sets were at the end is known a little later.
        let end = end.after(READING_LAG);
        (end > now).then(|| end.max(soon))
    }

    /// When an address with leases last sent an accepted packet; `None` if none of its leases counts.
    pub(super) fn last_packet(&self, address: IpAddr, view: &View<'_>) -> Option<Time> {
        let end = condition::idle_end(address, &view.learned().sets, view.now())?;
        // The longest idle limit of an address is that of the kernel.
        let idle = self.all.at(address).map(Lease::idle).max()?;
        let idle = i64::try_from(idle.as_millis()).ok()?;
        Some(Time::from_millis(end.millis().saturating_sub(idle)).min(view.now()))
    }

    /// What the kernel may not have got before the daemon was stopped, or what a reboot has lost: a lease
    /// begins with the packet that opened it.
    pub(super) fn begin_again(&self, view: &View<'_>) -> Plan<Leases> {
        let mut plan = Plan { at_once: vec![Event::Started], ..Plan::default() };
        let (now, sets) = (view.now(), &view.learned().sets);
        let unknown = self
            .all
            .values()
            .filter(|lease| condition::idle_end(lease.key.address, sets, now).is_none());
        for lease in unknown {
            let end = lease.since.after(lease.idle());
            let left = end.since(now);
            let longest = lease.until.map_or(condition::MAX_LEASE, |until| until.since(now));
            if !left.is_zero() && !longest.is_zero() {
                plan.effects.teach.extend(condition::lease(lease.key.address, left, longest));
            }
        }
        plan
    }

    /// Examines nothing before a time.
    pub(super) fn delay_all(&mut self, from: Time) {
        self.examine_from = from;
        let early: Vec<_> =
            self.due.iter().take_while(|(at, _)| *at < from).map(|(_, key)| key.clone()).collect();
        early.iter().for_each(|key| self.examine(key, Some(from)));
    }

    /// The ranges of all leases.
    pub fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        self.all.values().map(Lease::range)
    }
}
