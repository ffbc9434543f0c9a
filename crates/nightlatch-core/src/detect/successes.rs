//! What follows when somebody logs in: positive evidence, or a password that was found.

use nightlatch_parse::log::{Outcome, Proof};

use super::details::NAME;
use super::failures::named;
use super::key::Key;
use super::limits::{FEW_ACCOUNTS, HOUR, Limits};
use super::source::{Source, count};
use super::text::printable;
use super::tries::{DEVICE, FORGIVEN, TOLD, Try, apart};
use super::{Finding, Judge, Notice, Sighting, Trust};
use crate::attack::Service;
use crate::time::Time;

/// Lines of different logs may come so late.
const LATE: i64 = 10_000;

/// What a success shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Nothing but that somebody logged in.
    Nothing,
    /// A password was found, after so many failures at so many accounts since then.
    Found { failures: u32, accounts: u32, since: i64 },
    /// A device with a wrong password has the right one again.
    Recovered { failures: u32, since: i64 },
}

impl Judge {
    /// Takes in that somebody logged in.
    pub(super) fn succeeded(&mut self, sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
        let attempt = &sighting.attempt;
        let key = Key::of(attempt.source);
        let at = sighting.at.millis();
        let name = named(attempt.account);
        let account = name.map_or(0, |name| self.seed.text(name));
        if matches!(attempt.service, Service::Sip | Service::Iax) {
            let log = self.seed.text(sighting.log.as_bytes());
            self.asked.succeeded(key, log, at);
        }
        let place = self.memory.place(key);
        let is_full = sighting.trust == Trust::Full;
        let Some(source) = self.memory.get_mut(place) else { return };
        let (shown, mut is_news) = source.welcome(account, at, is_full, &self.limits);
        if attempt.proof == Proof::Answered {
            is_news |= source.good.get_or_insert_default().add(account, at, is_full);
        }
        self.memory.touch(place, at, is_news);
        if attempt.proof == Proof::Answered
            && let Some((around, _)) = key.around()
        {
            let place = self.memory.place(around);
            let network = self.memory.get_mut(place);
            let is_news = network
                .is_some_and(|network| network.good.get_or_insert_default().add(0, at, is_full));
            self.memory.touch(place, at, is_news);
        }
        let source = attempt.source.to_canonical();
        let account = name.map(|name| printable(name, NAME)).unwrap_or_default();
        match shown {
            Shown::Nothing => {}
            Shown::Found { failures, accounts, since } => {
                found.push(Finding::Notice(Notice::PasswordFound {
                    source,
                    service: attempt.service,
                    account,
                    failures,
                    accounts_tried: accounts,
                    since: Time::from_millis(since),
                    at: sighting.at,
                }));
            }
            Shown::Recovered { failures, since } => {
                found.push(Finding::Notice(Notice::PhoneRecovered {
                    source,
                    account,
                    attempts: failures,
                    since: Time::from_millis(since),
                    at: sighting.at,
                }));
            }
        }
    }
}

/// The failures that came before a success.
struct Before {
    failures: u32,
    accounts: u32,
    since: i64,
    last: i64,
}

impl Source {
    /// What a success shows, and whether something changed that is worth keeping.
    fn welcome(&mut self, account: u32, at: i64, is_full: bool, limits: &Limits) -> (Shown, bool) {
        let known = self.tries.len();
        self.tries.retain(|t| t.outcome != Outcome::Challenged);
        let changed = self.tries.len() != known;
        let its = |t: &Try| account != 0 && t.account == account && is_open(t, at, limits.memory);
        let own = self.before(its, Some(account));
        let any = self.before(|t| is_open(t, at, HOUR), None);
        let is_recent = |before: &Before| before.failures > 0 && apart(at, before.last) <= HOUR;
        let good = self.good.as_deref();
        let at_home = |failure: i64| good.is_some_and(|good| good.is_at_home(account, failure));
        let phone = self.phones.iter().any(|phone| phone.account == account && account != 0);
        if own.failures > 0 && at_home(own.since) {
            if phone || own.failures < limits.found_after {
                self.forgive(its, is_full);
                self.phones.retain(|phone| phone.account != account);
            }
            let recovered = Shown::Recovered { failures: own.failures, since: own.since };
            return (if phone { recovered } else { Shown::Nothing }, true);
        }
        let found = is_recent(&own) && own.failures >= limits.found_after;
        let scanned = is_recent(&any) && self.has_scanned(at) && !at_home(any.since);
        if found || scanned {
            let told = &mut self.good.get_or_insert_default().known(account).told;
            let is_first = found || at.saturating_sub(*told) > HOUR || *told > at;
            *told = at;
            self.mark(its, TOLD);
            self.phones.retain(|phone| phone.account != account);
            let before = if found { own } else { any };
            let Before { failures, accounts, since, .. } = before;
            let shown = Shown::Found { failures, accounts, since };
            return (if is_first { shown } else { Shown::Nothing }, true);
        }
        if is_recent(&own) {
            self.forgive(its, is_full);
        }
        (Shown::Nothing, changed || is_recent(&own))
    }

    /// The failures that came before; those of the device of an account too, where one is named.
    fn before(&self, which: impl Fn(&Try) -> bool, account: Option<u32>) -> Before {
        let tries = || self.tries.iter().filter(|t| which(t));
        let mut accounts: Vec<u32> = tries().map(|t| t.account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let mut before = Before {
            failures: count(tries().count()),
            accounts: count(accounts.len()),
            since: tries().map(|t| t.at).min().unwrap_or(i64::MAX),
            last: tries().map(|t| t.at).max().unwrap_or(i64::MIN),
        };
        let phones =
            self.phones.iter().filter(|phone| phone.account != 0 && Some(phone.account) == account);
        for phone in phones {
            before.failures = before.failures.max(phone.attempts);
            before.since = before.since.min(phone.since);
            before.last = before.last.max(phone.last);
        }
        before
    }

    /// Whether the source has just tried many accounts, or attacked.
    fn has_scanned(&self, at: i64) -> bool {
        let attacked = self.attacked != i64::MIN && apart(at, self.attacked) <= HOUR;
        let recent = || self.tries.iter().filter(|t| is_open(t, at, HOUR));
        let mut accounts: Vec<u32> = recent().map(|t| t.account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let scan = |t: &&Try| matches!(t.outcome, Outcome::UnknownAccount | Outcome::Malformed);
        attacked || accounts.len() > FEW_ACCOUNTS || recent().filter(scan).count() > FEW_ACCOUNTS
    }

    /// Somebody mistyped his password: that counts no more. What is said of SSH in a log that others can
    /// write makes nothing undone.
    fn forgive(&mut self, which: impl Fn(&Try) -> bool, is_full: bool) {
        self.mark(|t| which(t) && (is_full || t.is(DEVICE)), FORGIVEN);
    }
}

/// Whether a failure is one that a success may explain: it came before, and is not explained yet.
fn is_open(tried: &Try, at: i64, within: i64) -> bool {
    !tried.is(FORGIVEN | TOLD)
        && !tried.is_misdialled()
        && tried.at <= at.saturating_add(LATE)
        && at.saturating_sub(tried.at) <= within
}
