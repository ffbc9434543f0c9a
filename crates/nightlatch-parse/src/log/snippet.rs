//! The lines that our snippets for Kamailio and OpenSIPS write (`pkg/snippets`).
//!
//! `nightlatch: src=192.0.2.1 port=5060 proto=udp nonce=bound rc=-2 method=REGISTER account=200 agent=x`
//!
//! The source comes first. What the client sent is last, and escaped by the server, so that no value has a
//! space in it: the line has exactly these fields up to its end.

use super::text::{address, filled, port};
use super::{Attempt, Outcome, Proof, Service, Stamp};

/// With what each of these lines begins.
pub(super) const MARK: &[u8] = b"nightlatch: src=";

/// A record as the snippets write it; `None` if it has another field, or a value that the server has not
/// escaped.
pub(super) fn record(text: &[u8], stamp: Option<Stamp>) -> Option<Attempt<'_>> {
    let rest = text.strip_prefix(MARK)?;
    let (source, rest) = value(rest, b" port=")?;
    let (number, rest) = value(rest, b" proto=")?;
    let (transport, rest) = value(rest, b" nonce=")?;
    let (nonce, rest) = value(rest, b" rc=")?;
    let (result, rest) = value(rest, b" method=")?;
    let (method, rest) = value(rest, b" account=")?;
    let (account, agent) = value(rest, b" agent=")?;
    if !agent.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let source = source.strip_prefix(b"[").and_then(|v6| v6.strip_suffix(b"]")).unwrap_or(source);
    let outcome = outcome(result)?;
    // Without credentials, the account is the user of From: in a call that is the caller, anybody's number.
    let names_account = outcome != Outcome::Challenged || method == b"REGISTER";
    // A datagram proves its source only if it repeats a nonce that was made for that address.
    let repeats_nonce = !matches!(outcome, Outcome::Challenged | Outcome::Malformed);
    let is_stream = [b"tcp".as_slice(), b"tls", b"ws", b"wss"]
        .iter()
        .any(|name| transport.eq_ignore_ascii_case(name));
    let both_ways = is_stream || (nonce == b"bound" && repeats_nonce);
    Some(Attempt {
        stamp,
        source: address(source)?,
        port: Some(port(number)?),
        service: Service::Sip,
        outcome,
        proof: if both_ways { Proof::Answered } else { Proof::Claimed },
        account: filled(account).filter(|account| names_account && *account != b"<null>"),
        session: None,
        agent: filled(agent).filter(|agent| *agent != b"<null>"),
        dialled: None,
    })
}

/// What a result of `auth_check`, `www_authorize` and the like means, and -100, which the snippet writes of
/// scanners. Results that a phone with the right password also gets, and errors of the server, are nothing.
fn outcome(result: &[u8]) -> Option<Outcome> {
    match result {
        b"-2" => Some(Outcome::WrongPassword),
        b"-3" => Some(Outcome::UnknownAccount),
        b"-5" => Some(Outcome::Challenged),
        b"-8" => Some(Outcome::NotAllowed),
        b"-100" => Some(Outcome::Malformed),
        [b'1'..=b'9', rest @ ..] if rest.len() < 3 && rest.iter().all(u8::is_ascii_digit) => {
            Some(Outcome::Succeeded)
        }
        _ => None,
    }
}

/// The value before the next field, and what stands behind that field's name.
fn value<'a>(text: &'a [u8], next: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_graphic())?;
    let (value, rest) = text.split_at_checked(end)?;
    Some((value, rest.strip_prefix(next)?))
}
