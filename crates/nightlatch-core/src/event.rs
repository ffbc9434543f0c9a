//! Every fact that can reach the engine.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::country::{CountryCode, CountryTable};
use nightlatch_parse::ranges::RangeList;

use crate::api::{Caller, Request};
use crate::config::Rules;
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
    /// The store has answered the last [`crate::action::Action::Commit`].
    Stored(Result<(), String>),
    /// The kernel has answered the last [`crate::action::Action::Project`].
    Projected(Result<(), String>),
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
    /// The peers in the kernel's sets, each with the time at which it is forgotten.
    Learned(Vec<(Peer, Time)>),
    /// The PBX has answered [`crate::action::Action::AskPbx`].
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
