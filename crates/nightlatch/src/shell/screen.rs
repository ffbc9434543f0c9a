//! The administrator's screen.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

/// Whether the reader of standard output has gone away.
static GONE: AtomicBool = AtomicBool::new(false);

/// Writes one or several lines, without what could rewrite the screen, wherever it came from. A
/// reader that has gone away (`| head`) is no error.
pub fn say(lines: impl AsRef<str>) {
    write_out(&harmless(lines.as_ref()));
}

fn write_out(text: &str) {
    if writeln!(std::io::stdout(), "{text}").is_err() {
        GONE.store(true, Ordering::Relaxed);
    }
}

/// Whether what was said last could not be written any more.
pub fn nobody_listens() -> bool {
    GONE.load(Ordering::Relaxed)
}

/// Writes one or several lines to standard error, as [`say`].
pub fn complain(lines: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", harmless(lines.as_ref()));
}

/// Writes a value as one line of JSON.
pub fn say_json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => write_out(&text),
        Err(error) => complain(format!("nightlatch: cannot write as JSON: {error}")),
    }
}

/// Writes over the last line of progress, where somebody looks on.
pub fn progress(line: &str) {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\x1b[2K{line}");
        let _ = std::io::stderr().flush();
    }
}

/// Asks a question and reads one line; `None` where nobody is there to answer.
pub fn ask(question: &str) -> Option<String> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let _ = write!(std::io::stdout(), "{question}");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer).ok()?;
    (read > 0).then(|| answer.trim().to_owned())
}

/// Whether somebody sits there who can answer.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Writes rows in columns, each as wide as its widest cell, at most 60 characters but the last.
pub fn table(header: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let title = header.get(column).map_or(0, |title| title.chars().count());
        cells.chain([title]).max().unwrap_or(0).min(60)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        say(padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    line(&header.iter().map(ToString::to_string).collect::<Vec<_>>());
    rows.iter().for_each(|row| line(row));
}

/// Text from outside as one line, without control characters, which could rewrite the screen, and
/// without marks that turn the direction of writing.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// Text of an attacker in quotes: printable, and without quotes that would end its own.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", printable(text).replace('"', "'"))
}

/// The same, but lines and columns stay.
fn harmless(text: &str) -> String {
    let harmful = |c: char| is_harmful(c) && !matches!(c, '\n' | '\t');
    text.chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect()
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number with its digits in groups of three.
pub fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Fails unless a line is one that can be shown, and the mark of attackers stands only in quotes.
#[cfg(test)]
#[track_caller]
pub(crate) fn check_quotes(line: &str, mark: &str) {
    let is_plain = |c: char| matches!(c, ' '..='~') || c.is_alphanumeric() || c == '\u{fffd}';
    assert!(line.chars().all(is_plain), "{line:?}");
    assert!(line.chars().count() < 1500, "{line:?}");
    let parts: Vec<&str> = line.split('"').collect();
    assert!(parts.len() % 2 == 1, "an open quote: {line}");
    assert!(parts.iter().step_by(2).all(|part| !part.contains(mark)), "outside of quotes: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_rewrites_the_screen() {
        for (text, line, lines) in [
            ("Büro, 2. Stock", "Büro, 2. Stock", "Büro, 2. Stock"),
            ("a\nb\tc", "a\u{fffd}b\u{fffd}c", "a\nb\tc"),
            ("\u{1b}[2J", "\u{fffd}[2J", "\u{fffd}[2J"),
            ("\u{9b}2J\u{7f}", "\u{fffd}2J\u{fffd}", "\u{fffd}2J\u{fffd}"),
            ("a\u{202e}b", "a\u{fffd}b", "a\u{fffd}b"),
        ] {
            assert_eq!((printable(text), harmless(text)), (line.to_owned(), lines.to_owned()));
        }
    }
}
