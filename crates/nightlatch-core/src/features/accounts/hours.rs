//! Hours of access: what ends with them.
//!
//! The kernel examines each new packet by itself. What runs when the hours end is ended here, except for
//! calls, which continue: a connection of signalling that carries one ends when the call is over.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Account, AccountName, Accounts, Event};
use crate::condition;
use crate::features::{Plan, View};
use crate::hours::Hours;
use crate::learned::LearnedSets;
use crate::time::Time;

/// How often it is looked whether a call is over.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// Which accounts have hours, and when it is looked at them next.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    names: BTreeSet<AccountName>,
    /// Accounts that are outside of their hours, and in a call.
    in_call: BTreeSet<AccountName>,
    /// When it was looked last.
    looked: Option<Time>,
    next: Option<Time>,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Looked {
    in_call: BTreeSet<AccountName>,
    next: Option<Time>,
}

impl Watch {
    /// An account has changed: it is looked at once.
    pub(super) fn put(&mut self, name: &AccountName, hours: Option<&Hours>) {
        let was_watched = self.names.remove(name);
        if hours.is_some() {
            self.names.insert(name.clone());
        }
        if was_watched || hours.is_some() {
            self.next = (!self.names.is_empty()).then(Time::default);
        }
        self.in_call.remove(name);
    }

    pub(super) fn note(&mut self, looked: &Looked, now: Time) {
        self.looked = Some(now);
        self.next = looked.next;
        self.in_call.clone_from(&looked.in_call);
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.next
    }
}

impl Accounts {
    /// Ends what runs of accounts whose hours have ended since the last look.
    pub(super) fn end_hours(&self, plan: &mut Plan<Accounts>, view: &View<'_>) {
        let now = view.now();
        let sets = &view.learned().sets;
        if self.watch.next.is_none_or(|next| next > now) {
            return;
        }
        let (mut in_call, mut changes) = (BTreeSet::new(), Vec::new());
        let watched = self.watch.names.iter().filter_map(|name| self.all.get(name));
        for account in watched {
            let Some(hours) = &account.hours else { continue };
            changes.extend(hours.next_change(now));
            let was_in_call = self.watch.in_call.contains(&account.name);
            if hours.contain(now) || !(was_in_call || self.has_ended(hours, now)) {
                continue;
            }
            plan.effects.cut_flows_of(&account.ranges().collect::<Vec<_>>());
            if is_in_call(account, sets, now) {
                in_call.insert(account.name.clone());
                changes.push(now.after(LOOK_INTERVAL));
            }
        }
        let next = changes.into_iter().min();
        plan.at_once.push(Event::Looked(Looked { in_call, next }));
    }

    /// Whether hours have ended since the last look; at the first one, everything that is not now.
    fn has_ended(&self, hours: &Hours, now: Time) -> bool {
        let Some(looked) = self.watch.looked.filter(|looked| *looked <= now) else { return true };
        let windows = hours.windows(looked, now);
        windows.iter().any(|(_, end)| looked < *end && *end <= now)
    }
}

/// Whether an address of an account is in a call.
fn is_in_call(account: &Account, sets: &LearnedSets, now: Time) -> bool {
    let mut calling = sets.of(&condition::IN_CALL, now);
    calling.any(|element| account.range_of(element.key.address).is_some())
}
