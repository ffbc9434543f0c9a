//! Accounts for which a source was challenged and did not answer: whoever looks for accounts asks for many, and
//! logs in with none.
//!
//! Each honest login begins with a challenge, and a request that gets one may have a forged source. So
//! different accounts count, each once and a quarter of an attempt, and only
//!
//! - some seconds later, because the answers of an office whose phones all begin at once are on their way;
//! - at a source from which nobody has logged in, as far as is remembered;
//! - in a log that shows successes at all: in one that does not, everybody seems to answer nothing.
//!
//! What comes of it is a brief ban.

use std::collections::{BTreeMap, BTreeSet};

use super::key::Key;
use super::limits::{DAY, WEEK};
use super::tries::{Rule, apart};

/// For so long an answer may be on its way, in milliseconds; phones send a request again meanwhile.
const ON_ITS_WAY: i64 = 10_000;
/// So many sources are remembered; of more, the one that was seen least recently is forgotten.
const MAX_SOURCES: usize = 4096;
/// So many logs.
const MAX_LOGS: usize = 64;

/// The accounts of one source, by hash, each with the moment of its first challenge.
#[derive(Debug, Default)]
struct Source {
    accounts: Vec<(u32, i64)>,
    seen: i64,
    /// When somebody last logged in from there, whatever that proves of the source.
    succeeded: Option<i64>,
    /// When it was last found to look for accounts.
    attacked: Option<i64>,
}

/// What is remembered of challenges without an answer. It is not kept on disk: after a restart they are counted
/// anew.
#[derive(Debug, Default)]
pub(super) struct Asked {
    sources: BTreeMap<Key, Source>,
    by_time: BTreeSet<(i64, Key)>,
    /// When a log last showed that somebody logged in.
    successes: BTreeMap<u32, i64>,
}

/// Too many accounts without an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unanswered {
    /// Their hashes.
    pub(super) accounts: Vec<u32>,
    pub(super) since: i64,
    /// When the source was found to do that before; the least number if never.
    pub(super) attacked: i64,
}

impl Asked {
    /// Takes in that somebody logged in from a source: it answers.
    pub(super) fn succeeded(&mut self, key: Key, log: u32, at: i64) {
        if self.successes.len() >= MAX_LOGS && !self.successes.contains_key(&log) {
            let oldest = self.successes.iter().min_by_key(|(_, at)| **at).map(|(log, _)| *log);
            oldest.map(|log| self.successes.remove(&log));
        }
        let last = self.successes.entry(log).or_insert(at);
        *last = at.max(*last);
        let source = self.source(key, at);
        source.accounts = Vec::new();
        source.succeeded = Some(at);
    }

    /// Takes in that a source answered the challenge for an account, with a wrong password.
    pub(super) fn answered(&mut self, key: Key, account: u32) {
        if let Some(source) = self.sources.get_mut(&key) {
            source.accounts.retain(|(known, _)| *known != account);
        }
    }

    /// Takes in that a source was challenged for an account: `Some` if too many are without an answer.
    pub(super) fn challenged(
        &mut self,
        key: Key,
        account: u32,
        log: u32,
        at: i64,
        rule: &Rule,
    ) -> Option<Unanswered> {
        if self.successes.get(&log).is_none_or(|last| apart(*last, at) > DAY) {
            return None;
        }
        let most = usize::try_from(rule.score).unwrap_or(usize::MAX);
        let source = self.source(key, at);
        if source.succeeded.is_some_and(|last| apart(last, at) <= WEEK) {
            return None;
        }
        source.accounts.retain(|(_, first)| apart(*first, at) <= rule.within);
        let is_known = source.accounts.iter().any(|(known, _)| *known == account);
        if !is_known && source.accounts.len() < most {
            source.accounts.push((account, at));
        }
        let is_late = |(_, first): &&(u32, i64)| at.saturating_sub(*first) >= ON_ITS_WAY;
        if source.accounts.iter().filter(is_late).count() < most {
            return None;
        }
        let attacked = source.attacked.replace(at).unwrap_or(i64::MIN);
        let accounts = std::mem::take(&mut source.accounts);
        let since = accounts.iter().map(|(_, first)| *first).min().unwrap_or(at);
        let accounts = accounts.into_iter().map(|(account, _)| account).collect();
        Some(Unanswered { accounts, since, attacked })
    }

    /// What is remembered of a source, which is seen at that moment.
    fn source(&mut self, key: Key, at: i64) -> &mut Source {
        if self.sources.len() >= MAX_SOURCES
            && !self.sources.contains_key(&key)
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.sources.remove(&oldest);
        }
        let source = self.sources.entry(key).or_default();
        self.by_time.remove(&(source.seen, key));
        source.seen = at;
        self.by_time.insert((at, key));
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { score: 20, within: 600_000, lasting: false };

    #[test]
    fn a_flood_of_forged_sources_stays_in_bounds() {
        let mut asked = Asked::default();
        for log in 0..1000 {
            asked.succeeded(Key::V4(0), log, i64::from(log));
        }
        assert_eq!(asked.successes.len(), MAX_LOGS);
        for number in 0..100_000_u32 {
            let found = asked.challenged(Key::V4(number), number, 999, i64::from(number), &RULE);
            assert_eq!(found, None);
        }
        assert_eq!((asked.sources.len(), asked.by_time.len()), (MAX_SOURCES, MAX_SOURCES));
        for number in 0..100_000_u32 {
            asked.challenged(Key::V4(1), number, 999, 100_000, &RULE);
        }
        let longest = asked.sources.values().map(|source| source.accounts.len()).max();
        assert_eq!(longest, Some(20));
        for number in 0..100_000 {
            asked.succeeded(Key::V4(number), 999, 200_000);
        }
        assert_eq!((asked.sources.len(), asked.by_time.len()), (MAX_SOURCES, MAX_SOURCES));
    }

    #[test]
    fn what_was_answered_with_a_wrong_password_does_not_count() {
        let key = Key::V4(1);
        let ask = |asked: &mut Asked, account: u32, at: i64| {
            asked.challenged(key, account, 999, at, &RULE).is_some()
        };
        for is_answered in [false, true] {
            let mut asked = Asked::default();
            asked.succeeded(Key::V4(0), 999, 0);
            for account in 0..20 {
                assert!(!ask(&mut asked, account, 1000));
                if is_answered {
                    asked.answered(key, account);
                }
            }
            assert!(!ask(&mut asked, 20, 10_999));
            assert_eq!(ask(&mut asked, 21, 11_000), !is_answered);
        }
    }
}
