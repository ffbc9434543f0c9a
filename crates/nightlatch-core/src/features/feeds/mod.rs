//! Feeds: published lists of bad networks.

mod content;
mod feed;
mod requests;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::ranges::RangeList;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use content::{Failed, Fetched};
pub use feed::{Feed, FeedName, FeedNameError};
pub use requests::{FeedView, Held, Refusal, Reply, Request, Trouble};
pub use state::{Came, FeedState, Note, Noted, Outcome};

use super::{By, Change, Feature, Plan, Put, Reads, View};
use crate::action::Level;
use crate::audit;
use crate::engine::schedule::Begun;
use crate::heard::Topic;
use crate::lists::Version;
use crate::time::Time;

/// How often what the feeds stopped is written down.
const WRITE_INTERVAL: Duration = Duration::from_secs(600);

/// The feeds.
#[derive(Clone, Debug, Default)]
pub struct Feeds {
    /// All of them, by name.
    pub all: BTreeMap<FeedName, Subscription>,
    /// What they hold.
    contents: BTreeMap<FeedName, Arc<RangeList>>,
    /// Those whose kept content is not the version that the record names: a crash came between.
    unsure: BTreeSet<FeedName>,
    /// Packets that each stopped, and those that it alone would have, as far as not written down.
    counts: BTreeMap<FeedName, (u64, u64)>,
    /// Since when these are counted.
    counted_since: Option<Time>,
    /// How many bytes of those that are being fetched have arrived.
    arriving: BTreeMap<FeedName, u64>,
}

/// What they hold is no record.
impl PartialEq for Feeds {
    fn eq(&self, other: &Feeds) -> bool {
        self.all == other.all
    }
}

/// A feed, and how it goes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// The feed.
    pub feed: Feed,
    /// How it goes.
    pub state: FeedState,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A fetch has ended.
    Fetched {
        /// The feed.
        name: FeedName,
        /// What it brought, or why not.
        result: Result<Fetched, Failed>,
    },
    /// Content takes effect.
    InForce {
        /// The feed.
        name: FeedName,
        /// The content, merged.
        content: Arc<RangeList>,
    },
    /// What an earlier run of the daemon kept.
    Restored {
        /// The feed.
        name: FeedName,
        /// The content, merged.
        content: Arc<RangeList>,
        /// Its version.
        version: Version,
    },
    /// Feeds were removed.
    Gone(FeedName),
    /// What they stopped is written down with their records.
    Counted(BTreeSet<FeedName>),
    /// How many bytes of those that are being fetched have arrived.
    Arriving(BTreeMap<FeedName, u64>),
    /// [`Job::Keep`] or [`Job::Forget`] has failed.
    NotKept {
        /// The feed.
        name: FeedName,
        /// Whether its content was to be kept; else it was to be deleted.
        keep: bool,
        /// Why.
        error: String,
    },
}

/// What is done in the background.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// Fetch a feed. The state tells which version is at hand.
    Fetch(Box<Feed>, Version),
    /// Keep what it holds, so that a restart does not need the network.
    Keep {
        /// The feed.
        name: FeedName,
        /// The content.
        content: Arc<RangeList>,
        /// Its version.
        version: Version,
    },
    /// Delete what was kept.
    Forget(FeedName),
}

/// What an administrator must hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// New content is in force.
    InForce {
        /// The feed.
        name: FeedName,
        /// What came of the look.
        result: Outcome,
    },
    /// A look failed, and what was in force stays.
    Failed {
        /// The feed.
        name: FeedName,
        /// What came of the look.
        result: Outcome,
        /// Whether what is in force is old.
        stale: bool,
    },
    /// Its content could not be kept on disk, or not be deleted.
    NotKept {
        /// The feed.
        name: FeedName,
        /// Whether it was to be kept.
        keep: bool,
        /// Why.
        error: String,
    },
}

/// What the audit log calls a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// A feed was added.
    Add,
    /// A feed was removed.
    Remove,
    /// New content took effect.
    Content,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Add => "feed add",
            Deed::Remove => "feed remove",
            Deed::Content => "feed",
        })
    }
}

impl Feature for Feeds {
    const NAME: &'static str = "feeds";

    type Key = FeedName;
    type Config = ();
    type Record = Subscription;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn level(notice: &Notice) -> Level {
        match notice {
            Notice::InForce { .. } => Level::Info,
            Notice::Failed { .. } | Notice::NotKept { .. } => Level::Warning,
        }
    }

    fn read(_key: &FeedName, body: &str) -> serde_json::Result<Subscription> {
        serde_json::from_str(body)
    }

    fn own_key(record: &Subscription) -> Option<FeedName> {
        Some(record.feed.name.clone())
    }

    fn put(&mut self, key: &FeedName, record: Option<Subscription>) -> Option<Subscription> {
        match record {
            Some(record) => self.all.insert(key.clone(), record),
            None => self.all.remove(key),
        }
    }

    fn each(&self, found: &mut dyn FnMut(&FeedName, &Subscription)) {
        self.all.iter().for_each(|(key, record)| found(key, record));
    }

    fn audited(
        deed: Deed,
        before: Option<&Subscription>,
        after: Option<&Subscription>,
    ) -> (Value, Value) {
        let feed = |record: Option<&Subscription>| audit::value(&record.map(|it| &it.feed));
        match deed {
            Deed::Content => (Value::Null, audit::value(&after.map(|it| &it.state))),
            Deed::Add | Deed::Remove => (feed(before), feed(after)),
        }
    }

    fn topic(notice: &Notice) -> Option<Topic> {
        match notice {
            Notice::Failed { name, stale: true, .. } => {
                Some(Topic::new("feed-stale", name).with("feed", name))
            }
            _ => None,
        }
    }

    fn list(&self, into: &mut RangeList) {
        for content in self.contents.values() {
            into.extend(content.iter());
        }
    }

    fn holding<'a>(&'a self, address: IpAddr, found: &mut dyn FnMut(By<'a>)) {
        for (name, _) in self.entries_of(address) {
            found(By::Feeds(name));
        }
    }

    fn stopped(&mut self, list: &FeedName, packets: u64, alone: bool, now: Time) {
        self.counted_since.get_or_insert(now);
        let (all, only) = self.counts.entry(list.clone()).or_default();
        *all = all.saturating_add(packets);
        *only = only.saturating_add(if alone { packets } else { 0 });
    }

    fn reads(request: &Request) -> Reads {
        match request {
            Request::Add(_) | Request::Remove { .. } => Reads::Nothing,
            Request::Refresh { .. } => Reads::Question,
            Request::List => Reads::Counts,
        }
    }

    fn asked(&self, request: Request, view: &View<'_>) -> Result<Plan<Feeds>, Refusal> {
        match request {
            Request::Add(feed) => self.add(*feed, view),
            Request::Remove { name } => self.remove(&name),
            Request::Refresh { name } => self.refresh(name.as_ref(), view),
            Request::List => Ok(Plan::say(self.views(view))),
        }
    }

    fn happened(&self, event: Event, view: &View<'_>) -> Plan<Feeds> {
        match event {
            Event::Fetched { name, result } => self.fetched(&name, result, view),
            Event::NotKept { name, keep, error } => {
                Plan { notices: vec![Notice::NotKept { name, keep, error }], ..Plan::default() }
            }
            event => Plan { at_once: vec![event], ..Plan::default() },
        }
    }

    fn note(&mut self, event: &Event, now: Time) {
        match event {
            Event::InForce { name, content } => {
                self.unsure.remove(name);
                self.contents.insert(name.clone(), Arc::clone(content));
            }
            Event::Restored { name, content, version } => {
                if self.all.get(name).map(|it| &it.state.version) != Some(version) {
                    self.unsure.insert(name.clone());
                }
                self.contents.insert(name.clone(), Arc::clone(content));
            }
            Event::Gone(name) => {
                self.contents.remove(name);
                self.unsure.remove(name);
                self.counts.remove(name);
            }
            Event::Counted(names) => {
                self.counts.retain(|name, _| !names.contains(name));
                self.counted_since = Some(now).filter(|_| !self.counts.is_empty());
            }
            Event::Arriving(arriving) => self.arriving.clone_from(arriving),
            Event::Fetched { .. } | Event::NotKept { .. } => {}
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.counted_since.map(|since| since.after(WRITE_INTERVAL))
    }

    fn due(&self, view: &View<'_>) -> Plan<Feeds> {
        match self.next_due().is_some_and(|due| due <= view.now()) {
            true => self.write_counts_down(view),
            false => Plan::default(),
        }
    }

    fn tasks(&self, _view: &View<'_>, found: &mut dyn FnMut(&dyn fmt::Display, Option<Time>)) {
        for (name, Subscription { feed, state }) in &self.all {
            found(name, Some(state.next_look(feed.every)));
        }
    }

    fn begin(&self, task: &str, begun: &Begun, _view: &View<'_>) -> Plan<Feeds> {
        let name = task.parse::<FeedName>().ok();
        let known = name.and_then(|name| self.all.get_key_value(&name));
        let Some((name, Subscription { feed, state })) = known else { return Plan::default() };
        // Without content at hand, "nothing new" would leave us with nothing.
        let unsure = !self.contents.contains_key(name) || self.unsure.contains(name);
        let version =
            if begun.force || unsure { Version::default() } else { state.version.clone() };
        Plan::work(Job::Fetch(Box::new(feed.clone()), version))
    }

    fn report(&self, view: &View<'_>) -> Option<Reply> {
        Some(Reply::Report { count: self.all.len(), troubles: self.troubles(view.now()) })
    }

    fn about(&self, address: IpAddr, _view: &View<'_>) -> Option<Reply> {
        let held = self.entries_of(address);
        let held = held.map(|(name, entry)| Held {
            name: name.clone(),
            entry,
            fetched: self.all.get(name).and_then(|it| it.state.fetched),
        });
        Some(Reply::Held(held.collect()))
    }
}

/// Adds or replaces a feed.
pub fn put(feed: Feed, state: FeedState) -> Change {
    Put::<Feeds> { key: feed.name.clone(), record: Some(Subscription { feed, state }) }.into()
}

/// Removes a feed.
pub fn removed(name: FeedName) -> Change {
    Put::<Feeds> { key: name, record: None }.into()
}
