//! nginx: `error.log`, with what basic authentication writes.
//!
//! The name stands before the address, the request, host and referrer behind it, all as the client sent them.

use super::text::{self, Candidates, address, attempt, bracketed, filled, split_once};
use super::{Attempt, Outcome, Proof, Reading, Service, Stamp, stamp};

const NOT_FOUND: &[u8] = b"\" was not found in \"";

/// Reads `2012/04/09 11:53:29 [error] 2865#0: *66647 user "NAME": password mismatch, client: ADDRESS, ...`.
pub fn read(line: &[u8]) -> Option<Reading<'_>> {
    let (stamp, message) = head(line)?;
    if let Some(rest) =
        message.strip_prefix(b"no user/password was provided for basic authentication, client: ")
    {
        // Browsers ask without a password first.
        let (host, _) = split_once(rest, b", server: ")?;
        let attempt = attempt(address(host)?, Service::Web, Outcome::Challenged);
        return Some(Reading::Attempt(Attempt {
            stamp: Some(stamp),
            proof: Proof::Answered,
            ..attempt
        }));
    }
    let rest = message.strip_prefix(b"user \"")?;
    let unknown = text::find(rest, NOT_FOUND);
    let mut candidates = Candidates::default();
    let mut first = None;
    for (before, behind) in text::splits(rest, b", client: ") {
        let host = behind.get(..behind.len().min(64))?;
        let source = split_once(host, b", server: ").and_then(|(host, _)| address(host));
        if let (Some(source), Some((name, outcome))) = (source, tried(before, unknown)) {
            candidates.add(source, None);
            first.get_or_insert((name, outcome));
        }
    }
    let (name, outcome) = first?;
    Some(match candidates.only(Some(stamp), Service::Web, rest)? {
        Ok((source, _)) => Reading::Attempt(Attempt {
            stamp: Some(stamp),
            proof: Proof::Answered,
            account: filled(name),
            ..attempt(source, Service::Web, outcome)
        }),
        Err(doubtful) => doubtful,
    })
}

/// Whether the line has the shape of this log, whatever it says.
pub(super) fn is_shape(line: &[u8]) -> bool {
    stamp::slashed(line).is_some_and(|(_, rest)| {
        let level = rest.strip_prefix(b" ").and_then(bracketed);
        level
            .is_some_and(|(level, _)| !level.is_empty() && level.iter().all(u8::is_ascii_lowercase))
    })
}

/// The moment, and the message behind `[error] 2865#0: *66647 `.
fn head(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (stamp, rest) = stamp::slashed(line)?;
    let (level, rest) = bracketed(rest.strip_prefix(b" ")?)?;
    if !matches!(level, b"error" | b"info" | b"notice" | b"warn" | b"crit") {
        return None;
    }
    let (process, rest) = split_once(rest.strip_prefix(b" ")?, b": *")?;
    let (connection, message) = split_once(rest, b" ")?;
    let is_number = |text: &[u8]| {
        (1..=20).contains(&text.len())
            && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'#')
    };
    (is_number(process) && is_number(connection)).then_some((stamp, message))
}

/// The name, and what happened, in the text between `user "` and the address. `unknown` is where
/// [`NOT_FOUND`] begins first; behind it stands the path of the file of passwords, in quotes.
fn tried(before: &[u8], unknown: Option<usize>) -> Option<(&[u8], Outcome)> {
    if let Some(name) = before.strip_suffix(b"\": password mismatch") {
        return Some((name, Outcome::WrongPassword));
    }
    let at = unknown.filter(|at| at + NOT_FOUND.len() < before.len() && before.ends_with(b"\""))?;
    Some((before.get(..at)?, Outcome::UnknownAccount))
}
