//! Every effect the engine can ask for. The loop hands them to its lanes in this order; each lane
//! executes its own in order, and answers by events.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::country::CountryCode;
use nightlatch_parse::ranges::RangeList;

use crate::AddrRange;
use crate::api::{Caller, Reply};
use crate::audit::Record;
use crate::cut::LiveFlow;
#[cfg(doc)]
use crate::event::Event;
use crate::event::{FetchedTable, Ticket};
use crate::ledger::Change;
use crate::lists::{Feed, FeedName, FeedState, Version, Versions};
use crate::ruleset::{Delta, Structure, Table};
use crate::service::Catalogue;
use crate::signalling::{Learned, LearnedBy, Peer};

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
    /// Add peers to the kernel's sets, each with a timeout: they were known before the table was
    /// created, or the PBX has reported them. A longer timeout in the set is kept. Answered by
    /// [`Event::Taught`].
    Teach(Vec<(Peer, Duration)>),
    /// Delete peers from the kernel's sets. Answered by [`Event::Unlearned`].
    Unlearn(Unlearn),
    /// Read the peers in the kernel's sets. Answered by [`Event::Learned`] or
    /// [`Event::PeersUnreadable`].
    ReadPeers,
    /// Read the kernel's counters. Answered by [`Event::Counters`].
    ReadCounters,
    /// Read which listed addresses sent packets. Answered by [`Event::Hits`].
    ReadHits,
    /// Save the known peers for a reboot. Answered by [`Event::Kept`].
    SavePeers(Box<Learned>),
    /// Ask the PBX in the background for its registrations and contacts. The answer arrives as
    /// [`Event::PbxTold`].
    AskPbx(Arc<Catalogue>),
    /// Keep what a list holds, so that a restart does not need the network. Answered by
    /// [`Event::Kept`].
    Keep(Content),
    /// Forget what a feed held. Answered by [`Event::Kept`].
    Forget(FeedName),
    /// Fetch a feed in the background. The state tells which version is at hand. What it brings
    /// comes back as [`Event::Fetched`].
    Fetch(Feed, FeedState),
    /// Read the table of countries in the background. It comes back as
    /// [`Event::CountriesRead`].
    ReadCountries {
        /// Where from: folders, files and addresses.
        source: Vec<String>,
        /// The countries that are needed, where each has a file of its own.
        countries: BTreeSet<CountryCode>,
        /// The versions that are in force, so that "nothing new" is an answer.
        known: Versions,
    },
    /// Answer a request.
    Reply(Ticket, Reply),
    /// Read the configuration again. It comes back as [`Event::Configured`].
    ReadConfiguration(Ticket, Caller),
    /// Tell the administrator, through the journal.
    Tell(Level, String),
}

/// Which peers to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlearn {
    /// All within these ranges.
    Within(Vec<AddrRange>),
    /// All that this host called or asked, or that are only inferred from its TCP connections,
    /// except those at these addresses. Registrations seen by the kernel or reported by the PBX
    /// are kept.
    UnregisteredExcept(BTreeSet<IpAddr>),
    /// Exactly these.
    Peers(BTreeSet<Peer>),
}

impl Unlearn {
    /// Whether a peer is forgotten.
    pub fn concerns(&self, peer: &Peer) -> bool {
        match self {
            Unlearn::Within(ranges) => ranges.iter().any(|range| range.contains(peer.address)),
            Unlearn::UnregisteredExcept(spared) => {
                peer.by != LearnedBy::Registered && !spared.contains(&peer.address)
            }
            Unlearn::Peers(peers) => peers.contains(peer),
        }
    }
}

/// What a list holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A feed, and the version of it.
    Feed(FeedName, Arc<RangeList>, Version),
    /// The table of countries.
    Table(FetchedTable),
}

/// The number of something sent to the kernel. Greater numbers were sent later.
pub type Revision = u64;

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
}

/// Whose flows to look through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flows {
    /// All that peers began.
    BegunByPeers,
    /// All with peers in these ranges, whoever began them, where they reach a service.
    Of(Vec<AddrRange>),
}

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A person must act.
    Error,
    /// Worth a look tomorrow.
    Warning,
    /// What an administrator wants in the journal.
    Info,
}
