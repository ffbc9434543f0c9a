//! What follows from an attempt that failed.

use nightlatch_parse::log::{Outcome, Proof};

use super::asked::Unanswered;
use super::course::Course;
use super::details::{self, NAME};
use super::good::Positive;
use super::key::{Key, network_56};
use super::limits::{FEW_ACCOUNTS, is_for_phones};
use super::source::{Case, Verdict, count};
use super::tally::Failed;
use super::text::printable;
use super::tries::{self, CERTAIN, DEVICE, NO_SESSION, News, ONE, Try};
use super::{Finding, Judge, Notice, Sighting, Trust, UNKNOWN};
use crate::AddrRange;
use crate::attack::{Attack, Evidence, Service, Weight};
use crate::time::Time;

/// What an attempt led to.
struct Weighed {
    /// The attempt, with all that its lines tell.
    tried: Try,
    /// Whether it is among those that were counted before.
    is_counted: bool,
    /// Whether nothing else is known of the source.
    is_first: bool,
    /// When the source was found to attack before.
    attacked: i64,
    verdict: Option<Verdict>,
}

impl Judge {
    /// Takes in that an attempt failed, or was challenged.
    pub(super) fn failed(&mut self, sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
        let key = self.key(sighting);
        let at = sighting.at.millis();
        let line = self.tried(sighting);
        self.asked.answered(key, line.account);
        let place = self.memory.place(key);
        let Some(weighed) = self.weigh(place, line, sighting) else {
            return self.memory.touch(place, at, false);
        };
        let Weighed { tried, is_counted, is_first, attacked, verdict } = weighed;
        self.memory.touch(place, at, true);
        if counts(&tried) && !is_counted {
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
            Some(Verdict::Slow(case)) => {
                // It may be a forgotten phone, for weeks: no attack begins, and none would ever end.
                let attack =
                    key.range().map(|range| self.proposed(key, place, range, case, sighting));
                found.extend(attack.map(Finding::Attack));
                None
            }
            Some(Verdict::Phone(attempts, since)) => {
                found.push(Finding::Notice(self.bad_phone(key, sighting, &tried, attempts, since)));
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

    /// Takes in that a source was challenged for an account. It is an attack if nobody there answers.
    pub(super) fn challenged(&mut self, sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
        let attempt = &sighting.attempt;
        let Some(name) = named(attempt.account) else { return };
        let is_telephony = matches!(attempt.service, Service::Sip | Service::Iax);
        if !is_telephony || sighting.filter.is_some() {
            return;
        }
        let (key, at, account) =
            (Key::of(attempt.source), sighting.at.millis(), self.seed.text(name));
        let known = self.memory.find(key).and_then(|place| self.memory.get_mut(place));
        if known.is_some_and(|source| source.good.is_some()) {
            return;
        }
        let log = self.seed.text(sighting.log.as_bytes());
        let rule = self.limits.quick;
        let unanswered = self.asked.challenged(key, account, log, at, &rule);
        let Some((Unanswered { accounts, since, attacked }, range)) = unanswered.zip(key.range())
        else {
            return;
        };
        let place = self.memory.place(key);
        self.keep(key, place, sighting, account);
        self.memory.touch(place, at, false);
        let attempts = count(accounts.len());
        let case = Case {
            weight: Weight::Brief,
            trusted_since: None,
            attempts,
            score: attempts.div_ceil(ONE),
            networks: false,
            since: Time::from_millis(since.min(at)),
            last: sighting.at,
            threshold: rule.threshold(),
            accounts,
        };
        self.attack(key, place, range, case, attacked, sighting, found);
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

    /// What the attempts of a source are counted under: what a filter reads, for its log alone.
    fn key(&self, sighting: &Sighting<'_>) -> Key {
        let key = Key::of(sighting.attempt.source);
        match sighting.filter {
            Some(_) => key.apart(self.seed.text(sighting.log.as_bytes())),
            None => key,
        }
    }

    /// Takes an attempt into what is known of its source, and weighs it. `None` if it tells nothing new.
    fn weigh(&mut self, place: u32, line: Try, sighting: &Sighting<'_>) -> Option<Weighed> {
        let (at, attempt) = (sighting.at.millis(), &sighting.attempt);
        let own = sighting.filter.map(|filter| self.limits.of_filter(&filter));
        let limits = own.as_ref().unwrap_or(&self.limits);
        let source = self.memory.get_mut(place)?;
        tries::forget(&mut source.tries, at, limits.memory);
        let has_session = attempt.session.is_some();
        let news = tries::note(&mut source.tries, line, has_session, limits.room);
        let (index, is_new, is_counted) = match news {
            News::New(index) => (index, true, false),
            News::Changed(index, before) => (index, false, before != Outcome::Challenged),
            News::Nothing => return None,
        };
        if line.outcome != Outcome::Challenged && !line.is_misdialled() {
            source.fail(at, limits.memory);
        }
        let (attacked, first) = (source.attacked, source.first_failure);
        // A filter tells of failures only: who logs in from there, other logs know.
        let known = match sighting.filter {
            Some(_) => self.memory.find(Key::of(attempt.source)),
            None => Some(place),
        };
        let known = known.and_then(|place| self.memory.get_mut(place));
        let positive = known.map_or(Positive::default(), |known| {
            known.positive(attempt.service, first, at, limits.memory)
        });
        let source = self.memory.get_mut(place)?;
        let verdict = source.weigh(index, is_new, attempt.service, positive, limits);
        let tried = source.tries.get(index).copied().unwrap_or(line);
        let is_first = source.tries.len() == 1;
        Some(Weighed { tried, is_counted, is_first, attacked, verdict })
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
        let session = match attempt.session {
            Some(session) => seed.text(session) & !NO_SESSION,
            None => seed.text(sighting.line) | NO_SESSION,
        };
        let [log, ..] = seed.text(sighting.log.as_bytes()).to_le_bytes();
        Try {
            at: sighting.at.millis(),
            session,
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
        let (service, accounts_tried) = (sighting.attempt.service, count(case.accounts.len()));
        let (trusted_since, since, at) = (case.trusted_since, case.since, case.last);
        let attack = self.proposed(key, place, range, case, sighting);
        let accounts = attack.evidence.accounts.clone();
        let is_new = self.course.is_none_or(|course| attacked_before < course.since);
        let began = self.course.is_none();
        Course::attacked(&mut self.course, &attack.evidence, is_new);
        found.push(Finding::Attack(attack));
        let guesses = usize::try_from(accounts_tried).is_ok_and(|tried| tried > FEW_ACCOUNTS);
        if let Some(trusted_since) = trusted_since.filter(|_| guesses) {
            found.push(Finding::Notice(Notice::AccountsGuessed {
                source: range,
                service,
                accounts_tried,
                accounts,
                trusted_since,
                since,
                at,
            }));
        }
        if began {
            let began = Notice::AttackBegan { source: range, service, at };
            found.push(Finding::Notice(began));
        }
        self.is_course_dirty = true;
    }

    /// What is proposed against a source, with the evidence.
    fn proposed(
        &self,
        key: Key,
        place: u32,
        range: AddrRange,
        case: Case,
        sighting: &Sighting<'_>,
    ) -> Attack {
        Attack {
            source: range,
            weight: case.weight,
            trusted_since: case.trusted_since,
            bantime: sighting.filter.map(|filter| filter.bantime),
            evidence: Evidence {
                service: sighting.attempt.service,
                attempts: case.attempts,
                score: case.score,
                networks: case.networks,
                since: case.since,
                last: case.last,
                threshold: case.threshold,
                accounts_tried: count(case.accounts.len()),
                accounts: self.details.names(key, place, &case.accounts),
                lines: self.details.lines(key, place),
            },
        }
    }

    fn bad_phone(
        &self,
        key: Key,
        sighting: &Sighting<'_>,
        tried: &Try,
        attempts: u32,
        since: crate::time::Time,
    ) -> Notice {
        let attempt = &sighting.attempt;
        let name = |text: &[u8]| printable(text, NAME);
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
