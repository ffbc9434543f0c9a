//! The first look at a line: which expressions could match it at all.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::pattern::Pattern;

/// Above that many bytes of texts, the search saves memory instead of time.
const MAX_FAST: usize = 8_192;

/// Looks for the texts that expressions need, all at once.
#[derive(Clone, Debug)]
pub(super) struct Prefilter {
    search: Option<AhoCorasick>,
    /// For each text the numbers of the expressions that it makes possible.
    members: Vec<Vec<usize>>,
    /// Expressions that need no text.
    always: Vec<bool>,
    possible: Vec<bool>,
    /// The text that each line needs, by the number of its pseudo-expression.
    prefix: Option<usize>,
}

impl Prefilter {
    /// For a filter's expressions, and the one that each line has to match first.
    pub(super) fn new(prefix: Option<&Pattern>, patterns: &[&Pattern]) -> Result<Self, String> {
        let all: Vec<&Pattern> = patterns.iter().copied().chain(prefix).collect();
        let mut texts: Vec<&[u8]> = Vec::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        let mut always = Vec::new();
        for (number, pattern) in all.iter().enumerate() {
            always.push(pattern.required.is_none());
            for text in pattern.required.iter().flatten() {
                let place = texts.iter().position(|other| *other == text.as_slice());
                if let Some(members) = place.and_then(|place| members.get_mut(place)) {
                    members.push(number);
                } else {
                    texts.push(text);
                    members.push(vec![number]);
                }
            }
        }
        let fast = texts.iter().map(|text| text.len()).sum::<usize>() <= MAX_FAST;
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(fast.then_some(AhoCorasickKind::DFA))
            .build(&texts)
            .map_err(|_| "its texts are too long".to_owned())?;
        let prefix = prefix.map(|_| patterns.len());
        let possible = always.clone();
        Ok(Self {
            search: (!texts.is_empty()).then_some(search),
            members,
            always,
            possible,
            prefix,
        })
    }

    /// Looks at a line, and says whether any expression could match it.
    pub(super) fn look(&mut self, line: &[u8]) -> bool {
        self.possible.clone_from(&self.always);
        if let Some(search) = &self.search {
            for found in search.find_overlapping_iter(line) {
                for number in self.members.get(found.pattern().as_usize()).into_iter().flatten() {
                    if let Some(possible) = self.possible.get_mut(*number) {
                        *possible = true;
                    }
                }
            }
        }
        let prefix = self.prefix.is_none_or(|prefix| self.is_possible(prefix));
        let rules = self.possible.len() - usize::from(self.prefix.is_some());
        prefix && self.possible.iter().take(rules).any(|possible| *possible)
    }

    /// Whether an expression could match the line that was looked at.
    pub(super) fn is_possible(&self, number: usize) -> bool {
        self.possible.get(number).copied().unwrap_or(true)
    }
}
