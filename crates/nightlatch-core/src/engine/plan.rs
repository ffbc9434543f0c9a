//! What the engine makes of a request.

use std::time::Duration;

use crate::AddrRange;
use crate::action::{Content, Flows, Unlearn};
use crate::api::{Caller, Refusal, RefusalKind, Reply};
use crate::audit::Record;
use crate::config::Rules;
use crate::ledger::Change;
use crate::lists::FeedName;
use crate::signalling::Peer;

/// What follows from a request.
#[derive(Debug)]
pub(super) enum Decision {
    /// It only asked.
    Answer(Reply),
    /// The configuration has to be read first.
    ReadConfiguration,
    /// Something is to change.
    Change(Box<Plan>),
}

/// A change, from the store to the reply.
#[derive(Debug)]
pub(super) struct Plan {
    /// What changes in the ledger.
    pub(super) changes: Vec<Change>,
    /// What the audit log says.
    pub(super) records: Vec<Record>,
    /// A new configuration.
    pub(super) rules: Option<Rules>,
    /// What a list holds now.
    pub(super) content: Option<Content>,
    /// Whose running flows end.
    pub(super) cut: Option<Flows>,
    /// Which peers are forgotten; done first, once the kernel has the change.
    pub(super) unlearn: Vec<Unlearn>,
    /// Which peers become known.
    pub(super) teach: Vec<(Peer, Duration)>,
    /// Whether the PBX is asked afterwards.
    pub(super) ask_pbx: bool,
    /// What the journal says.
    pub(super) tell: Option<String>,
    /// What the caller reads.
    pub(super) reply: Reply,
    /// Whether it happens even if it cannot be written down: an end that has come.
    pub(super) must_happen: bool,
    /// What of our own it ends when it has taken effect.
    pub(super) ends: Option<Work>,
}

/// Work of the engine's own, of which only one of a kind is under way at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Fetching a feed.
    Fetch(FeedName),
    /// Reading the table of countries.
    ReadCountries,
    /// Taking back a trial.
    TakeBack,
}

impl Plan {
    /// A plan that changes nothing yet, with the sentence for the caller and the journal.
    pub(super) fn new(caller: &Caller, message: impl ToString) -> Plan {
        let mut plan = Plan {
            changes: Vec::new(),
            records: Vec::new(),
            rules: None,
            content: None,
            cut: None,
            unlearn: Vec::new(),
            teach: Vec::new(),
            ask_pbx: false,
            tell: None,
            reply: Reply::Done { message: String::new() },
            must_happen: false,
            ends: None,
        };
        plan.say(caller, message.to_string());
        plan
    }

    /// A further line for the caller.
    pub(super) fn add(&mut self, line: &str) {
        if let Reply::Done { message } = &mut self.reply {
            message.push('\n');
            message.push_str(line);
        }
    }

    /// Sets the message for the caller; its first line also goes to the journal.
    pub(super) fn say(&mut self, caller: &Caller, message: String) {
        let first = message.lines().next().unwrap_or_default();
        self.tell = Some(format!("{caller}: {first}"));
        self.reply = Reply::Done { message };
    }

    /// Also cuts those running flows of the ranges that would be dropped as new ones.
    pub(super) fn cut_flows_of(&mut self, ranges: &[AddrRange]) {
        self.cut = Some(match self.cut.take() {
            Some(Flows::BegunByPeers) => Flows::BegunByPeers,
            Some(Flows::Of(mut others)) => {
                others.extend(ranges);
                Flows::Of(others)
            }
            None => Flows::Of(ranges.to_vec()),
        });
    }

    /// A new configuration takes hold.
    pub(super) fn configure(caller: &Caller, rules: Rules) -> Plan {
        let mut plan = Plan::new(caller, "the configuration was read again and holds now");
        plan.records = vec![Record::new(caller, "reload", "configuration", &(), &())];
        plan.rules = Some(rules);
        plan
    }

    pub(super) fn decided(self) -> Decision {
        Decision::Change(Box::new(self))
    }
}

pub(super) fn no(message: impl ToString) -> Refusal {
    Refusal { kind: RefusalKind::No, message: message.to_string() }
}

pub(super) fn wrong(message: impl ToString) -> Refusal {
    Refusal { kind: RefusalKind::Wrong, message: message.to_string() }
}
