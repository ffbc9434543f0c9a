//! Leases: addresses that credentials of users have opened for a time.
//!
//! The kernel decides packet by packet whether a lease still counts
//! ([`condition`](crate::condition)), also while the daemon is stopped. This feature has the records,
//! and removes those that the kernel no longer honours.

mod ending;
mod lease;
mod opening;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use lease::{KeyError, Lease, LeaseKey};

use super::{By, Change, Fact, Feature, Plan, Put, Reads, Refuses, View};
use crate::AddrRange;
use crate::api::RefusalKind;
use crate::condition;
use crate::policy::{Claim, Says};
use crate::records::Records;
use crate::time::Time;

/// The leases.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    /// All of them, by user and address.
    pub all: Records<Lease>,
    /// When each is examined next.
    due: BTreeSet<(Time, LeaseKey)>,
    due_of: BTreeMap<LeaseKey, Time>,
    /// The last opening of each lease that is written down, by its moment. The lease may have been opened
    /// again since.
    begun: BTreeMap<LeaseKey, Time>,
    /// The same of leases whose end is not written down: they may come back.
    ending: BTreeMap<LeaseKey, Time>,
}

/// All else follows from them.
impl PartialEq for Leases {
    fn eq(&self, other: &Leases) -> bool {
        self.all == other.all
    }
}

nothing!(Job);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// All leases.
    List,
    /// End the leases of an address.
    Close {
        /// The address.
        address: IpAddr,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// All leases, by user and address.
    All(Vec<Shown>),
    /// These were ended.
    Ended(Vec<Lease>),
    /// The address of a new lease stays blocked, because a wider network is.
    StaysBlocked {
        /// The address.
        address: IpAddr,
        /// What is blocked.
        block: AddrRange,
    },
    /// How many there are.
    Report {
        /// How many.
        count: usize,
    },
}

/// A lease as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The lease.
    #[serde(flatten)]
    pub lease: Lease,
    /// Whether the lease counts, as far as the kernel was asked.
    pub in_force: bool,
    /// When its address last sent an accepted packet since it was opened, as far as the kernel was asked.
    pub last_packet: Option<Time>,
    /// Whether its address has sent media within the last minute.
    pub in_call: bool,
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The address has no lease.
    None {
        /// The address.
        address: IpAddr,
    },
}

impl Refuses for Refusal {
    fn kind(&self) -> RefusalKind {
        RefusalKind::No
    }
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A lease was examined, and is examined again at a time.
    Examined(LeaseKey, Time),
    /// That it was opened at a time is written down.
    Begun(LeaseKey, Time),
    /// That it has ended is written down.
    Ended(LeaseKey),
}

/// What an administrator wants in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// An address was opened.
    Opened(Lease),
    /// A lease has ended by itself.
    Expired(Lease),
}

/// What the audit log calls a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// An address was opened.
    Open,
    /// Somebody has ended a lease.
    Close,
    /// A lease has ended by itself.
    Expire,
    /// The user has opened more addresses than a user may have.
    Replace,
    /// The user was revoked.
    Revoke,
    /// The user may use other services.
    Change,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Open => "open",
            Deed::Close => "close",
            Deed::Expire => "expire",
            Deed::Replace => "replace",
            Deed::Revoke => "revoke",
            Deed::Change => "change",
        })
    }
}

impl Feature for Leases {
    const NAME: &'static str = "leases";

    type Key = LeaseKey;
    type Config = ();
    type Record = Lease;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn read(_key: &LeaseKey, body: &str) -> serde_json::Result<Lease> {
        serde_json::from_str(body)
    }

    fn own_key(lease: &Lease) -> Option<LeaseKey> {
        Some(lease.key.clone())
    }

    fn put(&mut self, key: &LeaseKey, record: Option<Lease>) -> Option<Lease> {
        let since = record.as_ref().map(|lease| lease.since);
        if since.is_none() || since != self.all.get(key).map(|lease| lease.since) {
            self.examine(key, since.map(|since| since.after(ending::FIRST_EXAMINATION)));
        }
        let Some(lease) = record else {
            self.ending.extend(self.begun.remove_entry(key));
            return self.all.remove(key);
        };
        // Its end could not be written down.
        if self.ending.get(key) == Some(&lease.since) {
            self.begun.extend(self.ending.remove_entry(key));
        }
        self.all.put(lease)
    }

    fn each(&self, found: &mut dyn FnMut(&LeaseKey, &Lease)) {
        self.all.iter().for_each(|(key, lease)| found(key, lease));
    }

    fn claimed(lease: &Lease) -> Vec<AddrRange> {
        vec![lease.range()]
    }

    fn claims<'a>(&'a self, over: AddrRange, _now: Time, found: &mut dyn FnMut(Claim<'a>)) {
        for (range, lease) in self.all.over(over) {
            let (grant, hours) = (&lease.services, lease.hours.as_ref());
            let says = Says::AllowIf { grant, hours, idle: Some(lease.idle()) };
            found(Claim { over: range, says, by: By::Leases(&lease.key) });
        }
    }

    fn reads(_request: &Request) -> Reads {
        Reads::Learned
    }

    fn may_be_alone(_request: &Request) -> bool {
        false
    }

    fn asked(&self, request: Request, view: &View<'_>) -> Result<Plan<Leases>, Refusal> {
        match request {
            Request::List => Ok(Plan::say(Reply::All(self.shown(self.all.values(), view)))),
            Request::Close { address } => self.close_address(address, view),
        }
    }

    fn follow(&self, fact: &Fact, view: &View<'_>) -> Plan<Leases> {
        match fact {
            Fact::UserOpens(opens) => self.open(opens, view),
            Fact::UserCloses { user, address } => self.close_of_user(user, *address, view),
            Fact::UserMay { user, may } => self.user_may(user, may.as_ref(), view),
            _ => Plan::default(),
        }
    }

    fn started(&self, view: &View<'_>) -> Plan<Leases> {
        self.begin_again(view)
    }

    fn note(&mut self, event: &Event, now: Time) {
        match event {
            Event::Examined(key, next) if self.all.contains_key(key) => {
                self.examine(key, Some(*next));
            }
            Event::Begun(key, since) if self.all.contains_key(key) => {
                self.begun.insert(key.clone(), *since);
                // The kernel is told only now.
                self.examine(key, Some(now.after(ending::FIRST_EXAMINATION)));
            }
            Event::Ended(key) => {
                self.ending.remove(key);
            }
            Event::Examined(..) | Event::Begun(..) => {}
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    fn due(&self, view: &View<'_>) -> Plan<Leases> {
        self.end_what_has_ended(view)
    }

    fn report(&self, _view: &View<'_>) -> Option<Reply> {
        Some(Reply::Report { count: self.all.len() })
    }

    fn about(&self, address: IpAddr, view: &View<'_>) -> Option<Reply> {
        Some(Reply::All(self.shown(self.all.at(address), view)))
    }
}

/// Adds or replaces a lease.
pub fn put(lease: Lease) -> Change {
    Put::<Leases> { key: lease.key.clone(), record: Some(lease) }.into()
}

/// Removes a lease.
pub fn removed(key: LeaseKey) -> Change {
    Put::<Leases> { key, record: None }.into()
}

impl Leases {
    /// Sets when a lease is examined next.
    fn examine(&mut self, key: &LeaseKey, at: Option<Time>) {
        if let Some(before) = self.due_of.remove(key) {
            self.due.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.due.insert((at, key.clone()));
            self.due_of.insert(key.clone(), at);
        }
    }

    /// How leases are shown.
    fn shown<'a>(&self, leases: impl Iterator<Item = &'a Lease>, view: &View<'_>) -> Vec<Shown> {
        let shown = leases.map(|lease| {
            let last = self.last_packet(lease.key.address, view);
            // The kernel counts from the opening until the first packet comes.
            let opening = lease.since.after(ending::OPENING);
            Shown {
                in_force: last.is_some(),
                last_packet: last.filter(|at| *at > opening),
                in_call: condition::is_in_call(lease.key.address, &view.learned().sets, view.now()),
                lease: lease.clone(),
            }
        });
        shown.collect()
    }
}
