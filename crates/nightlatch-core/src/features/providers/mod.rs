//! Providers: carriers of the catalogue, allowed by name and for telephony only.

pub mod catalogue;
mod enabled;
mod provider;
mod requests;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use enabled::Enabled;
pub use provider::{Provider, ProviderName, ProviderNameError, Status};
pub use requests::{Held, Refusal, Reply, Request, Shown};

use super::{By, Change, Fact, Feature, Plan, Put, Reads, View};
use crate::AddrRange;
use crate::entry::HostName;
use crate::heard::Topic;
use crate::policy::{Claim, Says};
use crate::records::Records;
use crate::time::Time;

/// The providers that are enabled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Providers {
    /// All of them, by name.
    pub all: Records<Enabled>,
}

nothing!(Event, Job);

/// What an administrator must hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// This version's catalogue has other addresses of a provider, which count now.
    Changed {
        /// Its name.
        name: ProviderName,
    },
    /// A provider was disabled, because the catalogue says that its service is gone.
    Gone {
        /// Its name.
        name: ProviderName,
        /// Since when.
        since: Option<String>,
    },
}

/// What the audit log calls a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// Somebody enabled a provider.
    Enable,
    /// Somebody disabled a provider.
    Disable,
    /// The catalogue has changed with the program, and the provider with it.
    Follow,
    /// A name of the provider has other addresses.
    Resolve,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Enable => "provider-enable",
            Deed::Disable => "provider-disable",
            Deed::Follow => "provider-follow",
            Deed::Resolve => "provider-resolve",
        })
    }
}

impl Feature for Providers {
    const NAME: &'static str = "providers";

    type Key = ProviderName;
    type Config = ();
    type Record = Enabled;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn read(_key: &ProviderName, body: &str) -> serde_json::Result<Enabled> {
        serde_json::from_str(body)
    }

    fn own_key(enabled: &Enabled) -> Option<ProviderName> {
        Some(enabled.name.clone())
    }

    fn put(&mut self, key: &ProviderName, record: Option<Enabled>) -> Option<Enabled> {
        match record {
            Some(enabled) => self.all.put(enabled),
            None => self.all.remove(key),
        }
    }

    fn load(&mut self, records: Vec<(ProviderName, Enabled)>) {
        self.all = records.into_iter().map(|(_, enabled)| enabled).collect();
    }

    fn each(&self, found: &mut dyn FnMut(&ProviderName, &Enabled)) {
        self.all.iter().for_each(|(key, enabled)| found(key, enabled));
    }

    fn topic(notice: &Notice) -> Option<Topic> {
        let (kind, name) = match notice {
            Notice::Changed { name } => ("provider-changed", name),
            Notice::Gone { name, .. } => ("provider-gone", name),
        };
        Some(Topic::new(kind, name).with("provider", name).in_log())
    }

    fn claimed(enabled: &Enabled) -> Vec<AddrRange> {
        enabled.ranges().into_iter().collect()
    }

    fn claims<'a>(&'a self, over: AddrRange, _now: Time, found: &mut dyn FnMut(Claim<'a>)) {
        for (range, enabled) in self.all.over(over) {
            for services in enabled.granted(range) {
                let by = By::Providers(&enabled.name);
                found(Claim { over: range, says: Says::Allow(services), by });
            }
        }
    }

    fn reads(request: &Request) -> Reads {
        match request {
            Request::List | Request::Enabled | Request::Show { .. } => Reads::Question,
            Request::Enable { .. } => Reads::Nothing,
            Request::Disable { .. } => Reads::Learned,
        }
    }

    fn may_be_alone(_request: &Request) -> bool {
        false
    }

    fn asked(&self, request: Request, view: &View<'_>) -> Result<Plan<Providers>, Refusal> {
        match request {
            Request::List => Ok(Plan::say(Reply::All(self.list()))),
            Request::Enabled => {
                Ok(Plan::say(Reply::AllEnabled(self.all.values().cloned().collect())))
            }
            Request::Show { name } => self.show(&name),
            Request::Enable { name } => self.enable(&name, view),
            Request::Disable { name } => self.disable(&name),
        }
    }

    fn follow(&self, fact: &Fact, _view: &View<'_>) -> Plan<Providers> {
        match fact {
            Fact::Resolved { name, addresses } => self.resolved(name, addresses),
            Fact::Blocked(range) => self.within_block(*range),
            _ => Plan::default(),
        }
    }

    /// Another version of the program may have another catalogue.
    fn started(&self, _view: &View<'_>) -> Plan<Providers> {
        let mut plan = Plan::default();
        for enabled in self.all.values() {
            let provider = catalogue::find(&enabled.name);
            if let Some(gone) = provider.filter(|it| it.status == Status::Defunct) {
                Providers::close(&mut plan, enabled, Deed::Follow);
                let (name, since) = (gone.name.clone(), gone.date.clone());
                plan.notices.push(Notice::Gone { name, since });
                continue;
            }
            let now = provider.map_or_else(|| enabled.clone(), |it| enabled.as_in(it));
            plan.effects.facts.extend(Providers::names(Some(enabled), Some(&now)));
            if now != *enabled {
                Providers::moved(&mut plan, Some(enabled), Some(&now));
                plan.notices.push(Notice::Changed { name: now.name.clone() });
                plan.put(now.name.clone(), now, Deed::Follow);
            }
        }
        plan
    }

    fn report(&self, _view: &View<'_>) -> Option<Reply> {
        Some(Reply::Report { count: self.all.len() })
    }

    fn about(&self, address: IpAddr, _view: &View<'_>) -> Option<Reply> {
        let mut held = Vec::new();
        for (range, enabled) in self.all.over(AddrRange::from(address.to_canonical())) {
            let hosts: Vec<HostName> = enabled.hosts_of(address);
            for services in enabled.granted(range) {
                let Enabled { name, since, by, .. } = enabled.clone();
                let (services, hosts) = (services.clone(), hosts.clone());
                held.push(Held { name, range, services, hosts, since, by });
            }
        }
        held.sort_by(|one, other| {
            let key = |it: &Held| (it.name.clone(), it.range.width(), it.services.clone());
            key(one).cmp(&key(other))
        });
        Some(Reply::Held(held))
    }
}

impl Providers {
    /// A name has other addresses from now on.
    fn resolved(&self, name: &HostName, addresses: &[IpAddr]) -> Plan<Providers> {
        let mut plan = Plan::default();
        for enabled in self.all.values() {
            if let Some(now) = enabled.with(name, addresses) {
                Providers::moved(&mut plan, Some(enabled), Some(&now));
                plan.put(now.name.clone(), now, Deed::Resolve);
            }
        }
        plan
    }
}

/// Adds or replaces a provider.
pub fn put(enabled: Enabled) -> Change {
    Put::<Providers> { key: enabled.name.clone(), record: Some(enabled) }.into()
}

/// Removes a provider.
pub fn removed(name: ProviderName) -> Change {
    Put::<Providers> { key: name, record: None }.into()
}
