//! What ends a lease.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{Deed, Event, Lease, Leases, Notice, Refusal, Reply};
use crate::AddrRange;
use crate::action::Unlearn;
use crate::condition::{self, LEASE, LEASE_END};
use crate::features::{Fact, Feature as _, Plan, View};
use crate::time::Time;

/// What the kernel's sets were longer ago is not known to be so now: they are read every ten seconds, and
/// the clock may have been set.
const FRESH: Duration = Duration::from_secs(15);
/// How soon an examination is tried again where nothing fresh is known.
const SOON: Duration = Duration::from_secs(5);
/// How long after its opening a lease is examined first: the sets may have been read just before.
pub(super) const FIRST_EXAMINATION: Duration = Duration::from_secs(30);
/// How long after its opening a lease may get into the kernel.
pub(super) const OPENING: Duration = Duration::from_secs(2);

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
        let name = format!("{}/{}", Leases::NAME, lease.key.user);
        plan.effects.facts.push(Fact::Withdrawn { name, ranges: vec![range] });
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

    /// When a lease is examined next; `None` if it has ended. It never ends during a call, and only
    /// where the kernel has been asked just now.
    fn next_examination(&self, lease: &Lease, view: &View<'_>) -> Option<Time> {
        let (now, sets, address) = (view.now(), &view.learned().sets, lease.key.address);
        let soon = now.after(SOON);
        let read_at = sets.read_at(now).filter(|read_at| now.since(*read_at) <= FRESH);
        let Some(read_at) = read_at else { return Some(soon) };
        if condition::is_in_call(address, sets, now) {
            return Some(soon);
        }
        let idle_end = self.last_packet(address, view)?.after(lease.idle());
        // The kernel has one absolute end for all leases of an address.
        let own_end = lease.until.filter(|_| self.is_shared(lease));
        let end = condition::absolute_end(address, sets, now)?.min(idle_end);
        let end = own_end.map_or(end, |own| own.min(end));
        (end > read_at).then(|| end.after(SOON))
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
        let mut plan = Plan::default();
        let (now, sets) = (view.now(), &view.learned().sets);
        for lease in self.all.values() {
            let address = lease.key.address;
            let idle = lease.since.after(lease.idle()).since(now);
            let longest = lease.until.map_or(condition::MAX_LEASE, |until| until.since(now));
            let is_known = condition::idle_end(address, sets, now).is_some();
            if !is_known && !idle.is_zero() && !longest.is_zero() {
                plan.effects.teach.extend(condition::lease(address, idle, longest));
            }
        }
        plan
    }

    /// The ranges of all leases.
    pub fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        self.all.values().map(Lease::range)
    }
}
