//! Sets of the kernel that follow from records and deny something, such as bans.
//!
//! What denies goes to the kernel when it is decided, what opens when it is on disk. What is sent is always
//! what the records say then, so that it does not matter in which order changes are written down, refused and
//! decided again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::decide::Decision;
use super::{Engine, To};
use crate::action::Action;
use crate::features::Change;
use crate::learned::{Element, Key, SetSpec};
use crate::time::Time;

/// The kernel's sets are read every ten seconds: after a longer pause, the clock was set, or the machine slept.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// An element, and whether it may be in the kernel already.
type Places = BTreeMap<(&'static SetSpec, Key), bool>;

/// What is sent of the elements that a change concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sends {
    /// What is denied, ahead of everything that waits.
    DeniesAtOnce,
    /// What is denied, behind what was sent before.
    Denies,
    /// What is no longer denied.
    Opens,
    /// Also what is no longer denied.
    All,
}

impl Engine {
    /// The elements that the changes of decisions concern, which are made in memory or taken back.
    pub(super) fn places<'a>(decisions: impl Iterator<Item = &'a Decision>) -> Places {
        let mut places = Places::new();
        for decision in decisions {
            for Element { set, key, .. } in decision.undo.iter().flat_map(Change::denies) {
                places.insert((set, key), true);
            }
            for Element { set, key, .. } in decision.changes.iter().flat_map(Change::denies) {
                places.entry((set, key)).or_insert(false);
            }
        }
        places
    }

    /// The elements that were there before the changes of a decision.
    pub(super) fn elements_before(decision: &Decision) -> impl Iterator<Item = Element> {
        decision.undo.iter().flat_map(Change::denies)
    }

    /// Tells the kernel what the records say of some elements.
    pub(super) fn renew_denied(
        &mut self,
        places: Places,
        sends: Sends,
        now: Time,
    ) -> Option<Action> {
        let (mut elements, mut stale) = (Vec::new(), BTreeSet::new());
        for ((set, key), was_there) in places {
            let until = self.state.denied_until(set, &key);
            let element = until.and_then(|until| Element { set, key, until }.lasting(now));
            let is_sent = match sends {
                Sends::DeniesAtOnce | Sends::Denies => element.is_some(),
                Sends::Opens => element.is_none(),
                Sends::All => true,
            };
            if !is_sent {
                continue;
            }
            if was_there || element.is_none() {
                stale.insert((set, key));
            }
            elements.extend(element);
        }
        self.projection.deny(elements, stale, sends == Sends::DeniesAtOnce)
    }

    /// Tells the kernel anew when what is denied ends, if the clock was set or stood still: the kernel counts
    /// by a clock of its own.
    pub(super) fn renew_all_denied(&mut self, now: Time) -> Option<Action> {
        let before = self.clock_seen.replace(now)?;
        if before <= now && now.since(before) < MAX_PAUSE {
            return None;
        }
        let mut places = Places::new();
        self.state.denied(&mut |element| {
            places.insert((element.set, element.key), true);
        });
        self.renew_denied(places, Sends::All, now)
    }

    /// The kernel has answered. What it did not take is loaded with the whole table.
    pub(super) fn denied(&mut self, to: To, result: Result<(), String>, now: Time) -> Vec<Action> {
        self.projection.settle_denied(to);
        let counts = self.projection.is_current(to) && self.projection.follows();
        let mut actions = match result {
            Err(error) if counts => self.refused_by_kernel(error, now),
            _ => self.finish_ready(now),
        };
        // What it denies is written down now.
        actions.extend(self.proceed(now));
        actions
    }
}
