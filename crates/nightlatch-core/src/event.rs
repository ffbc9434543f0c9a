//! Every fact that can reach the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::country::{CountryCode, CountryTable};
use nightlatch_parse::ranges::RangeList;

#[cfg(doc)]
use crate::action::Action;
use crate::action::Revision;
use crate::api::{Caller, Request};
use crate::config::Rules;
use crate::cut::LiveFlow;
use crate::lists::{FeedName, Version, Versions};
use crate::pbx::PbxPeers;
use crate::signalling::Peer;
use crate::time::Time;

/// The number of a request, to find the one who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The daemon has begun: the ledger is loaded.
    Started,
    /// Somebody asks for something.
    Asked {
        /// Where the reply goes.
        ticket: Ticket,
        /// Who asks.
        caller: Caller,
        /// What is asked.
        request: Request,
    },
    /// The store has answered the last [`Action::Commit`].
    Stored(Result<(), String>),
    /// The kernel has answered [`Action::Apply`], [`Action::Load`] or [`Action::TakeDown`].
    Applied {
        /// The revision that was sent.
        to: Revision,
        /// Whether the kernel has it.
        result: Result<(), String>,
    },
    /// The lists of [`Action::ExchangeLists`] or [`Action::Load`] are in the kernel, or not.
    ListsExchanged {
        /// The revision that was sent.
        to: Revision,
        /// Whether the kernel has them.
        result: Result<(), String>,
    },
    /// A part of the answer to [`Action::ListFlows`].
    Flows(Vec<LiveFlow>),
    /// The end of the answer to [`Action::ListFlows`], and whether all flows were listed.
    FlowsListed(Result<(), String>),
    /// The answer to [`Action::Cut`].
    FlowsCut(Result<(), String>),
    /// The answer to [`Action::Teach`].
    Taught(Result<(), String>),
    /// The answer to [`Action::Unlearn`].
    Unlearned(Result<(), String>),
    /// The answer to [`Action::Keep`], [`Action::Forget`] or [`Action::SavePeers`].
    Kept {
        /// What was to be kept.
        what: Kept,
        /// Whether it is.
        result: Result<(), String>,
    },
    /// The answer to [`Action::ReadCounters`].
    Counters {
        /// The packets that each counter has counted, by its name.
        dropped: BTreeMap<String, u64>,
        /// Whether the firewall stands again after a reboot.
        survives_reboot: bool,
    },
    /// The kernel's table is not what it was.
    Tampered {
        /// The program that changed it, by name and process id.
        by: String,
        /// What was found.
        found: String,
    },
    /// A fetch has ended.
    Fetched {
        /// The feed.
        name: FeedName,
        /// What it brought, or why not, in words.
        result: Result<Fetched, Failed>,
    },
    /// The table of countries was read; `None` where there is nothing new.
    CountriesRead(Result<Option<FetchedTable>, String>),
    /// Packets of listed addresses that were stopped since the last time, by address.
    Hits(Vec<(IpAddr, u64)>),
    /// How many bytes of the feeds that are being fetched have arrived.
    Arriving(BTreeMap<FeedName, u64>),
    /// The peers in the kernel's sets, each with the time at which it is forgotten.
    Learned(Vec<(Peer, Time)>),
    /// The peers in the kernel's sets could not be read, or another program has just changed the
    /// table.
    PeersUnreadable,
    /// The PBX has answered [`Action::AskPbx`].
    PbxTold(PbxPeers),
    /// The configuration was read again, because somebody asked for it.
    Configured {
        /// Where the reply goes.
        ticket: Ticket,
        /// Who asked.
        caller: Caller,
        /// What the file says now, or its mistake.
        rules: Result<Rules, String>,
    },
}

/// What is kept on disk besides the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The content of a list.
    List,
    /// That a feed has no content any more.
    Forgotten(FeedName),
    /// The known peers.
    Peers,
}

/// Why a fetch brought nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// In words.
    pub reason: String,
    /// How long the server asks to be left alone.
    pub wait: Option<Duration>,
}

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
    /// What was remarkable about it, in words: lines that could not be read.
    pub notes: Vec<String>,
}

/// A table of countries that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FetchedTable {
    /// The table.
    pub table: Arc<CountryTable>,
    /// The countries that it tells of, where its source has a file for each; else all.
    pub tells_of: Option<BTreeSet<CountryCode>>,
    /// The versions of all the files that it was made of.
    pub versions: Versions,
    /// When it was taken in.
    pub taken: Option<Time>,
    /// What was remarkable about it, in words.
    pub notes: Vec<String>,
}
