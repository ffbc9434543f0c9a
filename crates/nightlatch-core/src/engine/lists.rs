//! Feeds and countries: what is asked, what arrives, what follows.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::country::{CountryCode, CountryTable, name as country_name};
use nightlatch_parse::ranges::RangeList;

use super::Engine;
use super::plan::{Decision, Plan, no};
use crate::action::{Action, Content, Level};
use crate::api::{Caller, Countries, FeedView, Refusal, Reply};
use crate::audit::{Record, ourselves};
use crate::event::{Fetched, FetchedTable};
use crate::ledger::Change;
use crate::lists::{CountryRules, Feed, FeedName, FeedState, Guard, Listed, inspect};
use crate::time::Time;

/// How often the source of the countries is looked at.
const COUNTRIES_EVERY: Duration = Duration::from_secs(86_400);
/// How soon again after it failed.
const COUNTRIES_AGAIN: Duration = Duration::from_secs(600);

/// When the source of the countries is to be looked at.
#[derive(Debug, Default)]
pub(super) struct CountryPace {
    due: Option<Time>,
    underway: bool,
    /// What came of the last look, in words.
    result: String,
    taken: Option<Time>,
}

impl Engine {
    pub(super) fn feed_add(
        &self,
        caller: &Caller,
        mut feed: Feed,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let name = feed.name.clone();
        if let Some((there, _)) = self.ledger.feeds.get(&name) {
            return Err(no(format!(
                "feed \"{name}\" exists already ({}): remove it first, or take another name",
                there.source
            )));
        }
        feed.since = now;
        feed.by = caller.to_string();
        let message = format!(
            "feed \"{name}\" is added and being fetched: \"nightlatch feed list\" shows how it goes"
        );
        let mut plan = Plan::new(caller, message);
        plan.records = vec![Record::new(caller, "feed add", &name, &(), &feed)];
        plan.changes = vec![Change::PutFeed(feed, FeedState::default())];
        Ok(plan.decided())
    }

    pub(super) fn feed_remove(
        &self,
        caller: &Caller,
        name: &FeedName,
    ) -> Result<Decision, Refusal> {
        let (feed, _) = self.known_feed(name)?;
        let mut plan = Plan::new(
            caller,
            format!("feed \"{name}\" is removed, and whom only it named is no longer shut out"),
        );
        plan.records = vec![Record::new(caller, "feed remove", name, feed, &())];
        plan.changes = vec![Change::DropFeed(name.clone())];
        Ok(plan.decided())
    }

    /// Makes feeds due at once. With `force` the next content is believed whatever its size.
    pub(super) fn feed_refresh(
        &mut self,
        name: Option<&FeedName>,
        force: bool,
    ) -> Result<Reply, Refusal> {
        if let Some(name) = name {
            self.known_feed(name)?;
        }
        let names: Vec<FeedName> = self
            .ledger
            .feeds
            .keys()
            .filter(|known| name.is_none_or(|name| *known == name))
            .cloned()
            .collect();
        if names.is_empty() {
            return Err(no("there is no feed: \"nightlatch feed add NAME\" adds one"));
        }
        let message = format!(
            "{} feeds are being fetched: \"nightlatch feed list\" shows how it goes",
            names.len()
        );
        self.forced.extend(names.iter().filter(|_| force).cloned());
        self.wanted.extend(names);
        Ok(Reply::Done { message })
    }

    fn known_feed(&self, name: &FeedName) -> Result<&(Feed, FeedState), Refusal> {
        self.ledger.feeds.get(name).ok_or_else(|| {
            no(format!("there is no feed \"{name}\": \"nightlatch feed list\" shows all of them"))
        })
    }

    pub(super) fn feed_list(&self, now: Time) -> Reply {
        let view = |(feed, state): &(Feed, FeedState)| {
            let mut state = state.clone();
            if let Some((all, alone)) = self.stopped.get(&feed.name) {
                state.stopped += all;
                state.stopped_alone += alone;
            }
            let fetching = self.fetching.contains(&feed.name);
            FeedView { feed: feed.clone(), stale: state.is_stale(feed.every, now), state, fetching }
        };
        Reply::Feeds(self.ledger.feeds.values().map(view).collect())
    }

    pub(super) fn country_rules(
        &self,
        caller: &Caller,
        action: &str,
        rules: CountryRules,
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
        if self.ledger.mode == crate::ledger::Mode::Allowlist {
            message += "\nin mode allowlist strangers meet silence, whatever their country";
        }
        let mut plan = Plan::new(caller, message);
        plan.records = vec![Record::new(caller, action, "countries", before, &rules)];
        plan.changes = vec![Change::SetCountries(rules)];
        Ok(plan.decided())
    }

    pub(super) fn country_list(&self) -> Reply {
        let table = self.lists.table();
        Reply::Countries(Countries {
            rules: self.ledger.countries.clone(),
            source: self.rules.countries.clone(),
            taken: self.countries.taken,
            result: self.countries.result.clone(),
            ranges: table.map_or(0, |table| table.len()),
        })
    }

    /// What a fetch brought. New content is inspected; what is refused leaves the old in force.
    pub(super) fn fetched(
        &mut self,
        name: &FeedName,
        result: Result<Fetched, String>,
        now: Time,
    ) -> Vec<Action> {
        self.fetching.remove(name);
        let force = self.forced.remove(name);
        // Removed while it was being fetched.
        let Some((feed, state)) = self.ledger.feeds.get(name).cloned() else { return Vec::new() };
        let mut state = FeedState { checked: Some(now), ..state };
        let (taken, tell) = match self.judge_content(name, result, force, &mut state, now) {
            Ok(taken) => (taken, None),
            Err(reason) => {
                state.failures = state.failures.saturating_add(1);
                state.result.clone_from(&reason);
                let message = format!("feed \"{name}\" is left as it was: {reason}");
                (None, Some(Action::Tell(Level::Warning, message)))
            }
        };
        let mut plan = Plan::new(&ourselves(), format!("feed \"{name}\": {}", state.result));
        self.bank_hits(name, &mut state);
        plan.changes = vec![Change::PutFeed(feed, state.clone())];
        if let Some(content) = taken {
            plan.records = vec![Record::new(&ourselves(), "feed", name, &(), &state)];
            plan.content = Some(Content::Feed(name.clone(), content));
        } else {
            plan.tell = None;
        }
        tell.into_iter().chain(self.begin(None, plan)).collect()
    }

    fn judge_content(
        &self,
        name: &FeedName,
        result: Result<Fetched, String>,
        force: bool,
        state: &mut FeedState,
        now: Time,
    ) -> Result<Option<Arc<RangeList>>, String> {
        let fetched = result?;
        state.failures = 0;
        let Some(content) = fetched.content else {
            "nothing new".clone_into(&mut state.result);
            // As good as fetched anew: the source vouches for it.
            state.fetched = Some(now);
            return Ok(None);
        };
        let old = self.lists.feed(name).filter(|_| !force).map(Arc::as_ref);
        let guard = Guard::of(&self.ledger.site);
        let inspected = inspect(old, &content, &guard, &self.ledger)?;
        let content = inspected.content;
        state.entries_v4 = content.len_of(crate::Family::V4);
        state.entries_v6 = content.len_of(crate::Family::V6);
        state.result = format!("{} entries", content.len());
        state.notes = fetched.notes.into_iter().chain(inspected.notes).collect();
        state.fetched = Some(now);
        state.etag = fetched.etag;
        state.last_modified = fetched.last_modified;
        Ok(Some(Arc::new(content)))
    }

    /// What reading the source of the countries brought.
    pub(super) fn countries_read(
        &mut self,
        result: Result<Option<FetchedTable>, String>,
        now: Time,
    ) -> Vec<Action> {
        self.countries.underway = false;
        let pause = if result.is_ok() { COUNTRIES_EVERY } else { COUNTRIES_AGAIN };
        self.countries.due = Some(now.after(pause));
        match result {
            Ok(None) => Vec::new(),
            Ok(Some(fetched)) => match believable(self.lists.table(), &fetched.table) {
                Ok(()) => {
                    self.countries.result = format!("{} ranges", fetched.table.len());
                    self.countries.taken = Some(now);
                    let message =
                        format!("the table of countries is in force: {}", self.countries.result);
                    let mut plan = Plan::new(&ourselves(), message);
                    plan.content = Some(Content::Table(fetched.table));
                    self.begin(None, plan)
                }
                Err(reason) => self.countries_doubted(reason),
            },
            Err(reason) => self.countries_doubted(reason),
        }
    }

    fn countries_doubted(&mut self, reason: String) -> Vec<Action> {
        let message = format!("the table of countries is left as it was: {reason}");
        self.countries.result = reason;
        vec![Action::Tell(Level::Warning, message)]
    }

    /// Takes in what an earlier run of the daemon kept, so that nothing waits for the network.
    pub fn restore_lists(
        &mut self,
        feeds: Vec<(FeedName, RangeList)>,
        table: Option<CountryTable>,
    ) {
        for (name, content) in feeds {
            self.lists.put_feed(name, Arc::new(content));
        }
        if let Some(table) = table {
            self.countries.result = format!("{} ranges, kept from before", table.len());
            self.lists.put_table(Arc::new(table));
        }
        self.merge_lists();
    }

    /// Makes one list of all lists.
    pub(super) fn merge_lists(&mut self) {
        let guard = Guard::of(&self.ledger.site);
        let merged = self.lists.merged(&self.ledger.countries, &guard);
        // What is the same stays the same value, which is quick to compare.
        if merged != *self.merged {
            self.merged = Arc::new(merged);
        }
    }

    /// When the next list has to be looked at.
    pub(super) fn next_fetch(&self) -> Option<Time> {
        let feeds =
            self.ledger.feeds.values().filter(|(feed, _)| !self.fetching.contains(&feed.name));
        let due = feeds.map(|(feed, state)| {
            let asked = self.wanted.contains(&feed.name);
            let next = state.next_look(feed.every).filter(|_| !asked);
            next.unwrap_or_default()
        });
        let countries = (!self.ledger.countries.is_empty() && !self.countries.underway)
            .then(|| self.countries.due.unwrap_or_default());
        due.chain(countries).min()
    }

    /// Begins to fetch what is due.
    pub(super) fn fetch_due(&mut self, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        for (name, (feed, state)) in &self.ledger.feeds {
            let asked = self.wanted.remove(name);
            let due = state.next_look(feed.every).is_none_or(|at| at <= now);
            if (asked || due) && self.fetching.insert(name.clone()) {
                // Without content at hand, "nothing new" would leave us with nothing.
                let fresh = self.forced.contains(name) || self.lists.feed(name).is_none();
                let state = if fresh { FeedState::default() } else { state.clone() };
                actions.push(Action::Fetch(feed.clone(), state));
            }
        }
        let countries = !self.ledger.countries.is_empty() && !self.countries.underway;
        if countries && self.countries.due.is_none_or(|due| due <= now) {
            self.countries.underway = true;
            let source = self.rules.countries.clone();
            actions.push(Action::ReadCountries { source, have: self.lists.table().is_some() });
        }
        actions
    }

    /// The source of the countries has changed: it is looked at anew.
    pub(super) fn countries_again(&mut self) {
        self.countries.due = None;
    }

    /// Counts the packets of listed addresses to the lists that hold them.
    pub(super) fn count_hits(&mut self, hits: Vec<(IpAddr, u64)>) {
        for (address, packets) in hits {
            let lists = self.lists.holding(address, &self.ledger.countries);
            let alone = lists.len() == 1;
            for listed in lists {
                if let Listed::Feed { name, .. } = listed {
                    let (all, only) = self.stopped.entry(name).or_default();
                    *all += packets;
                    *only += if alone { packets } else { 0 };
                }
            }
        }
    }

    fn bank_hits(&mut self, name: &FeedName, state: &mut FeedState) {
        let (all, alone) = self.stopped.remove(name).unwrap_or_default();
        state.stopped += all;
        state.stopped_alone += alone;
    }
}

/// A table that has lost most of its ranges is a broken download.
fn believable(old: Option<&Arc<CountryTable>>, new: &CountryTable) -> Result<(), String> {
    let before = old.map_or(0, |old| old.len());
    if new.is_empty() || before > 1000 && new.len() < before / 2 {
        return Err(format!("the new one has {} ranges, the old one {before}", new.len()));
    }
    Ok(())
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
