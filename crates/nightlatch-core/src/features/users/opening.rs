//! Addresses that an administrator opens for a user by hand.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::requests::{Refusal, Reply};
use super::{User, UserName, Users};
use crate::AddrRange;
use crate::features::{Fact, Plan, UserOpens, View};
use crate::ranges::is_nobody_else;
use crate::service::{Grant, ServiceName};

/// After how long without an accepted packet a permanent address is closed.
pub(super) const UNUSED: Duration = Duration::from_secs(30 * 86_400);
/// Services that are permanently open only if they are named.
pub(super) const ONLY_NAMED: [&str; 2] = ["ssh", "web"];
/// What opens an address that an administrator names.
const BY_HAND: &str = "by hand";

/// An address to open by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// The user's name.
    pub name: UserName,
    /// The address.
    pub address: IpAddr,
    /// For how long at most.
    pub lasts: Option<Duration>,
    /// Whether it lasts as long as it is used.
    #[serde(default)]
    pub permanent: bool,
    /// Which of the user's services; all of them where absent, of a permanent one those that may be
    /// permanent unnamed.
    #[serde(default)]
    pub services: Option<Grant>,
}

/// An address that is opened by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opens {
    /// The user's name.
    pub name: UserName,
    /// The address.
    pub address: IpAddr,
    /// The services.
    pub services: Grant,
    /// After how long without an accepted packet it is closed.
    pub idle: Duration,
    /// After how long in any case; `None` if it is permanent.
    pub longest: Option<Duration>,
}

impl Users {
    pub(super) fn open(&self, open: Open, view: &View<'_>) -> Result<Plan<Users>, Refusal> {
        let Open { name, address, lasts, permanent, services } = open;
        let user = self.known(&name)?;
        let address = address.to_canonical();
        if is_nobody_else(&AddrRange::from(address)) {
            return Err(Refusal::NobodyElse { address });
        }
        if view.posture().site.is_own(address) {
            return Err(Refusal::Own { address });
        }
        let services = granted(user, services, permanent)?;
        let (mut idle, most) = self.limits(user);
        if lasts.is_some_and(|lasts| lasts > most) {
            return Err(Refusal::Limit { least: Duration::from_secs(1), most });
        }
        let mut longest = Some(lasts.unwrap_or(most));
        if permanent {
            (idle, longest) = (UNUSED, None);
        }
        let idle = longest.map_or(idle, |longest| idle.min(longest));
        let opens = UserOpens {
            user: name.to_string(),
            credential: BY_HAND.to_owned(),
            address,
            services: services.clone(),
            idle,
            longest,
            permanent,
            hours: user.hours.clone(),
            at: None,
        };
        let mut plan = Plan::say(Reply::Opened(Opens { name, address, services, idle, longest }));
        plan.effects.facts.push(Fact::UserOpens(opens));
        plan.effects.waits_for_up = true;
        Ok(plan)
    }
}

/// Which services an address gets that is opened by hand.
fn granted(user: &User, named: Option<Grant>, permanent: bool) -> Result<Grant, Refusal> {
    let Grant::Some(own) = &user.services else { return Ok(user.services.clone()) };
    match named {
        Some(Grant::All) => Ok(user.services.clone()),
        Some(Grant::Some(names)) => {
            let others = names.iter().filter(|name| !own.contains(name)).cloned();
            let services: Vec<ServiceName> = others.collect();
            if !services.is_empty() {
                return Err(Refusal::NotGranted { name: user.name.clone(), services });
            }
            Ok(Grant::Some(names))
        }
        None if !permanent => Ok(user.services.clone()),
        None => {
            let may = |name: &&ServiceName| !ONLY_NAMED.contains(&name.as_str());
            let services = Grant::of(own.iter().filter(may).cloned());
            match &services {
                Grant::Some(names) if names.is_empty() => {
                    Err(Refusal::NoneUnnamed { name: user.name.clone() })
                }
                _ => Ok(services),
            }
        }
    }
}
