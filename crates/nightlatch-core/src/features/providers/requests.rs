//! What is asked about providers, what is refused, what follows.

use serde::{Deserialize, Serialize};

use super::{Deed, Enabled, Provider, ProviderName, Providers, Status, catalogue};
use crate::AddrRange;
use crate::api::RefusalKind;
use crate::entry::{HostName, host_names};
use crate::features::{Fact, Feature as _, Plan, Refuses, View};
use crate::service::Grant;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The whole catalogue, and what of it is enabled.
    List,
    /// The providers that are enabled.
    Enabled,
    /// One provider.
    Show {
        /// Its name.
        name: ProviderName,
    },
    /// Allow a provider.
    Enable {
        /// Its name.
        name: ProviderName,
    },
    /// No longer allow it.
    Disable {
        /// Its name.
        name: ProviderName,
    },
}

/// A provider, and whether it is enabled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// What the catalogue says; nothing if the provider is no longer in it.
    pub provider: Option<Provider>,
    /// What is allowed of it.
    pub enabled: Option<Enabled>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The provider is allowed.
    Enabled(Enabled),
    /// The provider is no longer allowed.
    Disabled(Enabled),
    /// A block denies addresses of the provider.
    ShutOut {
        /// Its name.
        name: ProviderName,
    },
    /// The provider stays allowed within a block, because it is more specific.
    StaysOpen {
        /// Its name.
        name: ProviderName,
    },
    /// These providers, by name.
    All(Vec<Shown>),
    /// The providers that are enabled, by name.
    AllEnabled(Vec<Enabled>),
    /// This provider.
    One(Box<Shown>),
    /// The providers that allow an address, each with its range.
    Held(Vec<Held>),
    /// How many are enabled.
    Report {
        /// How many.
        count: usize,
    },
}

/// A range of a provider that holds an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The provider.
    pub name: ProviderName,
    /// The range.
    pub range: AddrRange,
    /// What it may use.
    pub services: Grant,
    /// The host names that have the address now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostName>,
    /// When the provider was enabled.
    pub since: crate::time::Time,
    /// By whom.
    pub by: String,
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The catalogue has no such provider.
    Unknown {
        /// The name.
        name: ProviderName,
        /// Names that are alike.
        near: Vec<ProviderName>,
    },
    /// It is enabled already.
    EnabledAlready {
        /// The name.
        name: ProviderName,
    },
    /// It is not enabled.
    NotEnabled {
        /// The name.
        name: ProviderName,
    },
    /// Nobody has verified its addresses.
    Unverified(Box<Provider>),
    /// The service is gone.
    Defunct(Box<Provider>),
    /// The catalogue knows no address of it.
    NoAddress(Box<Provider>),
}

impl Refuses for Refusal {
    fn kind(&self) -> RefusalKind {
        RefusalKind::No
    }
}

impl Providers {
    /// The whole catalogue, and what is enabled without being in it.
    pub(super) fn list(&self) -> Vec<Shown> {
        let known = catalogue::all().iter().map(|provider| self.shown(provider));
        let gone = self.all.values().filter(|enabled| catalogue::find(&enabled.name).is_none());
        let gone = gone.map(|it| Shown { provider: None, enabled: Some(it.clone()) });
        known.chain(gone).collect()
    }

    fn shown(&self, provider: &Provider) -> Shown {
        let enabled = self.all.get(&provider.name).cloned();
        Shown { provider: Some(provider.clone()), enabled }
    }

    pub(super) fn show(&self, name: &ProviderName) -> Result<Plan<Providers>, Refusal> {
        let shown = match (catalogue::find(name), self.all.get(name)) {
            (Some(provider), _) => self.shown(provider),
            (None, Some(it)) => Shown { provider: None, enabled: Some(it.clone()) },
            (None, None) => return Err(unknown(name)),
        };
        Ok(Plan::say(Reply::One(Box::new(shown))))
    }

    pub(super) fn enable(
        &self,
        name: &ProviderName,
        view: &View<'_>,
    ) -> Result<Plan<Providers>, Refusal> {
        let provider = catalogue::find(name).ok_or_else(|| unknown(name))?;
        if self.all.contains_key(name) {
            return Err(Refusal::EnabledAlready { name: name.clone() });
        }
        let boxed = || Box::new(provider.clone());
        match provider.status {
            Status::Defunct => return Err(Refusal::Defunct(boxed())),
            _ if !provider.has_addresses() => return Err(Refusal::NoAddress(boxed())),
            Status::Unverified if !view.force() => return Err(Refusal::Unverified(boxed())),
            Status::Unverified | Status::Verified => {}
        }
        let enabled = Enabled::of(provider, view.now(), view.caller().to_string());
        let mut plan = Plan::say(Reply::Enabled(enabled.clone()));
        Providers::moved(&mut plan, None, Some(&enabled));
        plan.effects.facts.extend(Providers::names(None, Some(&enabled)));
        plan.put(name.clone(), enabled, Deed::Enable);
        plan.effects.waits_for_up = true;
        Ok(plan)
    }

    pub(super) fn disable(&self, name: &ProviderName) -> Result<Plan<Providers>, Refusal> {
        let Some(enabled) = self.all.get(name) else {
            let known = catalogue::find(name).is_some();
            let none = Refusal::NotEnabled { name: name.clone() };
            return Err(if known { none } else { unknown(name) });
        };
        let mut plan = Plan::say(Reply::Disabled(enabled.clone()));
        Providers::close(&mut plan, enabled, Deed::Disable);
        plan.effects.waits_for_up = true;
        Ok(plan)
    }

    /// Removes a provider and ends its running flows.
    pub(super) fn close(plan: &mut Plan<Providers>, enabled: &Enabled, deed: Deed) {
        plan.remove(enabled.name.clone(), deed);
        Providers::moved(plan, Some(enabled), None);
        plan.effects.facts.extend(Providers::names(Some(enabled), None));
    }

    /// What follows for ranges that come and go: running flows end where less is granted than before.
    pub(super) fn moved(
        plan: &mut Plan<Providers>,
        before: Option<&Enabled>,
        after: Option<&Enabled>,
    ) {
        let Some(name) = after.or(before).map(|it| of(&it.name)) else { return };
        let ranges = |it: Option<&Enabled>| it.map(Enabled::ranges).unwrap_or_default();
        let grants = |it: Option<&Enabled>| {
            let owned = it.map(|it| {
                let all = it.grants().into_iter();
                all.map(|(range, grant)| (range, grant.clone())).collect::<Vec<_>>()
            });
            owned.unwrap_or_default()
        };
        let (had, has) = (ranges(before), ranges(after));
        let (was, is) = (grants(before), grants(after));
        let lost: Vec<AddrRange> =
            was.iter().filter(|it| !is.contains(it)).map(|(range, _)| *range).collect();
        if !lost.is_empty() {
            plan.effects.cut_flows_of(&lost);
        }
        let gone: Vec<AddrRange> = had.difference(&has).copied().collect();
        if !gone.is_empty() {
            let name = name.clone();
            plan.effects.facts.push(match after {
                Some(_) => Fact::Replaced { name, ranges: gone },
                None => Fact::Withdrawn { name, ranges: gone },
            });
        }
        let mut came: Vec<(Grant, Vec<AddrRange>)> = Vec::new();
        for (range, grant) in is.iter().filter(|it| !was.contains(it)) {
            match came.iter_mut().find(|(other, _)| other == grant) {
                Some((_, ranges)) => ranges.push(*range),
                None => came.push((grant.clone(), vec![*range])),
            }
        }
        for (services, ranges) in came {
            plan.effects.facts.push(Fact::Allowed { name: name.clone(), services, ranges });
        }
    }

    /// The fact of the host names that a provider has from now on, if it has or had any.
    pub(super) fn names(before: Option<&Enabled>, after: Option<&Enabled>) -> Option<Fact> {
        let of = of(&after.or(before)?.name);
        let names = after.map(|it| host_names(&it.signalling)).unwrap_or_default();
        let had = before.is_some_and(|it| it.names().next().is_some());
        (had || !names.is_empty()).then_some(Fact::HostNames { of, names, private: false })
    }

    /// Says which providers a block denies, and which stay allowed inside it.
    pub(super) fn within_block(&self, block: AddrRange) -> Plan<Providers> {
        let mut plan = Plan::default();
        let mut hit = std::collections::BTreeMap::<&ProviderName, (bool, bool)>::new();
        for (range, enabled) in self.all.over(block) {
            let (shut, stays) = hit.entry(&enabled.name).or_default();
            *shut |= block.width() <= range.width();
            *stays |= block.width() > range.width();
        }
        for (name, (shut, stays)) in &hit {
            plan.said.extend(shut.then(|| Reply::ShutOut { name: (*name).clone() }));
            plan.said.extend(stays.then(|| Reply::StaysOpen { name: (*name).clone() }));
        }
        // What stays allowed within it keeps its services only: other flows of it have to end.
        if !hit.is_empty() {
            plan.effects.cut_flows_of(&[block]);
        }
        plan
    }
}

fn unknown(name: &ProviderName) -> Refusal {
    Refusal::Unknown { name: name.clone(), near: catalogue::near(name) }
}

/// What identifies the record of a provider among those of all features.
fn of(name: &ProviderName) -> String {
    format!("{}/{name}", Providers::NAME)
}
