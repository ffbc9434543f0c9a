//! Exemptions: addresses that are never banned and never blocked by a list, and allowed nothing.

mod exemption;
mod requests;

use std::fmt;
use std::net::IpAddr;

pub use exemption::{Exemption, ExemptionName, NameError};
pub use requests::{MAX_ENTRIES, Refusal, Reply, Request};

use super::{By, Change, Fact, Feature, Plan, Put, Reads, View};
use crate::AddrRange;
use crate::entry::{HostName, resolved};
use crate::policy::{Claim, Says};
use crate::records::{Records, differing};
use crate::time::Time;

/// The exemptions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exemptions {
    /// All of them, by name.
    pub all: Records<Exemption>,
}

nothing!(Event, Job, Notice);

/// What the audit log calls a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// Addresses were exempted.
    Exempt,
    /// Somebody ended an exemption, whole or of some addresses.
    Unexempt,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Exempt => "exempt",
            Deed::Unexempt => "unexempt",
        })
    }
}

impl Feature for Exemptions {
    const NAME: &'static str = "exemptions";

    type Key = ExemptionName;
    type Config = ();
    type Record = Exemption;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn read(_key: &ExemptionName, body: &str) -> serde_json::Result<Exemption> {
        serde_json::from_str(body)
    }

    fn own_key(exemption: &Exemption) -> Option<ExemptionName> {
        Some(exemption.name.clone())
    }

    fn put(&mut self, key: &ExemptionName, record: Option<Exemption>) -> Option<Exemption> {
        match record {
            Some(exemption) => self.all.put(exemption),
            None => self.all.remove(key),
        }
    }

    fn load(&mut self, records: Vec<(ExemptionName, Exemption)>) {
        self.all = records.into_iter().map(|(_, exemption)| exemption).collect();
    }

    fn each(&self, found: &mut dyn FnMut(&ExemptionName, &Exemption)) {
        self.all.iter().for_each(|(key, exemption)| found(key, exemption));
    }

    fn claimed(exemption: &Exemption) -> Vec<AddrRange> {
        exemption.ranges().collect()
    }

    fn touched(before: Option<&Exemption>, after: Option<&Exemption>) -> Vec<AddrRange> {
        match (before, after) {
            (Some(before), Some(after)) => differing(before, after),
            (one, None) | (None, one) => one.map_or_else(Vec::new, Exemptions::claimed),
        }
    }

    fn claims<'a>(&'a self, over: AddrRange, _now: Time, found: &mut dyn FnMut(Claim<'a>)) {
        for (range, exemption) in self.all.over(over) {
            found(Claim { over: range, says: Says::Spare, by: By::Exemptions(&exemption.name) });
        }
    }

    fn reads(request: &Request) -> Reads {
        match request {
            Request::Add { .. } | Request::Remove { .. } => Reads::Nothing,
            Request::List => Reads::Question,
        }
    }

    fn may_be_alone(_request: &Request) -> bool {
        false
    }

    fn asked(&self, request: Request, view: &View<'_>) -> Result<Plan<Exemptions>, Refusal> {
        match request {
            Request::Add { name, entries } => self.add(name, entries, view),
            Request::Remove { name, entries } => self.remove(&name, entries),
            Request::List => Ok(Plan::say(Reply::All(self.all.values().cloned().collect()))),
        }
    }

    fn follow(&self, fact: &Fact, _view: &View<'_>) -> Plan<Exemptions> {
        match fact {
            Fact::Resolved { name, addresses } => self.resolved(name, addresses),
            _ => Plan::default(),
        }
    }

    fn started(&self, _view: &View<'_>) -> Plan<Exemptions> {
        let mut plan = Plan::default();
        for exemption in self.all.values() {
            requests::tell_names(&mut plan, &exemption.name, &[], &exemption.exempt);
        }
        plan
    }

    /// Nothing where there is none: then nobody has to read of it.
    fn report(&self, _view: &View<'_>) -> Option<Reply> {
        (!self.all.is_empty()).then(|| Reply::Report { count: self.all.len() })
    }

    fn about(&self, address: IpAddr, _view: &View<'_>) -> Option<Reply> {
        let mut exemptions: Vec<&Exemption> = self.all.at(address).collect();
        exemptions.sort_unstable_by_key(|exemption| &exemption.name);
        exemptions.dedup_by_key(|exemption| &exemption.name);
        let exemptions: Vec<Exemption> = exemptions.into_iter().cloned().collect();
        (!exemptions.is_empty()).then_some(Reply::All(exemptions))
    }
}

impl Exemptions {
    /// A host name has other addresses: so have the exemptions that name it.
    fn resolved(&self, host: &HostName, addresses: &[IpAddr]) -> Plan<Exemptions> {
        let mut plan = Plan::default();
        for exemption in self.all.values() {
            if let Some(exempt) = resolved(&exemption.exempt, host, addresses) {
                let name = exemption.name.clone();
                plan.put(name, Exemption { exempt, ..exemption.clone() }, None);
            }
        }
        plan
    }
}

/// Adds or replaces an exemption.
pub fn put(exemption: Exemption) -> Change {
    Put::<Exemptions> { key: exemption.name.clone(), record: Some(exemption) }.into()
}

/// Removes an exemption.
pub fn removed(name: ExemptionName) -> Change {
    Put::<Exemptions> { key: name, record: None }.into()
}
