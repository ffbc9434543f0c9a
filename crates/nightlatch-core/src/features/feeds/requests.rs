//! What is asked about feeds, what is refused, what follows.

use serde::{Deserialize, Serialize};

use super::{Deed, Event, Feed, FeedName, FeedState, Feeds, Job, Outcome, Subscription};
use crate::AddrRange;
use crate::api::RefusalKind;
use crate::features::{Feature, Plan, Refuses, View, Want};
use crate::posture::Mode;
use crate::time::Time;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Add a feed.
    Add(Box<Feed>),
    /// Remove a feed.
    Remove {
        /// Its name.
        name: FeedName,
    },
    /// Fetch now; if forced, believe the next content whatever its size.
    Refresh {
        /// Which; all where absent.
        name: Option<FeedName>,
    },
    /// All feeds.
    List,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A feed is added.
    Added {
        /// Its name.
        name: FeedName,
        /// What strangers meet.
        mode: Mode,
        /// Another feed that comes from the same source.
        twin: Option<FeedName>,
    },
    /// A feed is removed.
    Removed {
        /// Its name.
        name: FeedName,
    },
    /// Feeds are being fetched.
    Fetching(Vec<FeedName>),
    /// All feeds.
    All(Vec<FeedView>),
    /// The feeds that hold an address.
    Held(Vec<Held>),
    /// How many there are, and which are in trouble.
    Report {
        /// How many.
        count: usize,
        /// Those in trouble.
        troubles: Vec<Trouble>,
    },
}

/// A feed, and how it goes with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedView {
    /// The feed.
    pub feed: Feed,
    /// How it goes.
    pub state: FeedState,
    /// Whether its content is so old that it should be doubted.
    pub stale: bool,
    /// Whether it is being fetched now, or is next to be.
    pub fetching: bool,
    /// How many bytes of it have arrived, while it is being fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<u64>,
}

/// A feed that holds an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The feed.
    pub name: FeedName,
    /// The entry that holds the address.
    pub entry: AddrRange,
    /// When the content in force was fetched, or last confirmed by its source.
    pub fetched: Option<Time>,
}

/// A feed that could not be fetched, or is old.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// The feed.
    pub name: FeedName,
    /// What came of the last look.
    pub result: Outcome,
    /// Whether something of it is in force.
    pub in_force: bool,
    /// Whether that is old.
    pub stale: bool,
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such feed.
    Unknown {
        /// The name.
        name: FeedName,
    },
    /// There is one of that name already.
    Exists {
        /// The name.
        name: FeedName,
        /// Where it comes from.
        source: String,
    },
    /// It is written wrongly.
    Wrong {
        /// What is wrong, and what to write instead.
        what: String,
    },
    /// There is no feed at all.
    None,
}

impl Refuses for Refusal {
    fn kind(&self) -> RefusalKind {
        match self {
            Refusal::Wrong { .. } => RefusalKind::Wrong,
            _ => RefusalKind::No,
        }
    }
}

impl Feeds {
    pub(super) fn known(&self, name: &FeedName) -> Result<&Subscription, Refusal> {
        self.all.get(name).ok_or_else(|| Refusal::Unknown { name: name.clone() })
    }

    pub(super) fn add(&self, mut feed: Feed, view: &View<'_>) -> Result<Plan<Feeds>, Refusal> {
        let name = feed.name.clone();
        let there = self.all.get(&name);
        // One that never came was mistyped, more often than not: the new one takes its place.
        let mistyped =
            there.filter(|there| there.state.fetched.is_none() && there.state.failures > 0);
        if let (Some(there), None) = (there, mistyped) {
            return Err(Refusal::Exists { name, source: there.feed.source.clone() });
        }
        feed.check().map_err(|what| Refusal::Wrong { what })?;
        feed.since = view.now();
        feed.by = view.caller().to_string();
        feed.origin = view.caller().origin;
        let twin = |other: &&Feed| other.name != name && other.source == feed.source;
        let twin = self.all.values().map(|other| &other.feed).find(twin);
        let twin = twin.map(|twin| twin.name.clone());
        let mut plan =
            Plan::say(Reply::Added { name: name.clone(), mode: view.posture().mode, twin });
        if mistyped.is_some() {
            plan.remove(name.clone(), Deed::Remove);
            Feeds::forget(&mut plan, &name);
        }
        let state = FeedState::default();
        plan.put(name, Subscription { feed, state }, Deed::Add);
        plan.effects.changes_lists = true;
        plan.effects.waits_for_up = true;
        Ok(plan)
    }

    pub(super) fn remove(&self, name: &FeedName) -> Result<Plan<Feeds>, Refusal> {
        self.known(name)?;
        let mut plan = Plan::say(Reply::Removed { name: name.clone() });
        plan.remove(name.clone(), Deed::Remove);
        Feeds::forget(&mut plan, name);
        plan.effects.changes_lists = true;
        Ok(plan)
    }

    fn forget(plan: &mut Plan<Feeds>, name: &FeedName) {
        plan.events.push(Event::Gone(name.clone()));
        plan.later.push(Job::Forget(name.clone()));
        plan.effects.forgets = Some(name.to_string());
    }

    /// Makes feeds due at once.
    pub(super) fn refresh(
        &self,
        name: Option<&FeedName>,
        view: &View<'_>,
    ) -> Result<Plan<Feeds>, Refusal> {
        if let Some(name) = name {
            self.known(name)?;
        }
        let all = self.all.keys();
        let names: Vec<FeedName> =
            all.filter(|known| name.is_none_or(|name| *known == name)).cloned().collect();
        if names.is_empty() {
            return Err(Refusal::None);
        }
        let (force, asker) = (view.force(), view.caller().origin);
        let wants = names.iter().map(|name| Want { task: name.to_string(), force, asker });
        let wants = wants.collect();
        let mut plan = Plan::say(Reply::Fetching(names));
        plan.effects.wants = wants;
        Ok(plan)
    }

    pub(super) fn views(&self, view: &View<'_>) -> Reply {
        let one = |Subscription { feed, state }: &Subscription| {
            let name = &feed.name;
            let busy = view.schedule().is_busy(Feeds::NAME, name);
            FeedView {
                feed: feed.clone(),
                stale: state.is_stale(feed.every, view.now()),
                state: self.with_counts(name, state),
                fetching: busy || state.checked.is_none(),
                arrived: self.arriving.get(name).copied(),
            }
        };
        Reply::All(self.all.values().map(one).collect())
    }

    pub(super) fn troubles(&self, now: Time) -> Vec<Trouble> {
        let trouble = |Subscription { feed, state }: &Subscription| {
            let stale = state.is_stale(feed.every, now);
            (state.failures > 0 || stale).then(|| Trouble {
                name: feed.name.clone(),
                result: state.result.clone(),
                in_force: state.fetched.is_some(),
                stale,
            })
        };
        self.all.values().filter_map(trouble).collect()
    }
}
