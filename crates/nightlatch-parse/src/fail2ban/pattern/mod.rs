//! Patterns in Python's syntax, run in linear time where that is possible, and within bounds everywhere.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

mod ast;
mod literal;
mod machine;
mod print;
mod program;
mod syntax;

pub(crate) use literal::Required;
pub(crate) use machine::{Exhausted, NOWHERE, Wanted};

/// The most memory of one compiled pattern, in bytes.
const MAX_SIZE: usize = 1 << 20;
/// The most memory of its automaton while it runs, in bytes.
const MAX_CACHE: usize = 1 << 20;

/// With so many steps of backtracking most lines are done; then an automaton takes over.
const MAX_QUICK_STEPS: usize = 1_500;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    program: program::Program,
    automaton: Automaton,
    /// For the question what else a line could mean, made when it is first asked.
    relaxed: OnceLock<Option<program::Program>>,
    names: BTreeMap<String, usize>,
    pub(crate) required: Required,
    groups: usize,
}

/// An automaton for the same pattern or for a wider one, made at the first line that needs it.
#[derive(Clone, Debug)]
struct Automaton {
    node: Option<Box<ast::Node>>,
    /// It matches where the pattern does, neither more nor less.
    exact: bool,
    /// The number of our group for each of its own.
    groups: Vec<usize>,
    regex: OnceLock<Option<Box<Regex>>>,
}

impl Automaton {
    fn get(&self) -> Option<&Regex> {
        let make = || {
            let keep = self.groups.get(1..).unwrap_or_default();
            self.node.as_ref().and_then(|node| compile(&print::widened(node, keep))).map(Box::new)
        };
        self.regex.get_or_init(make).as_deref()
    }
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
    /// Compiles a pattern; `multiline` as Python's flag.
    pub(crate) fn new(text: &str, multiline: bool) -> Result<Self, String> {
        let parsed = syntax::parse(text, multiline)?;
        let program = program::compile(&parsed.node, parsed.groups)?;
        let required = literal::required(&parsed.node);
        let exact = parsed.node.is_regular();
        let mut groups = vec![0];
        if exact {
            groups.extend(parsed.names.values());
            groups.sort_unstable();
        }
        let automaton =
            Automaton { node: Some(Box::new(parsed.node)), exact, groups, regex: OnceLock::new() };
        let relaxed = OnceLock::new();
        Ok(Self {
            program,
            automaton,
            relaxed,
            names: parsed.names,
            required,
            groups: parsed.groups,
        })
    }

    /// Compiles a pattern for the backtracking matcher only, for short texts such as dates.
    pub(crate) fn small(text: &str) -> Result<Self, String> {
        let mut pattern = Self::new(text, false)?;
        pattern.automaton.node = None;
        Ok(pattern)
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
        self.automaton.exact
    }

    /// The first match. Named groups and the whole have places; other groups may have none.
    pub(crate) fn find(&self, text: &[u8], steps: &mut usize) -> Result<Option<Places>, Exhausted> {
        let mut quick = MAX_QUICK_STEPS.min(*steps);
        let before = quick;
        let found = machine::search(&self.program, text, None, &mut quick);
        *steps = steps.saturating_sub(before - quick);
        if let Ok(found) = found {
            return Ok(found.map(Places));
        }
        if let Some(regex) = self.automaton.get() {
            if self.automaton.exact {
                return Ok(self.find_linear(regex, &self.automaton.groups, text));
            }
            if !regex.is_match(text) {
                return Ok(None);
            }
        }
        Ok(machine::search(&self.program, text, None, steps)?.map(Places))
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

    /// Whether it could match so that one of its groups is exactly a given part of the text, if texts of
    /// others in the line contained what they please.
    pub(crate) fn could(
        &self,
        text: &[u8],
        wanted: &Wanted<'_>,
        steps: &mut usize,
    ) -> Result<bool, Exhausted> {
        let make = || {
            let node = self.automaton.node.as_ref()?.relaxed();
            program::compile(&node, self.groups).ok()
        };
        let relaxed = self.relaxed.get_or_init(make).as_ref().ok_or(Exhausted)?;
        Ok(machine::search(relaxed, text, Some(wanted), steps)?.is_some())
    }
}

fn compile(text: &str) -> Option<Regex> {
    RegexBuilder::new(text)
        .unicode(false)
        .size_limit(MAX_SIZE)
        .dfa_size_limit(MAX_CACHE)
        .build()
        .ok()
}
