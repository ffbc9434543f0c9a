//! Positive evidence: since when somebody logs in from a source with success.

use super::limits::{HOUR, WEEK};
use super::tries::apart;

/// So many accounts of a source are remembered.
const MAX_ACCOUNTS: usize = 64;
/// A success that follows so soon changes nothing worth keeping on disk.
const FRESH: i64 = HOUR / 6;

/// Successes without a pause of a week between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) since: i64,
    pub(super) last: i64,
}

impl Run {
    /// Of no success.
    pub(super) const NONE: Run = Run { since: i64::MAX, last: i64::MIN };

    pub(super) fn is_some(&self) -> bool {
        self.last != i64::MIN
    }

    /// Takes a success in; whether that is worth keeping on disk.
    fn add(&mut self, at: i64) -> bool {
        if !self.is_some()
            || at.saturating_sub(self.last) > WEEK
            || self.since.saturating_sub(at) > WEEK
        {
            *self = Run { since: at, last: at };
            return true;
        }
        let kept = *self;
        self.since = self.since.min(at);
        self.last = self.last.max(at);
        let is_news = self.since < kept.since || apart(self.last, kept.last) >= FRESH;
        if !is_news {
            // So that what is in memory and on disk stays the same.
            self.last = kept.last;
        }
        is_news
    }

    /// Since when, where it began an hour before the first failure at least, and still goes on.
    pub(super) fn counts_before(&self, failure: i64) -> Option<i64> {
        let counts = self.is_some()
            && failure.saturating_sub(self.since) >= HOUR
            && failure.saturating_sub(self.last) <= WEEK;
        counts.then_some(self.since)
    }
}

/// What successes from a source show about whoever fails there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Positive {
    /// Since when people log in, if that counts as positive evidence.
    pub(super) trusted: Option<i64>,
    /// Whether anybody has logged in, as far as is remembered, even if that began after the failures.
    pub(super) any: bool,
}

/// An account with which somebody logs in from a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The hash of the account.
    pub(super) account: u32,
    pub(super) run: Run,
    /// When the administrator heard that its password was found.
    pub(super) told: i64,
}

/// The successes of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Good {
    /// In logs that can be trusted.
    pub(super) full: Run,
    /// In other logs.
    pub(super) low: Run,
    pub(super) accounts: Vec<Known>,
}

impl Default for Good {
    fn default() -> Good {
        Good { full: Run::NONE, low: Run::NONE, accounts: Vec::new() }
    }
}

impl Good {
    /// Takes a success in; whether that is worth keeping on disk.
    pub(super) fn add(&mut self, account: u32, at: i64, is_full: bool) -> bool {
        let run = if is_full { &mut self.full } else { &mut self.low };
        let mut is_news = run.add(at);
        if account != 0 {
            is_news |= self.known(account).run.add(at);
        }
        is_news
    }

    /// Since when people log in, at that moment of a first failure.
    pub(super) fn counts_before(&self, failure: i64, must_be_full: bool) -> Option<i64> {
        let full = self.full.counts_before(failure);
        if must_be_full {
            return full;
        }
        full.into_iter().chain(self.low.counts_before(failure)).min()
    }

    /// The last success.
    pub(super) fn last(&self) -> i64 {
        self.full.last.max(self.low.last)
    }

    /// Whether the account was used from there an hour before its first failure at least.
    pub(super) fn is_at_home(&self, account: u32, failure: i64) -> bool {
        let known = self.accounts.iter().find(|known| known.account == account);
        known.is_some_and(|known| known.run.counts_before(failure).is_some())
    }

    /// What is known of an account; where there are too many, the one is forgotten that was used least
    /// recently.
    pub(super) fn known(&mut self, account: u32) -> &mut Known {
        let new = Known { account, run: Run::NONE, told: i64::MIN };
        let place = match self.accounts.iter().position(|known| known.account == account) {
            Some(place) => place,
            None if self.accounts.len() < MAX_ACCOUNTS => {
                self.accounts.push(new);
                self.accounts.len() - 1
            }
            None => {
                let oldest =
                    self.accounts.iter().enumerate().min_by_key(|(_, known)| known.run.last);
                let place = oldest.map_or(0, |(place, _)| place);
                if let Some(known) = self.accounts.get_mut(place) {
                    *known = new;
                }
                place
            }
        };
        #[expect(clippy::indexing_slicing, reason = "the place was found or made above")]
        &mut self.accounts[place]
    }
}
