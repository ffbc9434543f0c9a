//! Accounts: who may come in, to which services, until when.

mod account;
mod changes;
mod hosts;
mod hours;
mod requests;

use std::collections::BTreeSet;
use std::fmt;

use nightlatch_parse::address::AddrRange;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::entry::{Entry, HostName};
pub use account::{Account, AccountName, NameError};
pub use changes::{Edit, Ends, Terms, UNCHANGED};
pub use hosts::HostOptions;
pub use hours::Looked;
use hours::Watch;
pub use requests::{MAX_ENTRIES, NewAccount, Refusal, Reply, Request};

use super::{By, Change, Fact, Feature, Plan, Put, Reads, View};
use crate::heard::Topic;
use crate::policy::{Claim, Says};
use crate::records::Records;
use crate::service::Grant;
use crate::time::{Time, is_over};

/// The accounts.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// All of them, by name.
    pub all: Records<Account>,
    /// The services that they grant, each union once: many accounts share one.
    grants: BTreeSet<Grant>,
    /// Those with hours.
    watch: Watch,
}

/// What they share follows from the accounts.
impl PartialEq for Accounts {
    fn eq(&self, other: &Accounts) -> bool {
        self.all == other.all
    }
}

nothing!(Job);

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It was looked at accounts with hours.
    Looked(Looked),
}

/// What an administrator must hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// An account has ended by itself.
    Ended {
        /// Its name.
        name: AccountName,
    },
}

/// What the audit log calls a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// An account was made.
    Allow,
    /// Entries were added to an account.
    Add,
    /// Entries of an account were removed.
    Drop,
    /// Services, end, note or name of an account were changed.
    Change,
    /// Somebody removed an account.
    Remove,
    /// An account has ended by itself.
    Expire,
    /// A host name has other addresses.
    Resolve,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Allow => "allow",
            Deed::Add => "add",
            Deed::Drop => "drop",
            Deed::Change => "change",
            Deed::Remove => "remove",
            Deed::Expire => "expire",
            Deed::Resolve => "resolve",
        })
    }
}

impl Feature for Accounts {
    const NAME: &'static str = "accounts";

    type Key = AccountName;
    type Config = ();
    type Record = Account;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn read(_key: &AccountName, body: &str) -> serde_json::Result<Account> {
        serde_json::from_str(body)
    }

    fn own_key(account: &Account) -> Option<AccountName> {
        Some(account.name.clone())
    }

    fn put(&mut self, key: &AccountName, record: Option<Account>) -> Option<Account> {
        let Some(account) = record else {
            self.watch.put(key, None);
            return self.all.remove(key);
        };
        let account = self.compact(account);
        self.watch.put(key, account.hours.as_ref());
        self.all.put(account)
    }

    /// It shares its services with others that grant the same, and keeps no room for further entries.
    fn compact(&mut self, mut account: Account) -> Account {
        account.entries.shrink_to_fit();
        if let Some(shared) = self.grants.get(&account.services) {
            account.services = shared.clone();
        } else {
            self.grants.insert(account.services.clone());
        }
        account
    }

    fn load(&mut self, records: Vec<(AccountName, Account)>) {
        for (name, account) in records.iter().filter(|(_, account)| account.hours.is_some()) {
            self.watch.put(name, account.hours.as_ref());
        }
        self.all = records.into_iter().map(|(_, account)| account).collect();
    }

    fn each(&self, found: &mut dyn FnMut(&AccountName, &Account)) {
        self.all.iter().for_each(|(key, account)| found(key, account));
    }

    fn topic(notice: &Notice) -> Option<Topic> {
        let Notice::Ended { name } = notice;
        Some(Topic::new("account-ended", name).with("account", name).in_log())
    }

    fn claimed(account: &Account) -> Vec<AddrRange> {
        account.ranges().collect()
    }

    fn touched(before: Option<&Account>, after: Option<&Account>) -> Vec<AddrRange> {
        match (before, after) {
            (Some(before), Some(after)) => changes::touched(before, after),
            (account, None) | (None, account) => account.map_or_else(Vec::new, Accounts::claimed),
        }
    }

    fn audited(_deed: Deed, before: Option<&Account>, after: Option<&Account>) -> (Value, Value) {
        match (before, after) {
            (Some(before), Some(after)) => changes::audited(before, after),
            _ => (crate::audit::value(&before), crate::audit::value(&after)),
        }
    }

    fn claims<'a>(&'a self, over: AddrRange, now: Time, found: &mut dyn FnMut(Claim<'a>)) {
        for (range, account) in self.all.over(over) {
            if !is_over(account.until, now) {
                let grant = &account.services;
                let says = match &account.hours {
                    None => Says::Allow(grant),
                    hours => Says::AllowIf { grant, hours: hours.as_ref(), idle: None },
                };
                found(Claim { over: range, says, by: By::Accounts(&account.name) });
            }
        }
    }

    fn reads(request: &Request) -> Reads {
        match request {
            Request::Allow(_) | Request::Ensure(_) | Request::Admin(_) | Request::Add { .. } => {
                Reads::Nothing
            }
            Request::Drop { .. } | Request::Set { .. } | Request::Remove { .. } => Reads::Learned,
            Request::List | Request::Show { .. } => Reads::Question,
        }
    }

    fn may_be_alone(_request: &Request) -> bool {
        false
    }

    fn asked(&self, request: Request, view: &View<'_>) -> Result<Plan<Accounts>, Refusal> {
        match request {
            Request::Allow(new) => self.allow(new, view),
            Request::Ensure(new) if self.all.contains_key(&new.name) => Ok(Plan::default()),
            Request::Ensure(new) => Accounts::ensure(new, view),
            Request::Admin(new) => self.admin(new, view),
            Request::Add { name, entries } => self.add(&name, entries, view),
            Request::Drop { name, entries } => self.drop_entries(&name, entries),
            Request::Set { name, edit } => self.set(&name, edit, view),
            Request::Remove { name } => self.remove(&name),
            Request::List => Ok(Plan::say(Reply::All(self.all.values().cloned().collect()))),
            Request::Show { name } => Ok(Plan::say(Reply::One(self.known(&name)?.clone()))),
        }
    }

    fn follow(&self, fact: &Fact, view: &View<'_>) -> Plan<Accounts> {
        match fact {
            Fact::Blocked(range) => self.within_block(*range, view),
            Fact::PutUp { .. } => self.nobody(view),
            Fact::Resolved { name, addresses } => self.resolved(name, addresses, view),
            _ => Plan::default(),
        }
    }

    fn note(&mut self, event: &Event, now: Time) {
        let Event::Looked(looked) = event;
        self.watch.note(looked, now);
    }

    fn started(&self, view: &View<'_>) -> Plan<Accounts> {
        self.all_host_names(view.now())
    }

    fn next_due(&self) -> Option<Time> {
        [self.all.next_end(), self.watch.next()].into_iter().flatten().min()
    }

    fn due(&self, view: &View<'_>) -> Plan<Accounts> {
        let mut plan = Plan::default();
        for account in self.all.ended(view.now()) {
            Accounts::close(&mut plan, account, Deed::Expire);
            plan.notices.push(Notice::Ended { name: account.name.clone() });
            plan.effects.must_happen = true;
        }
        self.end_hours(&mut plan, view);
        plan
    }

    fn report(&self, view: &View<'_>) -> Option<Reply> {
        let ends = |account: &Account| account.until.map(|until| (account.name.clone(), until));
        let soon = view.now().after(crate::api::SOON);
        let ending = self.all.values().filter_map(ends).filter(|(_, until)| *until <= soon);
        Some(Reply::Report { count: self.all.len(), ending: ending.collect() })
    }

    fn about(&self, address: std::net::IpAddr, view: &View<'_>) -> Option<Reply> {
        let accounts = self.all.at(address).filter(|account| !is_over(account.until, view.now()));
        let mut accounts: Vec<&Account> = accounts.collect();
        accounts.sort_unstable_by_key(|account| &account.name);
        accounts.dedup_by_key(|account| &account.name);
        Some(Reply::All(accounts.into_iter().cloned().collect()))
    }
}

/// Adds or replaces an account.
pub fn put(account: Account) -> Change {
    Put::<Accounts> { key: account.name.clone(), record: Some(account) }.into()
}

/// Removes an account.
pub fn removed(name: AccountName) -> Change {
    Put::<Accounts> { key: name, record: None }.into()
}
