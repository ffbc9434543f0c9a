//! JSON read as it arrives, without ever holding more than one text and the way to it.
//!
//! One value or any number of them (a value a line). Texts at the wanted places are entries.
//! Depth and the length of kept texts are bounded.

use super::FeedError;
use super::entry;
use super::format::{JsonPath, JsonPaths, Step};
use crate::address::AddrRange;

/// The deepest nesting read.
const DEEPEST: usize = 64;
/// The longest key or text that can matter.
const MAX_LEN: usize = 256;
/// Keys under which lists keep addresses (Spamhaus, APIBAN, AWS, Google, abuse.ch, `AbuseIPDB`).
const WELL_KNOWN: [&str; 16] = [
    "address",
    "addresses",
    "cidr",
    "cidrs",
    "ip",
    "ip_address",
    "ip_prefix",
    "ipaddress",
    "ipAddress",
    "ips",
    "ipv4Prefix",
    "ipv6Prefix",
    "ipv6_prefix",
    "network",
    "prefix",
    "subnet",
];
/// What APIBAN sends in place of an address where it has nothing new.
const NOTHING_NEW: &[u8] = b"no new bans";

/// What stands at a wanted place.
#[derive(Clone, Copy)]
pub(crate) enum Item<'a> {
    /// An entry.
    Entry(AddrRange),
    /// A value that is no entry, with its line.
    Refused(u64, &'a [u8]),
}

/// Reads JSON as it arrives.
#[derive(Debug)]
pub(crate) struct Json {
    paths: JsonPaths,
    open: Vec<Frame>,
    expected: Expected,
    /// Which places the value that comes next is at.
    next: Place,
    token: Token,
    text: Vec<u8>,
    too_long: bool,
    line: u64,
    reached: bool,
}

/// An array or object that has not ended.
#[derive(Clone, Copy, Debug)]
struct Frame {
    is_array: bool,
    place: Place,
}

/// Where a value is, as far as the wanted paths matter.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// One bit for each path that leads here or further.
    alive: u8,
    /// Whether a text here is an entry.
    wanted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    None,
    Text,
    Escape,
    /// Behind `\u`: digits seen, and their value.
    Unicode(u8, u32),
    Word,
}

impl Json {
    pub(crate) fn new(paths: JsonPaths) -> Json {
        let alive = match &paths {
            JsonPaths::WellKnown => 0,
            // At most eight paths: `Format` sees to it, and more would only be left out.
            JsonPaths::Given(paths) => u8::MAX >> 8_usize.saturating_sub(paths.len()).min(7),
        };
        Json {
            paths,
            open: Vec::new(),
            expected: Expected::Value,
            next: Place { alive, wanted: false },
            token: Token::None,
            text: Vec::new(),
            too_long: false,
            line: 1,
            reached: false,
        }
    }

    /// Whether there was anything at a wanted place, be it an empty array.
    pub(crate) fn reached(&self) -> bool {
        self.reached
    }

    /// Reads a block; hands every value at a wanted place to `each`.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Item<'_>) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        for byte in bytes {
            self.byte(*byte, &mut each)?;
            if *byte == b'\n' {
                self.line += 1;
            }
        }
        Ok(())
    }

    /// The end of the stream.
    pub(crate) fn finish(
        &mut self,
        mut each: impl FnMut(Item<'_>) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        if self.token == Token::Word {
            self.end_word(&mut each)?;
        }
        if self.token != Token::None || !self.open.is_empty() {
            return Err(self.wrong("unexpected end"));
        }
        Ok(())
    }

    fn byte(
        &mut self,
        byte: u8,
        each: &mut impl FnMut(Item<'_>) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        match self.token {
            Token::Text => match byte {
                b'"' => self.end_text(each)?,
                b'\\' => self.token = Token::Escape,
                _ => self.keep(byte),
            },
            Token::Escape => self.escape(byte)?,
            Token::Unicode(digits, value) => self.unicode(byte, digits, value)?,
            Token::Word => {
                if byte.is_ascii_alphanumeric() || b"+-.".contains(&byte) {
                    self.keep(byte);
                } else {
                    self.end_word(each)?;
                    self.between(byte, each)?;
                }
            }
            Token::None => self.between(byte, each)?,
        }
        Ok(())
    }

    /// A byte that is in no text, number or word.
    fn between(
        &mut self,
        byte: u8,
        each: &mut impl FnMut(Item<'_>) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        use Expected::{Colon, CommaOrEnd, Key, KeyOrEnd, Value, ValueOrEnd};
        let in_array = self.open.last().is_some_and(|frame| frame.is_array);
        match (byte, self.expected) {
            (b' ' | b'\t' | b'\r' | b'\n', _) => {}
            // At the top, only what can hold entries: a bare number or text is another format.
            (b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n', Value) if self.open.is_empty() => {
                return Err(self.wrong("it is not an object or array"));
            }
            (b'"', Value | ValueOrEnd | Key | KeyOrEnd) => self.begin(Token::Text),
            (b'{', Value | ValueOrEnd) => self.open(false, each)?,
            (b'[', Value | ValueOrEnd) => self.open(true, each)?,
            (b'}', KeyOrEnd) => self.close(),
            (b'}', CommaOrEnd) if !in_array && !self.open.is_empty() => self.close(),
            (b']', ValueOrEnd) => {
                self.reached |= self.next.wanted;
                self.close();
            }
            (b']', CommaOrEnd) if in_array => self.close(),
            (b':', Colon) => self.expected = Value,
            (b',', CommaOrEnd) if in_array => self.expect_element(Value),
            (b',', CommaOrEnd) => self.expected = Key,
            (b'-' | b'0'..=b'9' | b't' | b'f' | b'n', Value | ValueOrEnd) => {
                self.begin(Token::Word);
                self.keep(byte);
            }
            _ => return Err(self.wrong("unexpected character")),
        }
        Ok(())
    }

    fn begin(&mut self, token: Token) {
        self.token = token;
        self.text.clear();
        self.too_long = false;
    }

    fn keep(&mut self, byte: u8) {
        if self.text.len() < MAX_LEN {
            self.text.push(byte);
        } else {
            self.too_long = true;
        }
    }

    fn escape(&mut self, byte: u8) -> Result<(), FeedError> {
        self.token = Token::Text;
        match byte {
            b'"' | b'\\' | b'/' => self.keep(byte),
            b'b' | b'f' | b'n' | b'r' | b't' => self.keep(b' '),
            b'u' => self.token = Token::Unicode(0, 0),
            _ => return Err(self.wrong("unknown escape in a string")),
        }
        Ok(())
    }

    fn unicode(&mut self, byte: u8, digits: u8, value: u32) -> Result<(), FeedError> {
        let digit = char::from(byte)
            .to_digit(16)
            .ok_or_else(|| self.wrong("\\u without four hexadecimal digits"))?;
        let value = value * 16 + digit;
        self.token = Token::Unicode(digits + 1, value);
        if digits == 3 {
            self.token = Token::Text;
            // No entry and no key of a path needs more than ASCII.
            let ascii = u8::try_from(value).ok().filter(u8::is_ascii);
            self.keep(ascii.unwrap_or(b'?'));
        }
        Ok(())
    }

    fn end_text(
        &mut self,
        each: &mut impl FnMut(Item<'_>) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        self.token = Token::None;
        if matches!(self.expected, Expected::Key | Expected::KeyOrEnd) {
            self.next = self.under_key();
            self.reached |= self.next.wanted;
            self.expected = Expected::Colon;
            return Ok(());
        }
        self.reached |= self.next.wanted;
        if self.next.wanted && self.text != NOTHING_NEW {
            match entry::read(&self.text).filter(|_| !self.too_long) {
                Some(range) => each(Item::Entry(range))?,
                None => each(Item::Refused(self.line, &self.text))?,
            }
        }
        self.end_value();
        Ok(())
    }

    fn end_word(
        &mut self,
        each: &mut impl FnMut(Item<'_>) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        self.token = Token::None;
        let is_number =
            self.text.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte));
        if self.too_long
            || !(is_number || [&b"true"[..], b"false", b"null"].contains(&&self.text[..]))
        {
            return Err(self.wrong("a word other than a number, true, false or null"));
        }
        if self.next.wanted && self.text != b"null" {
            each(Item::Refused(self.line, &self.text))?;
        }
        self.end_value();
        Ok(())
    }

    fn open(
        &mut self,
        is_array: bool,
        each: &mut impl FnMut(Item<'_>) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        if self.open.len() == DEEPEST {
            return Err(self.wrong("it is nested too deep"));
        }
        let place = self.next;
        // A path that ends at an array or object finds no text there. What is under a well-known
        // key may be an array of texts, or mean something else.
        if place.wanted && matches!(self.paths, JsonPaths::Given(_)) {
            each(Item::Refused(self.line, if is_array { b"[" } else { b"{" }))?;
        }
        self.open.push(Frame { is_array, place });
        if is_array {
            self.expect_element(Expected::ValueOrEnd);
        } else {
            self.expected = Expected::KeyOrEnd;
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some(frame) = self.open.pop() {
            self.next = frame.place;
        }
        self.end_value();
    }

    fn end_value(&mut self) {
        self.expected = if self.open.is_empty() { Expected::Value } else { Expected::CommaOrEnd };
    }

    /// Where the next element of the innermost array is.
    fn expect_element(&mut self, expected: Expected) {
        self.expected = expected;
        let depth = self.open.len();
        let Some(frame) = self.open.last() else {
            return;
        };
        self.next = match &self.paths {
            JsonPaths::WellKnown => Place { alive: 0, wanted: depth == 1 || frame.place.wanted },
            JsonPaths::Given(paths) => {
                further(paths, frame.place, depth, |step| *step == Step::Each)
            }
        };
    }

    /// Where the value of the key just read is.
    fn under_key(&self) -> Place {
        let depth = self.open.len();
        let Some(frame) = self.open.last() else {
            return Place::default();
        };
        if self.too_long {
            return Place::default();
        }
        match &self.paths {
            JsonPaths::WellKnown => {
                Place { alive: 0, wanted: WELL_KNOWN.iter().any(|key| key.as_bytes() == self.text) }
            }
            JsonPaths::Given(paths) => further(paths, frame.place, depth, |step| match step {
                Step::Key(key) => key.as_bytes() == self.text,
                Step::AnyKey => true,
                Step::Each => false,
            }),
        }
    }

    fn wrong(&self, what: &'static str) -> FeedError {
        FeedError::Json { line: self.line, what }
    }
}

/// The paths of `place` whose step at `depth` (from 1) fits.
fn further(paths: &[JsonPath], place: Place, depth: usize, fits: impl Fn(&Step) -> bool) -> Place {
    let mut found = Place::default();
    for (number, path) in paths.iter().take(8).enumerate() {
        let bit = 1_u8 << number;
        let steps = path.steps();
        if place.alive & bit != 0 && steps.get(depth - 1).is_some_and(&fits) {
            found.alive |= bit;
            found.wanted |= steps.len() == depth;
        }
    }
    found
}

#[cfg(test)]
mod tests;
