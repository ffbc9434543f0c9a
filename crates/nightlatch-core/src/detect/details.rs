//! Lines and names of accounts as evidence, of a few sources: those that have tried more than once.

use super::key::Key;
use super::text::printable;
use crate::attack::Line;
use crate::time::Time;

/// For so many sources at most. Where two need the same place, the later one gets it.
const MAX_SOURCES: usize = 2048;
const MAX_LINES: usize = 5;
const MAX_ACCOUNTS: usize = 8;
/// The longest texts, in characters.
const LINE: usize = 400;
pub(super) const NAME: usize = 40;
const LOG: usize = 80;

/// Of one source.
#[derive(Clone, Debug)]
struct Detail {
    key: Key,
    lines: Vec<Line>,
    accounts: Vec<(u32, String)>,
}

/// Of all sources.
#[derive(Debug, Default)]
pub(super) struct Details {
    places: Vec<Option<Box<Detail>>>,
}

impl Details {
    /// Keeps a line of a source, and the name of the account in it with its hash.
    pub(super) fn keep(&mut self, key: Key, place: u32, line: Line, account: Option<(u32, &[u8])>) {
        let place = place as usize % MAX_SOURCES;
        if self.places.len() <= place {
            self.places.resize_with(place + 1, || None);
        }
        let Some(kept) = self.places.get_mut(place) else { return };
        let new = || Box::new(Detail { key, lines: Vec::new(), accounts: Vec::new() });
        let detail = kept.get_or_insert_with(new);
        if detail.key != key {
            *detail = new();
        }
        if detail.lines.len() >= MAX_LINES {
            detail.lines.remove(0);
        }
        detail.lines.push(line);
        let Some((hash, name)) = account else { return };
        if detail.accounts.iter().any(|(known, _)| *known == hash) {
            return;
        }
        if detail.accounts.len() >= MAX_ACCOUNTS {
            detail.accounts.remove(0);
        }
        detail.accounts.push((hash, printable(name, NAME)));
    }

    /// The lines of a source, the last one at the end.
    pub(super) fn lines(&self, key: Key, place: u32) -> Vec<Line> {
        self.find(key, place).map(|detail| detail.lines.clone()).unwrap_or_default()
    }

    /// Those of the names that are known.
    pub(super) fn names(&self, key: Key, place: u32, hashes: &[u32]) -> Vec<String> {
        let known =
            self.find(key, place).map(|detail| detail.accounts.as_slice()).unwrap_or_default();
        known
            .iter()
            .filter(|(hash, _)| hashes.contains(hash))
            .map(|(_, name)| name.clone())
            .collect()
    }

    fn find(&self, key: Key, place: u32) -> Option<&Detail> {
        let kept = self.places.get(place as usize % MAX_SOURCES)?.as_deref()?;
        (kept.key == key).then_some(kept)
    }
}

/// A line as evidence.
pub(super) fn line(at: Time, log: &str, text: &[u8]) -> Line {
    Line { at, log: log_name(log), text: printable(text.trim_ascii(), LINE) }
}

/// The name of a log.
pub(super) fn log_name(log: &str) -> String {
    printable(log.as_bytes(), LOG)
}
