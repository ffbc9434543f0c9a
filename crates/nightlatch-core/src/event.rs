//! Every fact that can reach the engine.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::api::{Caller, Request};
use crate::config::Config;
use crate::cut::LiveFlow;
use crate::features;
use crate::heard::Heard;
use crate::learned::Element;

/// The number of something sent to the kernel. Greater numbers were sent later.
pub type Revision = u64;

/// The number of a request, to find the one who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A fact.
#[allow(clippy::large_enum_variant, reason = "few exist at a time")]
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The daemon has begun: the records are loaded.
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
    /// The store has answered the last `Action::Commit`.
    Stored(Result<(), String>),
    /// The kernel has answered `Action::Apply`, `Action::Load` or `Action::TakeDown`.
    Applied {
        /// The revision that was sent.
        to: Revision,
        /// Whether the kernel has it.
        result: Result<(), String>,
    },
    /// The lists of `Action::ExchangeLists` or `Action::Load` are in the kernel, or not.
    ListsExchanged {
        /// The revision that was sent.
        to: Revision,
        /// Whether the kernel has them.
        result: Result<(), String>,
    },
    /// A part of the answer to `Action::ListFlows`.
    Flows(Vec<LiveFlow>),
    /// The end of the answer to `Action::ListFlows`, and whether all flows were listed.
    FlowsListed(Result<(), String>),
    /// The answer to `Action::Cut`.
    FlowsCut(Result<(), String>),
    /// The answer to `Action::Teach`, or to `Action::Load` if learned state was not put back.
    Taught(Result<(), String>),
    /// The answer to `Action::Unlearn`.
    Unlearned(Result<(), String>),
    /// The answer to `Action::Deny`.
    Denied {
        /// The revision that was sent.
        to: Revision,
        /// Whether the kernel has it.
        result: Result<(), String>,
    },
    /// The answer to `Action::SaveLearned`.
    LearnedSaved(Result<(), String>),
    /// The journal has told the administrator something that must be heard elsewhere too.
    Heard(Heard),
    /// Something that concerns a feature; among it what comes of `Action::Run`.
    Feature(features::Event),
    /// The answer to `Action::ReadCounters`.
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
    /// Packets of listed addresses that were stopped since the last time, by address.
    Hits(Vec<(IpAddr, u64)>),
    /// The answer to `Action::ReadSets`: the elements that the kernel has, each with its end; `None` if
    /// they could not be read, or another program has just changed the table.
    SetsRead(Option<Vec<Element>>),
    /// The configuration was read again, because somebody asked for it.
    Configured {
        /// Where the reply goes.
        ticket: Ticket,
        /// Who asked.
        caller: Caller,
        /// What the file says now, or its mistake.
        config: Result<Config, String>,
    },
}
