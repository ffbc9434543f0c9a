//! Lines of JSON, one object each (`[json]` in logger.conf). Asterisk writes them without spaces and in one
//! order, and escapes quotes: so a name with bare quotes is a name, never an attacker's text.

use super::prefix::{Frame, Level, Line};
use super::text::{between, digits, find, from, number, trim_end};

/// Takes a line apart; `None` if it is of no interest.
pub(super) fn text(line: &[u8]) -> Option<Line<'_>> {
    let line = trim_end(line);
    let body = line.strip_suffix(b"\"}}")?;
    let level = find(body, b"\"level\":\"")?;
    let (head, tail) = body.split_at_checked(level)?;
    let (name, message) = message(from(tail, b"\"level\":\"".len()))?;
    let level = match name {
        b"SECURITY" => Level::Security,
        b"NOTICE" | b"WARNING" | b"ERROR" => Level::Other,
        _ => return None,
    };
    let moment = value(head, b"\"timestamp\":\"")?;
    let thread = find(head, b"\"lwp\":").map(|place| from(head, place + 6));
    let (thread, rest) = thread.and_then(digits)?;
    let file = value(head, b"\"filename\":\"")?;
    Some(Line {
        frame: Frame::Json,
        moment,
        level,
        thread: number(thread),
        head: between(head, 0, head.len() - rest.len()),
        file,
        message,
    })
}

/// The level and the message.
fn message(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'"', text)?;
    let message = from(text, end).strip_prefix(b"\",\"message\":\"")?;
    is_string(message).then_some((between(text, 0, end), message))
}

/// Whether it is the inside of one string: each quote is escaped, and nothing escapes what follows it.
fn is_string(text: &[u8]) -> bool {
    let mut escaped = usize::MAX;
    let is_bare_quote = |place: usize| {
        if place == escaped {
            return false;
        }
        let is_quote = text.get(place) == Some(&b'"');
        if !is_quote {
            escaped = place + 1;
        }
        is_quote
    };
    !memchr::memchr2_iter(b'"', b'\\', text).any(is_bare_quote) && escaped != text.len()
}

/// The value of a name in what is written before the message.
fn value<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = from(head, find(head, name)? + name.len());
    Some(between(rest, 0, memchr::memchr(b'"', rest)?))
}
