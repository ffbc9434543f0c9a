//! The table of countries: what it holds, what is believed of a new one, what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::country::{CountryCode, CountryTable, Size};
use nightlatch_parse::ranges::RangeList;
use serde::{Deserialize, Serialize};

use super::{Countries, CountryRules, Deed, Event, Job, Key, Notice, READING, Record};
use crate::AddrRange;
use crate::features::{By, Feature, Plan, View};
use crate::lists::{Versions, is_special, special};
use crate::time::Time;

/// How often the source is looked at.
const INTERVAL: Duration = Duration::from_secs(86_400);
/// How soon again after it failed.
const AGAIN: Duration = Duration::from_secs(600);
/// Tables with fewer ranges may shrink as they like.
const SMALL: usize = 1000;
/// Countries with fewer addresses may shrink and grow as they like.
const MAX_UNWATCHED: u64 = 1 << 20;
/// How many times more or fewer addresses a country may have than before.
const MAX_GROWTH: u64 = 3;

/// A table of countries that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FetchedTable {
    /// The table.
    pub table: Arc<CountryTable>,
    /// The countries that it tells of, where its source has a file for each; else all.
    pub tells_of: Option<BTreeSet<CountryCode>>,
    /// The versions of all the files that it was made of.
    pub versions: Versions,
    /// When it was taken in.
    pub taken: Option<Time>,
    /// What was remarkable about it, in words.
    pub notes: Vec<String>,
}

/// The table in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    content: Option<Arc<CountryTable>>,
    /// The countries that it tells of, where it does not tell of all.
    tells_of: Option<BTreeSet<CountryCode>>,
    /// The versions of its files.
    pub(super) versions: Versions,
    /// When it was taken in, or last confirmed by its source.
    pub(super) taken: Option<Time>,
}

/// What came of a look at the source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// When the next look is due; at once where absent.
    next: Option<Time>,
    /// What came of it.
    pub(super) result: Outcome,
    /// Whether it failed.
    pub(super) failed: bool,
    /// When the source was last looked at with success.
    vouched: Option<Time>,
    /// When the source said that the table in force is the newest.
    confirmed: Option<Time>,
    /// Why the last change of the rules was taken back.
    pub(super) taken_back: Option<TakenBack>,
}

/// What came of a look at the source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// There was none yet.
    #[default]
    None,
    /// A table is in force.
    Ranges {
        /// How many ranges it has.
        ranges: usize,
        /// What was remarkable about it.
        notes: Vec<String>,
    },
    /// A table that was kept before a restart is in force.
    Kept {
        /// How many ranges it has.
        ranges: usize,
    },
    /// What is in force is the newest.
    NothingNew,
    /// The source could not be read.
    Failed(String),
    /// The table is not believed.
    Doubted(Doubt),
    /// The table would shut out whoever asked for it.
    TakenBack(TakenBack),
}

/// Why a table is not believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// It holds no range.
    Empty,
    /// It has lost most of its ranges.
    Shrank {
        /// How many it had.
        before: usize,
        /// How many it would have.
        now: usize,
    },
    /// A country has lost, or got, most of its addresses.
    Country {
        /// The country.
        country: CountryCode,
        /// How many IPv4 addresses it had.
        before: u64,
        /// How many it would have.
        now: u64,
    },
}

/// Why a change of the rules, or a table, is taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenBack {
    /// Whoever asked for it could not come in any more.
    ShutsOut {
        /// From where that person came.
        origin: IpAddr,
    },
    /// Nothing is known of the countries that are named.
    NotKnown(Box<Outcome>),
}

impl Look {
    /// When the next look is due.
    pub(super) fn next(&self) -> Time {
        self.next.unwrap_or_default()
    }

    pub(super) fn restored(table: &FetchedTable) -> Look {
        let result = Outcome::Kept { ranges: table.table.len() };
        Look { result, vouched: table.taken, ..Look::default() }
    }
}

impl Table {
    pub(super) fn is_there(&self) -> bool {
        self.content.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.content.as_ref().map_or(0, |table| table.len())
    }

    pub(super) fn sizes(&self) -> BTreeMap<CountryCode, Size> {
        self.content.as_ref().map(|table| table.sizes()).unwrap_or_default()
    }

    /// A table takes hold.
    pub(super) fn take(&mut self, fetched: &FetchedTable) {
        self.content = Some(Arc::clone(&fetched.table));
        self.tells_of.clone_from(&fetched.tells_of);
        self.versions.clone_from(&fetched.versions);
        self.taken = fetched.taken;
    }

    /// The source has said that it is the newest.
    pub(super) fn confirm(&mut self, look: &Look) {
        self.taken = look.confirmed.or(self.taken);
    }

    /// The country whose rule shuts an address out, and the range of the table that says so.
    pub(super) fn shuts_out(
        &self,
        address: IpAddr,
        rules: &CountryRules,
    ) -> Option<(Option<CountryCode>, Option<AddrRange>)> {
        let table = self.content.as_ref().filter(|_| !rules.is_empty())?;
        let (entry, country) = table.entry(address).unzip();
        let shut_out = self.known(rules).shut_out(country) && !is_special(address);
        shut_out.then_some((country, entry))
    }

    /// Whom the rules shut out.
    pub(super) fn shut_out_ranges(&self, rules: &CountryRules) -> RangeList {
        let Some(table) = &self.content else { return RangeList::new() };
        let rules = self.known(rules);
        let of = |codes: &BTreeSet<CountryCode>| -> RangeList {
            let ranges = table.iter().filter(|(_, code)| codes.contains(code));
            ranges.map(|(range, _)| range).collect()
        };
        let mut shut_out = of(&rules.blocked);
        if !rules.only.is_empty() {
            let mut only = of(&rules.only);
            only.extend(special());
            only.merge();
            shut_out.extend(only.complement().iter());
        }
        shut_out
    }

    /// Whether it tells of all of these countries.
    fn tells_of(&self, countries: &BTreeSet<CountryCode>) -> bool {
        self.tells_of.as_ref().is_none_or(|tells_of| countries.is_subset(tells_of))
    }

    /// The rules as far as the table tells of their countries. Whom a table for each country does
    /// not tell of yet would look like a stranger from nowhere, and all of the world with it.
    fn known(&self, rules: &CountryRules) -> CountryRules {
        let mut known = rules.clone();
        if let Some(tells_of) = &self.tells_of {
            known.only.retain(|country| tells_of.contains(country));
        }
        known
    }
}

impl Countries {
    /// What reading the source brought. What is doubtful leaves the old table in force.
    pub(super) fn read_ended(
        &self,
        result: Result<Option<FetchedTable>, String>,
        view: &View<'_>,
    ) -> Plan<Countries> {
        let begun = view.schedule().running(Countries::NAME, &READING).unwrap_or_default();
        let result = result.map_err(Outcome::Failed).and_then(|fetched| match fetched {
            Some(fetched) => {
                self.believable(fetched, begun.force).map(Some).map_err(Outcome::Doubted)
            }
            None => Ok(None),
        });
        let mut plan = self.judged(result, view);
        if plan.changes.is_empty() && plan.events.is_empty() {
            plan.effects.ends = Some(READING.to_owned());
        } else {
            plan.effects.finishes = Some(READING.to_owned());
        }
        plan
    }

    fn judged(
        &self,
        result: Result<Option<FetchedTable>, Outcome>,
        view: &View<'_>,
    ) -> Plan<Countries> {
        if let Ok(Some(fetched)) = &result
            && let Some(origin) = self.shuts_asker_out(fetched, view)
        {
            return self.undo_rules(TakenBack::ShutsOut { origin }, view);
        }
        if let Err(outcome) = &result
            && self.table.is_there()
            && !self.table.tells_of(&self.rules.only)
        {
            // What was in force before is better than rules of which nothing is known.
            return self.undo_rules(TakenBack::NotKnown(Box::new(outcome.clone())), view);
        }
        let mut plan = Plan::default();
        let mut look = Look { failed: result.is_err(), confirmed: None, ..self.look.clone() };
        look.next = Some(view.now().after(if look.failed { AGAIN } else { INTERVAL }));
        if !look.failed {
            look.vouched = Some(view.now());
        }
        if self.tells_of_all(&result) {
            plan.at_once.push(Event::Waits(None));
            if self.asker.is_some() {
                plan.remove(Key::Asker, None);
            }
        }
        match result {
            Ok(Some(fetched)) => {
                let (ranges, notes) = (fetched.table.len(), fetched.notes.clone());
                look.result = Outcome::Ranges { ranges, notes };
                // Nothing of it goes to the records.
                plan.effects.must_happen = true;
                plan.effects.changes_lists = true;
                let table = FetchedTable { taken: Some(view.now()), ..fetched };
                plan.jobs.push(Job::Keep(table.clone()));
                plan.notices.push(Notice::InForce(look.result.clone()));
                plan.events.push(Event::InForce(table));
            }
            Ok(None) => {
                look.result = Outcome::NothingNew;
                // As good as read anew.
                look.confirmed = Some(view.now());
                plan.effects.must_happen = true;
            }
            Err(outcome) => {
                look.result = outcome;
                plan.notices.push(Notice::Failed(look.result.clone()));
            }
        }
        plan.at_once.push(Event::Looked(look));
        plan
    }

    /// Whether all that is named now is known: rules may have come while the table was read.
    fn tells_of_all(&self, result: &Result<Option<FetchedTable>, Outcome>) -> bool {
        let named = self.rules.named();
        match result {
            Ok(Some(fetched)) => fetched.tells_of.as_ref().is_none_or(|told| named.is_subset(told)),
            Ok(None) => self.table.tells_of(&named),
            Err(_) => false,
        }
    }

    /// Where the asker came from, if this table would shut out that address, which comes in now.
    fn shuts_asker_out(&self, fetched: &FetchedTable, view: &View<'_>) -> Option<IpAddr> {
        let origin = self.waiting.as_ref()?.origin?;
        let mut new = Table::default();
        new.take(fetched);
        let mut others = view.listed_by(origin).into_iter();
        let listed = others.any(|by| !matches!(by, By::Countries(_)))
            || new.shuts_out(origin, &self.rules).is_some();
        (view.reaches_ssh(origin) && !view.reaches_ssh_if(listed, origin)).then_some(origin)
    }

    /// The rules go back to what they were; where only a new table was asked for, the old stays.
    fn undo_rules(&self, why: TakenBack, view: &View<'_>) -> Plan<Countries> {
        let mut plan = Plan::default();
        let mut look = Look { failed: true, confirmed: None, ..self.look.clone() };
        look.next = Some(view.now().after(AGAIN));
        look.result = Outcome::TakenBack(why.clone());
        let waiting = self.waiting.as_ref();
        match waiting.filter(|asker| asker.before != self.rules).map(|it| it.before.clone()) {
            None => plan.notices.push(Notice::Failed(look.result.clone())),
            Some(before) => {
                look.taken_back = Some(why.clone());
                plan.effects.must_happen = true;
                plan.effects.changes_lists = true;
                plan.at_once.push(Event::Waits(None));
                plan.notices.push(Notice::TakenBack(why));
                plan.put(Key::Rules, Record::Rules(before), Deed::Undo);
                plan.subject("countries");
                plan.remove(Key::Asker, None);
                plan.effects.wants.push(crate::features::Want::of(READING));
            }
        }
        plan.at_once.push(Event::Looked(look));
        plan
    }

    /// A table that has lost most of its ranges is a broken download, unless it was made of other
    /// files.
    fn believable(&self, new: FetchedTable, force: bool) -> Result<FetchedTable, Doubt> {
        if new.table.is_empty() {
            return Err(Doubt::Empty);
        }
        let same_files = new.versions.keys().eq(self.table.versions.keys());
        let (before, now) = (self.table.len(), new.table.len());
        if !same_files || force || before <= SMALL {
            return Ok(new);
        }
        if now < before / 2 {
            return Err(Doubt::Shrank { before, now });
        }
        self.countries_alike(&new)?;
        Ok(new)
    }

    /// No country that matters gives away, or gets, most of its addresses from one day to the next.
    fn countries_alike(&self, new: &FetchedTable) -> Result<(), Doubt> {
        let old = self.table.sizes();
        let new = new.table.sizes();
        for country in self.rules.named() {
            let [before, now] =
                [&old, &new].map(|sizes| sizes.get(&country).map_or(0, |size| size.v4_addresses));
            let (less, more) = (before.min(now), before.max(now));
            if more > MAX_UNWATCHED && less < more / MAX_GROWTH {
                return Err(Doubt::Country { country, before, now });
            }
        }
        Ok(())
    }

    /// Whether the table is so old that it should be doubted: ten times the usual pace.
    pub(super) fn is_stale(&self, now: Time) -> bool {
        let vouched = self.look.vouched.filter(|_| !self.rules.is_empty());
        vouched.is_some_and(|at| now.since(at) > INTERVAL * 10)
    }
}
