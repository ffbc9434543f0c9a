//! What the administrators and users have said: accounts, blocks, the mode. The kernel's table is
//! a projection of this, and everything in it survives a restart.

mod account;
mod block;
mod change;
mod denial;
mod protection;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::lists::{CountryAsker, CountryRules, Feed, FeedName, FeedState};

pub use account::{Account, AccountName, Entry, HostName, NameError};
pub use block::Block;
pub use change::{Change, RecordKey};
pub use denial::{Denial, DenialCause, DenialScope};
pub use protection::{Mode, ModeError, Protection, Site};
pub use records::{Ranged, Records};

use crate::AddrRange;
use crate::policy::{By, Claim};
use crate::service::Grant;
use crate::time::Time;

/// The whole ledger, in memory. It changes only by [`Ledger::apply`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// Accounts by name.
    pub accounts: Records<Account>,
    /// Blocks by range.
    pub blocks: Records<Block>,
    /// What strangers meet.
    pub mode: Mode,
    /// Whether the firewall is to stand.
    pub protection: Protection,
    /// What `up` found out about this server.
    pub site: Site,
    /// Published lists, each with how it goes.
    pub feeds: BTreeMap<FeedName, (Feed, FeedState)>,
    /// Which countries are shut out.
    pub countries: CountryRules,
    /// Who waits for the next table of countries: a restart may come first.
    pub country_asker: Option<CountryAsker>,
    /// Ranges that are denied services and media, by range.
    pub denials: Records<Denial>,
    /// The services that accounts grant, each union once: many accounts share one.
    pub grants: Grants,
    /// When signalling was last closed to strangers: peers that were called or asked before are
    /// forgotten, also after a crash in the middle of closing.
    pub signalling_closed: Option<Time>,
}

/// The distinct grants. They follow from the accounts, so they make no ledger another one.
#[derive(Clone, Debug, Default)]
pub struct Grants(BTreeSet<Grant>);

impl PartialEq for Grants {
    fn eq(&self, _other: &Grants) -> bool {
        true
    }
}

impl Ledger {
    /// Makes one change, and returns the change that takes it back. Every change is complete: made
    /// twice, it leaves the same ledger.
    pub fn apply(&mut self, change: Change) -> Change {
        use std::mem::replace;

        match change {
            Change::PutAccount(mut account) => {
                self.compact(&mut account);
                let name = account.name.clone();
                self.accounts.put(account).map_or(Change::DropAccount(name), Change::PutAccount)
            }
            Change::DropAccount(name) => {
                self.accounts.remove(&name).map_or(Change::DropAccount(name), Change::PutAccount)
            }
            Change::PutBlock(block) => {
                let range = block.range;
                self.blocks.put(block).map_or(Change::DropBlock(range), Change::PutBlock)
            }
            Change::DropBlock(range) => {
                self.blocks.remove(&range).map_or(Change::DropBlock(range), Change::PutBlock)
            }
            Change::PutDenial(denial) => {
                let range = denial.range;
                self.denials.put(denial).map_or(Change::DropDenial(range), Change::PutDenial)
            }
            Change::DropDenial(range) => {
                self.denials.remove(&range).map_or(Change::DropDenial(range), Change::PutDenial)
            }
            Change::PutFeed(feed, state) => {
                let name = feed.name.clone();
                let before = self.feeds.insert(name.clone(), (*feed, state));
                feed_before(name, before)
            }
            Change::DropFeed(name) => {
                let before = self.feeds.remove(&name);
                feed_before(name, before)
            }
            Change::SetMode(mode) => Change::SetMode(replace(&mut self.mode, mode)),
            Change::SetProtection(protection) => {
                Change::SetProtection(replace(&mut self.protection, protection))
            }
            Change::SetSite(site) => Change::SetSite(replace(&mut self.site, site)),
            Change::SetCountries(countries) => {
                Change::SetCountries(replace(&mut self.countries, countries))
            }
            Change::SetCountryAsker(asker) => {
                Change::SetCountryAsker(replace(&mut self.country_asker, asker))
            }
            Change::SetSignallingClosed(at) => {
                Change::SetSignallingClosed(replace(&mut self.signalling_closed, at))
            }
        }
    }

    /// Makes an account small: it shares its services with others that grant the same, and keeps no
    /// room for further entries.
    pub fn compact(&mut self, account: &mut Account) {
        account.entries.shrink_to_fit();
        if let Some(shared) = self.grants.0.get(&account.services) {
            account.services = shared.clone();
        } else {
            self.grants.0.insert(account.services.clone());
        }
    }

    /// Takes in all stored records at once. The accounts should be [compact](Ledger::compact).
    pub fn load(
        &mut self,
        accounts: impl IntoIterator<Item = Account>,
        blocks: impl IntoIterator<Item = Block>,
        denials: impl IntoIterator<Item = Denial>,
    ) {
        self.accounts = accounts.into_iter().collect();
        self.blocks = blocks.into_iter().collect();
        self.denials = denials.into_iter().collect();
    }

    /// The accounts that hold at `now`.
    pub fn accounts_at(&self, now: Time) -> impl Iterator<Item = &Account> {
        self.accounts.values().filter(move |account| !is_over(account.until, now))
    }

    /// The blocks that hold at `now`.
    pub fn blocks_at(&self, now: Time) -> impl Iterator<Item = &Block> {
        self.blocks.values().filter(move |block| !is_over(block.until, now))
    }

    /// Whether an account that holds at `now` covers an address.
    pub fn has_account_at(&self, address: IpAddr, now: Time) -> bool {
        self.accounts.at(address).any(|account| !is_over(account.until, now))
    }

    /// The next moment at which an account or a block ends by itself.
    pub fn next_end(&self) -> Option<Time> {
        let ends = [self.accounts.next_end(), self.blocks.next_end()];
        ends.into_iter().flatten().min()
    }

    /// Calls `found` for every claim of an account, a block or a denial that overlaps a range at
    /// `now`.
    pub fn claims<'a>(&'a self, over: AddrRange, now: Time, found: &mut dyn FnMut(Claim<'a>)) {
        for (range, account) in self.accounts.over(over) {
            if !is_over(account.until, now) {
                found(Claim { over: range, by: By::Account(account) });
            }
        }
        for (range, block) in self.blocks.over(over) {
            if !is_over(block.until, now) {
                found(Claim { over: range, by: By::Block(block) });
            }
        }
        // A denial applies until it is removed: the PBX is asked before it ends.
        for (range, denial) in self.denials.over(over) {
            found(Claim { over: range, by: By::Denial(denial) });
        }
    }
}

/// The change that puts a feed back as it was.
fn feed_before(name: FeedName, before: Option<(Feed, FeedState)>) -> Change {
    match before {
        Some((feed, state)) => Change::PutFeed(Box::new(feed), state),
        None => Change::DropFeed(name),
    }
}

/// Whether an end has come.
pub fn is_over(until: Option<Time>, now: Time) -> bool {
    until.is_some_and(|until| until <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;

    /// With one look at all others for each this takes minutes.
    #[test]
    fn a_hundred_thousand_addresses_are_denied_at_once() {
        let mut ledger = Ledger::default();
        let since = Time::from_millis(0);
        for at in 0..100_000 {
            let range = AddrRange::new(Family::V4, 2 * at, 2 * at).unwrap();
            let cause = DenialCause::AccountGone { account: "office".to_owned() };
            let denial = Denial::new(range, cause, since);
            ledger.apply(Change::PutDenial(denial.clone()));
            ledger.apply(Change::PutDenial(denial));
        }
        assert_eq!(ledger.denials.len(), 100_000);
    }
}
