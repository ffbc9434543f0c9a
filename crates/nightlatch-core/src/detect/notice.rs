//! What an administrator must hear of attacks.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::attack::{Outcome, Service};
use crate::time::Time;

/// What an administrator must hear. Each text in it that an attacker can have written is printable and
/// short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Notice {
    /// Somebody logged in right after failures, or from an address that has just tried many accounts: a
    /// password was found. Nothing is more urgent.
    PasswordFound {
        /// From where.
        source: IpAddr,
        /// At which kind of service.
        service: Service,
        /// The account into which somebody logged in.
        account: String,
        /// How many failures came before.
        failures: u32,
        /// At how many accounts.
        accounts_tried: u32,
        /// When the failures began.
        since: Time,
        /// When somebody logged in.
        at: Time,
    },
    /// A source from which people log in tries three accounts or more: somebody there guesses. Urgent,
    /// because such a source is limited only.
    AccountsGuessed {
        /// From where.
        source: AddrRange,
        /// At which kind of service.
        service: Service,
        /// How many accounts were tried.
        accounts_tried: u32,
        /// Some of them.
        accounts: Vec<String>,
        /// Since when people log in from there.
        trusted_since: Time,
        /// When the failures began.
        since: Time,
        /// The last failure.
        at: Time,
    },
    /// One device fails again and again: a wrong password, or an account that was deleted while its phone
    /// still tries ([`Outcome::UnknownAccount`]). Nobody is banned for that.
    BadPhone {
        /// From where.
        source: IpAddr,
        /// At which kind of service.
        service: Service,
        /// Its account.
        account: String,
        /// The name by which it introduces itself.
        agent: Option<String>,
        /// How its attempts end.
        fault: Outcome,
        /// How many there were.
        attempts: u32,
        /// Since when.
        since: Time,
        /// The last attempt.
        at: Time,
    },
    /// The device of a [`Notice::BadPhone`] logs in again, with an account with which it did so before
    /// its first failure.
    PhoneRecovered {
        /// From where.
        source: IpAddr,
        /// Its account.
        account: String,
        /// How many attempts had failed.
        attempts: u32,
        /// Since when.
        since: Time,
        /// When it logged in.
        at: Time,
    },
    /// Somebody attacks, after quiet.
    AttackBegan {
        /// The first source.
        source: AddrRange,
        /// What it attacks.
        service: Service,
        /// When.
        at: Time,
    },
    /// Nobody has attacked for a while.
    AttackEnded {
        /// How many sources attacked.
        sources: u32,
        /// How many distinct attempts failed meanwhile, from whatever source.
        attempts: u64,
        /// When it began.
        since: Time,
        /// When the last source attacked.
        until: Time,
    },
    /// Lines name their source by a text that is not an address, such as a host name. Names are not looked up:
    /// whoever owns them chooses what they lead to. Nobody is banned for that. At most one notice an hour for
    /// each log.
    NoAddress {
        /// The path of the log, or `journal` and the unit.
        log: String,
        /// At which kind of service.
        service: Service,
        /// How many such lines there were since the last notice.
        lines: u32,
        /// What the last one names.
        name: String,
        /// When the last one was.
        at: Time,
    },
    /// Lines name several sources: they were written to deceive. Nobody is banned for that. At most one
    /// notice an hour for each log.
    Doubtful {
        /// The path of the log, or `journal` and the unit.
        log: String,
        /// At which kind of service.
        service: Service,
        /// How many such lines there were since the last notice.
        lines: u32,
        /// The sources that the last one names, a few of them; none is believed.
        sources: Vec<IpAddr>,
        /// The part of the last line in which they differ.
        text: String,
        /// When the last one was.
        at: Time,
    },
}

impl Notice {
    /// Whether somebody must act at once.
    pub fn is_urgent(&self) -> bool {
        matches!(self, Notice::PasswordFound { .. } | Notice::AccountsGuessed { .. })
    }
}
