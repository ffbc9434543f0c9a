//! Changes: the only way the ledger moves, and what the store writes down.

use serde::{Deserialize, Serialize};

use super::{Account, AccountName, Block, Denial, Mode, Protection, Site};
use crate::AddrRange;
use crate::lists::{CountryAsker, CountryRules, Feed, FeedName, FeedState};
use crate::time::Time;

/// One change of the ledger. Whole, not a step: made twice, it leaves the same ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Adds or replaces an account.
    PutAccount(Account),
    /// Removes an account.
    DropAccount(AccountName),
    /// Adds or replaces a block.
    PutBlock(Block),
    /// Removes a block.
    DropBlock(AddrRange),
    /// Sets what strangers meet.
    SetMode(Mode),
    /// Sets whether the firewall stands.
    SetProtection(Protection),
    /// Sets what is known of the server.
    SetSite(Site),
    /// Adds or replaces a feed, with how it goes.
    PutFeed(Box<Feed>, FeedState),
    /// Removes a feed.
    DropFeed(FeedName),
    /// Sets which countries are shut out.
    SetCountries(CountryRules),
    /// Sets who waits for the next table of countries.
    SetCountryAsker(Option<CountryAsker>),
    /// Adds or replaces a denial.
    PutDenial(Denial),
    /// Removes a denial.
    DropDenial(AddrRange),
    /// Sets when signalling was last closed to strangers.
    SetSignallingClosed(Option<Time>),
}

/// What identifies the record that a change concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKey {
    /// An account.
    Account(AccountName),
    /// A block.
    Block(AddrRange),
    /// A denial.
    Denial(AddrRange),
    /// A feed.
    Feed(FeedName),
    /// One of the settings, of which there is one each.
    Setting(&'static str),
}

impl Change {
    /// The record that it concerns.
    pub fn record_key(&self) -> RecordKey {
        match self {
            Change::PutAccount(account) => RecordKey::Account(account.name.clone()),
            Change::DropAccount(name) => RecordKey::Account(name.clone()),
            Change::PutBlock(block) => RecordKey::Block(block.range),
            Change::DropBlock(range) => RecordKey::Block(*range),
            Change::PutDenial(denial) => RecordKey::Denial(denial.range),
            Change::DropDenial(range) => RecordKey::Denial(*range),
            Change::PutFeed(feed, _) => RecordKey::Feed(feed.name.clone()),
            Change::DropFeed(name) => RecordKey::Feed(name.clone()),
            Change::SetMode(_) => RecordKey::Setting("mode"),
            Change::SetProtection(_) => RecordKey::Setting("protection"),
            Change::SetSite(_) => RecordKey::Setting("site"),
            Change::SetCountries(_) => RecordKey::Setting("countries"),
            Change::SetCountryAsker(_) => RecordKey::Setting("country asker"),
            Change::SetSignallingClosed(_) => RecordKey::Setting("signalling closed"),
        }
    }

    /// Whether it removes a record.
    pub fn is_removal(&self) -> bool {
        matches!(
            self,
            Change::DropAccount(_)
                | Change::DropBlock(_)
                | Change::DropDenial(_)
                | Change::DropFeed(_)
        )
    }

    /// The ranges of addresses that the changed record claims. For a removed one, see the change that
    /// takes it back.
    pub fn ranges(&self) -> Vec<AddrRange> {
        match self {
            Change::PutAccount(account) => account.ranges().collect(),
            Change::PutBlock(block) => vec![block.range],
            Change::PutDenial(denial) => vec![denial.range],
            _ => Vec::new(),
        }
    }
}
