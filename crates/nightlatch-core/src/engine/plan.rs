//! What the engine makes of a request.

use crate::action::{Content, Flows};
use crate::api::{Caller, Refusal, RefusalKind, Reply};
use crate::audit::Record;
use crate::config::Rules;
use crate::ledger::Change;

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
    /// What the journal says.
    pub(super) tell: Option<String>,
    /// What the caller reads.
    pub(super) reply: Reply,
    /// Whether it happens even if it cannot be written down: an end that has come.
    pub(super) must_happen: bool,
}

impl Plan {
    /// A plan that changes nothing yet, with the sentence for the caller and the journal.
    pub(super) fn new(caller: &Caller, message: impl ToString) -> Plan {
        let message = message.to_string();
        let first = message.lines().next().unwrap_or_default();
        Plan {
            changes: Vec::new(),
            records: Vec::new(),
            rules: None,
            content: None,
            cut: None,
            tell: Some(format!("{caller}: {first}")),
            reply: Reply::Done { message },
            must_happen: false,
        }
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
