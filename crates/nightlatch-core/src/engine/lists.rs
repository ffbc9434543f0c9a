//! Feeds: what is asked, what arrives, what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::ranges::RangeList;

use super::Engine;
use super::plan::{Decision, Plan, Work, no};
use super::requests::reaches_ssh;
use crate::AddrRange;
use crate::action::{Action, Content, Level};
use crate::api::{Caller, FeedView, Refusal, Reply};
use crate::audit::{Record, ourselves};
use crate::event::{Failed, Fetched, FetchedTable};
use crate::ledger::{Change, Mode};
use crate::lists::{Feed, FeedName, FeedState, Guard, Listed, Version, inspect};
use crate::policy::World;
use crate::time::Time;

/// How often what the feeds stopped is written down.
const WRITE_DOWN_EVERY: Duration = Duration::from_secs(600);

/// No server is left alone for longer because it asks for that.
const LONGEST_REST: Duration = Duration::from_secs(86_400);

/// What is being fetched, and what is to be.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    /// Under way, and whether the content is believed whatever its size.
    underway: BTreeMap<FeedName, bool>,
    /// Fetched, but not in the kernel yet.
    settling: BTreeSet<FeedName>,
    /// Asked for, and whether with that belief.
    wanted: BTreeMap<FeedName, bool>,
    /// Feeds whose kept content is not the version that the ledger names: a crash came between.
    unsure: BTreeSet<FeedName>,
    /// Under way, but the feed was removed meanwhile: what comes is not that of a feed which was
    /// added under the same name since.
    orphaned: BTreeSet<FeedName>,
    /// From where somebody came who asked for what is to be fetched.
    askers: BTreeMap<FeedName, IpAddr>,
}

impl Fetches {
    /// What the fetch of a feed brought has taken effect; the kernel does not have it yet.
    pub(super) fn settle(&mut self, name: &FeedName) {
        self.underway.remove(name);
        self.settling.insert(name.clone());
    }

    /// The kernel has what a fetch brought.
    pub(super) fn end(&mut self, name: &FeedName) {
        self.settling.remove(name);
    }

    pub(super) fn forget(&mut self, name: &FeedName) {
        self.wanted.remove(name);
        self.askers.remove(name);
        self.unsure.remove(name);
        if self.underway.contains_key(name) {
            self.orphaned.insert(name.clone());
        }
    }
}

/// Packets each feed stopped, and those that it alone would have.
#[derive(Debug, Default)]
pub(super) struct Stopped {
    /// What is not yet written down.
    counts: BTreeMap<FeedName, (u64, u64)>,
    written: Option<Time>,
}

impl Stopped {
    pub(super) fn forget(&mut self, name: &FeedName) {
        self.counts.remove(name);
    }

    /// The state with what was counted since.
    fn added_to(&self, name: &FeedName, state: &FeedState) -> FeedState {
        let (all, alone) = self.counts.get(name).copied().unwrap_or_default();
        FeedState {
            stopped: state.stopped.saturating_add(all),
            stopped_alone: state.stopped_alone.saturating_add(alone),
            ..state.clone()
        }
    }
}

impl Engine {
    pub(super) fn feed_add(
        &self,
        caller: &Caller,
        mut feed: Feed,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let name = feed.name.clone();
        let there = self.ledger.feeds.get(&name);
        // One that never came was mistyped, more often than not: the new one takes its place.
        let mistyped = there.filter(|(_, state)| state.fetched.is_none() && state.failures > 0);
        if let (Some((there, _)), None) = (there, mistyped) {
            return Err(no(format!(
                "feed \"{name}\" exists already ({}): remove it first, or take another name",
                there.source
            )));
        }
        feed.check().map_err(super::plan::wrong)?;
        feed.since = now;
        feed.by = caller.to_string();
        feed.origin = caller.origin;
        let mut message = format!(
            "feed \"{name}\" is added and being fetched: \"nightlatch feed list\" shows how it goes"
        );
        if self.ledger.mode == Mode::Allowlist {
            message += "\nin mode allowlist strangers meet silence, listed or not";
        }
        let mut others = self.ledger.feeds.values().map(|(other, _)| other);
        let twin = |other: &&Feed| other.name != name && other.source == feed.source;
        if let Some(twin) = others.find(twin) {
            message += &format!("\nfeed \"{}\" comes from there too", twin.name);
        }
        message += self.hint_of_off();
        let mut plan = Plan::new(caller, message);
        if let Some((there, _)) = mistyped {
            plan.records.push(Record::new(caller, "feed remove", &name, there, &()));
            plan.changes.push(Change::DropFeed(name.clone()));
        }
        plan.records.push(Record::new(caller, "feed add", &name, &(), &feed));
        plan.changes.push(Change::PutFeed(Box::new(feed), FeedState::default()));
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
        caller: &Caller,
        name: Option<&FeedName>,
        force: bool,
    ) -> Result<Reply, Refusal> {
        if let Some(name) = name {
            self.known_feed(name)?;
        }
        let all = self.ledger.feeds.keys();
        let names: Vec<FeedName> =
            all.filter(|known| name.is_none_or(|name| *known == name)).cloned().collect();
        let message = match names.as_slice() {
            [] => return Err(no("there is no feed: \"nightlatch feed add NAME\" adds one")),
            [one] => format!("feed \"{one}\" is being fetched"),
            several => format!("{} feeds are being fetched", several.len()),
        };
        for name in names {
            if let Some(origin) = caller.origin {
                self.fetches.askers.insert(name.clone(), origin);
            }
            *self.fetches.wanted.entry(name).or_default() |= force;
        }
        let message = format!("{message}: \"nightlatch feed list\" shows how it goes");
        Ok(Reply::Done { message })
    }

    fn known_feed(&self, name: &FeedName) -> Result<&(Feed, FeedState), Refusal> {
        self.ledger.feeds.get(name).ok_or_else(|| {
            no(format!("there is no feed \"{name}\": \"nightlatch feed list\" shows all of them"))
        })
    }

    pub(super) fn feed_list(&self, now: Time) -> Reply {
        let view = |(feed, state): &(Feed, FeedState)| {
            let name = &feed.name;
            let fetching = self.fetches.underway.contains_key(name)
                || self.fetches.settling.contains(name)
                || self.fetches.wanted.contains_key(name)
                || state.checked.is_none();
            FeedView {
                feed: feed.clone(),
                stale: state.is_stale(feed.every, now),
                state: self.stopped.added_to(name, state),
                fetching,
                arrived: self.arrived(name),
            }
        };
        Reply::Feeds(self.ledger.feeds.values().map(view).collect())
    }

    /// What a fetch brought. New content is inspected; what is refused leaves the old in force.
    pub(super) fn fetched(
        &mut self,
        name: &FeedName,
        result: Result<Fetched, Failed>,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> Option<Plan> {
        // Removed while it was being fetched.
        if self.fetches.orphaned.remove(name) || !self.ledger.feeds.contains_key(name) {
            self.fetches.underway.remove(name);
            return None;
        }
        // It stays under way until it is written down when the feed was looked at.
        let force = self.fetches.underway.get(name).copied().unwrap_or(false);
        let (mut feed, state) = self.ledger.feeds.get(name).cloned()?;
        feed.origin = self.fetches.askers.remove(name).or(feed.origin);
        let wait = result.as_ref().err().and_then(|failed| failed.wait);
        let rests_until = wait.map(|wait| now.after(wait.min(LONGEST_REST)));
        let mut state = FeedState { checked: Some(now), rests_until, ..state };
        let result = result.map_err(|failed| failed.reason);
        let taken = match self.judge_content(&feed, result, force, &mut state, now) {
            Ok(taken) => taken,
            Err(reason) => {
                state.failures = state.failures.saturating_add(1);
                let message = format!("feed \"{name}\" is left as it was: {reason}");
                actions.push(Action::Tell(Level::Warning, message));
                state.result = reason;
                None
            }
        };
        let mut plan = Plan::new(&ourselves(), format!("feed \"{name}\": {}", state.result));
        plan.ends = Some(Work::Fetch(name.clone()));
        // That a list was looked at counts also where it cannot be written down: otherwise a full
        // disk would make it be fetched again and again.
        plan.must_happen = true;
        state = self.stopped.added_to(name, &state);
        self.stopped.forget(name);
        plan.changes = vec![Change::PutFeed(Box::new(feed), state.clone())];
        if let Some(content) = taken {
            plan.records = vec![Record::new(&ourselves(), "feed", name, &(), &state)];
            let content = Content::Feed(name.clone(), content, state.version);
            // Kept first: should a crash come between, the ledger names the older version, and
            // the newer one is fetched again.
            actions.push(Action::Keep(content.clone()));
            plan.content = Some(content);
            self.fetches.unsure.remove(name);
        } else {
            plan.tell = None;
        }
        Some(plan)
    }

    fn judge_content(
        &self,
        feed: &Feed,
        result: Result<Fetched, String>,
        force: bool,
        state: &mut FeedState,
        now: Time,
    ) -> Result<Option<Arc<RangeList>>, String> {
        let name = &feed.name;
        let fetched = result?;
        let Some(content) = fetched.content else {
            "nothing new".clone_into(&mut state.result);
            state.failures = 0;
            // As good as fetched anew: the source vouches for it.
            state.fetched = Some(now);
            return Ok(None);
        };
        let old = self.lists.feed(name).filter(|_| !force).map(Arc::as_ref);
        let guard = Guard::of(&self.ledger.site);
        let inspected = inspect(old, &content, &guard, &self.ledger).map_err(|refused| {
            format!(
                "{refused}{}",
                refused.advice(&format!("nightlatch feed refresh {name} --force"))
            )
        })?;
        let mut content = inspected.content;
        let spared = self.spared(feed, &content, now);
        if let Some(origin) = spared {
            content = content.without(&RangeList::from_iter([AddrRange::from(origin)]));
        }
        state.failures = 0;
        state.entries_v4 = content.len_of(crate::Family::V4);
        state.entries_v6 = content.len_of(crate::Family::V6);
        // Where something was taken out, a note says so.
        let merged_from = fetched.read.filter(|_| inspected.notes.is_empty() && spared.is_none());
        state.result = entries_in_words(content.len(), merged_from);
        let spared = spared.map(|origin| {
            format!(
                "{origin} is where you came from, and in no account: not listed; allow it in one"
            )
        });
        let notes = fetched.notes.into_iter().chain(spared).chain(inspected.notes);
        state.notes = notes.collect();
        state.fetched = Some(now);
        state.version = fetched.version;
        Ok(Some(Arc::new(content)))
    }

    /// The address of whoever added or fetched a feed, where its content would shut it out of the
    /// server, and nothing else does.
    fn spared(&self, feed: &Feed, content: &RangeList, now: Time) -> Option<IpAddr> {
        let origin = feed.origin.filter(|origin| content.find(*origin).is_some())?;
        let mut lists = self.lists.clone();
        lists.drop_feed(&feed.name);
        let before = World { lists: &lists, ..self.world(now) };
        let comes_in = reaches_ssh(&before, origin);
        lists.put_feed(feed.name.clone(), Arc::new(content.clone()));
        let after = World { lists: &lists, ..self.world(now) };
        (comes_in && !reaches_ssh(&after, origin)).then_some(origin)
    }

    /// Takes in what an earlier run of the daemon kept, so that nothing waits for the network.
    /// Each feed comes with its version; so does the table of countries.
    pub fn restore_lists(
        &mut self,
        feeds: Vec<(FeedName, RangeList, Version)>,
        table: Option<FetchedTable>,
    ) {
        for (name, content, version) in feeds {
            let named = self.ledger.feeds.get(&name).map(|(_, state)| &state.version);
            if named != Some(&version) {
                self.fetches.unsure.insert(name.clone());
            }
            self.lists.put_feed(name, Arc::new(content));
        }
        if let Some(table) = table {
            self.restore_table(table);
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
            self.merged_bytes = None;
        }
    }

    /// When the next feed has to be looked at.
    pub(super) fn next_fetch(&self) -> Option<Time> {
        let idle = |feed: &Feed| !self.fetches.underway.contains_key(&feed.name);
        let feeds = self.ledger.feeds.values().filter(|(feed, _)| idle(feed));
        let due = feeds.map(|(feed, state)| {
            let asked = self.fetches.wanted.contains_key(&feed.name);
            state.next_look(feed.every).filter(|_| !asked).unwrap_or_default()
        });
        due.min()
    }

    /// Begins to fetch what is due.
    pub(super) fn fetch_due(&mut self, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        for (name, (feed, state)) in &self.ledger.feeds {
            // Asked for while it is under way, it is fetched once more.
            if self.fetches.underway.contains_key(name) {
                continue;
            }
            let asked = self.fetches.wanted.remove(name);
            let due = state.next_look(feed.every).is_none_or(|at| at <= now);
            if asked.is_none() && !due {
                continue;
            }
            let force = asked.unwrap_or(false);
            // Without content at hand, "nothing new" would leave us with nothing.
            let unsure = self.lists.feed(name).is_none() || self.fetches.unsure.contains(name);
            let state = if force || unsure { FeedState::default() } else { state.clone() };
            self.fetches.underway.insert(name.clone(), force);
            actions.push(Action::Fetch(feed.clone(), state));
        }
        actions
    }

    /// Counts the packets of listed addresses to the lists that hold them.
    pub(super) fn count_hits(&mut self, hits: Vec<(IpAddr, u64)>, now: Time) -> Vec<Action> {
        for (address, packets) in hits {
            let lists = self.lists.holding(address, &self.ledger.countries);
            let alone = lists.len() == 1;
            for listed in lists {
                if let Listed::Feed { name, .. } = listed {
                    let (all, only) = self.stopped.counts.entry(name).or_default();
                    *all = all.saturating_add(packets);
                    *only = only.saturating_add(if alone { packets } else { 0 });
                }
            }
        }
        let answers = self.answer_feed_lists(now);
        let written = *self.stopped.written.get_or_insert(now);
        if self.stopped.counts.is_empty() || now.since(written) < WRITE_DOWN_EVERY {
            return answers;
        }
        self.stopped.written = Some(now);
        let mut plan = Plan::new(&ourselves(), "what the feeds stopped is written down");
        plan.tell = None;
        plan.must_happen = true;
        // What a feed stopped that is being fetched is written down with what the fetch brings.
        let idle = |name: &FeedName| !self.fetches.underway.contains_key(name);
        for (name, (feed, state)) in self.ledger.feeds.iter().filter(|(name, _)| idle(name)) {
            if self.stopped.counts.contains_key(name) {
                let state = self.stopped.added_to(name, state);
                plan.changes.push(Change::PutFeed(Box::new(feed.clone()), state));
            }
        }
        let underway = &self.fetches.underway;
        self.stopped.counts.retain(|name, _| underway.contains_key(name));
        answers.into_iter().chain(self.happen(plan, now)).collect()
    }
}

/// How many entries there are, and from how many they were merged.
fn entries_in_words(entries: usize, read: Option<usize>) -> String {
    let noun = if entries == 1 { "entry" } else { "entries" };
    let merged = read.filter(|read| *read > entries);
    let merged = merged.map_or_else(String::new, |read| format!(", merged from {read}"));
    format!("{entries} {noun}{merged}")
}
