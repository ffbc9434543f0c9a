//! Hours of services that are open to strangers: what runs when they end, ends.

use crate::action::Flows;
use crate::config::Rules;
use crate::features::{Plan, View};
use crate::time::Time;

use super::{Event, Firewall};

/// When it is looked at the hours next. It follows from the configuration and the clock alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// When it was looked last.
    looked: Option<Time>,
    next: Option<Time>,
}

impl PartialEq for Watch {
    fn eq(&self, _other: &Watch) -> bool {
        true
    }
}

impl Watch {
    /// There is another configuration: it is looked at once.
    pub(super) fn configure(&mut self, rules: &Rules) {
        self.next = (!rules.open_hours.is_empty()).then(Time::default);
    }

    pub(super) fn note(&mut self, next: Option<Time>, now: Time) {
        (self.looked, self.next) = (Some(now), next);
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.next
    }
}

impl Firewall {
    /// Ends strangers' flows whose hours have ended since the last look. Calls continue.
    pub(super) fn end_hours(&self, plan: &mut Plan<Firewall>, view: &View<'_>) {
        let now = view.now();
        if self.watch.next.is_none_or(|next| next > now) {
            return;
        }
        let hours = view.rules().open_by_hours();
        let looked = self.watch.looked.filter(|looked| *looked <= now);
        let has_ended = hours.keys().any(|hours| match looked {
            None => !hours.contain(now),
            Some(looked) => {
                let windows = hours.windows(looked, now);
                windows.iter().any(|(_, end)| looked < *end && *end <= now)
            }
        });
        if has_ended {
            plan.effects.cut = Some(Flows::BegunByPeers);
        }
        let next = hours.keys().filter_map(|hours| hours.next_change(now)).min();
        plan.at_once.push(Event::Looked { next });
    }
}
