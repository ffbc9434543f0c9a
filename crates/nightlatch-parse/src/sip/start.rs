//! The start line (RFC 3261, sections 7.1 and 7.2).

use super::scan::{
    from, is_space, is_word, number, position, split, starts_with, trim, trim_start,
};
use super::{Fault, NotSip, Uri, fault::Faults};

/// No method is longer.
const MAX_METHOD: usize = 64;

/// The start line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// Of a request.
    Request {
        /// The method: `REGISTER`, `INVITE`, ... Upper and lower case differ.
        method: &'a [u8],
        /// The URI as it was sent; truncated if the line is.
        raw_uri: &'a [u8],
        /// The URI; `None` if it has no scheme or the line is truncated.
        uri: Option<Uri<'a>>,
    },
    /// Of a response.
    Response {
        /// From 100 to 699; `None` if it is malformed.
        status: Option<u16>,
        /// The reason in words; may be empty.
        reason: &'a [u8],
    },
}

/// Parses the start line, without its line end. `is_whole` says that it was not truncated.
pub(super) fn parse<'a>(
    line: &'a [u8],
    is_whole: bool,
    faults: &mut Faults,
) -> Result<StartLine<'a>, NotSip> {
    let text = trim(line);
    let without_return = line.strip_suffix(b"\r").unwrap_or(line);
    if text.len() != without_return.len() {
        faults.add(Fault::StartSpacing);
    }
    let (first, rest) = word(text);
    if starts_with(first, "SIP/") {
        return Ok(response(first, rest, is_whole, faults));
    }
    if first.len() > MAX_METHOD || !is_word(first) {
        return Err(NotSip::StartLine);
    }
    request(first, rest, is_whole, faults)
}

fn response<'a>(
    version: &[u8],
    rest: &'a [u8],
    is_whole: bool,
    faults: &mut Faults,
) -> StartLine<'a> {
    if version != b"SIP/2.0" {
        faults.add(Fault::Version);
    }
    let (code, reason) = word(spaced(rest, faults));
    let is_code = code.len() == 3 && (is_whole || !reason.is_empty());
    let status = number(code).and_then(|code| u16::try_from(code).ok());
    let status = status.filter(|code| is_code && (100..700).contains(code));
    if status.is_none() && is_whole {
        faults.add(Fault::Status);
    }
    if reason.first() == Some(&b'\t') {
        faults.add(Fault::StartSpacing);
    }
    StartLine::Response { status, reason: trim(reason) }
}

fn request<'a>(
    method: &'a [u8],
    rest: &'a [u8],
    is_whole: bool,
    faults: &mut Faults,
) -> Result<StartLine<'a>, NotSip> {
    let rest = spaced(rest, faults);
    let last = rest.iter().rposition(|byte| is_space(*byte)).map_or(0, |place| place + 1);
    let (mut raw_uri, version) = split(rest, last);
    if starts_with(version, "SIP/") && last > 0 {
        if version != b"SIP/2.0" && is_whole {
            faults.add(Fault::Version);
        }
        if raw_uri.len() != trim(raw_uri).len() + 1 || raw_uri.last() != Some(&b' ') {
            faults.add(Fault::StartSpacing);
        }
    } else {
        // Without a version it is SIP only if the URI is.
        let bare = rest.strip_prefix(b"<").unwrap_or(rest);
        if !["sip:", "sips:", "tel:"].iter().any(|scheme| starts_with(bare, scheme)) {
            return Err(NotSip::StartLine);
        }
        raw_uri = rest;
        if is_whole {
            faults.add(Fault::Version);
        }
    }
    let raw_uri = trim(raw_uri);
    let inner = raw_uri.strip_prefix(b"<").and_then(|uri| uri.strip_suffix(b">"));
    // In a truncated line it is not known where the URI ends: a later word may be the version.
    let uri = Uri::parse(inner.unwrap_or(raw_uri)).filter(|_| is_whole);
    if is_whole && (inner.is_some() || !uri.is_some_and(|uri| uri.is_sound)) {
        faults.add(Fault::RequestUri);
    }
    Ok(StartLine::Request { method, raw_uri, uri })
}

/// The first word, and what follows it with the white space between.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    split(text, position(text, is_space).unwrap_or(text.len()))
}

/// What follows the white space, which must be one space.
fn spaced<'a>(text: &'a [u8], faults: &mut Faults) -> &'a [u8] {
    let rest = trim_start(text);
    if !rest.is_empty() && text.len() - rest.len() != 1 {
        faults.add(Fault::StartSpacing);
    }
    // A tab is one byte too.
    if text.first() == Some(&b'\t') {
        faults.add(Fault::StartSpacing);
    }
    from(text, text.len() - rest.len())
}
