//! An attempt as it is shown.

use std::net::IpAddr;

use nightlatch_core::attack::{Outcome, Service};
use nightlatch_core::detect::{Sighting, Trust, printable};
use nightlatch_core::time::Time;
use serde::{Deserialize, Serialize};

/// The most characters that are shown of a text of an attacker.
const MAX_TEXT: usize = 64;

/// An attempt as it is shown. Texts of attackers are printable, short, and in fields of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) at: Time,
    pub(super) source: IpAddr,
    pub(super) port: Option<u16>,
    pub(super) service: Service,
    pub(super) outcome: Outcome,
    pub(super) account: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) dialled: Option<String>,
    pub(super) log: String,
    pub(super) trust: Trust,
    /// How many came before it and are not shown, because they were too many.
    pub(super) missed: u64,
}

impl Seen {
    pub(super) fn of(sighting: &Sighting<'_>, missed: u64) -> Seen {
        let attempt = &sighting.attempt;
        Seen {
            at: sighting.at,
            source: attempt.source,
            port: attempt.port,
            service: attempt.service,
            outcome: attempt.outcome,
            account: attempt.account.map(shown),
            agent: attempt.agent.map(shown),
            dialled: attempt.dialled.map(shown),
            log: sighting.log.to_owned(),
            trust: sighting.trust,
            missed,
        }
    }
}

/// Text from outside, printable and short.
pub(super) fn shown(text: &[u8]) -> String {
    printable(text, MAX_TEXT)
}
