//! What stands before the message: the moment, the level, the thread, the source file.

use super::json;
use super::text::{between, digits, find, from, number, port, split, trim_start};
use crate::log::Stamp;

/// How a line is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A line of text: a line feed that an attacker writes ends it.
    Text,
    /// One object of JSON, where whatever an attacker writes is escaped.
    Json,
}

/// The levels of lines that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Security,
    Other,
}

/// A line, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) frame: Frame,
    /// When, as written.
    pub(super) moment: &'a [u8],
    pub(super) level: Level,
    /// The thread that wrote it.
    pub(super) thread: Option<u32>,
    /// From the beginning up to and with the thread: the same for lines of one thread in one second.
    pub(super) head: &'a [u8],
    /// The source file, or what the dial plan gives instead.
    pub(super) file: &'a [u8],
    pub(super) message: &'a [u8],
}

impl Line<'_> {
    /// When it was written.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        stamp(self.moment)
    }

    /// Whether the message is what the frame says: of JSON, the inside of one string.
    pub(super) fn is_sound(&self) -> bool {
        self.frame == Frame::Text || json::is_string(self.message)
    }
}

/// Takes a line of text apart; `None` if it is of no interest.
pub(super) fn text(line: &[u8]) -> Option<Line<'_>> {
    let start = trim_start(line);
    let (moment, rest) = moment(start);
    let (level, rest) = level(skip_colour(rest))?;
    let rest = skip_colour(rest).strip_prefix(b"[")?;
    let (thread, rest) = digits(rest)?;
    let rest = rest.strip_prefix(b"]")?;
    let head = between(line, 0, line.len() - rest.len());
    let rest = call(rest);
    // The spaces are required: 36 characters of an account may follow a line feed of a client, and each
    // that he must spend counts.
    let rest = rest.strip_prefix(b":").unwrap_or(rest).strip_prefix(b" ")?;
    let (file, rest) = split(skip_colour(trim_start(rest)), b':')?;
    let file = without_colour(file);
    let message = trim_start(place_in_file(rest).strip_prefix(b" ")?);
    let thread = number(thread);
    Some(Line { frame: Frame::Text, moment, level, thread, head, file, message })
}

/// The moment at the beginning, in brackets or as syslog writes it with host and program.
fn moment(text: &[u8]) -> (&[u8], &[u8]) {
    if let Some(inside) = text.strip_prefix(b"[") {
        return match split(inside, b']') {
            Some((moment, rest)) if is_moment(moment) => (moment, trim_start(rest)),
            _ => (&[], text),
        };
    }
    syslog(text).unwrap_or((&[], text))
}

/// Whether it can be a moment, in whatever format: it has no quote, so it is not what stands between two
/// fields.
fn is_moment(text: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b" -:.,/+".contains(byte);
    text.len() < 64 && text.iter().all(is_plain)
}

/// The moment, host and program of syslog; the program has to be Asterisk.
fn syslog(text: &[u8]) -> Option<(&[u8], &[u8])> {
    // Levels begin with a letter as months do: they have no space at this place.
    let length = match text.first()? {
        b'0'..=b'9' => text.iter().position(|byte| *byte == b' ')?,
        _ if text.get(3) == Some(&b' ') => 15,
        _ => return None,
    };
    let moment = between(text, 0, length);
    let (_host, rest) = split(from(text, length).strip_prefix(b" ")?, b' ')?;
    let rest = rest.strip_prefix(b"asterisk")?;
    let rest = match rest.strip_prefix(b"[") {
        Some(inside) => digits(inside)?.1.strip_prefix(b"]")?,
        None => rest,
    };
    Some((moment, trim_start(rest.strip_prefix(b":")?)))
}

fn level(text: &[u8]) -> Option<(Level, &[u8])> {
    if let Some(rest) = text.strip_prefix(b"SECURITY") {
        return Some((Level::Security, rest));
    }
    let levels: [&[u8]; 3] = [b"NOTICE", b"WARNING", b"ERROR"];
    levels.iter().find_map(|level| Some((Level::Other, text.strip_prefix(*level)?)))
}

/// Without the identifier of a call, such as `[C-00000002]`.
fn call(text: &[u8]) -> &[u8] {
    let Some(inside) = text.strip_prefix(b"[C-") else {
        return text;
    };
    split(inside, b']').map_or(text, |(_, rest)| rest)
}

/// Without line and function, where they follow: `23417 in handle_request_register: `.
fn place_in_file(text: &[u8]) -> &[u8] {
    let Some((_, rest)) = digits(skip_colour(text)) else {
        return text;
    };
    let rest = skip_colour(trim_start(skip_colour(rest)));
    let rest = rest.strip_prefix(b"in ").unwrap_or(rest);
    match split(rest, b':') {
        Some((function, rest)) if is_function(without_colour(function)) => rest,
        _ => text,
    }
}

fn is_function(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Without colours at the beginning: `ESC [ numbers m`.
fn skip_colour(mut text: &[u8]) -> &[u8] {
    while let Some(inside) = text.strip_prefix(b"\x1b[") {
        let end = inside.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';'));
        let Some(rest) = end.and_then(|place| from(inside, place).strip_prefix(b"m")) else {
            return text;
        };
        text = rest;
    }
    text
}

/// Without a colour at the end.
fn without_colour(text: &[u8]) -> &[u8] {
    find(text, b"\x1b[").map_or(text, |place| between(text, 0, place))
}

/// Reads `2026-11-20 08:36:32`, `2026-11-20T08:36:32.123+0000` or `Nov 20 08:36:32.123`.
pub(super) fn stamp(text: &[u8]) -> Option<Stamp> {
    let (year, month, day, rest) = match text.first()? {
        b'0'..=b'9' => date(text)?,
        _ => month_and_day(text)?,
    };
    let hour = two(rest, 0)?;
    let minute = two(rest, 3)?;
    let second = two(rest, 6)?;
    let separators = (rest.get(2)?, rest.get(5)?);
    if separators != (&b':', &b':') || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (microsecond, rest) = fraction(from(rest, 8));
    let offset = zone(trim_start(rest))?;
    let stamp = Stamp { year, month, day, hour, minute, second, microsecond, offset };
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(stamp)
}

type Date<'a> = (Option<u16>, u8, u8, &'a [u8]);

fn date(text: &[u8]) -> Option<Date<'_>> {
    let year = port(text.get(..4)?)?;
    let (month, day) = (two(text, 5)?, two(text, 8)?);
    let between = (text.get(4)?, text.get(7)?, text.get(10)?);
    if !matches!(between, (b'-', b'-', b' ' | b'T')) {
        return None;
    }
    Some((Some(year), month, day, from(text, 11)))
}

fn month_and_day(text: &[u8]) -> Option<Date<'_>> {
    const MONTHS: [&[u8; 3]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let name = text.get(..3)?;
    let month = (1_u8..).zip(MONTHS).find(|(_, month)| *month == name)?.0;
    let (day, rest) = digits(trim_start(from(text, 3)))?;
    Some((None, month, u8::try_from(number(day)?).ok()?, rest.strip_prefix(b" ")?))
}

/// Two digits, the first of which may be a space.
fn two(text: &[u8], place: usize) -> Option<u8> {
    match between(text, place, place + 2) {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

/// Microseconds after a dot, and what follows.
fn fraction(text: &[u8]) -> (u32, &[u8]) {
    let Some((digits, rest)) = text.strip_prefix(b".").and_then(digits) else {
        return (0, text);
    };
    let places = digits.iter().chain(std::iter::repeat(&b'0')).take(6);
    (places.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')), rest)
}

/// Seconds east of UTC: `Z`, `+0000`, `+00:00`, or nothing. `None` if it is anything else.
#[allow(clippy::option_option, reason = "wrong and absent are different")]
fn zone(text: &[u8]) -> Option<Option<i32>> {
    let sign = match text.first() {
        None => return Some(None),
        Some(b'Z') if text.len() == 1 => return Some(Some(0)),
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) => return None,
    };
    let minutes = if text.get(3) == Some(&b':') { 4 } else { 3 };
    if text.len() != minutes + 2 {
        return None;
    }
    let seconds = i32::from(two(text, 1)?) * 3600 + i32::from(two(text, minutes)?) * 60;
    Some(Some(sign * seconds))
}
