//! FreePBX: `freepbx_security.log`, with attempts to log in to the administration and to the user control panel.
//!
//! The name is the client's text as it came, line breaks included in old versions, so the line is read from
//! its end. A name with a line break can write a whole line of its own there: that log proves nothing to which
//! more than a short ban should be owed.

use super::text::{address, attempt, bracketed, filled, split_last};
use super::{Attempt, Outcome, Proof, Reading, Service, Stamp, stamp};

/// Reads `[TIME] Authentication failure for NAME from ADDRESS`, or with `[freepbx_security.NOTICE]: ` before
/// and ` [] []` behind the message.
pub fn read(line: &[u8]) -> Option<Reading<'_>> {
    let (stamp, message) = head(line)?;
    let (outcome, rest) = match message.strip_prefix(b"Authentication failure for ") {
        Some(rest) => (Outcome::WrongPassword, rest),
        None => (Outcome::Succeeded, message.strip_prefix(b"Authentication successful for ")?),
    };
    let rest = rest.trim_ascii_end();
    let rest = rest.strip_suffix(b" []").unwrap_or(rest);
    let rest = rest.strip_suffix(b" []").unwrap_or(rest);
    let (name, host) = split_last(rest, b" from ")?;
    Some(Reading::Attempt(Attempt {
        stamp: Some(stamp),
        proof: Proof::Answered,
        account: filled(name),
        ..attempt(address(host)?, Service::Web, outcome)
    }))
}

/// Whether the line has the shape of this log, whatever it says.
pub(super) fn is_shape(line: &[u8]) -> bool {
    head(line).is_some_and(|(_, message)| {
        line.windows(18).take(60).any(|window| window == b"[freepbx_security.")
            || message.starts_with(b"Authentication failure for ")
            || message.starts_with(b"Authentication successful for ")
            || message.starts_with(b"Possible proxy detected, forwarded headers for")
    })
}

/// The moment, and the message behind the name of the log, where that is written.
fn head(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (moment, rest) = bracketed(line)?;
    let (stamp, b"") = stamp::iso(moment)? else {
        return None;
    };
    let rest = rest.strip_prefix(b" ")?;
    let message = bracketed(rest)
        .filter(|(name, _)| name.starts_with(b"freepbx_security."))
        .and_then(|(_, rest)| rest.strip_prefix(b": "));
    Some((stamp, message.unwrap_or(rest)))
}
