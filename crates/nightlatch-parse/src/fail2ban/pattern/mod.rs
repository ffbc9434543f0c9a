//! Patterns in Python's syntax, run in linear time where that is possible, and within bounds everywhere.

use std::collections::BTreeMap;

use regex::bytes::{Regex, RegexBuilder};

mod ast;
mod literal;
mod machine;
mod print;
mod program;
mod syntax;

pub(crate) use machine::{Exhausted, NOWHERE, Wanted};

/// The most memory of one compiled pattern, in bytes.
const MAX_SIZE: usize = 1 << 20;
/// The most memory of its automaton while it runs, in bytes.
const MAX_CACHE: usize = 1 << 20;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    engine: Engine,
    program: program::Program,
    names: BTreeMap<String, usize>,
    /// Texts in lower case, one of which is in each match.
    pub(crate) required: Option<Vec<Vec<u8>>>,
    groups: usize,
}

#[derive(Clone, Debug)]
enum Engine {
    /// The crate `regex`, with the number of our group for each of its own.
    Automaton(Box<Regex>, Vec<usize>),
    /// The backtracking matcher, on what an automaton for a wider pattern accepts.
    Backtracking(Option<Box<Regex>>),
}

/// The places of a match.
#[derive(Clone, Debug)]
pub(crate) struct Places(Vec<usize>);

impl Places {
    /// What a group matched.
    pub(crate) fn range(&self, group: usize) -> Option<std::ops::Range<usize>> {
        let start = *self.0.get(group * 2)?;
        let end = *self.0.get(group * 2 + 1)?;
        (start != NOWHERE && end != NOWHERE && start <= end).then_some(start..end)
    }
}

impl Pattern {
    /// Compiles a pattern with both engines; `multiline` as Python's flag.
    pub(crate) fn new(text: &str, multiline: bool) -> Result<Self, String> {
        let parsed = syntax::parse(text, multiline)?;
        let program = program::compile(&parsed.node, parsed.groups)?;
        let engine = if parsed.node.is_regular() {
            let mut keep: Vec<usize> = parsed.names.values().copied().collect();
            keep.sort_unstable();
            let regex = compile(&print::widened(&parsed.node, &keep))?;
            keep.insert(0, 0);
            Engine::Automaton(Box::new(regex), keep)
        } else {
            Engine::Backtracking(compile(&print::widened(&parsed.node, &[])).ok().map(Box::new))
        };
        let required = literal::required(&parsed.node);
        Ok(Self { engine, program, names: parsed.names, required, groups: parsed.groups })
    }

    /// Compiles a pattern for the backtracking matcher only: small, and quick to build.
    pub(crate) fn small(text: &str) -> Result<Self, String> {
        let parsed = syntax::parse(text, false)?;
        let program = program::compile(&parsed.node, parsed.groups)?;
        let engine = Engine::Backtracking(None);
        Ok(Self { engine, program, names: parsed.names, required: None, groups: parsed.groups })
    }

    /// The number of a named group.
    pub(crate) fn group(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// All named groups with their numbers.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&str, usize)> {
        self.names.iter().map(|(name, number)| (name.as_str(), *number))
    }

    /// Whether a linear-time automaton runs it.
    pub(crate) fn is_linear(&self) -> bool {
        matches!(self.engine, Engine::Automaton(..))
    }

    /// The first match. Named groups and the whole have places; other groups may have none.
    pub(crate) fn find(&self, text: &[u8], steps: &mut usize) -> Result<Option<Places>, Exhausted> {
        match &self.engine {
            Engine::Automaton(regex, groups) => Ok(self.find_linear(regex, groups, text)),
            Engine::Backtracking(wider) => {
                if wider.as_ref().is_some_and(|wider| !wider.is_match(text)) {
                    return Ok(None);
                }
                Ok(machine::search(&self.program, text, None, steps)?.map(Places))
            }
        }
    }

    fn find_linear(&self, regex: &Regex, groups: &[usize], text: &[u8]) -> Option<Places> {
        let captures = regex.captures(text)?;
        let mut places = vec![NOWHERE; (self.groups + 1) * 2];
        for (found, number) in captures.iter().zip(groups) {
            let Some(found) = found else { continue };
            for (slot, at) in [(number * 2, found.start()), (number * 2 + 1, found.end())] {
                if let Some(place) = places.get_mut(slot) {
                    *place = at;
                }
            }
        }
        Some(Places(places))
    }

    /// Whether it could match so that one of its groups is exactly a given part of the text.
    pub(crate) fn could(
        &self,
        text: &[u8],
        wanted: &Wanted<'_>,
        steps: &mut usize,
    ) -> Result<bool, Exhausted> {
        Ok(machine::search(&self.program, text, Some(wanted), steps)?.is_some())
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .unicode(false)
        .size_limit(MAX_SIZE)
        .dfa_size_limit(MAX_CACHE)
        .build()
        .map_err(|_| "it is too large".to_owned())
}
