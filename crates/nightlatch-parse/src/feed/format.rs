//! The formats of lists, as they are named in a configuration.

use std::fmt;
use std::str::FromStr;

use super::FeedError;
use crate::tally::printable;

/// The separators that are tried, the likeliest first.
pub(crate) const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// The longest name of a format.
const MAX_LEN: usize = 400;
/// The most paths one format may name.
const MAX_PATHS: usize = 8;
/// The most steps of one path.
const MAX_STEPS: usize = 32;

/// How a list is written.
///
/// As text: `auto`, `plain`, `csv` (the first column that holds an address), `csv:2`,
/// `csv:dst_ip`, `csv:dst_ip:tab` (separators `,` `;` `|` `tab`), `json` (well-known keys),
/// `json:prefixes[].ip_prefix,ipv6_prefixes[].ipv6_prefix`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Found out from the first 4096 bytes.
    #[default]
    Auto,
    /// An entry a line.
    Plain,
    /// A table with one column of entries.
    Csv {
        /// Which column.
        column: Column,
        /// The separator; `None` takes the likeliest of `,` `;` tab `|`.
        separator: Option<u8>,
    },
    /// JSON, or one JSON value a line.
    Json(JsonPaths),
}

/// Which column of a table holds the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// The first that holds an address in the first row that has one.
    First,
    /// By number, from 1.
    Number(usize),
    /// By its heading; upper and lower case are the same.
    Name(String),
}

/// Where the entries of a JSON document are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonPaths {
    /// Under keys that are well known for it (`cidr`, `ip`, `ipaddress`, `ip_prefix`, ...), or in
    /// an array at the top.
    WellKnown,
    /// At one of these paths; at most 8.
    Given(Vec<JsonPath>),
}

/// The way from the top of a JSON value to a text: `prefixes[].ip_prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The value of a key.
    Key(String),
    /// The value of any key: `*`.
    AnyKey,
    /// Every element of an array: `[]`.
    Each,
}

impl JsonPath {
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl FromStr for Format {
    type Err = FeedError;

    fn from_str(text: &str) -> Result<Format, FeedError> {
        let text = text.trim();
        let (kind, rest) = match text.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (text, None),
        };
        let wrong = || FeedError::Format(printable(text.as_bytes()));
        // It is shown in messages, and no heading or key needs more.
        if text.len() > MAX_LEN || text.chars().any(char::is_control) {
            return Err(wrong());
        }
        match (kind, rest) {
            ("auto", None) => Ok(Format::Auto),
            ("plain", None) => Ok(Format::Plain),
            ("csv", None) => Ok(Format::Csv { column: Column::First, separator: None }),
            ("csv", Some(rest)) => csv(rest).ok_or_else(wrong),
            ("json", None) => Ok(Format::Json(JsonPaths::WellKnown)),
            ("json", Some(rest)) => {
                let paths: Option<Vec<JsonPath>> = rest.split(',').map(path).collect();
                paths
                    .filter(|paths| paths.len() <= MAX_PATHS)
                    .map(|paths| Format::Json(JsonPaths::Given(paths)))
                    .ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::Auto => f.write_str("auto"),
            Format::Plain => f.write_str("plain"),
            Format::Csv { column, separator } => {
                let separator = match separator {
                    None => String::new(),
                    Some(b'\t') => ":tab".to_owned(),
                    Some(byte) => format!(":{}", char::from(*byte)),
                };
                match column {
                    Column::First if separator.is_empty() => f.write_str("csv"),
                    Column::First => write!(f, "csv:{separator}"),
                    Column::Number(number) => write!(f, "csv:{number}{separator}"),
                    Column::Name(name) => write!(f, "csv:{name}{separator}"),
                }
            }
            Format::Json(JsonPaths::WellKnown) => f.write_str("json"),
            Format::Json(JsonPaths::Given(paths)) => {
                let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
                write!(f, "json:{}", paths.join(","))
            }
        }
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A first key that is "$" itself would be taken for the top.
        if self.0.first() == Some(&Step::Key("$".to_owned())) {
            f.write_str("$.")?;
        }
        for (at, step) in self.0.iter().enumerate() {
            let dot = if at > 0 { "." } else { "" };
            match step {
                Step::Key(key) => write!(f, "{dot}{key}")?,
                Step::AnyKey => write!(f, "{dot}*")?,
                Step::Each => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

fn csv(text: &str) -> Option<Format> {
    let (column, separator) = match text.rsplit_once(':') {
        Some((column, "tab")) => (column, Some(b'\t')),
        Some((column, last)) => match last.as_bytes() {
            [byte] if SEPARATORS.contains(byte) => (column, Some(*byte)),
            _ => (text, None),
        },
        None => (text, None),
    };
    let column = match column.trim() {
        "" if separator.is_some() => Column::First,
        "" => return None,
        column => match column.parse() {
            Ok(0) => return None,
            Ok(number) => Column::Number(number),
            Err(_) => Column::Name(column.to_owned()),
        },
    };
    Some(Format::Csv { column, separator })
}

/// Reads `a.b[].c`; a leading `$` as in `JSONPath` is let pass, `[*]` is `[]`.
fn path(text: &str) -> Option<JsonPath> {
    let mut steps = Vec::new();
    let text = text.trim();
    let mut rest = match text.strip_prefix('$') {
        Some(behind) if behind.is_empty() || behind.starts_with(['.', '[']) => behind,
        _ => text,
    };
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix("[]").or_else(|| rest.strip_prefix("[*]")) {
            steps.push(Step::Each);
            rest = behind;
            continue;
        }
        rest = match rest.strip_prefix('.') {
            Some(behind) => behind,
            None if steps.is_empty() => rest,
            None => return None,
        };
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (key, behind) = rest.split_at_checked(end)?;
        let key = key.trim();
        if key.is_empty() || key.contains(']') {
            return None;
        }
        steps.push(match key {
            "*" => Step::AnyKey,
            _ => Step::Key(key.to_owned()),
        });
        rest = behind;
    }
    (1..=MAX_STEPS).contains(&steps.len()).then_some(JsonPath(steps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, shown: &str) {
        let format: Format = text.parse().unwrap();
        assert_eq!(format.to_string(), shown, "{text}");
        assert_eq!(shown.parse::<Format>().unwrap(), format, "{shown}");
    }

    #[test]
    fn names_of_formats() {
        check("auto", "auto");
        check(" plain ", "plain");
        check("csv", "csv");
        check("csv:2", "csv:2");
        check("csv:dst_ip", "csv:dst_ip");
        check("csv:dst:ip", "csv:dst:ip");
        check("csv:dst_ip:tab", "csv:dst_ip:tab");
        check("csv:3:;", "csv:3:;");
        check("csv::;", "csv::;");
        check("json", "json");
        check("json:ipaddress[]", "json:ipaddress[]");
        check("json:$.a[*].b", "json:a[].b");
        check("json:[].cidr", "json:[].cidr");
        check("json:$.$.a", "json:$.$.a");
        check("json:$a", "json:$a");
        check("json:$. a .b", "json:a.b");
        check("json:a.*.b, c[][]", "json:a.*.b,c[][]");
    }

    #[test]
    fn what_is_no_format() {
        for text in [
            "",
            "xml",
            "plain:1",
            "auto:x",
            "csv:",
            "csv:0",
            "json:",
            "json:a..b",
            "json:a[",
            "json:a[0]",
            "json:a[]b",
            "json:a]",
            "json:,a",
            "json:a.",
            "csv:2\0",
            "csv:\x1b[2J",
            "json:a,b,c,d,e,f,g,h,i",
        ] {
            let error = text.parse::<Format>().unwrap_err().to_string();
            assert!(error.contains("unknown format"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_format_read_is_shown_and_read_back(text in "(auto|plain|csv|json)(:[a-z\\[\\].*$,;:0-9 ]{0,30})?") {
            if let Ok(format) = text.parse::<Format>() {
                prop_assert_eq!(format.to_string().parse::<Format>(), Ok(format));
            }
        }
    }
}
