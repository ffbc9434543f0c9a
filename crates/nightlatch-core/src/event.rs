//! Every fact that can reach the engine.

use crate::api::{Caller, Request};
use crate::config::Rules;

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
