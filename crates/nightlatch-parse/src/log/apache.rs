//! Apache's HTTP server, 2.2 and 2.4: `error.log`, with what basic and digest authentication write.
//!
//! The address stands before everything that the client sends.

use std::net::IpAddr;

use super::text::{address, address_port, attempt, bracketed, filled, split_once};
use super::{Attempt, Outcome, Proof, Reading, Service, Stamp, stamp};

/// What stands behind the name of the user.
const ENDS: [(&[u8], Outcome); 7] = [
    (b" not found: ", Outcome::UnknownAccount),
    (b": authentication failure for \"", Outcome::WrongPassword),
    (b": password mismatch: ", Outcome::WrongPassword),
    (b": authorization failure for \"", Outcome::NotAllowed),
    (b" in realm `", Outcome::UnknownAccount),
    (b" in realm '", Outcome::UnknownAccount),
    (b": nonce mismatch", Outcome::Malformed),
];

/// Reads `[Thu Jul 11 01:21:43 2013] [error] [client ADDRESS] user NAME not found: /`, and the fields of 2.4.
pub fn read(line: &[u8]) -> Option<Reading<'_>> {
    let head = Head::of(line)?;
    let (source, port) = head.client?;
    let rest = head.message.strip_prefix(b"user ")?;
    // The first of the ends: the name is the client's text, but only what is tried depends on it.
    let (at, outcome) = ENDS
        .iter()
        .filter_map(|(end, outcome)| Some((super::text::find(rest, end)?, *outcome)))
        .min_by_key(|(at, _)| *at)?;
    let name = rest.get(..at)?;
    let name = name.strip_prefix(b"`").or_else(|| name.strip_prefix(b"'")).unwrap_or(name);
    let name = name.strip_suffix(b"'").unwrap_or(name);
    Some(Reading::Attempt(Attempt {
        stamp: Some(head.stamp),
        port,
        proof: Proof::Answered,
        account: filled(name),
        ..attempt(source, Service::Web, outcome)
    }))
}

/// Whether the line has the shape of this log, whatever it says.
pub(super) fn is_shape(line: &[u8]) -> bool {
    Head::of(line).is_some()
}

/// The fields in brackets.
struct Head<'a> {
    stamp: Stamp,
    client: Option<(IpAddr, Option<u16>)>,
    message: &'a [u8],
}

impl<'a> Head<'a> {
    fn of(line: &'a [u8]) -> Option<Head<'a>> {
        let (moment, rest) = bracketed(line)?;
        let (stamp, b"") = stamp::weekday(moment)? else {
            return None;
        };
        let (level, mut rest) = bracketed(rest.strip_prefix(b" ")?)?;
        // Since 2.4 the level has the module before it, and the address its port behind it.
        let is_new = level.contains(&b':');
        let mut client = None;
        while let Some((field, behind)) = rest.strip_prefix(b" ").and_then(client_or_process) {
            rest = behind;
            if let Some(host) = field.strip_prefix(b"client ") {
                client = match is_new {
                    true => address_port(host).map(|(source, port)| (source, Some(port))),
                    false => address(host).map(|source| (source, None)),
                };
                break;
            }
        }
        let message = rest.strip_prefix(b" ").unwrap_or(rest);
        Some(Head { stamp, client, message: without_number(message) })
    }
}

/// A field that precedes the message: `[pid 7:tid 8]`, `[client ADDRESS]`.
fn client_or_process(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let known = text.starts_with(b"[pid ") || text.starts_with(b"[client ");
    known.then(|| bracketed(text)).flatten()
}

/// The message without `AH01618: `.
fn without_number(message: &[u8]) -> &[u8] {
    match message.strip_prefix(b"AH").and_then(|rest| split_once(rest, b": ")) {
        Some((number, rest)) if number.len() == 5 && number.iter().all(u8::is_ascii_digit) => rest,
        _ => message,
    }
}
