//! Published lists of bad networks, in the formats they come in.
//!
//! A [`Reader`] takes a list block by block as it arrives and never holds more of it than one
//! line; what it keeps are the ranges, bounded by a limit of the caller's.

mod csv;
mod detect;
mod entry;
mod format;
mod json;
mod plain;

pub use format::{Column, Format, JsonPath, JsonPaths};
pub(crate) use plain::{Found, line as plain_line};

use crate::address::AddrRange;
use crate::lines::{Line, Lines, without_byte_order_mark};
use crate::ranges::RangeList;
use crate::sniff::{self, NotAList};
use crate::tally::Tally;
use csv::{Csv, MAX_ROW_LEN, Row};
use json::{Item, Json};

/// The longest line of a text list. What is behind is lost, and the line refused.
pub(crate) const MAX_LINE_LEN: usize = 4096;
/// So many refused lines without a single entry are enough to know that this is no list.
const HOPELESS: u64 = 10_000;

/// A list that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The entries in the order of the list, not merged.
    pub ranges: RangeList,
    /// How many lines could be read, and what could not.
    pub tally: Tally,
    /// The format that was read: the one found out where [`Format::Auto`] was asked for.
    pub format: Format,
}

/// Why a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// It is something else.
    #[error(transparent)]
    NotAList(#[from] NotAList),
    /// It holds more entries than the caller allows.
    #[error("the list has more than {limit} entries; raise the limit if that is expected")]
    TooMany {
        /// The caller's limit.
        limit: usize,
    },
    /// It has lines, but none is an entry.
    #[error(
        "none of the {lines} lines read is an address or network (first: \"{sample}\"); check the address, the key and the format"
    )]
    NothingUsable {
        /// How many lines were read.
        lines: u64,
        /// The first of them.
        sample: String,
    },
    /// The JSON is sound, but there is nothing at the path.
    #[error(
        "nothing found at the path of the format \"{format}\"; check where the addresses are in the list"
    )]
    NothingAtPath {
        /// The format with its path.
        format: String,
    },
    /// A table without the wanted column.
    #[error("the table has no column \"{name}\"; its first row is \"{seen}\"")]
    NoColumn {
        /// The heading looked for.
        name: String,
        /// The first row.
        seen: String,
    },
    /// A table's row is longer than any real one.
    #[error("line {line} of the table is longer than 64 KiB; this is not a table of addresses")]
    LongRow {
        /// Its number.
        line: u64,
    },
    /// A quoted text that does not end.
    #[error("unterminated quoted text in the table (line {line}); the list is damaged or cut off")]
    OpenQuote {
        /// Where it was given up.
        line: u64,
    },
    /// The JSON is damaged.
    #[error("invalid or truncated JSON: {what} (line {line})")]
    Json {
        /// Where.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A format's name that is not known.
    #[error(
        "unknown format \"{0}\"; use auto, plain, csv, csv:COLUMN, json or json:PATH, e.g. json:prefixes[].ip_prefix"
    )]
    Format(String),
}

/// Reads a whole list. `limit` is the most entries it may have.
///
/// # Errors
/// See [`FeedError`].
pub fn parse(bytes: &[u8], format: &Format, limit: usize) -> Result<Parsed, FeedError> {
    let mut reader = Reader::new(format.clone(), limit);
    reader.push(bytes)?;
    reader.finish()
}

/// Reads a list as it arrives.
///
/// After an error the list is to be given up: what is pushed later gives an error or nothing.
#[derive(Debug)]
pub struct Reader {
    format: Format,
    limit: usize,
    head: Vec<u8>,
    body: Option<Body>,
    ranges: RangeList,
    tally: Tally,
}

#[derive(Debug)]
enum Body {
    Plain(Lines),
    Csv(Lines, Csv),
    Json(Json),
}

impl Reader {
    /// A reader of `format` that takes at most `limit` entries.
    pub fn new(format: Format, limit: usize) -> Reader {
        Reader {
            format,
            limit,
            head: Vec::new(),
            body: None,
            ranges: RangeList::new(),
            tally: Tally::default(),
        }
    }

    /// Reads the next block.
    ///
    /// # Errors
    /// As soon as it is plain that this is no list or one with too many entries: the rest need
    /// not be fetched.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FeedError> {
        if self.body.is_some() {
            return self.read(bytes);
        }
        let room = sniff::HEAD.saturating_sub(self.head.len());
        let (head, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.head.extend_from_slice(head);
        if self.head.len() < sniff::HEAD {
            return Ok(());
        }
        self.begin(false)?;
        self.read(rest)
    }

    /// The end of the list.
    ///
    /// # Errors
    /// See [`FeedError`].
    pub fn finish(mut self) -> Result<Parsed, FeedError> {
        if self.body.is_none() {
            self.begin(true)?;
        }
        let mut sink = Sink { limit: self.limit, ranges: &mut self.ranges, tally: &mut self.tally };
        match &mut self.body {
            None => {}
            Some(Body::Plain(lines)) => lines.finish(|line| sink.plain(line))?,
            Some(Body::Csv(lines, csv)) => {
                let mut last = 0;
                lines.finish(|line| {
                    last = line.number;
                    sink.row(csv, line)
                })?;
                csv.finish(last)?;
            }
            Some(Body::Json(json)) => {
                json.finish(|item| sink.item(item))?;
                if !json.reached() {
                    return Err(FeedError::NothingAtPath { format: self.format.to_string() });
                }
            }
        }
        if self.ranges.is_empty() && self.tally.refused > 0 {
            return Err(self.hopeless());
        }
        Ok(Parsed { ranges: self.ranges, tally: self.tally, format: self.format })
    }

    /// Looks at the head, and starts to read.
    fn begin(&mut self, whole: bool) -> Result<(), FeedError> {
        let head = std::mem::take(&mut self.head);
        if let Some(other) = sniff::not_a_list(&head, whole) {
            return Err(other.into());
        }
        if self.format == Format::Auto {
            self.format = detect::format(without_byte_order_mark(&head));
        }
        self.body = Some(match &self.format {
            Format::Auto | Format::Plain => Body::Plain(Lines::new(MAX_LINE_LEN)),
            Format::Csv { column, separator } => {
                Body::Csv(Lines::new(MAX_ROW_LEN), Csv::new(column.clone(), *separator))
            }
            Format::Json(paths) => Body::Json(Json::new(paths.clone())),
        });
        match self.body {
            Some(Body::Json(_)) => self.read(without_byte_order_mark(&head)),
            _ => self.read(&head),
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), FeedError> {
        let mut sink = Sink { limit: self.limit, ranges: &mut self.ranges, tally: &mut self.tally };
        match &mut self.body {
            None => {}
            Some(Body::Plain(lines)) => lines.push(bytes, |line| sink.plain(line))?,
            Some(Body::Csv(lines, csv)) => lines.push(bytes, |line| sink.row(csv, line))?,
            Some(Body::Json(json)) => json.push(bytes, |item| sink.item(item))?,
        }
        if self.ranges.is_empty() && self.tally.refused >= HOPELESS {
            return Err(self.hopeless());
        }
        Ok(())
    }

    fn hopeless(&self) -> FeedError {
        FeedError::NothingUsable { lines: self.tally.lines, sample: self.tally.first_sample() }
    }
}

/// Where entries and refusals go.
struct Sink<'a> {
    limit: usize,
    ranges: &'a mut RangeList,
    tally: &'a mut Tally,
}

impl Sink<'_> {
    fn plain(&mut self, line: Line<'_>) -> Result<(), FeedError> {
        match plain_line(line.text) {
            Found::Nothing => {}
            Found::Entry(range) if !line.too_long => self.entry(range)?,
            Found::Entry(_) | Found::Refused => self.tally.refuse(line.number, line.text),
        }
        Ok(())
    }

    fn row(&mut self, csv: &mut Csv, line: Line<'_>) -> Result<(), FeedError> {
        if line.too_long {
            return Err(FeedError::LongRow { line: line.number });
        }
        match csv.line(line.number, line.text)? {
            Row::Nothing => {}
            Row::Entry(range) => self.entry(range)?,
            Row::Refused => self.tally.refuse(line.number, line.text),
        }
        Ok(())
    }

    fn item(&mut self, item: Item<'_>) -> Result<(), FeedError> {
        match item {
            Item::Entry(range) => self.entry(range)?,
            Item::Refused(line, text) => self.tally.refuse(line, text),
        }
        Ok(())
    }

    fn entry(&mut self, range: AddrRange) -> Result<(), FeedError> {
        if self.ranges.len() >= self.limit {
            return Err(FeedError::TooMany { limit: self.limit });
        }
        self.ranges.push(range);
        self.tally.accept();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
