//! FusionPBX's web pages, which write to syslog: the address comes first, whatever the client sends.

use super::text::{address, attempt, bracketed, filled};
use super::{Attempt, Outcome, Proof, Reading, Service, prefix};

/// What the pages write behind `[ADDRESS] `, before the account or the MAC address of the phone.
const MESSAGES: [(&[u8], Service, Outcome); 6] = [
    (b"authentication failed for ", Service::Web, Outcome::WrongPassword),
    (b"provision attempt bad password for ", Service::Provisioning, Outcome::WrongPassword),
    (
        b"provision attempt but failed http basic authentication for ",
        Service::Provisioning,
        Outcome::WrongPassword,
    ),
    (b"provision attempt but failed CIDR check for ", Service::Provisioning, Outcome::NotAllowed),
    (
        b"provision attempt but provisioning is not enabled for ",
        Service::Provisioning,
        Outcome::NotAllowed,
    ),
    (
        b"provision attempt but the remote auth server said no for ",
        Service::Provisioning,
        Outcome::WrongPassword,
    ),
];

/// Reads a line of syslog (`auth.log`, `messages`).
pub fn read(line: &[u8]) -> Option<Reading<'_>> {
    let prefix = prefix::syslog(line)?;
    if !is_program(prefix.program) {
        return None;
    }
    let (host, rest) = bracketed(prefix.message)?;
    let rest = rest.strip_prefix(b" ")?;
    let (begin, service, outcome) = MESSAGES.iter().find(|(begin, ..)| rest.starts_with(begin))?;
    Some(Reading::Attempt(Attempt {
        stamp: Some(prefix.stamp),
        proof: Proof::Answered,
        account: filled(rest.get(begin.len()..)?.trim_ascii_end()),
        ..attempt(address(host)?, *service, *outcome)
    }))
}

/// Whether a program of this name writes lines of FusionPBX.
pub(super) fn is_program(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"fusionpbx")
}
