//! What the administrators and users have said: accounts, blocks, the mode. The kernel's table is
//! a projection of this, and everything in it survives a restart.

mod account;
mod block;
mod change;
mod denial;
mod protection;

use std::collections::BTreeMap;

use crate::lists::{CountryAsker, CountryRules, Feed, FeedName, FeedState};

pub use account::{Account, AccountName, Entry, HostName, NameError};
pub use block::Block;
pub use change::Change;
pub use denial::{Denial, DenialCause, DenialScope};
pub use protection::{Mode, ModeError, Protection, Site};

use crate::AddrRange;
use crate::time::Time;

/// The whole ledger, in memory. It changes only by [`Ledger::apply`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// Accounts by name.
    pub accounts: BTreeMap<AccountName, Account>,
    /// Blocks by range.
    pub blocks: BTreeMap<AddrRange, Block>,
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
    pub denials: BTreeMap<AddrRange, Denial>,
    /// When signalling was last closed to strangers: peers that were called or asked before are
    /// forgotten, also after a crash in the middle of closing.
    pub signalling_closed: Option<Time>,
}

impl Ledger {
    /// Makes one change. Every change is whole: applied twice, it leaves the same ledger.
    pub fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::PutAccount(account) => {
                self.accounts.insert(account.name.clone(), account);
            }
            Change::DropAccount(name) => {
                self.accounts.remove(&name);
            }
            Change::PutBlock(block) => {
                self.blocks.insert(block.range, block);
            }
            Change::DropBlock(range) => {
                self.blocks.remove(&range);
            }
            Change::SetMode(mode) => self.mode = mode,
            Change::SetProtection(protection) => self.protection = protection,
            Change::SetSite(site) => self.site = site,
            Change::PutDenial(denial) => {
                self.denials.insert(denial.range, denial);
            }
            Change::PutFeed(feed, state) => {
                self.feeds.insert(feed.name.clone(), (*feed, state));
            }
            Change::DropFeed(name) => {
                self.feeds.remove(&name);
            }
            Change::SetCountries(countries) => self.countries = countries,
            Change::SetCountryAsker(asker) => self.country_asker = asker,
            Change::DropDenial(range) => {
                self.denials.remove(&range);
            }
            Change::SetSignallingClosed(at) => self.signalling_closed = Some(at),
        }
    }

    /// The accounts that hold at `now`.
    pub fn accounts_at(&self, now: Time) -> impl Iterator<Item = &Account> {
        self.accounts.values().filter(move |account| !is_over(account.until, now))
    }

    /// The blocks that hold at `now`.
    pub fn blocks_at(&self, now: Time) -> impl Iterator<Item = &Block> {
        self.blocks.values().filter(move |block| !is_over(block.until, now))
    }

    /// The next moment at which something ends by itself.
    pub fn next_end(&self) -> Option<Time> {
        let accounts = self.accounts.values().filter_map(|account| account.until);
        let blocks = self.blocks.values().filter_map(|block| block.until);
        accounts.chain(blocks).chain(self.protection.trial_end()).min()
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
            ledger.apply(&Change::PutDenial(denial.clone()));
            ledger.apply(&Change::PutDenial(denial));
        }
        assert_eq!(ledger.denials.len(), 100_000);
    }
}
