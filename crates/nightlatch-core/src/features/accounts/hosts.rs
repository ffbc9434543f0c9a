//! Host names of accounts: who hears of them, and what follows from other addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Account, Accounts, Deed, Entry, HostName, NewAccount};
use crate::AddrRange;
use crate::entry::host_names;
use crate::features::{Fact, Feature, Plan, View};
use crate::ranges::is_private;
use crate::service::Grant;
use crate::time::{Time, is_over};

/// What concerns the host names of an account to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostOptions {
    /// Whether private addresses count.
    pub allow_private: bool,
    /// Whether nobody named the services. Then an account with a host name opens telephony only.
    pub services_unnamed: bool,
}

impl NewAccount {
    /// Whether it opens telephony only, although nobody said so.
    pub(super) fn is_restricted(&self) -> bool {
        self.hosts.services_unnamed && self.entries.iter().any(|entry| entry.host().is_some())
    }

    /// The services that it opens. DNS is not authenticated, so with host names only telephony, if nobody named
    /// them.
    pub(super) fn granted(&self, view: &View<'_>) -> Grant {
        if !self.is_restricted() {
            return self.services.clone();
        }
        view.catalogue().telephony()
    }
}

impl Account {
    /// What identifies it where its names are looked up.
    fn of(&self) -> String {
        format!("{}/{}", Accounts::NAME, self.name)
    }

    /// Its host names from now on; nothing if it has none. Where names came or went, all of them are told
    /// again, and if none is left, [`Account::no_host_names`] of the account before.
    pub(super) fn host_names(&self) -> Option<Fact> {
        let names = host_names(&self.entries);
        if names.is_empty() {
            return None;
        }
        // Before host names were followed, whatever they had was accepted.
        let has_private = |entry: &Entry| match entry {
            Entry::Host { addresses, .. } => addresses.iter().any(is_private),
            Entry::Range(_) => false,
        };
        let private = self.allow_private || self.entries.iter().any(has_private);
        Some(Fact::HostNames { of: self.of(), names, private })
    }

    /// It has no host names any more; nothing if it had none.
    pub(super) fn no_host_names(&self) -> Option<Fact> {
        let had = self.entries.iter().any(|entry| entry.host().is_some());
        had.then(|| Fact::HostNames { of: self.of(), names: BTreeMap::new(), private: false })
    }

    /// The account with other addresses of a host name; `None` if that changes nothing.
    fn with_addresses(&self, of: &HostName, found: &[IpAddr]) -> Option<Account> {
        if !self.entries.iter().any(|entry| entry.host() == Some(of)) {
            return None;
        }
        let mut account = self.clone();
        for entry in &mut account.entries {
            let Entry::Host { name, addresses } = entry else { continue };
            if name == of {
                // The name may be private for another account only.
                let had_private = addresses.iter().any(is_private);
                let counts = |it: &IpAddr| self.allow_private || had_private || !is_private(it);
                *addresses = found.iter().copied().filter(counts).collect();
            }
        }
        (account != *self).then_some(account)
    }
}

impl Accounts {
    /// A host name has other addresses: connections of those that went end, unless another account
    /// allows them; those that came are let in at their next packet.
    pub(super) fn resolved(
        &self,
        name: &HostName,
        addresses: &[IpAddr],
        view: &View<'_>,
    ) -> Plan<Accounts> {
        let mut plan = Plan::default();
        let others = self.all.values().filter(|account| !is_over(account.until, view.now()));
        for account in others {
            let Some(new) = account.with_addresses(name, addresses) else { continue };
            let before: BTreeSet<AddrRange> = account.ranges().collect();
            let after: BTreeSet<AddrRange> = new.ranges().collect();
            let went: Vec<AddrRange> = before.difference(&after).copied().collect();
            let came: Vec<AddrRange> = after.difference(&before).copied().collect();
            let name = || account.name.to_string();
            if !went.is_empty() {
                plan.effects.cut_flows_of(&went);
                plan.effects.facts.push(Fact::Replaced { name: name(), ranges: went });
            }
            if !came.is_empty() {
                let services = new.services.clone();
                plan.effects.facts.push(Fact::Allowed { name: name(), services, ranges: came });
            }
            plan.put(account.name.clone(), new, Deed::Resolve);
        }
        plan
    }

    /// All host names, but of accounts that ended while the daemon was stopped: those of a database of an
    /// earlier version were not followed before.
    pub(super) fn all_host_names(&self, now: Time) -> Plan<Accounts> {
        let mut plan = Plan::default();
        let counting = self.all.values().filter(|account| !is_over(account.until, now));
        plan.effects.facts.extend(counting.filter_map(Account::host_names));
        plan
    }
}
