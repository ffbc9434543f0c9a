//! The `security` channel: fields in a fixed order, whose values are written without escaping.
//!
//! An attacker's text may hold whole fields, so the source is taken from the place that the text cannot
//! reach. chan_pjsip and chan_sip write it before the address (account, Call-ID); behind the address stand
//! only values of a digest, which cannot hold the beginning of a field: chan_pjsip keeps the backslash
//! before a quote, and chan_sip ends them at a comma or a quote. So the last address is the true one. The
//! manager interface writes text of the client either before (`Username`) or behind (`Action`, `Key`),
//! depending on the event.

use std::net::IpAddr;

use memchr::memmem;

use super::events::{Event, Facts, Origin, Remote, Tail};
use super::prefix::{Frame, Line, stamp};
use super::text::{between, find, from, quote_or_backslash};
use crate::log::{Doubt, Reading, Stamp};

/// The most sources that a doubt lists.
const MAX_SOURCES: usize = 8;
/// The most places that are tried for the true address.
const MAX_CANDIDATES: usize = 32;

/// Where fields are read. In JSON a quote is written with a backslash.
#[derive(Clone, Copy, Debug)]
struct Fields<'a, const JSON: bool> {
    text: &'a [u8],
}

/// A value, and the place behind its closing quote.
type Value<'a> = (&'a [u8], usize);

impl<'a, const JSON: bool> Fields<'a, JSON> {
    const QUOTE: &'static [u8] = if JSON { b"\\\"" } else { b"\"" };

    /// The value of the field `name` (with its comma and equals sign) at `place`.
    #[expect(clippy::inline_always, reason = "so that names are compared as constants")]
    #[inline(always)]
    fn value(self, place: usize, name: &[u8]) -> Option<Value<'a>> {
        let rest = from(self.text, place).strip_prefix(name)?.strip_prefix(Self::QUOTE)?;
        let start = self.text.len() - rest.len();
        let length = Self::end(rest)?;
        Some((between(rest, 0, length), start + length + Self::QUOTE.len()))
    }

    /// The length of a value: up to a quote before which no backslash stands.
    fn end(value: &[u8]) -> Option<usize> {
        if JSON { json_end(value) } else { text_end(value) }
    }

    /// A value in which there is neither quote nor backslash.
    #[expect(clippy::inline_always, reason = "so that names are compared as constants")]
    #[inline(always)]
    fn plain(self, place: usize, name: &[u8]) -> Option<Value<'a>> {
        let rest = from(self.text, place).strip_prefix(name)?.strip_prefix(Self::QUOTE)?;
        let length = quote_or_backslash(rest)?;
        let (value, behind) = rest.split_at_checked(length)?;
        let end = self.text.len() - behind.strip_prefix(Self::QUOTE)?.len();
        Some((value, end))
    }

    /// Whether this place is the end: the line end, where it belongs to the message.
    fn is_end(self, place: usize) -> bool {
        let rest = from(self.text, place);
        if JSON {
            return matches!(rest, b"" | b"\\n");
        }
        rest.iter().all(u8::is_ascii_whitespace)
    }

    /// The fields behind the address, if they are exactly those of the event.
    fn tail(self, mut place: usize, event: Event) -> Option<Tail<'a>> {
        let mut tail = Tail::default();
        for (name, is_required) in event.tail() {
            match self.tail_value(place, name) {
                Some((value, end)) => {
                    tail.take(name, value);
                    place = end;
                }
                None if *is_required => return None,
                None => {}
            }
        }
        self.is_end(place).then_some(tail)
    }

    fn tail_value(self, place: usize, name: &[u8]) -> Option<Value<'a>> {
        let rest = from(self.text, place).strip_prefix(b",")?.strip_prefix(name)?;
        self.value(self.text.len() - rest.len(), b"=")
    }
}

/// The length of a value within a line of text.
fn text_end(value: &[u8]) -> Option<usize> {
    let mut place = 0;
    loop {
        let rest = from(value, place);
        place += quote_or_backslash(rest)?;
        match value.get(place)? {
            b'"' => return Some(place),
            _ => place += 2,
        }
    }
}

/// The length of a value within a string of JSON: up to `\"` before which no escaped backslash stands.
fn json_end(value: &[u8]) -> Option<usize> {
    let mut place = 0;
    loop {
        let start = place + memchr::memchr2(b'\\', b'"', from(value, place))?;
        match (value.get(start)?, value.get(start + 1)?) {
            (b'\\', b'"') => return Some(start),
            // A backslash of the text: what follows it is no end, be it escaped itself or not.
            (b'\\', b'\\') => {
                place = start + 2 + if value.get(start + 2)? == &b'\\' { 2 } else { 1 }
            }
            (b'\\', _) => place = start + 2,
            _ => return None,
        }
    }
}

/// What every event begins with, all of it written by Asterisk itself.
struct Beginning<'a> {
    event: Event,
    time: &'a [u8],
    origin: Origin,
    /// Where the account or the session begins.
    end: usize,
}

fn beginning<const JSON: bool>(fields: Fields<'_, JSON>) -> Option<Beginning<'_>> {
    let (name, end) = fields.plain(0, b"SecurityEvent=")?;
    let event = Event::named(name)?;
    let (time, end) = fields.plain(end, b",EventTV=")?;
    let (_severity, end) = fields.plain(end, b",Severity=")?;
    let (service, end) = fields.plain(end, b",Service=")?;
    let (_version, end) = fields.plain(end, b",EventVersion=")?;
    Some(Beginning { event, time, origin: Origin::named(service), end })
}

/// Reads an event.
pub(super) fn read<'a>(line: &Line<'a>) -> Option<Reading<'a>> {
    match line.frame {
        Frame::Text => event(Fields::<false> { text: line.message }, line),
        Frame::Json => event(Fields::<true> { text: line.message }, line),
    }
}

fn event<'a, const JSON: bool>(fields: Fields<'a, JSON>, line: &Line<'a>) -> Option<Reading<'a>> {
    let beginning = beginning(fields)?;
    let stamp = line.stamp().or_else(|| stamp(beginning.time));
    if let Some(facts) = whole(fields, &beginning, stamp) {
        return facts.reading();
    }
    line.is_sound().then_some(())?;
    let is_behind = beginning.origin == Origin::Ami && beginning.event.is_hostile_behind();
    let facts = match beginning.origin {
        Origin::Unknown => None,
        _ if is_behind => first(fields, &beginning, stamp),
        _ => last(fields, &beginning, stamp).or_else(|| only(fields, &beginning, stamp)),
    };
    match facts {
        Some(facts) => facts.reading(),
        None => doubt(fields, &beginning, stamp),
    }
}

/// Account, session and both addresses from the left, and the place behind them.
fn left<'a, const JSON: bool>(
    fields: Fields<'a, JSON>,
    beginning: &Beginning<'_>,
    stamp: Option<Stamp>,
) -> Option<(Facts<'a>, usize)> {
    let (account, end) = match beginning.event {
        Event::BadFormat => (&b""[..], beginning.end),
        _ => fields.plain(beginning.end, b",AccountID=")?,
    };
    let (session, end) = fields.plain(end, b",SessionID=")?;
    let (_local, end) = fields.plain(end, b",LocalAddress=")?;
    let (remote, end) = fields.plain(end, b",RemoteAddress=")?;
    let facts = Facts {
        stamp,
        event: beginning.event,
        origin: beginning.origin,
        account,
        session,
        remote_text: remote,
        remote: Remote::read(remote)?,
        tail: Tail::default(),
        is_framed: JSON,
    };
    Some((facts, end))
}

/// A line in which no value holds a quote: it can be read in one way only.
fn whole<'a, const JSON: bool>(
    fields: Fields<'a, JSON>,
    beginning: &Beginning<'_>,
    stamp: Option<Stamp>,
) -> Option<Facts<'a>> {
    let (mut facts, end) = left(fields, beginning, stamp)?;
    facts.tail = fields.tail(end, beginning.event)?;
    finish(&mut facts);
    Some(facts)
}

/// The first address, where the client's text is behind it.
fn first<'a, const JSON: bool>(
    fields: Fields<'a, JSON>,
    beginning: &Beginning<'_>,
    stamp: Option<Stamp>,
) -> Option<Facts<'a>> {
    let (facts, _) = left(fields, beginning, stamp)?;
    Some(facts)
}

/// The last address, where the client's text is before it.
fn last<'a, const JSON: bool>(
    fields: Fields<'a, JSON>,
    beginning: &Beginning<'_>,
    stamp: Option<Stamp>,
) -> Option<Facts<'a>> {
    let rest = from(fields.text, beginning.end);
    // Two events in one line: a line end was lost, and the last address belongs to the second.
    if find(rest, b"SecurityEvent=").is_some() {
        return None;
    }
    memmem::rfind_iter(rest, b",LocalAddress=")
        .take(MAX_CANDIDATES)
        .find_map(|place| ending(fields, beginning, stamp, beginning.end + place))
}

/// The event, if its addresses are at `place` and nothing else follows but its fields.
fn ending<'a, const JSON: bool>(
    fields: Fields<'a, JSON>,
    beginning: &Beginning<'_>,
    stamp: Option<Stamp>,
    place: usize,
) -> Option<Facts<'a>> {
    let (_local, end) = fields.plain(place, b",LocalAddress=")?;
    let (remote_text, end) = fields.plain(end, b",RemoteAddress=")?;
    let tail = fields.tail(end, beginning.event)?;
    let remote = Remote::read(remote_text)?;
    let before = between(fields.text, beginning.end, place);
    let (account, session) = divided::<JSON>(before);
    let mut facts = Facts {
        stamp,
        event: beginning.event,
        origin: beginning.origin,
        account,
        session,
        remote_text,
        remote,
        tail,
        is_framed: JSON,
    };
    finish(&mut facts);
    Some(facts)
}

/// Account and session of a line in which they hold quotes: the session begins where it first can.
fn divided<const JSON: bool>(before: &[u8]) -> (&[u8], &[u8]) {
    let name = b",SessionID=";
    let Some(place) = memmem::find(before, name) else {
        return (b"", b"");
    };
    let account = between(before, b",AccountID=".len(), place);
    let session = from(before, place + name.len());
    (unquoted::<JSON>(account), unquoted::<JSON>(session))
}

fn unquoted<const JSON: bool>(value: &[u8]) -> &[u8] {
    let quote = Fields::<JSON>::QUOTE;
    let value = value.strip_prefix(quote).unwrap_or(value);
    value.strip_suffix(quote).unwrap_or(value)
}

/// The address of a line that names no other, though what is behind it is not as it should be.
fn only<'a, const JSON: bool>(
    fields: Fields<'a, JSON>,
    beginning: &Beginning<'_>,
    stamp: Option<Stamp>,
) -> Option<Facts<'a>> {
    let (facts, _) = left(fields, beginning, stamp)?;
    let families = memmem::find_iter(fields.text, b"IPV").count();
    (families == 2 && find(from(fields.text, beginning.end), b"SecurityEvent=").is_none())
        .then_some(facts)
}

/// Takes in the account of a malformed request, which stands behind the address.
fn finish(facts: &mut Facts<'_>) {
    if facts.event == Event::BadFormat {
        facts.account = facts.tail.account;
    }
}

/// All sources of a line that was written to deceive.
fn doubt<'a, const JSON: bool>(
    fields: Fields<'a, JSON>,
    beginning: &Beginning<'_>,
    stamp: Option<Stamp>,
) -> Option<Reading<'a>> {
    let text = from(fields.text, beginning.end);
    let mut sources: Vec<IpAddr> = Vec::new();
    for place in memmem::find_iter(text, b"RemoteAddress=").take(4 * MAX_SOURCES) {
        let found = fields.value(beginning.end + place, b"RemoteAddress=");
        let Some(remote) = found.and_then(|(value, _)| Remote::read(value)) else {
            continue;
        };
        if !sources.contains(&remote.address) && sources.len() < MAX_SOURCES {
            sources.push(remote.address);
        }
    }
    let service = beginning.origin.service();
    (!sources.is_empty()).then_some(Reading::Doubtful(Doubt { stamp, service, sources, text }))
}
