//! What must hold, packet by packet, for a claim to allow something: hours of access, and leases that
//! accepted packets keep alive.
//!
//! The kernel examines it by itself, also while the daemon is stopped: hours by its clock, leases by sets
//! with timeouts. [`Condition::met`] is the same for [`crate::policy::judge`].

use std::net::IpAddr;
use std::time::Duration;

use crate::hours::Hours;
use crate::learned::{Effect, Filled, Key, Lasting, LearnedSets, SetSpec, Shape};
use crate::time::Time;

/// What must hold for a grant to count.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// The hours during which it counts; always where absent. A call that runs at their end continues.
    pub hours: Option<Hours>,
    /// Whether the address must have a lease that has not ended.
    pub leased: bool,
}

/// How far a condition is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// Not at all.
    No,
    /// For the signalling and the media of a call that runs.
    ForCalls,
    /// Wholly.
    Fully,
}

impl Condition {
    /// How far it is met for an address.
    pub fn met(&self, address: IpAddr, sets: &LearnedSets, now: Time) -> Met {
        let address = address.to_canonical();
        let in_call = is_in(&IN_CALL, address, sets, now);
        if self.leased {
            let lasts = is_in(&LEASE_END, address, sets, now) || in_call;
            if !lasts || !is_in(&LEASE, address, sets, now) {
                return Met::No;
            }
        }
        match &self.hours {
            Some(hours) if !hours.contain(now) => {
                if in_call {
                    Met::ForCalls
                } else {
                    Met::No
                }
            }
            _ => Met::Fully,
        }
    }
}

/// How long after its last packet of media a call counts as running.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest idle limit of a lease: `nft` takes no timeout above 2^32 milliseconds.
pub const MAX_IDLE: Duration = Duration::from_secs(45 * 86_400);
/// The longest absolute limit of a lease.
pub const MAX_LEASE: Duration = Duration::from_secs(20 * 365 * 86_400);
/// The most elements of a family.
const MAX_ADDRESSES: u32 = 65_536;

/// Addresses that have sent media within the last minute, in flows in which this host sends too. Filled only
/// where a condition asks for calls.
pub static IN_CALL: SetSpec = SetSpec {
    name: "in_call",
    shape: Shape::Address,
    timeout: CALL_TIMEOUT,
    size: MAX_ADDRESSES,
    filled: Filled::ByPackets,
    effect: Effect::Conditions,
    saved: None,
};

/// Addresses with a lease: accepted packets renew the elements, which end after the idle limit.
pub static LEASE: SetSpec = SetSpec {
    name: "lease",
    shape: Shape::Address,
    timeout: MAX_IDLE,
    size: MAX_ADDRESSES,
    filled: Filled::ByDaemonRenewedByPackets,
    effect: Effect::Conditions,
    saved: Some("lease"),
};

/// Addresses whose lease has not come to its absolute end.
pub static LEASE_END: SetSpec = SetSpec {
    name: "lease_end",
    shape: Shape::Address,
    timeout: MAX_LEASE,
    size: MAX_ADDRESSES,
    filled: Filled::ByDaemonRenewedByPackets,
    effect: Effect::Conditions,
    saved: Some("lease-end"),
};

/// The sets that conditions ask.
pub static SETS: [&SetSpec; 3] = [&IN_CALL, &LEASE, &LEASE_END];

/// The key of an address in these sets.
pub fn key(address: IpAddr) -> Key {
    Key { address: address.to_canonical(), protocol: 0, port: 0, local_port: 0 }
}

/// What the kernel needs for a lease: the idle limit, and the time to its absolute end.
pub fn lease(address: IpAddr, idle: Duration, left: Duration) -> [Lasting; 2] {
    let key = key(address);
    [
        Lasting { set: &LEASE, key, left: idle.min(MAX_IDLE) },
        Lasting { set: &LEASE_END, key, left: left.min(MAX_LEASE) },
    ]
}

/// When a lease ends unless a packet comes; `None` if it has ended.
pub fn idle_end(address: IpAddr, sets: &LearnedSets, now: Time) -> Option<Time> {
    sets.until(&LEASE, &key(address), now)
}

/// When a lease ends unless a call runs; `None` if that is over.
pub fn absolute_end(address: IpAddr, sets: &LearnedSets, now: Time) -> Option<Time> {
    sets.until(&LEASE_END, &key(address), now)
}

/// Whether an address is in a call.
pub fn is_in_call(address: IpAddr, sets: &LearnedSets, now: Time) -> bool {
    is_in(&IN_CALL, address, sets, now)
}

fn is_in(set: &'static SetSpec, address: IpAddr, sets: &LearnedSets, now: Time) -> bool {
    sets.until(set, &key(address), now).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learned::Element;

    #[test]
    fn how_far_conditions_are_met() {
        let at = Time::from_millis;
        let address: IpAddr = "203.0.113.7".parse().unwrap();
        // 1970-01-01 was a Thursday.
        let closed = Hours::parse("Mon 07:00-19:00", "UTC").unwrap();
        let open = Hours::parse("Thu 00:00-24:00", "UTC").unwrap();
        let sets = |with: &[&'static SetSpec]| {
            let elements =
                with.iter().map(|set| Element { set, key: key(address), until: at(500) });
            elements.collect::<LearnedSets>()
        };
        let condition = |hours: Option<&Hours>, leased| Condition { hours: hours.cloned(), leased };
        for (condition, with, met) in [
            (condition(None, false), sets(&[]), Met::Fully),
            (condition(Some(&open), false), sets(&[]), Met::Fully),
            (condition(Some(&closed), false), sets(&[]), Met::No),
            (condition(Some(&closed), false), sets(&[&IN_CALL]), Met::ForCalls),
            (condition(None, true), sets(&[]), Met::No),
            (condition(None, true), sets(&[&LEASE]), Met::No),
            (condition(None, true), sets(&[&LEASE_END]), Met::No),
            (condition(None, true), sets(&[&LEASE, &LEASE_END]), Met::Fully),
            (condition(None, true), sets(&[&LEASE, &IN_CALL]), Met::Fully),
            (condition(Some(&open), true), sets(&[&LEASE, &LEASE_END]), Met::Fully),
            (condition(Some(&closed), true), sets(&[&LEASE, &LEASE_END]), Met::No),
            (condition(Some(&closed), true), sets(&[&LEASE, &IN_CALL]), Met::ForCalls),
            (condition(Some(&closed), true), sets(&[&IN_CALL]), Met::No),
        ] {
            assert_eq!(condition.met(address, &with, at(499)), met, "{condition:?} {with:?}");
            let mapped = "::ffff:203.0.113.7".parse().unwrap();
            assert_eq!(condition.met(mapped, &with, at(499)), met);
            let other = "203.0.113.8".parse().unwrap();
            let alone = condition.met(other, &with, at(499));
            assert_eq!(alone, condition.met(address, &sets(&[]), at(499)));
        }
    }
}
