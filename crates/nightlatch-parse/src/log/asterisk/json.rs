//! Lines of JSON, one object each (`[json]` in logger.conf). Asterisk writes them without spaces and in one
//! order, and escapes quotes: so a name with bare quotes is a name, never an attacker's text.

use super::prefix::{Frame, Level, Line};
use super::text::{between, digits, number, quote_or_backslash, trim_end};

/// Takes a line apart; `None` if it is of no interest. Whether the message is one string is not looked at,
/// see [`Line::is_sound`].
pub(super) fn text(line: &[u8]) -> Option<Line<'_>> {
    let body = trim_end(line).strip_suffix(b"\"}}")?;
    let (_host, rest) = value(body.strip_prefix(b"{\"hostname\":\"")?)?;
    let (moment, rest) = value(rest.strip_prefix(b",\"timestamp\":\"")?)?;
    let (thread, rest) = digits(rest.strip_prefix(b",\"identifiers\":{\"lwp\":")?)?;
    let head = between(line, 0, body.len() - rest.len());
    let (_call, rest) = value(rest.strip_prefix(b",\"callid\":\"")?)?;
    let rest = rest.strip_prefix(b"},\"logmsg\":{\"location\":{\"filename\":\"")?;
    let (file, rest) = value(rest)?;
    let (_function, rest) = value(rest.strip_prefix(b",\"function\":\"")?)?;
    let (_line, rest) = digits(rest.strip_prefix(b",\"line\":")?)?;
    let (level, rest) = value(rest.strip_prefix(b"},\"level\":\"")?)?;
    let level = match level {
        b"SECURITY" => Level::Security,
        b"NOTICE" | b"WARNING" | b"ERROR" => Level::Other,
        _ => return None,
    };
    let message = rest.strip_prefix(b",\"message\":\"")?;
    let thread = number(thread);
    Some(Line { frame: Frame::Json, moment, level, thread, head, file, message })
}

/// A string behind its first quote, and what follows its last one. `None` if anything is escaped in it.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = quote_or_backslash(text)?;
    let (value, rest) = text.split_at_checked(length)?;
    Some((value, rest.strip_prefix(b"\"")?))
}

/// Whether it is the inside of one string: each quote is escaped, and nothing escapes what follows it.
pub(super) fn is_string(text: &[u8]) -> bool {
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
