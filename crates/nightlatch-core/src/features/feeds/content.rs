//! What a feed brings: what is believed, and what follows.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::ranges::RangeList;

use super::{
    Came, Deed, Event, Feed, FeedName, FeedState, Feeds, Job, Note, Noted, Notice, Outcome,
    Subscription,
};
use crate::features::{By, Feature, Plan, View};
use crate::lists::{Version, inspect};
use crate::{AddrRange, Family};

/// No server is left alone for longer because it asks for that.
const MAX_REST: Duration = Duration::from_secs(86_400);

/// What a fetch brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fetched {
    /// The content; `None` where the version at hand is the newest.
    pub content: Option<RangeList>,
    /// How many entries it was read from: neighbours and repetitions became one. `None` where
    /// nobody counted.
    pub read: Option<usize>,
    /// Its version, as the source names it.
    pub version: Version,
    /// What was remarkable about it: lines that could not be read.
    pub notes: Vec<String>,
}

/// Why a fetch brought nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// In words.
    pub reason: String,
    /// How long the server asks to be left alone.
    pub wait: Option<Duration>,
}

impl Feeds {
    /// The feeds that hold an address, each with the entry.
    pub(super) fn entries_of(
        &self,
        address: IpAddr,
    ) -> impl Iterator<Item = (&FeedName, AddrRange)> {
        let names = self.all.keys();
        names.filter_map(move |name| Some((name, self.contents.get(name)?.find(address)?)))
    }

    /// What a fetch brought. New content is inspected; what is refused leaves the old in force.
    pub(super) fn fetched(
        &self,
        name: &FeedName,
        result: Result<Fetched, Failed>,
        view: &View<'_>,
    ) -> Plan<Feeds> {
        let mut plan = Plan::default();
        // Removed while it was being fetched.
        let orphaned = view.schedule().is_orphaned(Feeds::NAME, name);
        let Some(Subscription { feed, state }) = self.all.get(name).filter(|_| !orphaned) else {
            plan.effects.ends = Some(name.to_string());
            return plan;
        };
        let begun = view.schedule().running(Feeds::NAME, name).unwrap_or_default();
        let mut feed = feed.clone();
        feed.origin = begun.asker.or(feed.origin);
        let wait = result.as_ref().err().and_then(|failed| failed.wait);
        let rests_until = wait.map(|wait| view.now().after(wait.min(MAX_REST)));
        let mut state = FeedState { checked: Some(view.now()), rests_until, ..state.clone() };
        let result = result.map_err(|failed| Came::Failed(failed.reason));
        let content = match self.judge_content(&feed, result, begun.force, &mut state, view) {
            Ok(content) => content,
            Err(came) => {
                state.failures = state.failures.saturating_add(1);
                state.result = Outcome::Is(came);
                let (name, result) = (name.clone(), state.result.clone());
                let stale = state.is_stale(feed.every, view.now());
                plan.notices.push(Notice::Failed { name, result, stale });
                None
            }
        };
        plan.effects.finishes = Some(name.to_string());
        // That a list was looked at counts also where it cannot be written down: otherwise a full
        // disk would make it be fetched again and again.
        plan.effects.must_happen = true;
        state = self.with_counts(name, &state);
        plan.events.push(Event::Counted(BTreeSet::from([name.clone()])));
        let mut deed = None;
        if let Some(content) = content {
            deed = Some(Deed::Content);
            let (name, version) = (name.clone(), state.version.clone());
            // Kept first: should a crash come between, the record names the older version, and
            // the newer one is fetched again.
            plan.jobs.push(Job::Keep { name: name.clone(), content: content.clone(), version });
            plan.notices.push(Notice::InForce { name: name.clone(), result: state.result.clone() });
            plan.events.push(Event::InForce { name, content });
            plan.effects.changes_lists = true;
        }
        plan.put(name.clone(), Subscription { feed, state }, deed);
        plan
    }

    fn judge_content(
        &self,
        feed: &Feed,
        result: Result<Fetched, Came>,
        force: bool,
        state: &mut FeedState,
        view: &View<'_>,
    ) -> Result<Option<Arc<RangeList>>, Came> {
        let name = &feed.name;
        let fetched = result?;
        let Some(content) = fetched.content else {
            state.result = Outcome::Is(Came::NothingNew);
            state.failures = 0;
            // As good as fetched anew: the source vouches for it.
            state.fetched = Some(view.now());
            return Ok(None);
        };
        let old = self.contents.get(name).filter(|_| !force).map(Arc::as_ref);
        let allowed = view
            .all_allowed()
            .into_iter()
            .flat_map(|(by, ranges)| ranges.into_iter().map(move |range| (range, by.to_string())));
        let allowed: Vec<(AddrRange, String)> = allowed.collect();
        let inspected = inspect(old, &content, &view.guard(), &allowed).map_err(Came::Refused)?;
        let mut content = inspected.content;
        let spared = Feeds::spared(feed, &content, view);
        if let Some(origin) = spared {
            content = content.without(&RangeList::from_iter([AddrRange::from(origin)]));
        }
        state.failures = 0;
        state.entries_v4 = content.len_of(Family::V4);
        state.entries_v6 = content.len_of(Family::V6);
        // Where something was taken out, a note says so.
        let is_whole = inspected.remarks.is_empty() && spared.is_none();
        let entries = content.len();
        let merged_from = fetched.read.filter(|read| is_whole && *read > entries);
        state.result = Outcome::Is(Came::Entries { entries, merged_from });
        let spared = spared.map(|origin| Noted::Spared { origin });
        let remarks = inspected.remarks.into_iter().map(Noted::Remark);
        let noted = spared.into_iter().chain(remarks).map(Note::Is);
        state.notes = fetched.notes.into_iter().map(Note::Said).chain(noted).collect();
        state.fetched = Some(view.now());
        state.version = fetched.version;
        Ok(Some(Arc::new(content)))
    }

    /// The address of whoever added or fetched a feed, where its content would shut it out of the
    /// server, and nothing else does.
    fn spared(feed: &Feed, content: &RangeList, view: &View<'_>) -> Option<IpAddr> {
        let origin = feed.origin.filter(|origin| content.find(*origin).is_some())?;
        let others = view.listed_by(origin).into_iter().any(|by| by != By::Feeds(&feed.name));
        let comes_in = view.reaches_ssh_if(others, origin);
        (comes_in && !view.reaches_ssh_if(true, origin)).then_some(origin)
    }

    /// The state with what was counted since.
    pub(super) fn with_counts(&self, name: &FeedName, state: &FeedState) -> FeedState {
        let (all, alone) = self.counts.get(name).copied().unwrap_or_default();
        FeedState {
            stopped: state.stopped.saturating_add(all),
            stopped_alone: state.stopped_alone.saturating_add(alone),
            ..state.clone()
        }
    }

    /// Writes down what the feeds stopped. What a feed stopped that is being fetched is written down
    /// with what the fetch brings.
    pub(super) fn write_counts_down(&self, view: &View<'_>) -> Plan<Feeds> {
        let mut plan = Plan::default();
        plan.effects.must_happen = true;
        let mut written = BTreeSet::new();
        let counted = self.counts.keys().filter_map(|name| self.all.get_key_value(name));
        for (name, Subscription { feed, state }) in counted {
            if view.schedule().running(Feeds::NAME, name).is_some() {
                continue;
            }
            let state = self.with_counts(name, state);
            plan.put(name.clone(), Subscription { feed: feed.clone(), state }, None);
            written.insert(name.clone());
        }
        plan.at_once.push(Event::Counted(written));
        plan
    }
}
