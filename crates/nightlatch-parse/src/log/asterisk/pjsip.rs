//! Messages of chan_pjsip and of the library below it.

use std::net::IpAddr;

use super::messages::{attempt, is_name, user, without_end};
use super::prefix::{Frame, Line};
use super::text::{between, find, find_all, find_last, from, socket, socket_bare, split};
use crate::log::{Attempt, Doubt, Outcome, Proof, Reading, Service};

/// The most sources that a doubt lists.
const MAX_SOURCES: usize = 8;
const FAILED: &[u8] = b"' failed for '";
const CALL_ID: &[u8] = b"' (callid: ";
const REASON: &[u8] = b") - ";

/// `Request 'METHOD' from 'FROM' failed for 'ADDRESS' (callid: CALL-ID) - REASON`
///
/// From and Call-ID are the client's text, so both sides of the address are. A From without a display name
/// has its spaces and quotes escaped, so the first address behind it is the true one. Otherwise all must be
/// the same.
pub(super) fn request<'a>(line: &Line<'a>) -> Option<Reading<'a>> {
    let message = without_end(line.frame, line.message);
    let (_method, rest) = split(message.strip_prefix(b"Request '")?, b'\'')?;
    let rest = rest.strip_prefix(b" from '")?;
    let (source, place, behind) = sources(rest).next()?;
    let header = between(rest, 0, place);
    let sure = is_bare_uri(header);
    if !sure && sources(rest).any(|(other, ..)| other.0 != source.0) {
        return Some(Reading::Doubtful(doubt(line, rest)));
    }
    let end = find_last(behind, REASON);
    let reason = end.map_or(&b""[..], |end| from(behind, end + REASON.len()));
    let outcome = outcome(reason)?;
    let call_id = between(behind, 0, end.unwrap_or(behind.len()));
    Some(Reading::Attempt(Attempt {
        account: user(header),
        session: Some(call_id),
        ..attempt(line, source, Service::Sip, outcome)
    }))
}

/// What a reason means. Without one, the client has deleted it: a scan.
fn outcome(reason: &[u8]) -> Option<Outcome> {
    match reason {
        b"Failed to authenticate" => Some(Outcome::WrongPassword),
        b"Not match Endpoint ACL" | b"Not match Endpoint Contact ACL" => Some(Outcome::NotAllowed),
        // The server's own fault.
        b"Error to authenticate" => None,
        _ if reason.starts_with(b"No matching endpoint found") => Some(Outcome::UnknownAccount),
        _ => Some(Outcome::Malformed),
    }
}

type Found<'a> = ((IpAddr, Option<u16>), usize, &'a [u8]);

/// All places where an address could be: it, its place, and what is behind `(callid: `.
fn sources(rest: &[u8]) -> impl Iterator<Item = Found<'_>> {
    find_all(rest, FAILED).filter_map(move |place| {
        let (host, _) = split(from(rest, place + FAILED.len()), b'\'')?;
        let behind = from(rest, place + FAILED.len() + host.len()).strip_prefix(CALL_ID)?;
        Some((socket(host)?, place, behind))
    })
}

/// Whether it is a URI in angle brackets and nothing else.
fn is_bare_uri(header: &[u8]) -> bool {
    let inside = header.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">"));
    inside.is_some_and(|uri| {
        uri.iter()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"' | b'\\'))
    })
}

fn doubt<'a>(line: &Line<'a>, text: &'a [u8]) -> Doubt<'a> {
    let mut addresses = Vec::new();
    for (source, ..) in sources(text) {
        if !addresses.contains(&source.0) && addresses.len() < MAX_SOURCES {
            addresses.push(source.0);
        }
    }
    Doubt { stamp: line.stamp(), service: Service::Sip, sources: addresses, text }
}

/// Registrations that the registrar refuses, after the password was right.
pub(super) fn registration<'a>(line: &Line<'a>) -> Option<Attempt<'a>> {
    let message = without_end(line.frame, line.message);
    if let Some(rest) = message.strip_prefix(b"Registration attempt from endpoint '") {
        let (account, source, rest) = endpoint(rest)?;
        rest.strip_prefix(b" to AOR '")?;
        return Some(registered(line, account, source, Outcome::TooMany));
    }
    if let Some(rest) = message.strip_prefix(b"Endpoint '") {
        let (account, source, rest) = endpoint(rest)?;
        let texts: [&[u8]; 2] =
            [b" has no configured AORs", b" attempted to register to an AOR with a non-SIP URI"];
        texts.contains(&rest).then_some(())?;
        return Some(registered(line, account, source, Outcome::NotAllowed));
    }
    // The name of the AOR is the client's text: the address is the one at the end.
    let rest = message.strip_prefix(b"AOR '")?;
    let (before, rest) = match rest.strip_suffix(b" unable to register") {
        Some(rest) => (&b"' has no configured max_contacts. Endpoint '"[..], rest),
        None => (&b"' not found for endpoint '"[..], rest),
    };
    let place = find_last(rest, before)?;
    let (account, source, rest) = endpoint(from(rest, place + before.len()))?;
    rest.is_empty().then(|| registered(line, account, source, Outcome::NotAllowed))
}

fn registered<'a>(
    line: &Line<'a>,
    account: &'a [u8],
    source: (IpAddr, Option<u16>),
    outcome: Outcome,
) -> Attempt<'a> {
    Attempt { account: Some(account), ..attempt(line, source, Service::Sip, outcome) }
}

type Endpoint<'a> = (&'a [u8], (IpAddr, Option<u16>), &'a [u8]);

/// `NAME' (ADDRESS:PORT)`, and what follows. The name is of the configuration.
fn endpoint(text: &[u8]) -> Option<Endpoint<'_>> {
    let (name, rest) = split(text, b'\'')?;
    is_name(name).then_some(())?;
    let (source, rest) = split(rest.strip_prefix(b" (")?, b')')?;
    Some((name, socket_bare(source)?, rest))
}

/// `ENDPOINT: Call (UDP:ADDRESS) to extension 'NUMBER' rejected because extension not found ...`: what is
/// called is the client's text and stands behind the address.
pub(super) fn call<'a>(line: &Line<'a>) -> Option<Attempt<'a>> {
    const CALL: &[u8] = b": Call (";
    let message = line.frame.trim(without_end(line.frame, line.message)).strip_suffix(b"'.")?;
    let place = find(message, CALL)?;
    let account = between(message, 0, place);
    is_name(account).then_some(())?;
    let (transport, rest) = split(from(message, place + CALL.len()), b':')?;
    let (source, rest) = split(rest, b')')?;
    let number = rest.strip_prefix(b" to extension '")?;
    let end = find_last(number, b"' rejected because extension not found")?;
    let call = attempt(line, socket_bare(source)?, Service::Sip, Outcome::UnknownNumber);
    Some(Attempt {
        proof: proof(transport)?,
        account: (!account.is_empty()).then_some(account),
        dialled: Some(between(number, 0, end)),
        ..call
    })
}

/// `sip_transport.c Dropping 350 bytes packet from UDP ADDRESS : ...`
pub(super) fn dropped<'a>(line: &Line<'a>) -> Option<Attempt<'a>> {
    let message = line.frame.trim(line.message);
    let rest = message.strip_prefix(b"sip_transport.c")?;
    let rest = super::text::trim_start(rest).strip_prefix(b"Dropping ")?;
    let (_, rest) = super::text::digits(rest)?;
    let (transport, rest) = split(rest.strip_prefix(b" bytes packet from ")?, b' ')?;
    let (source, rest) = split(rest, b' ')?;
    rest.strip_prefix(b": ")?;
    let dropped = attempt(line, socket_bare(source)?, Service::Sip, Outcome::Malformed);
    Some(Attempt { proof: proof(transport)?, ..dropped })
}

impl Frame {
    /// Without white space at the beginning, be it escaped or not.
    fn trim(self, mut message: &[u8]) -> &[u8] {
        while let Some(rest) = message
            .strip_prefix(b"\\t")
            .filter(|_| self == Frame::Json)
            .or_else(|| message.strip_prefix(b" ").or_else(|| message.strip_prefix(b"\t")))
        {
            message = rest;
        }
        message
    }
}

/// What a transport proves; `None` if there is none of that name.
fn proof(transport: &[u8]) -> Option<Proof> {
    match transport {
        b"UDP" | b"UDP6" | b"udp" => Some(Proof::Claimed),
        b"TCP" | b"TLS" | b"WS" | b"WSS" | b"TCP6" | b"TLS6" => Some(Proof::Answered),
        _ => None,
    }
}
