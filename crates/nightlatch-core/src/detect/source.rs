//! What is known of one source, and what follows from an attempt.

use nightlatch_parse::log::Outcome;

use super::good::{Good, Known, Positive};
use super::limits::{DAY, FEW_ACCOUNTS, HOUR, Limits, PAUSE, WEEK, is_for_phones};
use super::pace::{Fast, Pace};
use super::tries::{BRIEF, CERTAIN, DEVICE, FORGIVEN, FULL, ONE, PHONE, Rule, Try, Window, apart};
use crate::attack::{Service, Weight};
use crate::time::Time;

/// So many devices with a wrong password are remembered for each source.
const MAX_PHONES: usize = 4;

/// A device that has a wrong password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Phone {
    /// The hash of account, agent and address.
    pub(super) pair: u32,
    pub(super) account: u32,
    pub(super) since: i64,
    pub(super) last: i64,
    pub(super) attempts: u32,
}

impl Phone {
    /// Whether it has gone on for longer than a day, too often on average to be left alone.
    fn guesses_slowly(&self, limits: &Limits) -> bool {
        let lasts = self.last.saturating_sub(self.since);
        let allowed = i64::from(limits.per_day).saturating_mul(lasts);
        let made = i64::from(self.attempts).saturating_sub(1);
        lasts >= DAY && made.saturating_mul(DAY) > allowed
    }
}

/// What is known of one source.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    /// In the order of time.
    pub(super) tries: Vec<Try>,
    pub(super) good: Option<Box<Good>>,
    pub(super) phones: Vec<Phone>,
    pub(super) pace: Pace,
    /// The first and the last failure, without a pause of a week between them.
    pub(super) first_failure: i64,
    pub(super) last_failure: i64,
    /// When it was last found to attack.
    pub(super) attacked: i64,
    /// When it was last seen.
    pub(super) seen: i64,
}

impl Default for Source {
    fn default() -> Source {
        Source {
            tries: Vec::new(),
            good: None,
            phones: Vec::new(),
            pace: Pace::NONE,
            first_failure: i64::MAX,
            last_failure: i64::MIN,
            attacked: i64::MIN,
            seen: i64::MIN,
        }
    }
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// The source attacks.
    Attack(Case),
    /// What looked like a device with a wrong password has guessed for days, and nobody has ever logged in
    /// from there.
    Slow(Case),
    /// A device has a wrong password: how many attempts, since when.
    Phone(u32, Time),
}

/// Why a source attacks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) weight: Weight,
    pub(super) trusted_since: Option<Time>,
    pub(super) attempts: u32,
    pub(super) score: u32,
    /// Whether networks within are counted, not attempts.
    pub(super) networks: bool,
    pub(super) since: Time,
    pub(super) last: Time,
    pub(super) threshold: (u32, u64),
    /// The hashes of the accounts.
    pub(super) accounts: Vec<u32>,
}

/// Whether attempts that are too many come from one device.
enum Device {
    /// They do.
    Phone,
    /// They may: the next one of the other device will tell.
    Unclear,
    /// Somebody guesses.
    None,
}

impl Source {
    /// Takes in that something failed: since when that goes on.
    pub(super) fn fail(&mut self, at: i64, memory: i64) {
        if self.last_failure == i64::MIN || at.saturating_sub(self.last_failure) > memory {
            (self.first_failure, self.last_failure) = (at, at);
        }
        self.first_failure = self.first_failure.min(at);
        self.last_failure = self.last_failure.max(at);
    }

    /// What successes from there show about whoever fails. The first of the failures was not after `first`.
    pub(super) fn positive(&self, service: Service, first: i64, at: i64, memory: i64) -> Positive {
        let is_remembered = |good: &&Good| at.saturating_sub(good.last()) <= memory;
        let Some(good) = self.good.as_deref().filter(is_remembered) else {
            return Positive::default();
        };
        let failure = self.first_failure.min(first).min(at);
        let trusted = good.counts_before(failure, service == Service::Ssh);
        Positive { trusted, any: true }
    }

    /// What follows from the attempt at `place`, which is new or of which more is known.
    pub(super) fn weigh(
        &mut self,
        place: usize,
        is_new: bool,
        service: Service,
        positive: Positive,
        limits: &Limits,
    ) -> Option<Verdict> {
        let tried = self.tries.get(place).copied()?;
        let trusted = positive.trusted;
        let too_fast = is_new
            && is_for_phones(service)
            && tried.outcome != Outcome::Challenged
            && self.pace.exceeds(tried.at, limits);
        if let Some(phone) = self.active_phone(&tried) {
            if is_new {
                phone.attempts = phone.attempts.saturating_add(1);
                phone.last = phone.last.max(tried.at);
            }
            let phone = *phone;
            self.mark(|t| t.pair == tried.pair, PHONE);
            let last_ones = || self.fast(tried.pair, limits).filter(|_| trusted.is_none());
            let fast = if too_fast { Some(self.pace.fast(tried.at, limits)) } else { last_ones() };
            if let Some(fast) = fast {
                return Some(Verdict::Attack(self.too_fast(&tried, trusted, fast, limits)));
            }
            let goes_on = is_new && !positive.any && phone.guesses_slowly(limits);
            return goes_on.then(|| Verdict::Slow(slow(&phone, limits)));
        }
        if too_fast && trusted.is_some() {
            let fast = self.pace.fast(tried.at, limits);
            return Some(Verdict::Attack(self.too_fast(&tried, trusted, fast, limits)));
        }
        for weight in [Weight::Full, Weight::Brief] {
            let counts = |t: &Try| counts(t, weight) && !(trusted.is_some() && t.is_misdialled());
            let rules = [&limits.quick, &limits.slow];
            let broken = rules
                .into_iter()
                .find_map(|rule| Some((rule, rule.broken(&self.tries, place, counts)?)));
            let Some((rule, window)) = broken else { continue };
            let inside = self.within(&window, counts);
            return match self.device(&inside, &tried, trusted, limits) {
                Device::Phone => Some(self.new_phone(&tried)),
                Device::Unclear => None,
                Device::None => {
                    Some(Verdict::Attack(self.attack(&inside, &window, weight, trusted, rule)))
                }
            };
        }
        None
    }

    /// The attempts of a window that count.
    fn within(&self, window: &Window, counts: impl Fn(&Try) -> bool) -> Vec<Try> {
        let all = self.tries.get(window.first..=window.last).unwrap_or_default();
        all.iter().filter(|t| counts(t)).copied().collect()
    }

    /// The device of which the administrator has heard already.
    fn active_phone(&mut self, tried: &Try) -> Option<&mut Phone> {
        let is_its = |phone: &&mut Phone| {
            phone.pair == tried.pair && apart(phone.last, tried.at) <= PAUSE && tried.is(DEVICE)
        };
        self.phones.iter_mut().find(is_its)
    }

    /// The last attempts of a device, if they follow one another as no device would do it.
    fn fast(&self, pair: u32, limits: &Limits) -> Option<Fast> {
        let wanted = limits.quick_attempts.max(2);
        let mut last =
            self.tries.iter().rev().filter(|t| t.pair == pair && !t.is(FULL)).map(|t| t.at);
        let newest = last.next()?;
        let oldest = last.nth(usize::try_from(wanted).unwrap_or(2) - 2)?;
        let is_fast =
            newest.saturating_sub(oldest) < limits.gap.saturating_mul(i64::from(wanted) - 1);
        is_fast.then(|| Fast { attempts: wanted, since: oldest, threshold: limits.gaps() })
    }

    fn device(&self, inside: &[Try], tried: &Try, trusted: Option<i64>, limits: &Limits) -> Device {
        // Each device is challenged before it fails.
        let inside: Vec<&Try> =
            inside.iter().filter(|t| t.outcome != Outcome::Challenged).collect();
        let devices = !inside.is_empty() && inside.iter().all(|t| t.is(DEVICE) && t.account != 0);
        let mut pairs: Vec<u32> = inside.iter().map(|t| t.pair).collect();
        pairs.extend(self.active_phones(tried.at).map(|phone| phone.pair));
        if !devices || distinct(&mut pairs) > if trusted.is_some() { FEW_ACCOUNTS } else { 1 } {
            return Device::None;
        }
        if trusted.is_some() {
            let its = inside.iter().filter(|t| t.pair == tried.pair).count();
            return if its * 2 >= inside.len() { Device::Phone } else { Device::Unclear };
        }
        let honest = |t: &&Try| !matches!(t.outcome, Outcome::UnknownAccount | Outcome::Malformed);
        let (first, last) = (inside.first().map_or(0, |t| t.at), inside.last().map_or(0, |t| t.at));
        let gaps = i64::try_from(inside.len()).unwrap_or(i64::MAX).saturating_sub(1);
        if inside.iter().all(honest)
            && last.saturating_sub(first) >= limits.gap.saturating_mul(gaps)
        {
            Device::Phone
        } else {
            Device::None
        }
    }

    fn active_phones(&self, at: i64) -> impl Iterator<Item = &Phone> {
        self.phones.iter().filter(move |phone| apart(phone.last, at) <= PAUSE)
    }

    fn new_phone(&mut self, tried: &Try) -> Verdict {
        self.mark(|t| t.pair == tried.pair, PHONE);
        // It may have paused: what was counted before is not counted again.
        let is_its =
            |phone: &&Phone| phone.pair == tried.pair && apart(phone.last, tried.at) <= WEEK;
        let before = self.phones.iter().find(is_its).copied();
        let from = before.map_or(i64::MIN, |phone| phone.last);
        let its = || {
            let own = |t: &&Try| t.pair == tried.pair && t.at > from && !t.is(FORGIVEN | FULL);
            self.tries.iter().filter(own)
        };
        let since = its().map(|t| t.at).min().unwrap_or(tried.at);
        let since = before.map_or(since, |phone| phone.since.min(since));
        let last = its().map(|t| t.at).max().unwrap_or(tried.at);
        let attempts = count(its().count());
        let attempts = before.map_or(attempts, |phone| phone.attempts.saturating_add(attempts));
        self.phones.retain(|phone| phone.pair != tried.pair);
        if self.phones.len() >= MAX_PHONES {
            let oldest = self.phones.iter().enumerate().min_by_key(|(_, phone)| phone.last);
            let oldest = oldest.map_or(0, |(place, _)| place);
            self.phones.remove(oldest);
        }
        self.phones.push(Phone { pair: tried.pair, account: tried.account, since, last, attempts });
        Verdict::Phone(attempts, Time::from_millis(since))
    }

    /// A device, or what looks like one, tries faster than any device should.
    fn too_fast(&mut self, tried: &Try, trusted: Option<i64>, fast: Fast, limits: &Limits) -> Case {
        let certain = |t: &&Try| t.is(CERTAIN) && apart(t.at, tried.at) <= HOUR;
        let proven = count(self.tries.iter().filter(certain).count()) >= limits.quick_attempts;
        let recent = |t: &&Try| apart(t.at, tried.at) <= HOUR && !t.is(FULL);
        let mut accounts: Vec<u32> = self.tries.iter().filter(recent).map(|t| t.account).collect();
        distinct(&mut accounts);
        self.pace = Pace::NONE;
        self.phones.retain(|phone| phone.pair != tried.pair);
        let weight = if proven { Weight::Full } else { Weight::Brief };
        self.mark(|_| true, spent(weight));
        self.attacked = tried.at;
        Case {
            weight,
            trusted_since: trusted.map(Time::from_millis),
            attempts: fast.attempts,
            score: fast.attempts,
            networks: false,
            since: Time::from_millis(fast.since.min(tried.at)),
            last: Time::from_millis(tried.at),
            threshold: fast.threshold,
            accounts,
        }
    }

    fn attack(
        &mut self,
        inside: &[Try],
        window: &Window,
        weight: Weight,
        trusted: Option<i64>,
        rule: &Rule,
    ) -> Case {
        let last = inside.last().map_or(0, |t| t.at);
        let mut accounts: Vec<u32> = inside.iter().map(|t| t.account).filter(|a| *a != 0).collect();
        accounts.extend(self.active_phones(last).map(|phone| phone.account));
        distinct(&mut accounts);
        self.mark(|_| true, spent(weight));
        self.pace = Pace::NONE;
        self.attacked = last;
        Case {
            weight,
            trusted_since: trusted.map(Time::from_millis),
            attempts: count(inside.len()),
            score: window.score.div_ceil(ONE),
            networks: false,
            since: Time::from_millis(inside.first().map_or(last, |t| t.at)),
            last: Time::from_millis(last),
            threshold: rule.threshold(),
            accounts,
        }
    }

    pub(super) fn mark(&mut self, which: impl Fn(&Try) -> bool, marks: u8) {
        self.tries.iter_mut().filter(|t| which(t)).for_each(|t| t.marks |= marks);
    }

    /// The bytes that it holds beside itself.
    pub(super) fn heap(&self) -> usize {
        let accounts = self
            .good
            .as_ref()
            .map_or(0, |good| size_of::<Good>() + good.accounts.capacity() * size_of::<Known>());
        self.tries.capacity() * size_of::<Try>()
            + self.phones.capacity() * size_of::<Phone>()
            + accounts
    }
}

/// Why a device that nobody has ever seen log in guesses: it has gone on for days, however slowly. Whether
/// somebody guesses or has forgotten a phone, nobody can tell; so a ban for it is always brief.
fn slow(phone: &Phone, limits: &Limits) -> Case {
    Case {
        weight: Weight::Brief,
        trusted_since: None,
        attempts: phone.attempts,
        score: phone.attempts,
        networks: false,
        since: Time::from_millis(phone.since),
        last: Time::from_millis(phone.last),
        threshold: limits.per_day(),
        accounts: vec![phone.account],
    }
}

/// Whether an attempt counts for a ban of that weight.
pub(super) fn counts(tried: &Try, weight: Weight) -> bool {
    !tried.is(PHONE | FORGIVEN)
        && match weight {
            Weight::Full => tried.is(CERTAIN) && !tried.is(FULL),
            Weight::Brief => !tried.is(BRIEF | FULL),
        }
}

/// The mark of attempts that were a reason for a ban of that weight.
pub(super) fn spent(weight: Weight) -> u8 {
    match weight {
        Weight::Full => FULL | BRIEF,
        Weight::Brief => BRIEF,
    }
}

/// Sorts, leaves each one once, and says how many there are.
fn distinct(hashes: &mut Vec<u32>) -> usize {
    hashes.sort_unstable();
    hashes.dedup();
    hashes.len()
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
