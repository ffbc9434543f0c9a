//! An administrator's own patterns, for logs that are not read natively.
//!
//! `login failed for <ACCOUNT> from <ADDRESS>` is literal text with placeholders: `<ADDRESS>` is an IPv4 or IPv6
//! address, `<ACCOUNT>` and `<ANY>` are any text. A pattern ends where the line ends, unless `<ANY>` is its last
//! part; in front of it any text may stand, unless it begins with `^`. So what a client can write before the
//! address does not matter where the address ends the line.
//!
//! Where `<ADDRESS>` could stand for several addresses of a line, the line is doubtful. Reading takes time in
//! proportion to the line: there is no backtracking.

use std::fmt;
use std::str::FromStr;

use super::text::{Candidates, attempt, filled};
use super::{Attempt, MAX_LINE, Outcome, Reading, Service, stamp};

mod side;
#[cfg(test)]
mod tests;

use side::{Side, addresses};

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;

/// The fewest letters and digits that a pattern must have, so that it does not match any line.
const MIN_TEXT: usize = 4;

/// A pattern, ready to read lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As it was written.
    text: String,
    /// What stands before the address.
    head: Side,
    /// What stands behind the address.
    tail: Side,
}

impl Pattern {
    /// What a line says, without its line break: a wrong password from the address, of a service that is not
    /// known. `None` where the pattern does not match. A line longer than [`MAX_LINE`] matches nothing.
    pub fn read<'a>(&self, line: &'a [u8]) -> Option<Reading<'a>> {
        if line.len() > MAX_LINE {
            return None;
        }
        let earliest = self.head.earliest_end(line)?;
        let latest = self.tail.latest_begin(line)?;
        let mut candidates = Candidates::default();
        let mut place = None;
        for (begin, end, source) in addresses(line) {
            let (before, behind) = (line.get(..begin)?, line.get(end..)?);
            if self.head.ends(before, earliest) && self.tail.begins(behind, line.len(), latest) {
                candidates.add(source, None);
                place.get_or_insert((begin, end));
            }
        }
        let (begin, end) = place?;
        let stamp = stamp::any(line).map(|(stamp, _)| stamp);
        Some(match candidates.only(stamp, Service::Other, line)? {
            Ok((source, _)) => Reading::Attempt(Attempt {
                stamp,
                account: self.account(line.get(..begin)?, line.get(end..)?),
                ..attempt(source, Service::Other, Outcome::WrongPassword)
            }),
            Err(doubtful) => doubtful,
        })
    }

    /// What `<ACCOUNT>` stands for.
    fn account<'a>(&self, before: &'a [u8], behind: &'a [u8]) -> Option<&'a [u8]> {
        let account = self.head.account_before(before).or_else(|| self.tail.account_behind(behind));
        filled(account?)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Too long.
    #[error("the pattern is too long: {0} bytes, at most {MAX_PATTERN} are possible")]
    TooLong(usize),
    /// A placeholder that is not known.
    #[error(
        "at character {at}: \"{name}\" is not a placeholder; known placeholders: <ADDRESS>, <ACCOUNT>, <ANY>"
    )]
    Unknown {
        /// Where it begins, counted from 1.
        at: usize,
        /// As written, shortened.
        name: String,
    },
    /// A placeholder that may stand there once only.
    #[error("at character {at}: {name} occurs twice in the pattern; only once is possible")]
    Twice {
        /// Where the second begins, counted from 1.
        at: usize,
        /// `<ADDRESS>` or `<ACCOUNT>`.
        name: &'static str,
    },
    /// No `<ADDRESS>`.
    #[error("the pattern has no <ADDRESS>; put it where the client's address appears in the line")]
    NoAddress,
    /// Nearly no text.
    #[error(
        "the pattern has fewer than {MIN_TEXT} letters and digits besides its placeholders, so it would match nearly every line; include more of the line"
    )]
    NoText,
    /// A line break or the like.
    #[error("at character {at}: a pattern cannot contain control characters")]
    Control {
        /// Where, counted from 1.
        at: usize,
    },
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Pattern, PatternError> {
        if text.len() > MAX_PATTERN {
            return Err(PatternError::TooLong(text.len()));
        }
        if let Some(at) = text.chars().position(char::is_control) {
            return Err(PatternError::Control { at: at + 1 });
        }
        let (body, begins_line) = match text.strip_prefix('^') {
            Some(body) => (body, true),
            None => (text, false),
        };
        let mut builder = Builder::new(begins_line);
        let mut rest = body;
        while let Some(next) = rest.chars().next() {
            let at = text.chars().count() - rest.chars().count() + 1;
            rest = if let Some((name, behind)) = placeholder(rest) {
                builder.placeholder(name, at)?;
                behind
            } else {
                builder.literal(next);
                rest.get(next.len_utf8()..).unwrap_or_default()
            };
        }
        builder.finish(text)
    }
}

/// `<NAME>` in capitals at the beginning of a text, and what follows. Anything else in angle brackets is text.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let end = text.strip_prefix('<')?.find('>')?;
    let (name, rest) = text.split_at_checked(end + 2)?;
    let inner = name.get(1..name.len() - 1)?;
    let is_name = !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_uppercase());
    is_name.then_some((name, rest))
}

/// A pattern while it is read.
struct Builder {
    head: Option<Side>,
    side: Side,
    has_account: bool,
    letters: usize,
}

impl Builder {
    fn new(begins_line: bool) -> Builder {
        let mut side = Side::default();
        if !begins_line {
            side.wildcard(false);
        }
        Builder { head: None, side, has_account: false, letters: 0 }
    }

    fn literal(&mut self, character: char) {
        self.letters += usize::from(character.is_alphanumeric());
        self.side.literal(character);
    }

    fn placeholder(&mut self, name: &str, at: usize) -> Result<(), PatternError> {
        match name {
            "<ADDRESS>" if self.head.is_some() => {
                return Err(PatternError::Twice { at, name: "<ADDRESS>" });
            }
            "<ADDRESS>" => self.head = Some(std::mem::take(&mut self.side)),
            "<ACCOUNT>" if self.has_account => {
                return Err(PatternError::Twice { at, name: "<ACCOUNT>" });
            }
            "<ACCOUNT>" => {
                self.has_account = true;
                self.side.wildcard(true);
            }
            "<ANY>" => self.side.wildcard(false),
            _ => {
                let name = name.chars().take(40).collect();
                return Err(PatternError::Unknown { at, name });
            }
        }
        Ok(())
    }

    fn finish(self, text: &str) -> Result<Pattern, PatternError> {
        let head = self.head.ok_or(PatternError::NoAddress)?;
        if self.letters < MIN_TEXT {
            return Err(PatternError::NoText);
        }
        Ok(Pattern { text: text.to_owned(), head, tail: self.side })
    }
}
