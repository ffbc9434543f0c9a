//! Every effect the engine can ask for. The loop hands them to its lanes in this order; each lane
//! executes its own in order, and answers by events.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::ranges::RangeList;

use crate::AddrRange;
use crate::api::{Caller, Done, Reply};
use crate::audit::Record;
pub use crate::cut::Flows;
use crate::cut::LiveFlow;
#[cfg(doc)]
use crate::event::Event;
pub use crate::event::Revision;
use crate::event::Ticket;
use crate::features::{Change, Job, Notice};
pub use crate::heard::Level;
use crate::heard::Topic;
use crate::learned::{Effect, Key, Lasting, LearnedSets, SetSpec};
use crate::ruleset::{Delta, Structure, Table};
use crate::service::Catalogue;
use crate::signalling;
use crate::trouble::Trouble;

/// An effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write the changes and their records down, in one transaction. Answered by [`Event::Stored`];
    /// until then there is no other commit.
    Commit {
        /// The changes.
        changes: Vec<Change>,
        /// What the audit log says of them.
        records: Vec<Record>,
    },
    /// Change the kernel's table by a difference. Answered by [`Event::Applied`], in order.
    Apply(Box<Apply>),
    /// Make the kernel's table this one: its state is not known. Chains and rules come first, so that
    /// what was opened is closed, however many elements follow. Answered by [`Event::Applied`], and
    /// by [`Event::ListsExchanged`] when the lists are in it too.
    Load(Box<Load>),
    /// Exchange the lists, part by part. Answered by [`Event::ListsExchanged`].
    ExchangeLists {
        /// The revision that this makes.
        to: Revision,
        /// All lists as one.
        lists: Arc<RangeList>,
    },
    /// Remove the table. Answered by [`Event::Applied`].
    TakeDown {
        /// The revision that this makes.
        to: Revision,
    },
    /// List the running flows, for the engine to decide which of them end. Answered by
    /// [`Event::Flows`], in several parts.
    ListFlows {
        /// Whose flows.
        of: Vec<Flows>,
        /// The services, which tell who began a flow.
        catalogue: Arc<Catalogue>,
    },
    /// Cut these flows. Answered by [`Event::FlowsCut`].
    Cut(Vec<LiveFlow>),
    /// Add elements to the kernel's sets of learned state. A later end in the set is kept. Answered by
    /// [`Event::Taught`].
    Teach(Vec<Lasting>),
    /// Delete elements from the kernel's sets of learned state. Answered by [`Event::Unlearned`].
    Unlearn(Unlearn),
    /// Change sets that follow from records and deny something. Answered by [`Event::Denied`].
    Deny(Box<Deny>),
    /// Read these sets of learned state in the kernel, among them all that allow something. Answered by
    /// [`Event::SetsRead`].
    ReadSets(Vec<&'static SetSpec>),
    /// Read the kernel's counters. Answered by [`Event::Counters`].
    ReadCounters,
    /// Read which listed addresses sent packets. Answered by [`Event::Hits`].
    ReadHits,
    /// Save learned state for a reboot. Answered by [`Event::LearnedSaved`].
    SaveLearned(Box<LearnedSets>),
    /// Do something in the background for a feature. What comes of it is [`Event::Feature`].
    Run(Job),
    /// Answer a request.
    Reply(Ticket, Reply),
    /// Read the configuration again. It comes back as [`Event::Configured`].
    ReadConfiguration(Ticket, Caller),
    /// Tell the administrator, through the journal.
    Tell(Told),
}

/// What the administrator is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Somebody has changed something.
    Done(Caller, Done),
    /// Something of a feature.
    Notice(Notice),
    /// Something that went wrong, or that another program did.
    Trouble(Trouble),
}

impl Told {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Told::Done(..) => Level::Info,
            Told::Notice(notice) => notice.level(),
            Told::Trouble(trouble) => trouble.level(),
        }
    }

    /// From which feature it comes and what it is about, if an administrator must hear it wherever that
    /// person is; otherwise it is for the journal alone.
    pub fn topic(&self) -> Option<(&'static str, Topic)> {
        match self {
            Told::Done(..) => None,
            Told::Notice(notice) => notice.topic(),
            Told::Trouble(trouble) => Some(("engine", trouble.topic())),
        }
    }
}

/// Which elements of learned state to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlearn {
    /// All within these ranges, in every set that allows something.
    Within(Vec<AddrRange>),
    /// All peers that this host called or asked, or that are only inferred from its TCP connections,
    /// except those at these addresses. Registrations seen by the kernel or reported by the PBX
    /// are kept.
    UnregisteredExcept(BTreeSet<IpAddr>),
    /// Exactly these.
    Exactly(BTreeSet<(&'static SetSpec, Key)>),
}

impl Unlearn {
    /// Whether it may concern elements of a set.
    pub fn concerns_set(&self, set: &SetSpec) -> bool {
        match self {
            Unlearn::Within(_) => set.effect == Effect::Allows,
            Unlearn::UnregisteredExcept(_) => signalling::is_forgotten_on_closing(set),
            Unlearn::Exactly(elements) => elements.iter().any(|(other, _)| *other == set),
        }
    }

    /// Whether an element is deleted.
    pub fn concerns(&self, set: &'static SetSpec, key: &Key) -> bool {
        self.concerns_set(set)
            && match self {
                Unlearn::Within(ranges) => ranges.iter().any(|range| range.contains(key.address)),
                Unlearn::UnregisteredExcept(spared) => !spared.contains(&key.address),
                Unlearn::Exactly(elements) => elements.contains(&(set, *key)),
            }
    }
}

/// A difference of sets that follow from records and deny something: all of it, or nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Deny {
    /// The revision that this makes.
    pub to: Revision,
    /// What is there from now on.
    pub elements: Vec<Lasting>,
    /// What may be there already and is no longer, or lasts for another time from now on.
    pub stale: BTreeSet<(&'static SetSpec, Key)>,
    /// Whether it only denies, so that it goes ahead of everything that waits.
    pub is_urgent: bool,
}

/// A difference of the kernel's table.
#[derive(Clone, Debug, PartialEq)]
pub struct Apply {
    /// The revision that this makes.
    pub to: Revision,
    /// Chains and rules, if they change too. They come first.
    pub structure: Option<Structure>,
    /// How long an unconfirmed table is to hold.
    pub trial: Option<Duration>,
    /// The elements of accounts and closures that change.
    pub delta: Delta,
}

/// The whole table.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The revision that this makes.
    pub to: Revision,
    /// The elements of accounts and closures.
    pub table: Arc<Table>,
    /// Chains and rules.
    pub structure: Structure,
    /// All lists as one.
    pub lists: Arc<RangeList>,
    /// How long an unconfirmed table is to hold.
    pub trial: Option<Duration>,
    /// The learned state that is put back. If it cannot be, the table is loaded all the same, and
    /// [`Event::Taught`] says so.
    pub learned: Vec<Lasting>,
}
