//! What reaches the loop, and the way there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, SyncSender};

use nightlatch_core::api::{Caller, Reply, Request};
use nightlatch_core::event::Event;
use nightlatch_core::learned::Lasting;

/// The way to the loop. It has no bound of its own: the clients are bounded, and answers are no more
/// than what was asked.
pub type Inbox = Sender<Message>;

/// What reaches the loop.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "few exist at a time")]
pub enum Message {
    /// Somebody asks for something.
    Asked {
        /// Who.
        caller: Caller,
        /// For what.
        request: Request,
        /// Where the reply goes.
        reply_to: SyncSender<Reply>,
    },
    /// A lane has answered, or something went on in the background.
    Happened(Event),
    /// The elements of the kernel's sets of learned state, each with the time that it has left.
    Learned(Vec<Lasting>),
    /// Other ports may be published now: a program changed a ruleset other than ours, or the PBX is
    /// asked.
    MayBePublished,
    /// The container endpoints to which ports of this host are published.
    Published(BTreeSet<SocketAddr>),
}
