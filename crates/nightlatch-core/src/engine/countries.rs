//! Countries: what is asked, what the source brings, what follows.

use std::collections::BTreeSet;
use std::time::Duration;

use nightlatch_parse::country::{CountryCode, name as country_name};

use super::Engine;
use super::plan::{Decision, Plan, no};
use crate::action::{Action, Content, Level};
use crate::api::{Caller, Countries, CountrySize, Refusal, Reply};
use crate::audit::{Record, ourselves};
use crate::event::FetchedTable;
use crate::ledger::{Change, Mode};
use crate::lists::{CountryRules, Versions};
use crate::time::Time;

/// How often the source is looked at.
const EVERY: Duration = Duration::from_secs(86_400);
/// How soon again after it failed.
const AGAIN: Duration = Duration::from_secs(600);
/// Tables with fewer ranges may shrink as they like.
const SMALL: usize = 1000;

/// When the source is to be looked at, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    due: Option<Time>,
    /// It is being read, and whether the table is believed whatever its size.
    underway: Option<bool>,
    /// It is to be looked at once more, because what is needed of it has changed meanwhile.
    again: bool,
    /// Whether the next table is believed whatever its size.
    forced: bool,
    /// What came of the last look, in words.
    result: String,
    failed: bool,
    /// The versions of the table in force.
    versions: Versions,
    taken: Option<Time>,
}

impl Engine {
    pub(super) fn country_rules(
        &self,
        caller: &Caller,
        action: &str,
        rules: CountryRules,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let before = &self.ledger.countries;
        if *before == rules {
            let message = "nothing has to change".to_owned();
            return Ok(Decision::Answer(Reply::Done { message }));
        }
        if let Some(both) = rules.blocked.intersection(&rules.only).next() {
            return Err(no(format!(
                "{both} is both allowed and blocked: unblock it, or leave it out"
            )));
        }
        let mut message = describe(&rules);
        if self.lists.table().is_none() && !rules.is_empty() {
            message += "\nthe table of countries is being read: \"nightlatch country list\" shows when it counts";
        }
        if self.ledger.mode == Mode::Allowlist && !rules.is_empty() {
            message += "\nin mode allowlist strangers meet silence, whatever their country";
        }
        let mut plan = Plan::new(caller, message);
        plan.records = vec![Record::new(caller, action, "countries", before, &rules)];
        plan.changes = vec![Change::SetCountries(rules)];
        match self.ends_session(caller, &plan, now) {
            Some(origin) => Err(no(format!(
                "nothing was changed: you could not come in from {origin} any more; allow {origin} in an account first"
            ))),
            None => Ok(plan.decided()),
        }
    }

    pub(super) fn country_list(&self, now: Time) -> Reply {
        let rules = self.ledger.countries.clone();
        let table = self.lists.table();
        let sizes = table.map(|table| table.sizes()).unwrap_or_default();
        let named = rules.named().into_iter().map(|country| {
            let size = sizes.get(&country).copied().unwrap_or_default();
            CountrySize {
                country,
                v4_ranges: size.v4_ranges,
                v4_addresses: size.v4_addresses,
                v6_ranges: size.v6_ranges,
            }
        });
        let pace = &self.countries;
        Reply::Countries(Countries {
            sizes: named.collect(),
            source: self.rules.countries.clone(),
            taken: pace.taken,
            result: pace.result.clone(),
            failed: pace.failed,
            reading: pace.underway.is_some() || self.next_reading().is_some_and(|due| due <= now),
            ranges: table.map_or(0, |table| table.len()),
            rules,
        })
    }

    /// Makes the table due at once.
    pub(super) fn country_refresh(&mut self, force: bool) -> Result<Reply, Refusal> {
        if self.ledger.countries.is_empty() {
            return Err(no(
                "no country is shut out, so no table is needed: \"nightlatch country block CC\" shuts one out",
            ));
        }
        self.countries.forced |= force;
        self.countries_again();
        let message =
            "the table of countries is being read: \"nightlatch country list\" shows how it goes";
        Ok(Reply::Done { message: message.to_owned() })
    }

    /// What reading the source brought. What is doubtful leaves the old table in force.
    pub(super) fn countries_read(
        &mut self,
        result: Result<Option<FetchedTable>, String>,
        now: Time,
    ) -> Vec<Action> {
        let pace = &mut self.countries;
        let force = pace.underway.take().unwrap_or(false);
        let result = result.and_then(|fetched| match fetched {
            Some(fetched) => self.believable(fetched, force).map(Some),
            None => Ok(None),
        });
        let pace = &mut self.countries;
        let pause = if result.is_ok() { EVERY } else { AGAIN };
        pace.due = Some(now.after(pause)).filter(|_| !std::mem::take(&mut pace.again));
        pace.failed = result.is_err();
        match result {
            Ok(Some(fetched)) => {
                let ranges = format!("{} ranges", fetched.table.len());
                let notes = fetched.notes.iter().cloned();
                pace.result = std::iter::once(ranges).chain(notes).collect::<Vec<_>>().join("; ");
                let message = format!("the table of countries is in force: {}", pace.result);
                let mut plan = Plan::new(&ourselves(), message);
                // Nothing of it goes to the ledger.
                plan.must_happen = true;
                let content = Content::Table(FetchedTable { taken: Some(now), ..fetched });
                plan.content = Some(content.clone());
                let keep = Action::Keep(content);
                std::iter::once(keep).chain(self.begin(None, plan)).collect()
            }
            Ok(None) => {
                "nothing new".clone_into(&mut pace.result);
                // As good as read anew.
                pace.taken = Some(now);
                Vec::new()
            }
            Err(reason) => {
                let message = format!("the table of countries is left as it was: {reason}");
                pace.result = reason;
                vec![Action::Tell(Level::Warning, message)]
            }
        }
    }

    /// A table that has lost most of its ranges is a broken download, unless it was made of other
    /// files.
    fn believable(&self, new: FetchedTable, force: bool) -> Result<FetchedTable, String> {
        if new.table.is_empty() {
            return Err("it holds no range".to_owned());
        }
        let same_files = new.versions.keys().eq(self.countries.versions.keys());
        let before = self.lists.table().map_or(0, |old| old.len());
        let now = new.table.len();
        if same_files && !force && before > SMALL && now < before / 2 {
            return Err(format!(
                "it shrank from {before} to {now} ranges: \"nightlatch country refresh --force\" believes it"
            ));
        }
        Ok(new)
    }

    /// A table takes hold.
    pub(super) fn take_table(&mut self, fetched: FetchedTable) {
        self.countries.versions = fetched.versions;
        self.countries.taken = fetched.taken;
        self.lists.put_table(fetched.table);
    }

    pub(super) fn restore_table(&mut self, kept: FetchedTable) {
        self.countries.result = format!("{} ranges, kept from before", kept.table.len());
        self.take_table(kept);
    }

    /// When the source has to be looked at.
    pub(super) fn next_reading(&self) -> Option<Time> {
        let idle = !self.ledger.countries.is_empty() && self.countries.underway.is_none();
        idle.then(|| self.countries.due.unwrap_or_default())
    }

    /// Begins to read the source where that is due.
    pub(super) fn read_due(&mut self, now: Time) -> Option<Action> {
        self.next_reading().filter(|due| *due <= now)?;
        // Without a table at hand, "nothing new" would leave us with nothing.
        let force = std::mem::take(&mut self.countries.forced);
        self.countries.underway = Some(force);
        let sure = self.lists.table().is_some() && !force;
        let known = if sure { self.countries.versions.clone() } else { Versions::new() };
        Some(Action::ReadCountries {
            source: self.rules.countries.clone(),
            countries: self.ledger.countries.named(),
            known,
        })
    }

    /// The source, or what is needed of it, has changed: it is looked at anew.
    pub(super) fn countries_again(&mut self) {
        self.countries.due = None;
        self.countries.again = self.countries.underway.is_some();
    }

    /// What is wrong with the table, where one is needed.
    pub(super) fn country_trouble(&self) -> Option<String> {
        if self.ledger.countries.is_empty() {
            return None;
        }
        let missing =
            if self.lists.table().is_none() { ", so that none is shut out yet" } else { "" };
        let pace = &self.countries;
        pace.failed.then(|| format!("the table of countries: {}{missing}", pace.result))
    }
}

/// What country rules mean, in a sentence or two.
fn describe(rules: &CountryRules) -> String {
    let names = |codes: &BTreeSet<CountryCode>| {
        let named =
            codes.iter().map(|code| country_name(*code).unwrap_or(code.as_str()).to_owned());
        named.collect::<Vec<_>>().join(", ")
    };
    match (rules.blocked.is_empty(), rules.only.is_empty()) {
        (true, true) => "no country is shut out".to_owned(),
        (false, true) => format!("shut out: strangers from {}", names(&rules.blocked)),
        (true, false) => format!("strangers come in only from {}", names(&rules.only)),
        (false, false) => format!(
            "strangers come in only from {}; shut out: {}",
            names(&rules.only),
            names(&rules.blocked)
        ),
    }
}
