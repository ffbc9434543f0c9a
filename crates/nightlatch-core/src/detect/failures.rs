//! What follows from an attempt that failed.

use nightlatch_parse::log::{Outcome, Proof};

use super::course::Course;
use super::details::{self, NAME};
use super::key::{Key, network_56};
use super::limits::{FEW_ACCOUNTS, is_for_phones};
use super::source::{Case, Verdict};
use super::tally::Failed;
use super::text::printable;
use super::tries::{self, CERTAIN, DEVICE, News, Try};
use super::{Finding, Judge, Notice, Sighting, Trust, UNKNOWN};
use crate::AddrRange;
use crate::attack::{Attack, Evidence, Weight};

impl Judge {
    /// Takes in that an attempt failed, or was challenged.
    pub(super) fn failed(&mut self, sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
        let attempt = &sighting.attempt;
        let key = Key::of(attempt.source);
        let at = sighting.at.millis();
        let line = self.tried(sighting);
        let place = self.memory.place(key);
        let limits = &self.limits;
        let Some(source) = self.memory.get_mut(place) else { return };
        tries::forget(&mut source.tries, at, limits.memory);
        let news = tries::note(&mut source.tries, line, attempt.session.is_some(), limits.room);
        let (index, is_new, counted) = match news {
            News::New(index) => (index, true, false),
            News::Changed(index, before) => (index, false, before != Outcome::Challenged),
            News::Nothing => return self.memory.touch(place, at, false),
        };
        if line.outcome != Outcome::Challenged && !line.is_misdialled() {
            source.fail(at, limits.memory);
        }
        let attacked = source.attacked;
        let verdict = source.weigh(index, is_new, attempt.service, limits);
        let tried = source.tries.get(index).copied().unwrap_or(line);
        let is_first = source.tries.len() == 1;
        self.memory.touch(place, at, true);
        if counts(&tried) && !counted {
            self.count(key, &line, sighting);
        }
        if !is_first || verdict.is_some() {
            self.keep(key, place, sighting, tried.account);
        }
        let attacks = match verdict {
            Some(Verdict::Attack(case)) => {
                let weight = case.weight;
                if let Some(range) = key.range() {
                    self.attack(key, place, range, case, attacked, sighting, found);
                }
                Some(weight == Weight::Full)
            }
            Some(Verdict::Phone(attempts, since)) => {
                found.push(Finding::Notice(self.bad_phone(sighting, &tried, attempts, since)));
                None
            }
            None => None,
        };
        if !tried.is(tries::PHONE) {
            self.around(key, &tried, false, tried.is(CERTAIN), sighting, found);
        }
        if let Some(is_certain) = attacks {
            self.around(key, &tried, true, is_certain, sighting, found);
        }
    }

    /// Counts an attempt that failed. A challenge alone is none: each honest login begins with one.
    fn count(&mut self, key: Key, line: &Try, sighting: &Sighting<'_>) {
        if let Some(course) = &mut self.course {
            course.attempts = course.attempts.saturating_add(1);
            self.is_course_dirty = true;
        }
        let account = named(sighting.attempt.account);
        self.tally.count(Failed {
            at: line.at,
            service: sighting.attempt.service,
            source: key.number(),
            account: line.account,
            source_name: || key.range().map(|range| range.to_string()).unwrap_or_default(),
            account_name: || printable(account.unwrap_or_default(), NAME),
        });
    }

    /// The attempt that a line is, if it belongs to none that is known.
    fn tried(&self, sighting: &Sighting<'_>) -> Try {
        let attempt = &sighting.attempt;
        let seed = self.seed;
        let account = named(attempt.account);
        let certain = attempt.proof == Proof::Answered && sighting.trust == Trust::Full;
        let address = match attempt.source.to_canonical() {
            std::net::IpAddr::V4(_) => [0; 16],
            std::net::IpAddr::V6(address) => address.octets(),
        };
        let agent = attempt.agent.unwrap_or_default();
        let [log, ..] = seed.text(sighting.log.as_bytes()).to_le_bytes();
        Try {
            at: sighting.at.millis(),
            session: seed.text(attempt.session.unwrap_or(sighting.line)),
            account: account.map_or(0, |account| seed.text(account)),
            pair: seed.texts(&[account.unwrap_or_default(), agent, &address]),
            outcome: attempt.outcome,
            marks: if certain { CERTAIN } else { 0 }
                | if is_for_phones(attempt.service) { DEVICE } else { 0 },
            lines: 0,
            log,
        }
    }

    /// Keeps a line as evidence.
    pub(super) fn keep(&mut self, key: Key, place: u32, sighting: &Sighting<'_>, account: u32) {
        let line = details::line(sighting.at, sighting.log, sighting.line);
        let name = named(sighting.attempt.account).map(|name| (account, name));
        self.details.keep(key, place, line, name);
    }

    /// Says that a source attacks, and what else an administrator must hear of that.
    #[expect(clippy::too_many_arguments, reason = "each of them is another thing")]
    pub(super) fn attack(
        &mut self,
        key: Key,
        place: u32,
        range: AddrRange,
        case: Case,
        attacked_before: i64,
        sighting: &Sighting<'_>,
        found: &mut Vec<Finding>,
    ) {
        let service = sighting.attempt.service;
        let accounts = self.details.names(key, place, &case.accounts);
        let accounts_tried = u32::try_from(case.accounts.len()).unwrap_or(u32::MAX);
        let attack = Attack {
            source: range,
            weight: case.weight,
            trusted_since: case.trusted_since,
            evidence: Evidence {
                service,
                attempts: case.attempts,
                score: case.score,
                since: case.since,
                last: case.last,
                threshold: case.threshold,
                accounts_tried,
                accounts: accounts.clone(),
                lines: self.details.lines(key, place),
            },
        };
        let is_new = self.course.is_none_or(|course| attacked_before < course.since);
        let began = self.course.is_none();
        Course::attacked(&mut self.course, &attack.evidence, is_new);
        found.push(Finding::Attack(attack));
        if let Some(trusted_since) =
            case.trusted_since.filter(|_| case.accounts.len() > FEW_ACCOUNTS)
        {
            found.push(Finding::Notice(Notice::AccountsGuessed {
                source: range,
                service,
                accounts_tried,
                accounts,
                trusted_since,
                since: case.since,
                at: case.last,
            }));
        }
        if began {
            let began = Notice::AttackBegan { source: range, service, at: case.last };
            found.push(Finding::Notice(began));
        }
        self.is_course_dirty = true;
    }

    fn bad_phone(
        &self,
        sighting: &Sighting<'_>,
        tried: &Try,
        attempts: u32,
        since: crate::time::Time,
    ) -> Notice {
        let attempt = &sighting.attempt;
        let name = |text: &[u8]| printable(text, NAME);
        let key = Key::of(attempt.source);
        let kept = || {
            let place = self.memory.find(key)?;
            self.details.names(key, place, &[tried.account]).pop()
        };
        Notice::BadPhone {
            source: attempt.source.to_canonical(),
            service: attempt.service,
            account: named(attempt.account).map(name).or_else(kept).unwrap_or_default(),
            agent: attempt.agent.map(name),
            fault: tried.outcome,
            attempts,
            since,
            at: sighting.at,
        }
    }

    /// Takes into the network of the length 48 around a source that an attempt failed there, or that it
    /// attacks.
    fn around(
        &mut self,
        key: Key,
        tried: &Try,
        attacks: bool,
        is_certain: bool,
        sighting: &Sighting<'_>,
        found: &mut Vec<Finding>,
    ) {
        let Some((around, child)) = key.around() else { return };
        let at = sighting.at.millis();
        let place = self.memory.place(around);
        let limits = &self.limits;
        let Some(network) = self.memory.get_mut(place) else { return };
        let changed = network.note_within(tried, child, attacks, is_certain, limits);
        let Some(index) = changed else { return self.memory.touch(place, at, false) };
        network.fail(at, limits.memory);
        let attacked = network.attacked;
        let wider = network.weigh_within(index, child, sighting.attempt.service, limits);
        let is_first = network.tries.len() == 1;
        self.memory.touch(place, at, true);
        if !is_first && !attacks || wider.is_some() {
            self.keep(around, place, sighting, tried.account);
        }
        let Some((case, is_whole)) = wider else { return };
        let range = if is_whole { around.range() } else { network_56(around, child) };
        if let Some(range) = range {
            self.attack(around, place, range, case, attacked, sighting, found);
        }
    }
}

/// The account of a line, where it names one.
pub(super) fn named(account: Option<&[u8]>) -> Option<&[u8]> {
    account.filter(|account| !account.is_empty() && *account != UNKNOWN)
}

fn counts(tried: &Try) -> bool {
    tried.outcome != Outcome::Challenged
}
