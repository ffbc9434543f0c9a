//! Which format a list is in, from its first bytes.

use super::csv::Fields;
use super::entry;
use super::format::SEPARATORS;
use super::format::{Column, Format, JsonPaths};
use super::plain::{self, Found};

/// How many lines with something in them are looked at.
const MAX_LINES: usize = 20;

/// The likeliest format of a text that begins with `head`.
///
/// The form with the most entries in the first lines wins; the simpler one where they are even.
pub(crate) fn format(head: &[u8]) -> Format {
    if is_json(head.trim_ascii_start()) {
        return Format::Json(JsonPaths::WellKnown);
    }
    let lines = || {
        let lines = head.split(|byte| matches!(byte, b'\n' | b'\r'));
        let is_comment = |line: &[u8]| line.starts_with(b"#") || line.starts_with(b"//");
        lines
            .map(<[u8]>::trim_ascii)
            .filter(move |line| !line.is_empty() && !is_comment(line))
            .take(MAX_LINES)
    };
    let plain = lines().filter(|line| matches!(plain::line(line), Found::Entry(_))).count();
    let mut best = (plain, Format::Plain);
    for separator in SEPARATORS {
        let rows = lines()
            .filter(|line| Fields::new(line, separator).any(|field| entry::read(field).is_some()))
            .count();
        if rows > best.0 {
            let column = Column::First;
            let separator = Some(separator);
            best = (rows, Format::Csv { column, separator });
        }
    }
    best.1
}

/// An object, or an array of something; `[2001:db8::1]:5060` is neither.
fn is_json(text: &[u8]) -> bool {
    let Some(inside) = text.strip_prefix(b"[") else {
        return text.starts_with(b"{");
    };
    matches!(inside.trim_ascii_start().first(), Some(b'"' | b'{' | b'[' | b']'))
}
