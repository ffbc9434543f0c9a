//! What a filter says once all names and tags are replaced: the expressions and their settings.

use std::collections::BTreeMap;

use super::FilterError;
use super::config::{self, Config, MAX_VALUE};
use super::ini::Section;

/// How often one tag may be replaced within one value.
const MAX_REPLACEMENTS: usize = 25;
/// The most expressions of one kind.
const MAX_EXPRESSIONS: usize = 500;
/// The most values in which tags are replaced, counted over all rounds.
const MAX_ROUNDS: usize = 64;
/// The most bytes of all values that are searched for tags, counted over all rounds.
const MAX_WORK: usize = 64 << 20;

/// The options that make a filter.
const USED: [&str; 7] =
    ["usedns", "prefregex", "failregex", "ignoreregex", "maxlines", "datepattern", "journalmatch"];

/// Whether lines come from a file, with a date, or from the journal, without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, or anything else with lines that carry their dates.
    File,
    /// The systemd journal.
    Journal,
}

/// What a filter says, before its expressions are compiled.
#[derive(Clone, Debug, Default)]
pub(super) struct Definition {
    pub(super) prefix: Option<String>,
    pub(super) fail: Vec<String>,
    pub(super) ignore: Vec<String>,
    /// Date patterns, one each.
    pub(super) dates: Option<Vec<String>>,
    /// Each a list of terms as for `journalctl`.
    pub(super) journal: Vec<Vec<String>>,
    pub(super) max_lines: usize,
    /// Host names are not allowed where `<HOST>` stands.
    pub(super) only_addresses: bool,
}

/// Loads a filter.
pub(super) fn load(
    path: &str,
    options: &[(String, String)],
    source: Source,
    read: &mut dyn FnMut(&str) -> Option<String>,
) -> Result<Definition, FilterError> {
    let config = config::load(path, read)?;
    let mut given: Section = options.iter().cloned().collect();
    if !given.contains_key("logtype")
        && !config.options("Definition").any(|option| option == "logtype")
    {
        let kind = if source == Source::Journal { "journal" } else { "file" };
        given.insert("logtype".to_owned(), kind.to_owned());
    }
    let fault = |option: &str, what: String| FilterError::Option {
        file: path.to_owned(),
        option: option.to_owned(),
        what,
    };
    let mut values = Section::new();
    for option in USED {
        if let Some(value) = config.get("Definition", option, &given) {
            values.insert(option.to_owned(), value.map_err(|what| fault(option, what))?);
        }
    }
    let mut initial = given.clone();
    for option in config.options("Init") {
        let value = config.get("Init", option, &Section::new()).unwrap_or(Ok(String::new()));
        let value = value.map_err(|what| fault(option, what))?;
        initial.insert(format!("known/{option}"), value.clone());
        initial.entry(option.to_owned()).or_insert(value);
    }
    values.extend(initial);
    let values =
        replace_tags(values, &config, &given).map_err(|(option, what)| fault(&option, what))?;
    define(&values).map_err(|(option, what)| fault(&option, what))
}

fn define(values: &Section) -> Result<Definition, (String, String)> {
    let lines = |option: &str| -> Result<Vec<String>, (String, String)> {
        let text = values.get(option).map_or("", String::as_str);
        let lines: Vec<String> =
            text.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect();
        if lines.len() > MAX_EXPRESSIONS {
            return Err((option.to_owned(), format!("it has more than {MAX_EXPRESSIONS} lines")));
        }
        Ok(lines)
    };
    let max_lines = match values.get("maxlines").map(|text| text.trim()) {
        None | Some("") => 1,
        Some(text) => match text.parse::<usize>() {
            Ok(number @ 1..=100) => number,
            _ => {
                return Err((
                    "maxlines".to_owned(),
                    format!("{text:?} is not a number from 1 to 100"),
                ));
            }
        },
    };
    let journal = lines("journalmatch")?.iter().map(|line| words(line)).collect();
    let dates = if values.contains_key("datepattern") {
        let lines = lines("datepattern")?;
        Some(
            lines
                .iter()
                .map(|line| line.trim().to_owned())
                .filter(|line| !line.is_empty())
                .collect(),
        )
    } else {
        None
    };
    Ok(Definition {
        prefix: values.get("prefregex").filter(|text| !text.trim().is_empty()).cloned(),
        fail: lines("failregex")?,
        ignore: lines("ignoreregex")?,
        dates,
        journal,
        max_lines,
        only_addresses: values.get("usedns").is_some_and(|value| value == "no"),
    })
}

/// Splits as a shell would, quotes included.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut any = false;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                any = true;
            }
            (None, _) if c.is_whitespace() => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            _ => {
                word.push(c);
                any = true;
            }
        }
    }
    if any {
        words.push(word);
    }
    words
}

/// Replaces `<tag>` in all values, by other values or by options of the files, until nothing changes.
fn replace_tags(
    mut values: Section,
    config: &Config,
    given: &Section,
) -> Result<Section, (String, String)> {
    let names: Vec<String> = values.keys().filter(|name| !name.contains('?')).cloned().collect();
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut work = 0usize;
    for _ in 0..MAX_ROUNDS {
        let mut changed = false;
        for name in &names {
            let Some(before) = values.get(name).cloned() else { continue };
            work = work.saturating_add(before.len());
            let after =
                replace_once(name, before.clone(), &values, config, given, &mut counts, &mut work)
                    .map_err(|what| (name.clone(), what))?;
            if after != before {
                changed = true;
                values.insert(name.clone(), after);
            }
        }
        if !changed {
            return Ok(values);
        }
    }
    Err(("failregex".to_owned(), "tags refer to each other in a cycle".to_owned()))
}

fn replace_once(
    name: &str,
    mut value: String,
    values: &Section,
    config: &Config,
    given: &Section,
    counts: &mut BTreeMap<(String, String), usize>,
    work: &mut usize,
) -> Result<String, String> {
    let mut from = 0;
    while let Some((start, end)) = next_tag(&value, from) {
        let tag = value.get(start + 1..end - 1).unwrap_or_default().to_owned();
        let known = match values.get(&tag) {
            Some(text) => Some(text.clone()),
            // As fail2ban does: an option with an error is like one that is missing.
            None => config.get_tag("Definition", &tag, given).and_then(Result::ok),
        };
        let Some(text) = known else {
            from = end;
            continue;
        };
        let count = counts.entry((name.to_owned(), tag.clone())).or_insert(0);
        *count += 1;
        if tag == name || *count > MAX_REPLACEMENTS {
            return Err(format!("the tag <{tag}> refers to itself"));
        }
        let pattern = format!("<{tag}>");
        let times = value.matches(&pattern).count();
        let length = value.len().saturating_add(times.saturating_mul(text.len()));
        *work = work.saturating_add(length);
        if length > MAX_VALUE || *work > MAX_WORK {
            return Err(format!("longer than {MAX_VALUE} bytes after replacing tags"));
        }
        value = value.replace(&pattern, &text);
        from = start;
    }
    Ok(value)
}

/// The next `<tag>`: the innermost where they are nested.
fn next_tag(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut open = None;
    for (at, byte) in text.bytes().enumerate().skip(from) {
        match byte {
            b'<' => open = Some(at),
            b' ' => open = None,
            b'>' => match open {
                Some(start) if at > start + 1 => return Some((start, at + 1)),
                _ => open = None,
            },
            _ => {}
        }
    }
    None
}
