//! Messages of the levels NOTICE, WARNING and ERROR, by the source file that writes them.

use super::prefix::{Frame, Line};
use super::text::{address, between, find, from};
use super::{iax, pjsip, sip};
use crate::log::{Attempt, Outcome, Proof, Reading, Service};

use std::net::IpAddr;

/// Reads a message; `None` if it tells of no attempt.
pub(super) fn read<'a>(line: &Line<'a>) -> Option<Reading<'a>> {
    line.is_sound().then_some(())?;
    let attempt = match line.file {
        b"res_pjsip/pjsip_distributor.c" => match pjsip::request(line)? {
            Reading::Attempt(attempt) => attempt,
            Reading::Doubtful(doubt) => return Some(Reading::Doubtful(doubt)),
        },
        b"res_pjsip_registrar.c" => pjsip::registration(line)?,
        b"res_pjsip_session.c" => pjsip::call(line)?,
        b"pjproject" => pjsip::dropped(line)?,
        b"chan_sip.c" => sip::read(line)?,
        b"chan_iax2.c" => iax::read(line)?,
        b"manager.c" => manager(line)?,
        b"acl.c" => acl(line)?,
        b"Ext. s" => dial_plan(line)?,
        _ => return None,
    };
    let is_written = |text: &&[u8]| !text.is_empty();
    Some(Reading::Attempt(Attempt {
        account: attempt.account.filter(is_written),
        session: attempt.session.filter(is_written),
        dialled: attempt.dialled.filter(is_written),
        ..attempt
    }))
}

/// An attempt of which the line proves nothing, with what most lines do not tell.
pub(super) fn attempt<'a>(
    line: &Line<'a>,
    (source, port): (IpAddr, Option<u16>),
    service: Service,
    outcome: Outcome,
) -> Attempt<'a> {
    Attempt {
        stamp: line.stamp(),
        source,
        port,
        service,
        outcome,
        proof: Proof::Claimed,
        account: None,
        session: None,
        agent: None,
        dialled: None,
    }
}

/// The manager interface, also over HTTP. The address comes first. A try of an unknown user is two lines of
/// one thread.
fn manager<'a>(line: &Line<'a>) -> Option<Attempt<'a>> {
    let (host, rest) = super::text::split(line.message, b' ')?;
    let texts: [(&[u8], Outcome); 3] = [
        (b"failed to authenticate as '", Outcome::WrongPassword),
        (b"tried to authenticate with nonexistent user '", Outcome::UnknownAccount),
        (b"failed to pass IP ACL as '", Outcome::NotAllowed),
    ];
    let (account, outcome) =
        texts.iter().find_map(|(text, outcome)| Some((rest.strip_prefix(*text)?, *outcome)))?;
    let source = (address(host)?, None);
    Some(Attempt {
        proof: Proof::Answered,
        account: Some(quoted_at_end(line.frame, account)),
        session: Some(line.head),
        ..attempt(line, source, Service::Ami, outcome)
    })
}

/// Access lists. Those of the manager interface and of chan_sip are followed by another line, that of
/// contacts has the address of a header, and that of IAX2 users is no refusal.
fn acl<'a>(line: &Line<'a>) -> Option<Attempt<'a>> {
    let lists: [(&[u8], Service); 2] =
        [(b"SIP ACL: Rejecting '", Service::Sip), (b"IAX2 Peer ACL: Rejecting '", Service::Iax)];
    let (rest, service) = lists
        .iter()
        .find_map(|(list, service)| Some((line.message.strip_prefix(*list)?, *service)))?;
    let (host, rest) = super::text::split(rest, b'\'')?;
    rest.strip_prefix(b" due to a failure to pass ACL '")?;
    let source = (address(host)?, None);
    Some(Attempt {
        session: Some(line.head),
        ..attempt(line, source, service, Outcome::NotAllowed)
    })
}

/// What the dial plan of FreePBX says of callers without an account, with the address of the packet.
fn dial_plan<'a>(line: &Line<'a>) -> Option<Attempt<'a>> {
    let message = without_end(line.frame, line.message);
    let quotes: (&[u8], &[u8]) = match line.frame {
        Frame::Text => (b"\"", b"\""),
        Frame::Json => (b"\\\"", b"\\\""),
    };
    let inside = message.strip_prefix(quotes.0).unwrap_or(message);
    let inside = inside.strip_suffix(quotes.1).unwrap_or(inside);
    let host = inside.strip_prefix(b"Rejecting unknown SIP connection from ")?;
    Some(attempt(line, (address(host)?, None), Service::Sip, Outcome::UnknownNumber))
}

/// Whether it can be a name of the configuration: it has no quote, so it is not what follows a line feed in
/// an account, which is `",SessionID="` and a Call-ID.
pub(super) fn is_name(text: &[u8]) -> bool {
    memchr::memchr(b'"', text).is_none()
}

/// Without the line end that belongs to a message.
pub(super) fn without_end(frame: Frame, message: &[u8]) -> &[u8] {
    match frame {
        Frame::Text => super::text::trim_end(message),
        Frame::Json => message.strip_suffix(b"\\n").unwrap_or(message),
    }
}

/// A client's text whose closing quote is the end of the message.
pub(super) fn quoted_at_end(frame: Frame, text: &[u8]) -> &[u8] {
    let text = without_end(frame, text);
    text.strip_suffix(b"'").unwrap_or(text)
}

/// The user of a SIP header: `200` of `"A" <sip:200@192.0.2.1>`.
pub(super) fn user(header: &[u8]) -> Option<&[u8]> {
    let place = super::text::find_last(header, b"<sip")?;
    let uri = from(header, place + 1);
    let user = from(uri, find(uri, b":")? + 1);
    let end = memchr::memchr(b'@', user)?;
    (end > 0).then(|| between(user, 0, end))
}
