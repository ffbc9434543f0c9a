//! The two sides of the address in a pattern: literal texts with any text between them.

use std::net::IpAddr;

use super::super::text::{address, find, split_last};

/// Literal texts, with any text between one and the next. The text before an address ends with the last of them
/// and begins with the first, the text behind it too; those may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Side {
    literals: Vec<Vec<u8>>,
    /// The account stands between the literal of this index and the next.
    account: Option<usize>,
}

/// The first literal, those between, and the last one.
type Parts<'a> = (&'a [u8], &'a [Vec<u8>], &'a [u8]);

impl Default for Side {
    fn default() -> Side {
        Side { literals: vec![Vec::new()], account: None }
    }
}

impl Side {
    pub(super) fn literal(&mut self, character: char) {
        if let Some(last) = self.literals.last_mut() {
            last.extend(character.encode_utf8(&mut [0; 4]).bytes());
        }
    }

    /// Any text follows, which is the account or not.
    pub(super) fn wildcard(&mut self, is_account: bool) {
        if is_account {
            self.account = Some(self.literals.len() - 1);
        }
        self.literals.push(Vec::new());
    }

    /// The first literal, those between, and the last one; `None` where there is one only.
    fn parts(&self) -> Option<Parts<'_>> {
        match self.literals.as_slice() {
            [first, between @ .., last] => Some((first, between, last)),
            _ => None,
        }
    }

    fn only(&self) -> &[u8] {
        self.literals.first().map_or(&[], Vec::as_slice)
    }

    /// The earliest place at which all but the last literal can have ended, the text before an address being
    /// the beginning of `line`. `None` where they are not there at all.
    pub(super) fn earliest_end(&self, line: &[u8]) -> Option<usize> {
        let Some((first, between, _)) = self.parts() else {
            return Some(0);
        };
        let mut rest = line.strip_prefix(first)?;
        for literal in between.iter().filter(|literal| !literal.is_empty()) {
            rest = rest.get(find(rest, literal)? + literal.len()..)?;
        }
        Some(line.len() - rest.len())
    }

    /// The latest place at which all but the first literal can begin, the text behind an address being the end
    /// of `line`. `None` where they are not there at all.
    pub(super) fn latest_begin(&self, line: &[u8]) -> Option<usize> {
        let Some((_, between, last)) = self.parts() else {
            return Some(line.len());
        };
        let mut rest = line.strip_suffix(last)?;
        for literal in between.iter().rev().filter(|literal| !literal.is_empty()) {
            rest = split_last(rest, literal)?.0;
        }
        Some(rest.len())
    }

    /// Whether `before` is a text before the address; `earliest` is what [`Side::earliest_end`] found.
    pub(super) fn ends(&self, before: &[u8], earliest: usize) -> bool {
        match self.parts() {
            None => before == self.only(),
            Some((.., last)) => {
                before.strip_suffix(last).is_some_and(|rest| rest.len() >= earliest)
            }
        }
    }

    /// Whether `behind` is a text behind the address, in a line of that length; `latest` is what
    /// [`Side::latest_begin`] found.
    pub(super) fn begins(&self, behind: &[u8], line: usize, latest: usize) -> bool {
        match self.parts() {
            None => behind == self.only(),
            Some((first, ..)) => {
                behind.strip_prefix(first).is_some_and(|rest| line - rest.len() <= latest)
            }
        }
    }

    /// The account in a text before the address that matches: the literals as early as possible.
    pub(super) fn account_before<'a>(&self, before: &'a [u8]) -> Option<&'a [u8]> {
        let account = self.account?;
        let (first, between, last) = self.parts()?;
        let mut rest = before.strip_prefix(first)?.strip_suffix(last)?;
        for (index, literal) in between.iter().enumerate() {
            let at = if literal.is_empty() { 0 } else { find(rest, literal)? };
            if index == account {
                return rest.get(..at);
            }
            rest = rest.get(at + literal.len()..)?;
        }
        Some(rest)
    }

    /// The account in a text behind the address that matches: the literals as late as possible.
    pub(super) fn account_behind<'a>(&self, behind: &'a [u8]) -> Option<&'a [u8]> {
        let account = self.account?;
        let (first, between, last) = self.parts()?;
        let mut rest = behind.strip_prefix(first)?.strip_suffix(last)?;
        for (index, literal) in between.iter().enumerate().rev() {
            let at = match literal.as_slice() {
                [] => rest.len(),
                text => split_last(rest, text)?.0.len(),
            };
            if index + 1 == account {
                return rest.get(at + literal.len()..);
            }
            rest = rest.get(..at)?;
        }
        Some(rest)
    }
}

/// The addresses in a line: where each begins and ends, from the left. An address of IPv4 may stand beside colons
/// (`192.0.2.1:5060`), and punctuation may follow any.
pub(super) fn addresses(line: &[u8]) -> impl Iterator<Item = (usize, usize, IpAddr)> {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    let mut at = 0;
    let runs = std::iter::from_fn(move || {
        let rest = line.get(at..)?;
        let begin = at + rest.iter().position(is_part)?;
        let length = line.get(begin..)?.iter().take_while(|byte| is_part(byte)).count();
        at = begin + length;
        Some((begin, at))
    });
    runs.filter(move |(begin, end)| stands_alone(line, *begin, *end))
        .flat_map(move |(begin, end)| in_run(line, begin, end))
}

/// Whether neither a letter nor an underscore touches the text.
fn stands_alone(line: &[u8], begin: usize, end: usize) -> bool {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let before = begin.checked_sub(1).and_then(|at| line.get(at));
    // A word and a colon may precede (`IP:192.0.2.1`).
    let after_colon = line.get(begin) == Some(&b':');
    (after_colon || !is_word(before)) && !is_word(line.get(end))
}

/// The address that the text is, or those of IPv4 between its colons.
fn in_run(line: &[u8], begin: usize, end: usize) -> impl Iterator<Item = (usize, usize, IpAddr)> {
    let text = line.get(begin..end).unwrap_or_default();
    let whole = [text, trimmed(text)]
        .into_iter()
        .find_map(|text| address(text).map(|source| (begin, begin + text.len(), source)));
    let mut at = begin;
    let pieces = text.split(|byte| *byte == b':').filter_map(move |piece| {
        let from = at;
        at += piece.len() + 1;
        let piece = trimmed(piece);
        address(piece).map(|source| (from, from + piece.len(), source))
    });
    let pieces = pieces.filter(move |_| whole.is_none());
    whole.into_iter().chain(pieces)
}

/// The text without the punctuation at its end. `::` is part of an address.
fn trimmed(text: &[u8]) -> &[u8] {
    match text {
        [.., b':', b':'] => text,
        [rest @ .., b'.' | b':'] => rest,
        _ => text,
    }
}
