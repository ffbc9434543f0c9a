//! Which lines a match over several lines covers.

use std::ops::Range;

use super::pattern::{Pattern, Places};

/// The lines of a match, without those that it skipped.
#[derive(Clone, Debug)]
pub(super) struct Span {
    whole: Range<usize>,
    skipped: Vec<Range<usize>>,
}

impl Span {
    pub(super) fn of(pattern: &Pattern, places: &Places) -> Self {
        let skips = pattern.groups().filter(|(name, _)| name.starts_with("skiplines"));
        let skipped = skips.filter_map(|(_, group)| places.range(group)).collect();
        Self { whole: places.range(0).unwrap_or(0..0), skipped }
    }

    /// Whether a part of the text, such as a line, belongs to the match.
    pub(super) fn covers(&self, part: &Range<usize>) -> bool {
        let within = part.start < self.whole.end && part.end > self.whole.start;
        within && !self.skipped.iter().any(|skip| skip.start <= part.start && part.end <= skip.end)
    }

    /// The lines that belong to the match.
    pub(super) fn lines(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let range = start..start + line.len();
            start = range.end;
            if self.covers(&range) {
                out.extend_from_slice(line);
            }
        }
        out
    }
}
