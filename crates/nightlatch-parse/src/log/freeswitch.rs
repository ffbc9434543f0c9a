//! FreeSWITCH: what its SIP module writes about authentication, if the profile has `log-auth-failures`.
//!
//! The user is the client's text, and the address ends the line. Nonces are not bound to an address there, so
//! no line proves that a datagram came from where it says.

use super::text::{address, address_port, attempt, bracketed, filled, split_last, split_once};
use super::{Attempt, Outcome, Reading, Service, Stamp, prefix, stamp};

/// Up to this length, no daemon of syslog cuts a message. The end of a longer line may be the client's text.
const MAX_WHOLE: usize = 960;

/// Reads a line of `freeswitch.log`, or one that FreeSWITCH sent to syslog.
pub fn read(line: &[u8]) -> Option<Reading<'_>> {
    let line = line.trim_ascii_end();
    if line.len() > MAX_WHOLE {
        return None;
    }
    let (stamp, rest) = head(line)?;
    let message = located(rest)?;
    let mut attempt =
        rejected(message).or_else(|| unknown_user(message)).or_else(|| auth(message))?;
    attempt.stamp = stamp;
    Some(Reading::Attempt(attempt))
}

/// Whether the line has the shape of this program's log, whatever it says.
pub(super) fn is_shape(line: &[u8]) -> bool {
    head(line).is_some_and(|(stamp, rest)| {
        let level = rest.strip_prefix(b"[").is_some_and(|rest| rest.starts_with(b"WARN"));
        stamp.is_some() && (level || located(rest).is_some() || place_of_source(rest))
    })
}

/// The moment, and the text from the level on: behind an identifier of a session (36 characters), the moment
/// and the idle time of the processor (`97.30%`), or behind the prefix of syslog.
fn head(line: &[u8]) -> Option<(Option<Stamp>, &[u8])> {
    if let Some(prefix) = prefix::syslog(line).filter(|prefix| prefix.program == b"freeswitch") {
        return Some((Some(prefix.stamp), prefix.message));
    }
    let is_session = line.get(..36).is_some_and(|id| {
        id.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-') && id.get(8) == Some(&b'-')
    });
    let line = match line.get(36..) {
        Some([b' ', rest @ ..]) if is_session => rest,
        _ => line,
    };
    let (stamp, rest) = stamp::iso(line)?;
    let rest = rest.strip_prefix(b" ")?;
    let digits = rest.iter().take(6).take_while(|byte| matches!(byte, b'0'..=b'9' | b'.')).count();
    let rest = match rest.get(digits..) {
        Some([b'%', b' ', rest @ ..]) if digits > 0 => rest,
        _ => rest,
    };
    Some((Some(stamp), rest))
}

/// The message behind `[WARNING] sofia_reg.c:1787 ` or `[WARN] [SOFIA] [sofia_reg.c:4130] `.
fn located(text: &[u8]) -> Option<&[u8]> {
    let (level, rest) = bracketed(text)?;
    if level.is_empty() || level.len() > 8 || !level.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    let rest = rest.strip_prefix(b" ")?;
    let rest = rest.strip_prefix(b"[SOFIA] ").unwrap_or(rest);
    let (place, rest) = match bracketed(rest) {
        Some((place, rest)) => (place, rest.strip_prefix(b" ")?),
        None => split_once(rest, b" ")?,
    };
    let line = place.strip_prefix(b"sofia_reg.c:").or_else(|| place.strip_prefix(b"sofia.c:"))?;
    let is_number = (1..=6).contains(&line.len()) && line.iter().all(u8::is_ascii_digit);
    is_number.then_some(rest)
}

/// Whether a level and the place in a source file begin the text.
fn place_of_source(text: &[u8]) -> bool {
    bracketed(text).is_some_and(|(level, rest)| {
        let place = rest.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        level.iter().all(u8::is_ascii_uppercase) && split_once(place, b".c:").is_some()
    })
}

/// `SIP auth failure (REGISTER) on sofia profile 'internal' for [USER@HOST] from ip ADDRESS`.
fn auth(message: &[u8]) -> Option<Attempt<'_>> {
    let rest = message.strip_prefix(b"SIP auth ")?;
    let (outcome, rest) = match rest.strip_prefix(b"failure ") {
        Some(rest) => (Outcome::WrongPassword, rest),
        None => (Outcome::Challenged, rest.strip_prefix(b"challenge ")?),
    };
    let rest = rest.strip_prefix(b"(REGISTER)").or_else(|| rest.strip_prefix(b"(INVITE)"))?;
    let (_, rest) = split_once(rest.strip_prefix(b" on sofia profile '")?, b"' for [")?;
    let (user, host) = split_last(rest, b"] from ip ")?;
    Some(of_user(user, attempt(address(host)?, Service::Sip, outcome)))
}

/// `Can't find user [USER@HOST] from ADDRESS`.
fn unknown_user(message: &[u8]) -> Option<Attempt<'_>> {
    let rest = message.strip_prefix(b"Can't find user [")?;
    let (user, host) = split_last(rest, b"] from ")?;
    Some(of_user(user, attempt(address(host)?, Service::Sip, Outcome::UnknownAccount)))
}

/// `IP ADDRESS Rejected by acl "domains"`, `... by register acl "domains"`, `... by user acl [domains] and
/// no proxy acl present`. Where FreeSWITCH asks for a password instead, nobody was rejected.
fn rejected(message: &[u8]) -> Option<Attempt<'_>> {
    let (host, rest) = split_once(message.strip_prefix(b"IP ")?, b" Rejected by ")?;
    let is_acl = [b"acl ".as_slice(), b"register acl ", b"user acl "]
        .iter()
        .any(|acl| rest.starts_with(acl));
    let goes_on = rest.ends_with(b"Falling back to Digest auth.")
        || rest.ends_with(b"Falling back to Digest auth")
        || rest.ends_with(b"checking proxy ACLs now");
    if !is_acl || goes_on {
        return None;
    }
    let (source, port) = match address(host) {
        Some(source) => (source, None),
        None => address_port(host).map(|(source, port)| (source, Some(port)))?,
    };
    Some(Attempt { port, ..attempt(source, Service::Sip, Outcome::NotAllowed) })
}

/// With the account of `USER@HOST`.
fn of_user<'a>(user: &'a [u8], attempt: Attempt<'a>) -> Attempt<'a> {
    let name = split_last(user, b"@").map_or(user, |(name, _)| name);
    Attempt { account: filled(name), ..attempt }
}
