//! Lists: feeds of bad networks, and countries.
//!
//! What a list is (its name, where it comes from) stands in the ledger; what it holds is here.
//! Lists count only for strangers, and never against what is guarded.

mod feed;
mod guard;
mod sanity;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use nightlatch_parse::country::{CountryCode, CountryTable};
use nightlatch_parse::ranges::RangeList;
use serde::{Deserialize, Serialize};

use crate::AddrRange;

pub use feed::{Feed, FeedName, FeedNameError, FeedState, Version, Versions};
pub use guard::{Guard, is_special};
pub use sanity::{Inspected, Refused, inspect};

/// Which countries are shut out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CountryRules {
    /// These.
    pub blocked: BTreeSet<CountryCode>,
    /// Everybody but these, where there are any.
    pub only: BTreeSet<CountryCode>,
}

impl CountryRules {
    /// Whether no country is shut out.
    pub fn is_empty(&self) -> bool {
        self.blocked.is_empty() && self.only.is_empty()
    }

    /// Every country that is named.
    pub fn named(&self) -> BTreeSet<CountryCode> {
        self.blocked.union(&self.only).copied().collect()
    }

    /// Whether an address of a country (or of none) is shut out.
    pub fn shut_out(&self, country: Option<CountryCode>) -> bool {
        match country {
            Some(code) => {
                self.blocked.contains(&code) || !self.only.is_empty() && !self.only.contains(&code)
            }
            None => !self.only.is_empty(),
        }
    }
}

/// Somebody who changed the rules of countries, or asked for a new table, before it is known what
/// comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountryAsker {
    /// From where: an address that what comes must not shut out.
    pub origin: Option<IpAddr>,
    /// The rules to go back to.
    pub before: CountryRules,
}

/// What all lists hold now.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    feeds: BTreeMap<FeedName, Arc<RangeList>>,
    table: Option<Arc<CountryTable>>,
    /// The countries that the table tells of, where it does not tell of all.
    tells_of: Option<BTreeSet<CountryCode>>,
}

/// Why an address is on a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "list")]
pub enum Listed {
    /// A feed names it.
    Feed {
        /// The feed.
        name: FeedName,
        /// The entry that holds the address.
        entry: AddrRange,
    },
    /// Its country is shut out.
    Country {
        /// The country; none where the address belongs to no country and only some are let in.
        country: Option<CountryCode>,
        /// The range of the table that says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entry: Option<AddrRange>,
    },
}

impl Lists {
    /// Takes in what a feed holds now. It must be merged.
    pub fn put_feed(&mut self, name: FeedName, content: Arc<RangeList>) {
        self.feeds.insert(name, content);
    }

    /// Forgets a feed.
    pub fn drop_feed(&mut self, name: &FeedName) {
        self.feeds.remove(name);
    }

    /// What a feed holds.
    pub fn feed(&self, name: &FeedName) -> Option<&Arc<RangeList>> {
        self.feeds.get(name)
    }

    /// Takes in the table of countries, which tells of all of them, or only of some.
    pub fn put_table(&mut self, table: Arc<CountryTable>, tells_of: Option<BTreeSet<CountryCode>>) {
        self.table = Some(table);
        self.tells_of = tells_of;
    }

    /// The table of countries.
    pub fn table(&self) -> Option<&Arc<CountryTable>> {
        self.table.as_ref()
    }

    /// Every list that holds an address, feeds first.
    ///
    /// Looked up list by list, independently of [`Lists::merged`], so that the one can be tested
    /// against the other.
    pub fn holding(&self, address: IpAddr, countries: &CountryRules) -> Vec<Listed> {
        let feeds = self.feeds.iter().filter_map(|(name, content)| {
            content.find(address).map(|entry| Listed::Feed { name: name.clone(), entry })
        });
        feeds.chain(self.country_shut_out(address, countries)).collect()
    }

    /// Whether a list holds an address.
    pub fn hold(&self, address: IpAddr, countries: &CountryRules) -> bool {
        self.feeds.values().any(|content| content.find(address).is_some())
            || self.country_shut_out(address, countries).is_some()
    }

    /// The country whose rule shuts an address out.
    fn country_shut_out(&self, address: IpAddr, countries: &CountryRules) -> Option<Listed> {
        let table = self.table.as_ref().filter(|_| !countries.is_empty())?;
        let (entry, country) = table.entry(address).unzip();
        let shut_out = self.known(countries).shut_out(country) && !is_special(address);
        shut_out.then_some(Listed::Country { country, entry })
    }

    /// All lists as one, without what is guarded: sorted, disjoint. This is what the kernel gets.
    pub fn merged(&self, countries: &CountryRules, guard: &Guard<'_>) -> RangeList {
        let mut all = RangeList::new();
        for content in self.feeds.values() {
            all.extend(content.iter());
        }
        if let Some(table) = &self.table {
            all.extend(shut_out_ranges(table, &self.known(countries)).iter());
        }
        all.merge();
        all.without(&guard.ranges())
    }

    /// Whether the table tells of all of these countries.
    pub fn tells_of(&self, countries: &BTreeSet<CountryCode>) -> bool {
        self.tells_of.as_ref().is_none_or(|tells_of| countries.is_subset(tells_of))
    }

    /// The rules as far as the table tells of their countries. Whom a table for each country does
    /// not tell of yet would look like a stranger from nowhere, and all of the world with it.
    fn known(&self, countries: &CountryRules) -> CountryRules {
        let mut known = countries.clone();
        if let Some(tells_of) = &self.tells_of {
            known.only.retain(|country| tells_of.contains(country));
        }
        known
    }
}

fn shut_out_ranges(table: &CountryTable, countries: &CountryRules) -> RangeList {
    let of = |codes: &BTreeSet<CountryCode>| -> RangeList {
        let ranges = table.iter().filter(|(_, code)| codes.contains(code));
        ranges.map(|(range, _)| range).collect()
    };
    let mut shut_out = of(&countries.blocked);
    if !countries.only.is_empty() {
        let mut only = of(&countries.only);
        only.extend(guard::special());
        only.merge();
        shut_out.extend(only.complement().iter());
    }
    shut_out
}
