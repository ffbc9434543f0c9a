//! Denials: addresses of removed or expired accounts, and of phones registered without an account.

mod denial;
mod facts;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use denial::{Denial, DenialCause};

use super::{By, Change, Fact, Feature, Plan, Put, View};
use crate::AddrRange;
use crate::action::Level;
use crate::heard::Topic;
use crate::policy::{Claim, Says};
use crate::records::Records;
use crate::time::Time;

/// The denials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Denials {
    /// All of them, by range.
    pub all: Records<Denial>,
}

nothing!(Request, Refusal, Event, Job);

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// This host is registered at an address of a removed account, so it stays a trunk.
    TrunkStays {
        /// The address.
        address: IpAddr,
    },
    /// These denials, by range.
    All(Vec<Denial>),
    /// The first of them, and how many there are.
    Report {
        /// The first [`crate::api::MAX_LISTED`].
        first: Vec<Denial>,
        /// How many there are in all.
        count: usize,
    },
}

/// What an administrator must hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A phone is registered at the PBX from an address that no account covers.
    UnlistedContact(Denial),
}

/// What the audit log calls a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// An address was denied, because a phone is registered from there without an account.
    Deny,
    /// A denial has ended.
    Expire,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Deny => "deny",
            Deed::Expire => "expire",
        })
    }
}

impl Feature for Denials {
    const NAME: &'static str = "denials";

    type Key = AddrRange;
    type Config = ();
    type Record = Denial;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn read(_key: &AddrRange, body: &str) -> serde_json::Result<Denial> {
        serde_json::from_str(body)
    }

    fn own_key(denial: &Denial) -> Option<AddrRange> {
        Some(denial.range)
    }

    fn put(&mut self, key: &AddrRange, record: Option<Denial>) -> Option<Denial> {
        match record {
            Some(denial) => self.all.put(denial),
            None => self.all.remove(key),
        }
    }

    fn load(&mut self, records: Vec<(AddrRange, Denial)>) {
        self.all = records.into_iter().map(|(_, denial)| denial).collect();
    }

    fn each(&self, found: &mut dyn FnMut(&AddrRange, &Denial)) {
        self.all.iter().for_each(|(key, denial)| found(key, denial));
    }

    fn level(_notice: &Notice) -> Level {
        Level::Warning
    }

    fn topic(notice: &Notice) -> Option<Topic> {
        let Notice::UnlistedContact(Denial { range, cause, .. }) = notice;
        let topic = Topic::new("unlisted-registration", range).with("address", range).in_log();
        Some(match cause {
            DenialCause::UnlistedContact { extension } => topic.with("extension", extension),
            DenialCause::AccountGone { .. } => topic,
        })
    }

    fn claimed(denial: &Denial) -> Vec<AddrRange> {
        vec![denial.range]
    }

    /// A denial applies until it is removed: the PBX is asked before it ends.
    fn claims<'a>(&'a self, over: AddrRange, _now: Time, found: &mut dyn FnMut(Claim<'a>)) {
        for (range, denial) in self.all.over(over) {
            let says = Says::Deny(denial.scope);
            found(Claim { over: range, says, by: By::Denials(&denial.range) });
        }
    }

    fn asked(&self, request: Request, _view: &View<'_>) -> Result<Plan<Denials>, Refusal> {
        match request {}
    }

    fn follow(&self, fact: &Fact, view: &View<'_>) -> Plan<Denials> {
        match fact {
            Fact::Allowed { ranges, .. } => self.ended_by(ranges),
            Fact::Withdrawn { name, ranges } => Denials::of_withdrawn(name, ranges, view),
            Fact::Replaced { name, ranges } => self.of_replaced(name, ranges, view),
            Fact::PutUp { pbx, .. } => self.of_unlisted(pbx, view),
            Fact::PbxReported(pbx) => {
                let mut plan = self.of_unlisted(pbx, view);
                self.end_or_extend(&mut plan, pbx, view);
                plan
            }
            // The mode may be open, and signalling closed all the same.
            Fact::SignallingOpens if view.strangers_may_register(view.posture().mode) => {
                self.without_unlisted()
            }
            _ => Plan::default(),
        }
    }

    fn pbx_needed(&self) -> Option<Time> {
        self.all.next_end()
    }

    fn report(&self, _view: &View<'_>) -> Option<Reply> {
        let first = self.all.values().take(crate::api::MAX_LISTED).cloned().collect();
        Some(Reply::Report { first, count: self.all.len() })
    }

    fn about(&self, address: IpAddr, _view: &View<'_>) -> Option<Reply> {
        Some(Reply::All(self.all.at(address).cloned().collect()))
    }
}

/// Adds or replaces a denial.
pub fn put(denial: Denial) -> Change {
    Put::<Denials> { key: denial.range, record: Some(denial) }.into()
}

/// Removes a denial.
pub fn removed(range: AddrRange) -> Change {
    Put::<Denials> { key: range, record: None }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;
    use crate::features::State;

    /// With one look at all others for each this takes minutes.
    #[test]
    fn a_hundred_thousand_addresses_are_denied_at_once() {
        let mut state = State::default();
        let since = Time::from_millis(0);
        for at in 0..100_000 {
            let range = AddrRange::new(Family::V4, 2 * at, 2 * at).unwrap();
            let cause = DenialCause::AccountGone { account: "office".to_owned() };
            let denial = Denial::new(range, cause, since);
            state.apply(put(denial.clone()));
            state.apply(put(denial));
        }
        assert_eq!(state.denials.all.len(), 100_000);
    }
}
