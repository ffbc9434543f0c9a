//! One form of date: an expression with fields such as `%Y`, and how a match becomes a moment.

use super::super::pattern::{Exhausted, Pattern, Places};
use super::fields;
use crate::log::Stamp;

/// What kind of number or text a match is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Named groups, one a field.
    Fields,
    /// Seconds since 1970; the group that has them.
    Epoch { group: usize, long: bool },
    /// An `@` and 24 hexadecimal digits.
    Tai64n,
}

/// One form of date.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// What it is made of: templates with the same are the same.
    pub(super) name: String,
    pattern: Pattern,
    kind: Kind,
    /// It matches at the start of a line or its end only.
    pub(super) anchored: bool,
    pub(super) at_line_start: bool,
}

/// A date in a line.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Where the whole expression matched.
    pub(super) whole: std::ops::Range<usize>,
    /// The part that is the date, which is cut out.
    pub(super) date: std::ops::Range<usize>,
    pub(super) stamp: Option<Stamp>,
}

/// Where an expression has to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Anywhere,
    Word,
    Line,
}

const EPOCH: &str = r"\d{10,11}\b(?:\.\d{3,6})?";
const LONG_EPOCH: &str = r"\d{10,11}(?:\d{3}(?:\.\d{1,6}|\d{3})?)?";

impl Template {
    /// Reads a date pattern.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let upper = text.to_uppercase();
        let (plain, at_line) =
            match upper.strip_prefix("{^LN-BEG}").or_else(|| upper.strip_prefix('^')) {
                Some(rest) => (rest, true),
                None => (upper.as_str(), false),
            };
        match plain {
            "EPOCH" | "LEPOCH" if !text.contains('%') => {
                return Self::epoch(text, at_line, plain == "LEPOCH");
            }
            "TAI64N" if !text.contains('%') => {
                let begin = if at_line { Begin::Line } else { Begin::Anywhere };
                return Self::build(text, "@[0-9a-f]{24}", begin, true, Kind::Tai64n);
            }
            _ => {}
        }
        if let Some(epoch) = Self::epoch_inside(text, &upper) {
            return epoch;
        }
        let (text, begin, end) = if let Some(rest) = text.strip_prefix("{UNB}") {
            (rest, Begin::Anywhere, false)
        } else if let Some(rest) = text.strip_prefix("{^LN-BEG}") {
            (rest, Begin::Line, true)
        } else {
            (text, Begin::Word, true)
        };
        let (expression, has_names) = fields::expand(text)?;
        let expression = if has_names { format!("(?i){expression}") } else { expression };
        let name =
            if begin == Begin::Line { format!("{{^LN-BEG}}{text}") } else { text.to_owned() };
        Self::build(&name, &expression, begin, end, Kind::Fields)
    }

    fn epoch(name: &str, at_line: bool, long: bool) -> Result<Self, String> {
        let digits = if long { LONG_EPOCH } else { EPOCH };
        let kind = Kind::Epoch { group: 1, long };
        if at_line {
            let text = format!(r"((?P<square>(?<=^\[))?{digits})(?(square)(?=\]))");
            return Self::build(name, &text, Begin::Line, true, kind);
        }
        let text = format!(
            r"((?:^|(?P<square>(?<=^\[))|(?P<selinux>(?<=\baudit\()))({digits}))(?:(?(selinux)(?=:\d+\)))|(?(square)(?=\])))"
        );
        Self::build(name, &text, Begin::Anywhere, true, kind)
    }

    /// A pattern that contains `{EPOCH}`.
    fn epoch_inside(text: &str, upper: &str) -> Option<Result<Self, String>> {
        let (mark, long) =
            if upper.contains("{LEPOCH}") { ("{LEPOCH}", true) } else { ("{EPOCH}", false) };
        let at = upper.find(mark).filter(|_| upper.len() == text.len())?;
        let (before, after) = (text.get(..at)?, text.get(at + mark.len()..)?);
        let digits = if long { LONG_EPOCH } else { EPOCH };
        let expression = format!("{before}({digits}){after}");
        let expression = if has_plain_group(text) { expression } else { format!("({expression})") };
        Some(Self::build(text, &expression, Begin::Word, true, Kind::Epoch { group: 2, long }))
    }

    fn build(
        name: &str,
        expression: &str,
        begin: Begin,
        end: bool,
        kind: Kind,
    ) -> Result<Self, String> {
        let expression = expression.trim();
        let (flags, mut text) = match expression.strip_prefix("(?i)") {
            Some(rest) => ("(?i)", rest.to_owned()),
            None => ("", expression.to_owned()),
        };
        let bound_begin = begin != Begin::Anywhere && !begins_bound(&text);
        let bound_end = end && !ends_bound(&text);
        if !has_plain_group(&text) {
            text = grouped(&text);
        }
        let at_line_start = (bound_begin && begin == Begin::Line)
            || text.starts_with('^')
            || starts_with_line(&text);
        let at_line_end = text.ends_with('$') || text.ends_with("$)");
        if bound_begin {
            text = if begin == Begin::Line {
                format!(r"^(?:\W{{0,2}})?{text}")
            } else {
                format!(r"(?=^|\b|\W){text}")
            };
        }
        if bound_end {
            text.push_str(r"(?=\b|\W|$)");
        }
        let text = without_stars(&text);
        let pattern = Pattern::small(&format!("{flags}{text}"))?;
        let anchored = at_line_start || at_line_end;
        Ok(Self { name: name.to_owned(), pattern, kind, anchored, at_line_start })
    }

    /// Looks for the date in a line.
    pub(super) fn find(&self, line: &[u8], steps: &mut usize) -> Result<Option<Found>, Exhausted> {
        let Some(places) = self.pattern.find(line, steps)? else { return Ok(None) };
        let (Some(whole), Some(date)) =
            (places.range(0), places.range(1).or_else(|| places.range(0)))
        else {
            return Ok(None);
        };
        let stamp = self.stamp(line, &places);
        Ok(Some(Found { whole, date, stamp }))
    }

    fn stamp(&self, line: &[u8], places: &Places) -> Option<Stamp> {
        let text = |group| places.range(group).and_then(|range| line.get(range));
        match self.kind {
            Kind::Epoch { group, long } => fields::from_epoch(text(group)?, long),
            Kind::Tai64n => fields::from_tai64n(text(1)?),
            Kind::Fields => {
                let fields =
                    self.pattern.groups().filter_map(|(name, group)| Some((name, text(group)?)));
                fields::from_fields(fields)
            }
        }
    }
}

/// Whether an expression has a group that captures without a name.
fn has_plain_group(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut escaped = false;
    bytes.iter().enumerate().any(|(at, byte)| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'\\' => escaped = true,
            b'(' => {
                let condition = text.get(..at).is_some_and(|before| before.ends_with("(?"));
                return bytes.get(at + 1) != Some(&b'?') && !condition;
            }
            _ => {}
        }
        false
    })
}

/// Makes the whole a group, the signs for the line's ends outside.
fn grouped(text: &str) -> String {
    let (start, text) = match text.strip_prefix('^') {
        Some(rest) => ("^", rest),
        None => ("", text),
    };
    let (text, end) = match text.strip_suffix('$') {
        Some(rest) => (rest, "$"),
        None => (text, ""),
    };
    format!("{start}({text}){end}")
}

/// Whether it says itself where it begins: `^`, `**`, or a group that begins with `^`.
fn begins_bound(text: &str) -> bool {
    let inside = text.trim_start_matches('(');
    let group = inside.len() < text.len();
    inside.starts_with('^') || inside.starts_with("**") || (group && inside.starts_with("?:^"))
}

fn starts_with_line(text: &str) -> bool {
    let inside = text.strip_prefix("(?:^").or_else(|| text.strip_prefix("(^"));
    inside.is_some_and(|rest| !rest.starts_with('|'))
}

/// Whether it says itself where it ends.
fn ends_bound(text: &str) -> bool {
    if text.trim_end_matches(')').ends_with("**") {
        return true;
    }
    [r"\b", r"\s"].iter().any(|end| text.ends_with(end))
        || text.ends_with('$')
        || text.ends_with("$)")
}

/// Removes the marks `**` at both ends.
fn without_stars(text: &str) -> String {
    let inside = text.trim_start_matches('(');
    let brackets = text.get(..text.len() - inside.len()).unwrap_or_default();
    let text = match inside.strip_prefix("**") {
        Some(rest) => format!("{brackets}{rest}"),
        None => text.to_owned(),
    };
    let inside = text.trim_end_matches(')');
    match inside.strip_suffix("**") {
        Some(rest) => format!("{rest}{}", text.get(inside.len()..).unwrap_or_default()),
        None => text,
    }
}
