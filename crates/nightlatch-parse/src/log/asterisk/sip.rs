//! Messages of chan_sip. The To header is the client's text and stands before the address, so the address is
//! the one at the end. Through syslog that can be deleted, see the module above: it proves nothing.

use super::messages::{attempt, is_name, user, without_end};
use super::prefix::Line;
use super::text::{between, find_last, from, socket, split};
use crate::log::{Attempt, Outcome, Service};

const FAILED: &[u8] = b"' failed for '";

pub(super) fn read<'a>(line: &Line<'a>) -> Option<Attempt<'a>> {
    registration(line).or_else(|| call(line))
}

/// `Registration from 'TO' failed for 'ADDRESS' - REASON`
fn registration<'a>(line: &Line<'a>) -> Option<Attempt<'a>> {
    let rest = without_end(line.frame, line.message).strip_prefix(b"Registration from '")?;
    let place = find_last(rest, FAILED)?;
    let (source, reason) = split(from(rest, place + FAILED.len()), b'\'')?;
    let outcome = match reason.strip_prefix(b" - ")? {
        b"Wrong password" | b"Username/auth name mismatch" => Outcome::WrongPassword,
        b"No matching peer found" => Outcome::UnknownAccount,
        b"Not a local domain"
        | b"Peer is not supposed to register"
        | b"Device does not match ACL"
        | b"ACL error (permit/deny)"
        | b"Device not configured to use this transport type" => Outcome::NotAllowed,
        _ => return None,
    };
    let account = user(between(rest, 0, place));
    Some(Attempt { account, ..attempt(line, socket(source)?, Service::Sip, outcome) })
}

/// `Call from 'PEER' (ADDRESS) to extension 'NUMBER' rejected because ...`: the peer is of the
/// configuration, what is called is the client's text and stands behind the address.
fn call<'a>(line: &Line<'a>) -> Option<Attempt<'a>> {
    const TO: &[u8] = b" to extension '";
    let message = without_end(line.frame, line.message).strip_suffix(b"'.")?;
    let (peer, rest) = split(message.strip_prefix(b"Call from '")?, b'\'')?;
    is_name(peer).then_some(())?;
    let (source, rest) = split(rest.strip_prefix(b" (")?, b')')?;
    let number = rest.strip_prefix(TO)?;
    let end = find_last(number, b"' rejected because extension not found")?;
    Some(Attempt {
        account: (!peer.is_empty()).then_some(peer),
        dialled: Some(between(number, 0, end)),
        ..attempt(line, socket(source)?, Service::Sip, Outcome::UnknownNumber)
    })
}
