//! Tables with separators: one column of each row holds the entry.
//!
//! Quotes are followed across line ends, so that a quoted text cannot forge a row. A heading may
//! be the first row or, as abuse.ch writes it, a comment.

use super::FeedError;
use super::entry;
use super::format::{Column, SEPARATORS};
use crate::address::AddrRange;
use crate::tally::printable;

/// The longest row; a longer one is an error, because quotes could not be followed.
pub(crate) const MAX_ROW_LEN: usize = 64 * 1024;
/// How many lines a quoted text may span.
const MAX_LINES_IN_QUOTES: u32 = 100;

/// What a row holds.
pub(crate) enum Row {
    /// A comment, a blank line, a heading, the inside of a quoted text.
    Nothing,
    /// An entry.
    Entry(AddrRange),
    /// The column is missing or holds no entry.
    Refused,
}

/// Follows the rows of a table.
#[derive(Debug)]
pub(crate) struct Csv {
    wanted: Column,
    separator: Option<u8>,
    /// The column counted from 0, once it is known.
    index: Option<usize>,
    rows: u64,
    lines_in_quotes: u32,
}

impl Csv {
    pub(crate) fn new(wanted: Column, separator: Option<u8>) -> Csv {
        let index = match &wanted {
            Column::Number(number) => Some(number.saturating_sub(1)),
            Column::Name(_) | Column::First => None,
        };
        Csv { wanted, separator, index, rows: 0, lines_in_quotes: 0 }
    }

    /// Reads one line, which is a row or a part of one.
    pub(crate) fn line(&mut self, number: u64, text: &[u8]) -> Result<Row, FeedError> {
        if self.lines_in_quotes > 0 {
            return self.inside_quotes(number, text);
        }
        // The row itself is not trimmed: a tab at its start is an empty first column.
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() {
            return Ok(Row::Nothing);
        }
        if trimmed.starts_with(b"#") || trimmed.starts_with(b"//") {
            if self.index.is_none() && self.rows == 0 {
                self.find_heading(behind_markers(trimmed), 2);
            }
            return Ok(Row::Nothing);
        }
        self.rows += 1;
        let separator = *self.separator.get_or_insert_with(|| likely_separator(text));
        let row = Fields::new(text, separator);
        if row.ends_in_quotes() {
            self.lines_in_quotes = 1;
        }
        if self.rows == 1 && self.find_heading(text, 1) {
            return Ok(Row::Nothing);
        }
        if self.index.is_none() {
            if let Column::Name(name) = &self.wanted {
                return Err(FeedError::NoColumn { name: name.clone(), seen: printable(text) });
            }
            self.index = row.clone().position(|field| entry::read(field).is_some());
        }
        let field = self.index.and_then(|index| row.clone().nth(index));
        Ok(match field.and_then(entry::read) {
            Some(range) => Row::Entry(range),
            // The first row of a table is usually a heading.
            None if self.rows == 1 => Row::Nothing,
            None => Row::Refused,
        })
    }

    /// The end of the table.
    pub(crate) fn finish(&self, number: u64) -> Result<(), FeedError> {
        match self.lines_in_quotes {
            0 => Ok(()),
            _ => Err(FeedError::OpenQuote { line: number }),
        }
    }

    /// Whether `text` is a row of at least `fewest` headings with the one that is looked for.
    fn find_heading(&mut self, text: &[u8], fewest: usize) -> bool {
        let Column::Name(name) = &self.wanted else {
            return false;
        };
        let separator = self.separator.unwrap_or_else(|| likely_separator(text));
        let headings = Fields::new(text, separator);
        let found = headings
            .clone()
            .position(|heading| heading.eq_ignore_ascii_case(name.as_bytes()))
            .filter(|_| headings.count() >= fewest);
        self.index = found.or(self.index);
        found.is_some()
    }

    fn inside_quotes(&mut self, number: u64, text: &[u8]) -> Result<Row, FeedError> {
        // Quotes come in pairs within a quoted text; an odd one ends it or begins the next.
        if odd_quotes(text) {
            self.lines_in_quotes = 0;
        } else {
            self.lines_in_quotes += 1;
        }
        if self.lines_in_quotes > MAX_LINES_IN_QUOTES {
            return Err(FeedError::OpenQuote { line: number });
        }
        Ok(Row::Nothing)
    }
}

/// The separator that stands most often in a row, outside quotes.
fn likely_separator(text: &[u8]) -> u8 {
    let mut counts = [0_u32; SEPARATORS.len()];
    let mut quoted = false;
    for byte in text {
        if *byte == b'"' {
            quoted = !quoted;
        } else if !quoted
            && let Some(at) = SEPARATORS.iter().position(|separator| separator == byte)
            && let Some(count) = counts.get_mut(at)
        {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or_default();
    let at = counts.iter().position(|count| *count == most);
    at.and_then(|at| SEPARATORS.get(at)).copied().unwrap_or(b',')
}

/// The fields of a row, without the quotes around them. A field that does not end is left out.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(row: &'a [u8], separator: u8) -> Fields<'a> {
        Fields { rest: Some(row), separator }
    }

    /// Whether the row's last quoted text goes on in the next line.
    fn ends_in_quotes(&self) -> bool {
        self.rest.is_some_and(odd_quotes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let mut quoted = false;
        for (at, byte) in rest.iter().copied().enumerate() {
            if byte == b'"' {
                quoted = !quoted;
            } else if byte == self.separator && !quoted {
                self.rest = rest.get(at + 1..);
                return rest.get(..at).map(unquote);
            }
        }
        (!quoted).then(|| unquote(rest))
    }
}

fn unquote(field: &[u8]) -> &[u8] {
    let field = field.trim_ascii();
    field.strip_prefix(b"\"").and_then(|field| field.strip_suffix(b"\"")).unwrap_or(field)
}

/// Whether a quoted text begins or ends in `text` without its other end.
fn odd_quotes(text: &[u8]) -> bool {
    text.iter().fold(false, |odd, byte| odd ^ (*byte == b'"'))
}

/// A comment without its markers.
fn behind_markers(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !b"#/ ".contains(byte));
    start.and_then(|start| text.get(start..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(column: &str, rows: &[&str], expected: &[&str]) {
        let format: super::super::Format = format!("csv:{column}").parse().unwrap();
        let super::super::Format::Csv { column, separator } = format else {
            panic!("not CSV");
        };
        let mut csv = Csv::new(column, separator);
        let mut seen = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            match csv.line(number as u64 + 1, row.as_bytes()) {
                Ok(Row::Nothing) => {}
                Ok(Row::Refused) => seen.push("refused".to_owned()),
                Ok(Row::Entry(range)) => seen.push(range.to_string()),
                Err(error) => seen.push(error.to_string()),
            }
        }
        assert_eq!(seen, expected, "{rows:?}");
    }

    #[test]
    fn columns() {
        check("1", &["192.0.2.1,x", "192.0.2.2,y"], &["192.0.2.1", "192.0.2.2"]);
        check("2", &["when,ip", "1,192.0.2.2", "2"], &["192.0.2.2", "refused"]);
        check("IP", &["when;ip", "1;192.0.2.2"], &["192.0.2.2"]);
        check("ip", &["\"when\",\"ip\"", "\"1\", \"192.0.2.2\""], &["192.0.2.2"]);
        check("ip:tab", &["a,b\tip", "x,y\t192.0.2.2"], &["192.0.2.2"]);
        check("2:tab", &["a\tb", "\t192.0.2.2"], &["192.0.2.2"]);
        check(":|", &["x|192.0.2.1|192.0.2.2", "y|192.0.2.3|z"], &["192.0.2.1", "192.0.2.3"]);
        check(
            "dst_ip",
            &["# ip", "# first_seen,dst_ip,port", "# END", "1,192.0.2.2,80"],
            &["192.0.2.2"],
        );
    }

    #[test]
    fn quoted_text_forges_nothing() {
        check(
            "1",
            &[
                "192.0.2.1,\"Mozilla",
                "198.51.100.9,forged",
                "end\",x",
                "192.0.2.2,\"a, \"\"b\"\"\"",
                "\"192.0.2.3\",x",
            ],
            &["192.0.2.1", "192.0.2.2", "192.0.2.3"],
        );
        check("2", &["x,\"192.0.2.1", "192.0.2.9,198.51.100.1\""], &[]);
    }

    #[test]
    fn a_missing_column_is_said() {
        let mut csv = Csv::new(Column::Name("ip".to_owned()), None);
        let error = csv.line(1, b"when,who").err().unwrap().to_string();
        assert!(error.contains("\"ip\"") && error.contains("when,who"), "{error}");
    }

    #[test]
    fn quotes_that_never_end_are_an_error() {
        let mut csv = Csv::new(Column::Number(1), None);
        assert!(matches!(csv.line(1, b"192.0.2.1,\"x"), Ok(Row::Entry(_))));
        assert!(csv.finish(1).is_err());
        let last = (2..200).map(|number| csv.line(number, b"192.0.2.2")).last();
        assert!(matches!(last, Some(Err(FeedError::OpenQuote { .. }))));
    }
}
