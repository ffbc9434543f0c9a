//! How much of a list could be read, and what could not.

/// The most samples a tally keeps.
const MAX_SAMPLES: usize = 5;
/// The most characters of a sample's text.
const SAMPLE_LENGTH: usize = 60;

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The line's number, from 1.
    pub line: u64,
    /// Its beginning, with `?` for what could harm a terminal or a log.
    pub text: String,
}

/// Counts of lines seen and refused, with the first few refused as samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines that should hold an entry: not the blank ones, not comments, headings and rows that
    /// say that there is nothing. In JSON, the values at the path.
    pub lines: u64,
    /// Those of them that are no entry.
    pub refused: u64,
    /// The first few refused.
    pub samples: Vec<Refused>,
}

impl Tally {
    /// Counts a line that holds an entry.
    pub(crate) fn accept(&mut self) {
        self.lines += 1;
    }

    /// Counts a line that should hold an entry and does not.
    pub(crate) fn refuse(&mut self, line: u64, text: &[u8]) {
        self.lines += 1;
        self.refused += 1;
        if self.samples.len() < MAX_SAMPLES {
            self.samples.push(Refused { line, text: printable(text) });
        }
    }

    /// The first refused text, for a message.
    pub(crate) fn first_sample(&self) -> String {
        self.samples.first().map(|sample| sample.text.clone()).unwrap_or_default()
    }
}

/// The beginning of a text from outside, fit for a message.
pub(crate) fn printable(text: &[u8]) -> String {
    // A character has at most four bytes; what is cut in the middle of one shows as `?`.
    let head = text.get(..SAMPLE_LENGTH * 4).unwrap_or(text);
    let shown = String::from_utf8_lossy(head);
    let mut characters = shown.chars();
    let mut printable: String = characters
        .by_ref()
        .take(SAMPLE_LENGTH)
        .map(|character| match character {
            ' '..='~' => character,
            '\t' => ' ',
            _ if character.is_alphanumeric() => character,
            _ => '?',
        })
        .collect();
    if head.len() < text.len() || characters.next().is_some() {
        printable.push_str("...");
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], shown: &str) {
        assert_eq!(printable(text), shown);
    }

    #[test]
    fn texts_from_outside_are_harmless() {
        check(b"office", "office");
        check(b"\x1b[31mred\x07", "?[31mred?");
        check(b"caf\xe9", "caf?");
        check("café\u{202e}x".as_bytes(), "café?x");
        check(&[b'a'; 61], &format!("{}...", "a".repeat(60)));
        check(&[b'a'; 60], &"a".repeat(60));
    }

    #[test]
    fn only_a_few_samples_are_kept() {
        let mut tally = Tally::default();
        for line in 1..=1000 {
            tally.refuse(line, b"x");
        }
        assert_eq!((tally.lines, tally.refused), (1000, 1000));
        assert_eq!(tally.samples.len(), MAX_SAMPLES);
    }
}
