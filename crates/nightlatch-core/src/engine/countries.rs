//! Countries: what is asked, what the source brings, what follows.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::country::{CountryCode, name as country_name};

use super::Engine;
use super::plan::{Decision, Plan, Work, no};
use super::requests::reaches_ssh;
use crate::action::{Action, Content, Level};
use crate::api::{Caller, Countries, CountrySize, Refusal, Reply};
use crate::audit::{Record, ourselves};
use crate::event::FetchedTable;
use crate::ledger::{Change, Mode};
use crate::lists::{CountryAsker, CountryRules, Versions};
use crate::policy::World;
use crate::time::Time;

/// How often the source is looked at.
const EVERY: Duration = Duration::from_secs(86_400);
/// How soon again after it failed.
const AGAIN: Duration = Duration::from_secs(600);
/// Tables with fewer ranges may shrink as they like.
const SMALL: usize = 1000;
/// Countries with fewer addresses may shrink and grow as they like.
const MOST_UNWATCHED: u64 = 1 << 20;
/// How many times more or fewer addresses a country may have than before.
const MOST_TIMES: u64 = 3;

/// How far the reading of the table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Idle,
    /// It is being read.
    Underway {
        /// Whether the table is believed whatever its size.
        force: bool,
    },
    /// It is read, but the kernel does not have it yet.
    Settling,
}

impl Reading {
    fn is_underway(self) -> bool {
        matches!(self, Reading::Underway { .. })
    }
}

/// When the source is to be looked at, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    due: Option<Time>,
    reading: Reading,
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
    /// When the source was last looked at with success.
    vouched: Option<Time>,
    /// Who waits for the next table, which must not shut that person out.
    asker: Option<CountryAsker>,
    /// Why the last change of the rules was taken back.
    taken_back: Option<String>,
}

impl Pace {
    /// That of a daemon which begins, while somebody of before may still be waiting.
    pub(super) fn with(asker: Option<CountryAsker>) -> Pace {
        Pace { asker, ..Pace::default() }
    }
}

impl Engine {
    pub(super) fn country_block(
        &mut self,
        caller: &Caller,
        countries: BTreeSet<CountryCode>,
        force: bool,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let mut rules = self.ledger.countries.clone();
        let already = format!("shut out already: strangers from {}", names(&countries));
        rules.blocked.extend(countries);
        self.country_rules(caller, "country block", (rules, already), force, now)
    }

    pub(super) fn country_unblock(
        &mut self,
        caller: &Caller,
        countries: &BTreeSet<CountryCode>,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let mut rules = self.ledger.countries.clone();
        if rules.blocked.is_disjoint(countries) {
            let hint = if rules.only.is_empty() {
                "\"nightlatch country list\" shows who is".to_owned()
            } else {
                format!(
                    "strangers come in only from {}; \"nightlatch country allow\" says from where",
                    names(&rules.only)
                )
            };
            return Err(no(format!("not blocked: {}: {hint}", names(countries))));
        }
        rules.blocked.retain(|country| !countries.contains(country));
        self.country_rules(caller, "country unblock", (rules, String::new()), false, now)
    }

    pub(super) fn country_allow(
        &mut self,
        caller: &Caller,
        only: BTreeSet<CountryCode>,
        force: bool,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let already = match only.is_empty() {
            true => "strangers come in from everywhere already, besides what is blocked".to_owned(),
            false => format!("strangers come in only from {} already", names(&only)),
        };
        let rules = CountryRules { only, ..self.ledger.countries.clone() };
        self.country_rules(caller, "country allow", (rules, already), force, now)
    }

    /// Sets rules; where they hold already, the answer is the sentence that comes with them.
    fn country_rules(
        &mut self,
        caller: &Caller,
        action: &str,
        (rules, already): (CountryRules, String),
        force: bool,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let before = &self.ledger.countries;
        if *before == rules {
            self.countries.taken_back = None;
            return Ok(Decision::Answer(Reply::Done { message: already }));
        }
        let both: BTreeSet<_> = rules.blocked.intersection(&rules.only).copied().collect();
        if !both.is_empty() {
            let codes: Vec<String> = both.iter().map(ToString::to_string).collect();
            return Err(no(match before.blocked.is_disjoint(&both) {
                false => format!(
                    "blocked: {}; \"nightlatch country unblock {}\" takes that back (\"country allow\" would shut out all other countries)",
                    names(&both),
                    codes.join(" ")
                ),
                true => format!(
                    "strangers come in only from {}: say with \"nightlatch country allow\" from where instead, without {}",
                    names(&before.only),
                    names(&both)
                ),
            }));
        }
        let mut message = describe(&rules);
        if self.lists.table().is_none() && !rules.is_empty() {
            message += "\nthe table of countries is being read: \"nightlatch country list\" shows when it counts";
        }
        if self.ledger.mode == Mode::Allowlist && !rules.is_empty() {
            message += "\nin mode allowlist strangers meet silence, whatever their country";
        }
        message += self.hint_of_off();
        let mut plan = Plan::new(caller, message);
        plan.records = vec![Record::new(caller, action, "countries", before, &rules)];
        plan.changes = vec![Change::SetCountries(rules)];
        if let Some(origin) = self.ends_session(caller, &plan, now).filter(|_| !force) {
            return Err(no(shuts_out_caller(origin)));
        }
        plan.changes.push(self.spare_asker(caller, force, now));
        Ok(plan.decided())
    }

    /// Remembers who waits for the next table, also after a restart by the change that is given.
    /// With `force` nobody is spared.
    pub(super) fn spare_asker(&mut self, caller: &Caller, force: bool, now: Time) -> Change {
        let pace = &self.countries;
        let waiting =
            pace.reading.is_underway() || self.next_reading().is_some_and(|due| due <= now);
        let pace = &mut self.countries;
        let before = match pace.asker.take().filter(|_| waiting) {
            Some(asker) => asker.before,
            None => self.ledger.countries.clone(),
        };
        pace.asker = (!force).then_some(CountryAsker { origin: caller.origin, before });
        pace.taken_back = None;
        Change::SetCountryAsker(pace.asker.clone())
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
            taken_back: pace.taken_back.clone(),
            stale: self.table_is_stale(now),
            reading: pace.reading != Reading::Idle
                || self.next_reading().is_some_and(|due| due <= now),
            ranges: table.map_or(0, |table| table.len()),
            rules,
        })
    }

    /// Makes the table due at once.
    pub(super) fn country_refresh(
        &mut self,
        caller: &Caller,
        force: bool,
        now: Time,
    ) -> Result<Reply, Refusal> {
        if self.ledger.countries.is_empty() {
            return Err(no(
                "no country is shut out, so no table is needed: \"nightlatch country block CC\" shuts one out",
            ));
        }
        let _ = self.spare_asker(caller, force, now);
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
        actions: &mut Vec<Action>,
    ) -> Option<Plan> {
        let force = self.countries.reading == (Reading::Underway { force: true });
        let plan = self.table_read(result, force, now, actions);
        if plan.is_none() {
            self.countries.reading = Reading::Idle;
        }
        // Otherwise it is under way until the plan takes effect.
        plan.map(|plan| Plan { ends: Some(Work::ReadCountries), ..plan })
    }

    /// What the reading brought has taken effect; the kernel does not have it yet.
    pub(super) fn countries_settle(&mut self) {
        self.countries.reading = Reading::Settling;
    }

    /// The kernel has what the reading brought.
    pub(super) fn countries_are_settled(&mut self) {
        if self.countries.reading == Reading::Settling {
            self.countries.reading = Reading::Idle;
        }
    }

    fn table_read(
        &mut self,
        result: Result<Option<FetchedTable>, String>,
        force: bool,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> Option<Plan> {
        let result = result.and_then(|fetched| match fetched {
            Some(fetched) => self.believable(fetched, force).map(Some),
            None => Ok(None),
        });
        if let Ok(Some(fetched)) = &result
            && let Some(origin) = self.shuts_asker_out(fetched, now)
        {
            return self.undo_rules(shuts_out_caller(origin), now, actions);
        }
        if let Err(reason) = &result
            && self.lists.table().is_some()
            && !self.lists.tells_of(&self.ledger.countries.only)
        {
            // What was in force before is better than rules of which nothing is known.
            return self.undo_rules(format!("nothing was changed: {reason}"), now, actions);
        }
        let pace = &mut self.countries;
        if result.is_ok() {
            (pace.asker, pace.vouched) = (None, Some(now));
        }
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
                plan.changes.extend(self.nobody_waits());
                actions.push(Action::Keep(content));
                Some(plan)
            }
            Ok(None) => {
                "nothing new".clone_into(&mut pace.result);
                // As good as read anew.
                pace.taken = Some(now);
                let mut plan = Plan::new(&ourselves(), "nothing new of countries");
                (plan.tell, plan.must_happen) = (None, true);
                plan.changes.extend(self.nobody_waits());
                (!plan.changes.is_empty()).then_some(plan)
            }
            Err(reason) => {
                let message = format!("the table of countries is left as it was: {reason}");
                pace.result = reason;
                actions.push(Action::Tell(Level::Warning, message));
                None
            }
        }
    }

    /// What forgets who waited, where somebody did.
    fn nobody_waits(&self) -> Option<Change> {
        self.ledger.country_asker.is_some().then_some(Change::SetCountryAsker(None))
    }

    /// Where the asker came from, if this table would shut out that address, which comes in now.
    fn shuts_asker_out(&self, fetched: &FetchedTable, now: Time) -> Option<IpAddr> {
        let origin = self.countries.asker.as_ref()?.origin?;
        let mut lists = self.lists.clone();
        lists.put_table(Arc::clone(&fetched.table), fetched.tells_of.clone());
        let after = World { lists: &lists, ..self.world(now) };
        (reaches_ssh(&self.world(now), origin) && !reaches_ssh(&after, origin)).then_some(origin)
    }

    /// The rules go back to what they were; where only a new table was asked for, the old stays.
    fn undo_rules(&mut self, reason: String, now: Time, actions: &mut Vec<Action>) -> Option<Plan> {
        let pace = &mut self.countries;
        pace.due = Some(now.after(AGAIN));
        (pace.again, pace.failed) = (false, true);
        pace.result.clone_from(&reason);
        let rules = &self.ledger.countries;
        let before = pace.asker.take_if(|asker| asker.before != *rules).map(|asker| asker.before);
        let Some(before) = before else {
            let message = format!("the table of countries is left as it was: {reason}");
            actions.push(Action::Tell(Level::Warning, message));
            return None;
        };
        pace.taken_back = Some(reason.clone());
        let mut plan = Plan::new(&ourselves(), reason);
        plan.must_happen = true;
        plan.records = vec![Record::new(&ourselves(), "country undo", "countries", rules, &before)];
        plan.changes = vec![Change::SetCountries(before), Change::SetCountryAsker(None)];
        Some(plan)
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
        if same_files && !force && before > SMALL {
            self.countries_alike(&new)?;
        }
        Ok(new)
    }

    /// No country that matters gives away, or gets, most of its addresses from one day to the next.
    fn countries_alike(&self, new: &FetchedTable) -> Result<(), String> {
        let old = self.lists.table().map(|table| table.sizes()).unwrap_or_default();
        let new = new.table.sizes();
        for country in self.ledger.countries.named() {
            let [before, now] =
                [&old, &new].map(|sizes| sizes.get(&country).map_or(0, |size| size.v4_addresses));
            let (less, more) = (before.min(now), before.max(now));
            if more > MOST_UNWATCHED && less < more / MOST_TIMES {
                let name = country_name(country).unwrap_or(country.as_str());
                return Err(format!(
                    "{name} had {before} IPv4 addresses and would have {now}: \"nightlatch country refresh --force\" believes it"
                ));
            }
        }
        Ok(())
    }

    /// When the table in force was read, or confirmed by its source.
    pub(super) fn table_taken(&self) -> Option<Time> {
        self.countries.taken
    }

    /// A table takes hold.
    pub(super) fn take_table(&mut self, fetched: FetchedTable) {
        self.countries.versions = fetched.versions;
        self.countries.taken = fetched.taken;
        self.lists.put_table(fetched.table, fetched.tells_of);
    }

    pub(super) fn restore_table(&mut self, kept: FetchedTable) {
        self.countries.result = format!("{} ranges, kept from before", kept.table.len());
        self.countries.vouched = kept.taken;
        self.take_table(kept);
    }

    /// When the source has to be looked at.
    pub(super) fn next_reading(&self) -> Option<Time> {
        let idle = !self.ledger.countries.is_empty() && !self.countries.reading.is_underway();
        idle.then(|| self.countries.due.unwrap_or_default())
    }

    /// Begins to read the source where that is due.
    pub(super) fn read_due(&mut self, now: Time) -> Option<Action> {
        self.next_reading().filter(|due| *due <= now)?;
        // Without a table at hand, "nothing new" would leave us with nothing.
        let force = std::mem::take(&mut self.countries.forced);
        self.countries.reading = Reading::Underway { force };
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
        self.countries.again = self.countries.reading.is_underway();
    }

    /// What is wrong with the table, where one is needed.
    pub(super) fn country_trouble(&self, now: Time) -> Option<String> {
        if self.ledger.countries.is_empty() {
            return None;
        }
        let missing =
            if self.lists.table().is_none() { ", so that none is shut out yet" } else { "" };
        let pace = &self.countries;
        let stale = if self.table_is_stale(now) { ", and what is in force is old" } else { "" };
        (pace.failed || !stale.is_empty())
            .then(|| format!("the table of countries: {}{missing}{stale}", pace.result))
    }

    /// Whether the table is so old that it should be doubted: ten times the usual pace.
    fn table_is_stale(&self, now: Time) -> bool {
        let vouched = self.countries.vouched.filter(|_| !self.ledger.countries.is_empty());
        vouched.is_some_and(|at| now.since(at) > EVERY * 10)
    }
}

/// Why nothing is changed where the caller would be shut out.
fn shuts_out_caller(origin: IpAddr) -> String {
    format!(
        "nothing was changed: you could not come in from {origin} any more; allow {origin} in an account first, or add --force"
    )
}

fn names(countries: &BTreeSet<CountryCode>) -> String {
    let named = countries.iter().map(|code| country_name(*code).unwrap_or(code.as_str()));
    named.collect::<Vec<_>>().join(", ")
}

/// What country rules mean, in a sentence or two.
fn describe(rules: &CountryRules) -> String {
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
