//! Users who knock: what their sequences open, and leases of what the kernel has opened by itself.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use super::opening::{ONLY_NAMED, UNUSED};
use super::{Deed, Kind, Reply, User, UserName, Users};
use crate::action::Unlearn;
use crate::condition;
use crate::features::{Fact, Plan, UserOpens, View};
use crate::knock::{Completed, KNOCKED, Knock, Opens, Sequences};
use crate::service::Grant;
use crate::time::Time;

/// The sequences of all users, worked out when they are first asked for. They follow from the records and
/// the configuration, so all are equal.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(OnceLock<Arc<Sequences>>);

impl Kept {
    /// Something has changed from which they follow.
    pub(super) fn clear(&mut self) {
        self.0 = OnceLock::new();
    }
}

impl PartialEq for Kept {
    fn eq(&self, _other: &Kept) -> bool {
        true
    }
}

impl Users {
    /// Who may knock, and what that opens.
    pub fn knocks(&self) -> Arc<Sequences> {
        let all = || {
            let knocks = self.all.values().filter_map(|user| {
                let ports = *self.secrets.get(&user.name)?.knock.as_ref()?.reveal();
                Some(Knock {
                    user: user.name.as_str().into(),
                    ports,
                    opens: self.knock_opens(user),
                })
            });
            Arc::new(knocks.collect())
        };
        Arc::clone(self.knocks.0.get_or_init(all))
    }

    /// What a user's knock opens. Whoever sees the packets on their way can repeat them, so of a permanent
    /// one it is never ssh or web.
    fn knock_opens(&self, user: &User) -> Opens {
        let (idle, longest) = self.limits(user);
        let (services, hours) = (user.services.clone(), user.hours.clone());
        if user.permanent {
            let services = permanently(&services).unwrap_or(services);
            return Opens { services, hours, idle: UNUSED, longest: None };
        }
        Opens { services, hours, idle: idle.min(longest), longest: Some(longest) }
    }

    /// Makes leases of what the kernel has opened, and deletes its notes of that.
    pub(super) fn take_over(&self, view: &View<'_>) -> Plan<Users> {
        let mut plan = Plan::default();
        let (knocks, sets, now) = (self.knocks(), &view.learned().sets, view.now());
        let mut gone = BTreeSet::new();
        for Completed { address, key, knock, at } in knocks.completed(sets, now) {
            gone.insert((&KNOCKED, key));
            // It may have ended since.
            let lasts = condition::idle_end(address, sets, now).is_some();
            let Some(knock) = knock.filter(|_| lasts) else { continue };
            plan.effects.facts.push(Fact::UserOpens(opening(knock, address, at)));
        }
        plan.effects.unlearn.extend((!gone.is_empty()).then_some(Unlearn::Exactly(gone)));
        plan
    }

    /// Sets for all users whether a knock opens an address for as long as it is used.
    pub(super) fn set_all_permanent(&self, permanent: bool) -> Plan<Users> {
        let (mut changed, mut refused) = (Vec::new(), Vec::new());
        let mut plan = Plan::default();
        for user in self.all.values().filter(|user| user.permanent != permanent) {
            if permanent && permanently(&user.services).is_none() {
                refused.push(user.name.clone());
                continue;
            }
            changed.push(user.name.clone());
            let user = User { permanent, ..user.clone() };
            plan.put(super::Key::User(user.name.clone()), super::Record::User(user), Deed::Set);
        }
        plan.said.push(Reply::Permanent { permanent, changed, refused });
        plan
    }

    /// The users whose sequence has the port of a service by now: they cannot knock.
    pub(super) fn shadowed(&self, view: &View<'_>) -> Vec<UserName> {
        let (knocks, services) = (self.knocks(), view.catalogue().every_port());
        let shadowed = knocks.iter().filter(|knock| !knock.is_possible(&services));
        shadowed.filter_map(|knock| knock.user.parse().ok()).collect()
    }
}

/// What a knock opened at a moment.
pub(super) fn opening(knock: &Knock, address: IpAddr, at: Time) -> UserOpens {
    let Knock { user, opens, .. } = knock;
    UserOpens {
        user: user.to_string(),
        credential: Kind::Knock.to_string(),
        address,
        services: opens.services.clone(),
        idle: opens.idle,
        longest: opens.longest,
        permanent: opens.longest.is_none(),
        hours: opens.hours.clone(),
        at: Some(at),
    }
}

/// The services that a knock may open permanently; `None` if there are none.
pub(super) fn permanently(services: &Grant) -> Option<Grant> {
    let Grant::Some(names) = services else { return Some(services.clone()) };
    let may = names.iter().filter(|name| !ONLY_NAMED.contains(&name.as_str())).cloned();
    let services = Grant::of(may);
    match &services {
        Grant::Some(names) if names.is_empty() => None,
        _ => Some(services),
    }
}
