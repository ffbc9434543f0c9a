//! What ends a lease.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{Deed, Event, Lease, LeaseKey, Leases, Notice, Refusal, Reply};
use crate::AddrRange;
use crate::action::Unlearn;
use crate::condition::{self, LEASE, LEASE_END};
use crate::features::{Fact, Feature as _, Plan, View};
use crate::learned::Lasting;
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

/// An element that lasts longer than it should by no more than this stays as it is: the kernel counts from
/// the moment at which it got it.
const SLACK: Duration = Duration::from_secs(1);

impl Leases {
    /// Ends the leases of an address.
    pub(super) fn close_address(
        &self,
        address: IpAddr,
        view: &View<'_>,
    ) -> Result<Plan<Leases>, Refusal> {
        let address = address.to_canonical();
        let leases: Vec<&Lease> = self.all.at(address).collect();
        if leases.is_empty() {
            return Err(Refusal::None { address });
        }
        let mut plan = Plan::default();
        self.end(&mut plan, &leases, Deed::Close, view);
        plan.effects.waits_for_up = true;
        plan.said.push(Reply::Ended(leases.into_iter().cloned().collect()));
        Ok(plan)
    }

    /// Ends what a user has opened for an address.
    pub(super) fn close_of_user(
        &self,
        user: &str,
        address: IpAddr,
        view: &View<'_>,
    ) -> Plan<Leases> {
        let leases = self.all.at(address.to_canonical());
        let leases: Vec<&Lease> = leases.filter(|lease| *lease.key.user == *user).collect();
        let mut plan = Plan::default();
        self.end(&mut plan, &leases, Deed::Close, view);
        plan
    }

    /// Ends leases and their running flows.
    pub(super) fn end(
        &self,
        plan: &mut Plan<Leases>,
        leases: &[&Lease],
        deed: Deed,
        view: &View<'_>,
    ) {
        for lease in leases {
            let range = lease.range();
            plan.remove(lease.key.clone(), deed);
            plan.effects.cut_flows_of(&[range]);
            let name = format!("{}/{}", Leases::NAME, lease.key.user);
            plan.effects.facts.push(Fact::Withdrawn { name, ranges: vec![range] });
        }
        let gone: BTreeSet<&LeaseKey> = leases.iter().map(|lease| &lease.key).collect();
        for address in leases.iter().map(|lease| lease.key.address).collect::<BTreeSet<_>>() {
            let all = self.all.at(address);
            let (ends, left): (Vec<&Lease>, Vec<&Lease>) =
                all.partition(|lease| gone.contains(&lease.key));
            let is_sure = self.is_written(address) && !outlast(&ends, &left);
            // What expires leaves the kernel without waiting for the disk, but another user's first opening
            // waits: it is told by its own change.
            let is_told =
                |lease: &&Lease| deed != Deed::Expire || self.begun.contains_key(&lease.key);
            let left: Vec<&Lease> = left.into_iter().filter(is_told).collect();
            shorten(plan, address, &left, is_sure, view);
        }
        plan.events.extend(gone.into_iter().cloned().map(Event::Ended));
    }

    /// Whether all openings of an address are written down, so that the kernel was told of them.
    pub(super) fn is_written(&self, address: IpAddr) -> bool {
        self.all.at(address).all(|lease| self.has_begun(lease))
    }

    /// Whether its last opening is written down.
    fn has_begun(&self, lease: &Lease) -> bool {
        self.begun.get(&lease.key) == Some(&lease.since)
    }

    /// Whether another user has a lease for the same address.
    fn is_shared(&self, lease: &Lease) -> bool {
        self.all.at(lease.key.address).any(|other| other.key != lease.key)
    }

    /// Ends what the kernel no longer honours, and says when each of the others is examined again.
    pub(super) fn end_what_has_ended(&self, view: &View<'_>) -> Plan<Leases> {
        let mut plan = Plan::default();
        let mut ended = Vec::new();
        let due = self.due.iter().take_while(|(at, _)| *at <= view.now());
        for lease in due.filter_map(|(_, key)| self.all.get(key)) {
            match self.next_examination(lease, &mut plan, view) {
                Some(next) => plan.at_once.push(Event::Examined(lease.key.clone(), next)),
                None => ended.push(lease),
            }
        }
        self.end(&mut plan, &ended, Deed::Expire, view);
        plan.effects.must_happen = !ended.is_empty();
        plan.notices.extend(ended.into_iter().cloned().map(Notice::Expired));
        plan
    }

    /// When a lease is examined next; `None` if it has ended. It never ends during a call, and only
    /// where the kernel has been asked just now.
    fn next_examination(
        &self,
        lease: &Lease,
        plan: &mut Plan<Leases>,
        view: &View<'_>,
    ) -> Option<Time> {
        let (now, sets, address) = (view.now(), &view.learned().sets, lease.key.address);
        let soon = now.after(SOON);
        // What is not written down has not begun, however long the disk takes.
        if !self.has_begun(lease) {
            return Some(soon);
        }
        let read_at = sets.read_at(now).filter(|read_at| now.since(*read_at) <= FRESH);
        let Some(read_at) = read_at else { return Some(soon) };
        // What had not ended when the sets were read may have been renewed since.
        let Some(last) = self.last_packet_at(address, view, read_at) else {
            return begin_late(lease, plan, view).then_some(soon);
        };
        if condition::is_in_call(address, sets, read_at) {
            return Some(soon);
        }
        // What opens it counts as a packet, of its own user alone.
        let opened = lease.since.min(now);
        let idle_end = last.max(opened).after(lease.idle());
        // The kernel has one absolute end for all leases of an address.
        let own_end = lease.until.filter(|_| self.is_shared(lease));
        let end = condition::absolute_end(address, sets, read_at)?.min(idle_end);
        let end = own_end.map_or(end, |own| own.min(end));
        (end > read_at).then(|| end.after(SOON).max(soon))
    }

    /// When an address with leases last sent an accepted packet; `None` if none of its leases counts.
    pub(super) fn last_packet(&self, address: IpAddr, view: &View<'_>) -> Option<Time> {
        self.last_packet_at(address, view, view.now())
    }

    /// The same for what counted at another moment.
    fn last_packet_at(&self, address: IpAddr, view: &View<'_>, at: Time) -> Option<Time> {
        let end = condition::idle_end(address, &view.learned().sets, at)?;
        let before = |idle: u64| {
            let idle = i64::try_from(idle).unwrap_or(i64::MAX).saturating_mul(1000);
            Time::from_millis(end.millis().saturating_sub(idle))
        };
        // The kernel's limit for an address is the longest one of its leases.
        let last = before(self.all.at(address).map(|lease| lease.idle).max()?);
        Some(last.min(view.now()))
    }

    /// What the kernel may not have got before the daemon was stopped, or what a reboot has lost: a lease
    /// begins with the packet that opened it. What is there of no lease is removed.
    pub(super) fn begin_again(&self, view: &View<'_>) -> Plan<Leases> {
        let mut plan = Plan::default();
        let (now, sets) = (view.now(), &view.learned().sets);
        for lease in self.all.values() {
            plan.at_once.push(Event::Begun(lease.key.clone(), lease.since));
            let lost = beginning(lease, view).into_iter().flatten();
            plan.effects.teach.extend(lost.filter(|element| {
                let known = sets.until(element.set, &element.key, now);
                // What was saved may be older than what another user opened since.
                known.is_none_or(|known| now.after(element.left) > known.after(SLACK))
            }));
        }
        // What was saved may be older than the limits.
        for address in self.all.values().map(|lease| lease.key.address).collect::<BTreeSet<_>>() {
            let leases: Vec<&Lease> = self.all.at(address).collect();
            shorten(&mut plan, address, &leases, true, view);
        }
        let all = [&LEASE, &LEASE_END].into_iter().flat_map(|set| sets.of(set, now));
        let stale = all.filter(|element| self.all.at(element.key.address).next().is_none());
        let stale: BTreeSet<_> = stale.map(|element| (element.set, element.key)).collect();
        plan.effects.unlearn.extend((!stale.is_empty()).then_some(Unlearn::Exactly(stale)));
        plan
    }

    /// The ranges of all leases.
    pub fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        self.all.values().map(Lease::range)
    }
}

/// The kernel keeps an address for no longer than the leases that are left for it. What another user
/// behind the same address had may have lasted longer. Where it is not sure what the kernel will have been
/// told by then, it is told anew.
pub(super) fn shorten(
    plan: &mut Plan<Leases>,
    address: IpAddr,
    left: &[&Lease],
    is_sure: bool,
    view: &View<'_>,
) {
    let (key, now, sets) = (condition::key(address), view.now(), &view.learned().sets);
    // The last packet may have come after the last reading.
    let idle = left.iter().map(|lease| lease.idle()).max().unwrap_or_default();
    let absolute = match left.iter().map(|lease| lease.until).collect::<Option<Vec<_>>>() {
        Some(ends) => ends.into_iter().max().map_or(Duration::ZERO, |end| end.since(now)),
        None => condition::MAX_LEASE,
    };
    let mut surplus = BTreeSet::new();
    for (set, most) in [(&LEASE, idle), (&LEASE_END, absolute)] {
        let known = sets.until(set, &key, now);
        let is_longer = known.is_some_and(|known| known > now.after(most).after(SLACK));
        if left.is_empty() || is_longer || !is_sure {
            surplus.insert((set, key));
            let again = Lasting { set, key, left: most };
            plan.effects.teach.extend((!most.is_zero()).then_some(again));
        }
    }
    plan.effects.unlearn.extend((!surplus.is_empty()).then_some(Unlearn::Exactly(surplus)));
}

/// Whether some leases have longer limits than others.
pub(super) fn outlast(some: &[&Lease], others: &[&Lease]) -> bool {
    let idle = |leases: &[&Lease]| leases.iter().map(|lease| lease.idle).max();
    // One without an absolute limit lasts longest.
    let end =
        |leases: &[&Lease]| leases.iter().map(|lease| (lease.until.is_none(), lease.until)).max();
    idle(some) > idle(others) || end(some) > end(others)
}

/// Whether a lease that the kernel does not know has not ended all the same: the kernel has lost what it was
/// told, before that was read.
fn begin_late(lease: &Lease, plan: &mut Plan<Leases>, view: &View<'_>) -> bool {
    let lost = beginning(lease, view);
    plan.effects.teach.extend(lost.into_iter().flatten());
    lost.is_some()
}

/// What the kernel was told when a lease was opened, with the time that is left; `None` if it has ended
/// since, were it not for packets.
fn beginning(lease: &Lease, view: &View<'_>) -> Option<[Lasting; 2]> {
    let now = view.now();
    let idle = lease.since.after(lease.idle()).since(now);
    let longest = lease.until.map_or(condition::MAX_LEASE, |until| until.since(now));
    // The clock may have been set back since.
    let counts = lease.since <= now && !idle.is_zero() && !longest.is_zero();
    counts.then(|| condition::lease(lease.key.address, idle, longest))
}
