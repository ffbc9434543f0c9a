//! Every effect the engine can ask for. The loop executes them in order.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::country::CountryCode;
use nightlatch_parse::ranges::RangeList;

use crate::AddrRange;
use crate::api::{Caller, Reply};
use crate::audit::Record;
use crate::event::{FetchedTable, Ticket};
use crate::ledger::Change;
use crate::lists::{Feed, FeedName, FeedState, Version, Versions};
use crate::signalling::{LearnedBy, Peer};

/// An effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write the changes and their record down, in one transaction. The store's answer comes back
    /// as [`crate::event::Event::Stored`], at once.
    Commit {
        /// The changes.
        changes: Vec<Change>,
        /// What the audit log says of them.
        records: Vec<Record>,
    },
    /// Put chains and rules back at once, as they stood, before anything is worked out: what was
    /// opened is closed, however long the lists are. A whole projection follows.
    Close,
    /// Make the kernel's table what the ledger says now. The kernel's answer comes back as
    /// [`crate::event::Event::Projected`], at once.
    Project(Project),
    /// End running flows that would not be let in now.
    Cut(Flows),
    /// Add peers to the kernel's sets, each with a timeout: they were known before the table was
    /// created, or the PBX has reported them. A longer timeout in the set is kept. A failure does
    /// not stop the other actions.
    Teach(Vec<(Peer, Duration)>),
    /// Delete peers from the kernel's sets and from the saved peers.
    Unlearn(Unlearn),
    /// Ask the PBX in the background for its registrations and contacts. The answer arrives as
    /// [`crate::event::Event::PbxTold`].
    AskPbx,
    /// Keep what a list holds, so that a restart does not need the network.
    Keep(Content),
    /// Forget what a feed held.
    Forget(FeedName),
    /// Fetch a feed in the background. The state tells which version is at hand. What it brings
    /// comes back as [`crate::event::Event::Fetched`].
    Fetch(Feed, FeedState),
    /// Read the table of countries in the background. It comes back as
    /// [`crate::event::Event::CountriesRead`].
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
    /// Read the configuration again. It comes back as [`crate::event::Event::Configured`], at once.
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

/// How thorough a projection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Project {
    /// Only the difference to the last one.
    Difference,
    /// Everything anew: the kernel's state is not known.
    Whole,
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
