//! What a feature proposes, and what else follows from it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::feature::{Feature, Put};
use crate::AddrRange;
use crate::action::{Flows, Unlearn};
use crate::attack::Attack;
use crate::audit::Occurrence;
use crate::entry::HostName;
use crate::hours::Hours;
use crate::learned::Lasting;
use crate::pbx::PbxPeers;
use crate::service::Grant;
use crate::time::Time;

/// What a feature proposes. The engine decides, and does it.
#[derive(Debug)]
pub struct Plan<F: Feature> {
    /// Which of its records change.
    pub changes: Vec<Step<F>>,
    /// What the audit log says besides, of what is no record.
    pub occurrences: Vec<Occurrence>,
    /// What the feature notes at once, whatever becomes of the changes.
    pub at_once: Vec<F::Event>,
    /// What it notes when the changes have taken effect.
    pub events: Vec<F::Event>,
    /// What is begun at once, before anything is written down.
    pub jobs: Vec<F::Job>,
    /// What is begun when the changes have taken effect.
    pub later: Vec<F::Job>,
    /// What an administrator must hear, when the changes have taken effect.
    pub notices: Vec<F::Notice>,
    /// What the caller is told, when the changes have taken effect.
    pub said: Vec<F::Reply>,
    /// What follows besides.
    pub effects: Effects,
}

/// A record that changes.
#[derive(Debug)]
pub struct Step<F: Feature> {
    /// The record.
    pub put: Put<F>,
    /// What the audit log calls it. Without a word it leaves no record, and may change only what
    /// nobody decided: a count, the time of a look at a source.
    pub deed: Option<F::Deed>,
    /// To what it was done, if that is not the record's key.
    pub subject: Option<String>,
}

/// What follows from a plan, whichever feature proposes it.
#[derive(Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the plan")]
pub struct Effects {
    /// What other features may have to react to.
    pub facts: Vec<Fact>,
    /// Whose running flows end.
    pub cut: Option<Flows>,
    /// Which learned state is forgotten.
    pub unlearn: Vec<Unlearn>,
    /// What is learned.
    pub teach: Vec<Lasting>,
    /// Background work that is wanted when the changes have taken effect.
    pub wants: Vec<Want>,
    /// The background work that has ended, whatever becomes of the changes.
    pub ends: Option<String>,
    /// The background work that has ended when the changes have taken effect.
    pub finishes: Option<String>,
    /// Background work whose result no longer counts.
    pub forgets: Option<String>,
    /// Whether the lists have to be merged anew.
    pub changes_lists: bool,
    /// Whether it happens even if it cannot be written down: an end that has come.
    pub must_happen: bool,
    /// Whether it may end the caller's own session: it undoes itself, or leads back to what was before.
    pub may_lock_out: bool,
    /// Whether it counts only once the firewall is up, which the caller is told.
    pub waits_for_up: bool,
}

/// Something that other features may have to react to.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// These ranges are allowed from now on.
    Allowed {
        /// The name of what allows them.
        name: String,
        /// The services.
        services: Grant,
        /// The ranges.
        ranges: Vec<AddrRange>,
    },
    /// These ranges are no longer allowed by this.
    Withdrawn {
        /// The name of what allowed them: of an account, or a feature and a key (`providers/one`).
        name: String,
        /// The ranges.
        ranges: Vec<AddrRange>,
    },
    /// A host name of this no longer has these addresses. Whoever answers for a name may have named any
    /// address before, also one of somebody who never heard of it.
    Replaced {
        /// The name of what allowed them, as in [`Fact::Withdrawn`].
        name: String,
        /// The ranges.
        ranges: Vec<AddrRange>,
    },
    /// A range is denied everything from now on.
    Blocked(AddrRange),
    /// A range is no longer blocked.
    Unblocked(AddrRange),
    /// Somebody puts the firewall up.
    PutUp {
        /// Whether it stood before.
        stood: bool,
        /// What the PBX reports.
        pbx: PbxPeers,
    },
    /// Signalling is closed to strangers.
    SignallingCloses,
    /// Strangers may register from now on.
    SignallingOpens,
    /// The PBX has reported its registrations and contacts.
    PbxReported(PbxPeers),
    /// Which host names a record has from now on, whichever it had before.
    HostNames {
        /// What identifies the record: its feature and its key, e.g. `accounts/office`.
        of: String,
        /// All of them, each with the addresses that count for it in the record now; none if the record
        /// is gone.
        names: BTreeMap<HostName, Vec<IpAddr>>,
        /// Whether private addresses count too.
        private: bool,
    },
    /// The addresses that count for a host name from now on, whichever did before.
    Resolved {
        /// The name.
        name: HostName,
        /// All of them, sorted.
        addresses: Vec<IpAddr>,
    },
    /// A source attacks.
    Attacked(Attack),
    /// A credential of a user opens an address.
    UserOpens(UserOpens),
    /// A user closes an address that a credential of the user has opened.
    UserCloses {
        /// The user's name.
        user: String,
        /// The address.
        address: IpAddr,
    },
    /// What a user may use from now on; nothing once the user is revoked.
    UserMay {
        /// The user's name.
        user: String,
        /// What, also of addresses that are open already.
        may: Option<UserRights>,
    },
}

/// What a user may use.
#[derive(Clone, Debug, PartialEq)]
pub struct UserRights {
    /// The services.
    pub services: Grant,
    /// The hours; always where absent.
    pub hours: Option<Hours>,
}

/// An address that a credential of a user opens for a time.
#[derive(Clone, Debug, PartialEq)]
pub struct UserOpens {
    /// The user's name.
    pub user: String,
    /// The kind of credential, e.g. `knock`; `by hand` without one.
    pub credential: String,
    /// The address.
    pub address: IpAddr,
    /// The services.
    pub services: Grant,
    /// After how long without an accepted packet it ends.
    pub idle: Duration,
    /// After how long it ends in any case, unless a call runs; `None` if only without packets.
    pub longest: Option<Duration>,
    /// Whether it lasts as long as it is used, beside what the user opens for a time.
    pub permanent: bool,
    /// The hours during which it counts; always where absent.
    pub hours: Option<Hours>,
    /// When the kernel opened it by itself; what was opened then is opened once. `None` if it is opened now.
    pub at: Option<Time>,
}

/// Background work that is wanted at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Which work of the feature.
    pub task: String,
    /// Whether its result is believed whatever it is.
    pub force: bool,
    /// From where the person came who asks for it.
    pub asker: Option<IpAddr>,
}

impl Want {
    /// Work that nobody asked for in person.
    pub fn of(task: impl ToString) -> Want {
        Want { task: task.to_string(), force: false, asker: None }
    }
}

impl<F: Feature> Default for Plan<F> {
    fn default() -> Plan<F> {
        Plan {
            changes: Vec::new(),
            occurrences: Vec::new(),
            at_once: Vec::new(),
            events: Vec::new(),
            jobs: Vec::new(),
            later: Vec::new(),
            notices: Vec::new(),
            said: Vec::new(),
            effects: Effects::default(),
        }
    }
}

impl<F: Feature> Plan<F> {
    /// A plan that only answers.
    pub fn say(reply: F::Reply) -> Plan<F> {
        Plan { said: vec![reply], ..Plan::default() }
    }

    /// A plan that only begins something in the background.
    pub fn work(job: F::Job) -> Plan<F> {
        Plan { jobs: vec![job], ..Plan::default() }
    }

    /// Puts a record.
    pub fn put(&mut self, key: F::Key, record: F::Record, deed: impl Into<Option<F::Deed>>) {
        let put = Put { key, record: Some(record) };
        self.changes.push(Step { put, deed: deed.into(), subject: None });
    }

    /// Says to what the last change was done, if that is not the record's key.
    pub fn subject(&mut self, subject: &str) {
        if let Some(step) = self.changes.last_mut() {
            step.subject = Some(subject.to_owned());
        }
    }

    /// Removes a record.
    pub fn remove(&mut self, key: F::Key, deed: impl Into<Option<F::Deed>>) {
        self.changes.push(Step {
            put: Put { key, record: None },
            deed: deed.into(),
            subject: None,
        });
    }
}

impl Effects {
    /// Also cuts those running flows of the ranges that would be dropped as new ones.
    pub fn cut_flows_of(&mut self, ranges: &[AddrRange]) {
        self.join_cut(Flows::Of(ranges.to_vec()));
    }

    fn join_cut(&mut self, more: Flows) {
        self.cut = Some(match (self.cut.take(), more) {
            (Some(Flows::BegunByPeers), _) | (_, Flows::BegunByPeers) => Flows::BegunByPeers,
            (Some(Flows::Of(mut others)), Flows::Of(ranges)) => {
                others.extend(ranges);
                Flows::Of(others)
            }
            (None, more) => more,
        });
    }

    /// Adds what follows from another plan, besides its facts and its background work, which are the
    /// affair of its feature.
    pub fn join(&mut self, other: &mut Effects) {
        use std::mem::take;

        if let Some(cut) = other.cut.take() {
            self.join_cut(cut);
        }
        self.unlearn.append(&mut other.unlearn);
        self.teach.append(&mut other.teach);
        self.changes_lists |= take(&mut other.changes_lists);
        self.must_happen |= take(&mut other.must_happen);
        self.may_lock_out |= take(&mut other.may_lock_out);
        self.waits_for_up |= take(&mut other.waits_for_up);
    }
}
