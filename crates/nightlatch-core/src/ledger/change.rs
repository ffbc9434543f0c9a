//! Changes: the only way the ledger moves, and what the store writes down.

use serde::{Deserialize, Serialize};

use super::{Account, AccountName, Block, Mode, Protection, Site};
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
    /// Remembers that running flows of a range must end.
    PutCut(Cut),
    /// Forgets that.
    DropCut(AddrRange),
}

/// A door that was closed: running flows through it lose their privilege and are judged like new
/// ones. Kept for [`Cut::LASTS`], so that a crash between the change and the cutting loses none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cut {
    /// Whose flows.
    pub range: AddrRange,
    /// When the door was closed.
    pub since: Time,
}

impl Cut {
    /// How long a cut flow stays cut: as long as a telephone server keeps a registration at most
    /// (7200 s in chan_pjsip), since until then it writes to the phone and would reopen the flow
    /// from the inside. In the kernel it begins anew with each packet that the peer sends.
    pub const LASTS: std::time::Duration = std::time::Duration::from_secs(7200);
}
