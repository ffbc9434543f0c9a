//! The first look at a line: which expressions could match it at all.

use aho_corasick::packed::{self, Searcher};
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::pattern::Pattern;

/// The most texts that are looked for at once with vector instructions.
const MAX_GATE: usize = 64;
/// Above that many bytes of texts, the search saves memory instead of time.
const MAX_FAST: usize = 8_192;

/// Looks for the texts that expressions need, all at once.
#[derive(Clone, Debug)]
pub(super) struct Prefilter {
    /// Finds quickly whether a line contains any text at all of those that matter most.
    gate: Option<Searcher>,
    search: Option<AhoCorasick>,
    /// For each text the expressions that need it, with the bit of the set that it is of.
    members: Vec<Vec<(usize, u8)>>,
    /// For each expression the bits of all its sets.
    needed: Vec<u8>,
    seen: Vec<u8>,
    /// No expression matches a line without any of the texts.
    needs_any: bool,
    /// The text that each line needs, by the number of its pseudo-expression.
    prefix: Option<usize>,
}

impl Prefilter {
    /// For a filter's expressions, and the one that each line has to match first.
    pub(super) fn new(prefix: Option<&Pattern>, patterns: &[&Pattern]) -> Result<Self, String> {
        let all: Vec<&Pattern> = patterns.iter().copied().chain(prefix).collect();
        let mut texts: Vec<&[u8]> = Vec::new();
        let mut members: Vec<Vec<(usize, u8)>> = Vec::new();
        let mut needed = Vec::new();
        for (number, pattern) in all.iter().enumerate() {
            let mut bits = 0u8;
            for (bit, text) in (0..8)
                .zip(&pattern.required.sets)
                .flat_map(|(n, set)| set.iter().map(move |t| (1u8 << n, t)))
            {
                bits |= bit;
                let place = texts.iter().position(|other| *other == text.as_slice());
                if let Some(members) = place.and_then(|place| members.get_mut(place)) {
                    members.push((number, bit));
                } else {
                    texts.push(text);
                    members.push(vec![(number, bit)]);
                }
            }
            needed.push(bits);
        }
        let folded = all.iter().any(|pattern| pattern.required.folded);
        let fast = texts.iter().map(|text| text.len()).sum::<usize>() <= MAX_FAST;
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(folded)
            .match_kind(MatchKind::Standard)
            .kind(fast.then_some(AhoCorasickKind::DFA))
            .build(&texts)
            .map_err(|_| "its texts are too long".to_owned())?;
        let prefix = prefix.map(|_| patterns.len());
        let needs_any = needed.iter().all(|bits| *bits != 0);
        let seen = vec![0; needed.len()];
        let gate = if folded { None } else { gate(patterns) };
        Ok(Self {
            gate,
            search: (!texts.is_empty()).then_some(search),
            members,
            needed,
            seen,
            prefix,
            needs_any,
        })
    }

    /// Looks at a line, and says whether any expression could match it.
    pub(super) fn look(&mut self, line: &[u8]) -> bool {
        if self.gate.as_ref().is_some_and(|gate| gate.find(line).is_none()) {
            return false;
        }
        let mut any = false;
        self.seen.fill(0);
        if let Some(search) = &self.search {
            for found in search.find_overlapping_iter(line) {
                any = true;
                for (number, bit) in
                    self.members.get(found.pattern().as_usize()).into_iter().flatten()
                {
                    if let Some(seen) = self.seen.get_mut(*number) {
                        *seen |= bit;
                    }
                }
            }
        }
        if !any && self.needs_any {
            return false;
        }
        let prefix = self.prefix.is_none_or(|prefix| self.is_possible(prefix));
        let rules = self.needed.len() - usize::from(self.prefix.is_some());
        prefix && (0..rules).any(|number| self.is_possible(number))
    }

    /// Whether an expression could match the line that was looked at.
    pub(super) fn is_possible(&self, number: usize) -> bool {
        let seen = self.seen.get(number).copied().unwrap_or_default();
        let needed = self.needed.get(number).copied().unwrap_or_default();
        seen & needed == needed
    }
}

/// A quick search for the best set of each expression, if each has one.
fn gate(patterns: &[&Pattern]) -> Option<Searcher> {
    let mut texts: Vec<&[u8]> = Vec::new();
    for pattern in patterns {
        texts.extend(pattern.required.sets.first()?.iter().map(Vec::as_slice));
    }
    texts.sort_unstable();
    texts.dedup();
    if texts.len() > MAX_GATE {
        return None;
    }
    let mut builder = packed::Config::new().match_kind(packed::MatchKind::LeftmostFirst).builder();
    builder.extend(texts);
    builder.build()
}
