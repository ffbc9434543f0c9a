//! What an answer changes: which addresses of a name count from now on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::Notice;
use super::answer::{Answered, Found};
use super::live::{self, Live, MAX_PAUSE, MIN_PAUSE, Missing};
use super::name::{CONFIRMATIONS, CONFIRMED_OVER, Failing, Failure, Gone};
use super::name::{KEPT_WHILE_FAILING, Name};
use super::sense::{Senseless, senseless};
use crate::Family;
use crate::posture::Site;
use crate::time::Time;

/// The most addresses of a name, both families together.
pub const MAX_ADDRESSES: usize = 64;
/// The most refused addresses that are kept of an answer.
const MAX_REFUSED: usize = 8;
/// In how many answers an address must be missing before it counts as replaced.
const REPLACED_AFTER: u32 = 3;
/// The same where an answer shows only some of the addresses.
const REPLACED_AFTER_ROTATING: u32 = 32;
/// After how many answers without a return of an address a name no longer counts as rotating.
const ROTATES_UNTIL: u32 = 2 * REPLACED_AFTER_ROTATING;
/// While an address may have been replaced, it is asked at least so often within the overlap.
const LOOKS_WITHIN_OVERLAP: u32 = 4;
const MIN_PAUSE_WITHIN_OVERLAP: Duration = Duration::from_secs(5);
/// How often a name may get new addresses within a day.
pub const MAX_CHANGES_A_DAY: usize = 20;
const DAY: Duration = Duration::from_secs(86_400);
/// A name that got new addresses [`MAX_CHANGES_A_DAY`] times within this time is looked up less often: each
/// change is an entry in the audit log, and whoever answers for the name decides how many there are.
const RESTLESS_WITHIN: Duration = Duration::from_secs(2 * 3600);
const PAUSE_OF_RESTLESS: Duration = Duration::from_secs(300);

/// What an answer is judged with.
pub(super) struct Circumstances<'a> {
    pub(super) now: Time,
    pub(super) overlap: Duration,
    pub(super) site: &'a Site,
}

/// What an answer leaves.
pub(super) struct Outcome {
    pub(super) name: Name,
    pub(super) live: Live,
    pub(super) notices: Vec<Notice>,
}

/// Judges the answers about a name.
pub(super) fn judge(
    name: &Name,
    live: &Live,
    answered: &Answered,
    with: &Circumstances<'_>,
) -> Outcome {
    let now = with.now;
    let mut new = name.clone();
    let slept = live::slept(live, now);
    if !slept.is_zero() {
        new.leave_out(slept);
    }
    let live = Live { asked: None, slept: Duration::ZERO, ..live.clone() };
    let mut outcome = Outcome { name: new, live, notices: Vec::new() };
    outcome.live.answers = outcome.live.answers.saturating_add(1);
    let halves = outcome.sift(answered, with);
    let is = |what: fn(&Found) -> bool| halves.iter().all(|(_, half)| what(half));
    let pause = if is(|half| matches!(half, Found::Nothing)) {
        outcome.is_gone(now)
    } else if is(|half| !matches!(half, Found::Addresses { .. })) {
        outcome.fails(&halves, now)
    } else {
        outcome.is_found(&halves, with)
    };
    outcome.note_changes(name, now);
    let pause = if outcome.is_restless(now) { pause.max(PAUSE_OF_RESTLESS) } else { pause };
    let mut next = live::next(now, pause, answered, outcome.live.answers);
    if let Some(end) = outcome.name.ends().filter(|end| now < *end) {
        next = next.min(end);
    }
    outcome.live.next = next;
    outcome
}

/// The addresses of a name that are replaced by now, with what remains.
pub(super) fn end_replaced(name: &Name, live: &Live, with: &Circumstances<'_>) -> Outcome {
    let mut outcome = Outcome { name: name.clone(), live: live.clone(), notices: Vec::new() };
    outcome.drop_replaced(with);
    outcome.note_changes(name, with.now);
    outcome
}

/// When the first of its addresses counts as replaced, if nothing else is heard of it. Without another
/// address, none is replaced.
pub(super) fn replaced_at(name: &Name, live: &Live, overlap: Duration) -> Option<Time> {
    if !has_others(name, live) {
        return None;
    }
    let replaced = live.missing.values().filter(|it| it.answers >= needed(name));
    replaced.map(|it| it.since.after(overlap)).min()
}

/// Whether an address counts that was in the last answers.
fn has_others(name: &Name, live: &Live) -> bool {
    name.addresses.iter().any(|address| !live.missing.contains_key(address))
}

/// In how many answers an address of the name must be missing.
fn needed(name: &Name) -> u32 {
    if name.rotates { REPLACED_AFTER_ROTATING } else { REPLACED_AFTER }
}

impl Outcome {
    /// Takes out what makes no sense, and says so if that is news.
    fn sift(&mut self, answered: &Answered, with: &Circumstances<'_>) -> [(Family, Found); 2] {
        let private = self.name.may_be_private();
        let mut refused = BTreeSet::new();
        let mut sift = |half: &Found| {
            let Found::Addresses { addresses, lifetime, is_partial } = half else {
                return half.clone();
            };
            let (mut kept, mut bad) = (Vec::new(), BTreeSet::new());
            for address in addresses.iter().copied() {
                match senseless(address, private, with.site) {
                    Some(why) => drop(bad.insert(Senseless { address, why })),
                    None => kept.push(address),
                }
            }
            let is_senseless = kept.is_empty() && !bad.is_empty();
            refused.extend(bad);
            if is_senseless {
                return Found::Failed(Failure::Senseless);
            }
            let (lifetime, is_partial) = (*lifetime, *is_partial);
            Found::Addresses { addresses: kept, lifetime, is_partial }
        };
        let mut halves = [sift(&answered.v4), sift(&answered.v6)];
        let count = |half: &Found| match half {
            Found::Addresses { addresses, .. } => addresses.len(),
            _ => 0,
        };
        let all = halves.iter().map(count).sum::<usize>();
        if all > MAX_ADDRESSES {
            for half in halves.iter_mut().filter(|half| count(half) > 0) {
                *half = Found::Failed(Failure::TooMany(all));
            }
        }
        let is_answer = halves.iter().any(|half| !matches!(half, Found::Failed(_)));
        if is_answer || !refused.is_empty() {
            let refused: Vec<Senseless> = refused.into_iter().take(MAX_REFUSED).collect();
            if refused != self.name.refused && !refused.is_empty() {
                let (name, refused) = (self.name.name.clone(), refused.clone());
                self.notices.push(Notice::Refused { name, refused });
            }
            self.name.refused = refused;
        }
        let [v4, v6] = halves;
        [(Family::V4, v4), (Family::V6, v6)]
    }

    /// The name server says that there is no address. Returns when to ask again.
    fn is_gone(&mut self, now: Time) -> Duration {
        (self.name.failing_v4, self.name.failing_v6) = (None, None);
        self.live.failures = self.live.failures.saturating_add(1);
        let kept = self.name.kept_when_gone();
        let gone = self.name.gone.get_or_insert(Gone { since: now, times: 0, confirmed: false });
        gone.since = gone.since.min(now);
        gone.times = gone.times.saturating_add(1).min(CONFIRMATIONS);
        let is_sure = gone.times == CONFIRMATIONS && now.since(gone.since) >= CONFIRMED_OVER;
        let (since, until) = (gone.since, gone.since.after(kept));
        if is_sure && !gone.confirmed {
            gone.confirmed = true;
            let (name, count) = (self.name.name.clone(), self.name.addresses.len());
            self.notices.push(Notice::Gone { name, since, until, addresses: count });
        }
        if is_sure && until <= now {
            self.lose(|_| true);
        }
        self.live.pause_when_gone()
    }

    /// Nothing is known of any family with addresses. Returns when to ask again.
    fn fails(&mut self, halves: &[(Family, Found)], now: Time) -> Duration {
        self.live.failures = self.live.failures.saturating_add(1);
        self.note_failures(halves, now);
        self.live.pause_after_failure()
    }

    fn note_failures(&mut self, halves: &[(Family, Found)], now: Time) {
        for (family, half) in halves {
            let Found::Failed(why) = half else { continue };
            let failing = self.name.failing(*family);
            let failing = failing.get_or_insert(Failing { since: now, why: *why });
            failing.since = failing.since.min(now);
            if failing.since.after(KEPT_WHILE_FAILING) <= now {
                let is_v4 = *family == Family::V4;
                self.lose(|address| address.is_ipv4() == is_v4);
            }
        }
    }

    /// Addresses have counted without an answer for long enough.
    fn lose(&mut self, which: impl Fn(&IpAddr) -> bool) {
        let lost = self.name.addresses.iter().copied().filter(&which).collect::<Vec<_>>();
        self.name.addresses.retain(|address| !which(address));
        self.live.missing.retain(|address, _| !which(address));
        if !lost.is_empty() {
            let name = self.name.name.clone();
            self.notices.push(Notice::Lost { name, addresses: lost });
        }
    }

    /// There are addresses. Returns when to ask again.
    fn is_found(&mut self, halves: &[(Family, Found)], with: &Circumstances<'_>) -> Duration {
        self.live.failures = 0;
        self.name.gone = None;
        let mut pause = MAX_PAUSE;
        for (family, half) in halves {
            match half {
                Found::Addresses { addresses, lifetime, is_partial } => {
                    pause = pause.min(*lifetime);
                    self.take(*family, addresses, *is_partial, with.now);
                }
                Found::Nothing => self.take(*family, &[], false, with.now),
                Found::Failed(_) => continue,
            }
            *self.name.failing(*family) = None;
        }
        // One family alone fails: it matters only if it has addresses.
        for (family, half) in halves {
            if self.name.of_family(*family).next().is_none() {
                *self.name.failing(*family) = None;
            } else {
                self.note_failures(std::slice::from_ref(&(*family, half.clone())), with.now);
            }
        }
        self.drop_what_is_too_much();
        self.drop_replaced(with);
        let rests = self.live.answers.saturating_sub(self.live.came_again);
        if self.name.rotates && rests > ROTATES_UNTIL {
            self.name.rotates = false;
        }
        let pause = pause.clamp(MIN_PAUSE, MAX_PAUSE);
        if self.live.missing.is_empty() || self.name.rotates {
            return pause;
        }
        let often = with.overlap / LOOKS_WITHIN_OVERLAP;
        pause.min(often.clamp(MIN_PAUSE_WITHIN_OVERLAP, MIN_PAUSE))
    }

    /// Takes in the addresses of a family.
    fn take(&mut self, family: Family, addresses: &[IpAddr], is_partial: bool, now: Time) {
        for address in addresses {
            let came_again = self.live.missing.remove(address).is_some();
            let is_new = !self.name.addresses.contains(address);
            let was_replaced = is_new && self.live.replaced.remove(address).is_some();
            if came_again || was_replaced {
                self.name.rotates = true;
                self.live.came_again = self.live.answers;
            }
            if is_new {
                self.name.addresses.push(*address);
            }
        }
        self.name.addresses.sort_unstable();
        if is_partial {
            return;
        }
        let known: Vec<IpAddr> = self.name.of_family(family).collect();
        for address in known.into_iter().filter(|address| !addresses.contains(address)) {
            let first = Missing { since: now, answers: 0 };
            let missing = self.live.missing.entry(address).or_insert(first);
            missing.since = missing.since.min(now);
            missing.answers = missing.answers.saturating_add(1);
        }
    }

    /// Where answers show ever other addresses, those go first that were missing longest.
    fn drop_what_is_too_much(&mut self) {
        let over = self.name.addresses.len().saturating_sub(MAX_ADDRESSES);
        let mut missing: Vec<(u32, IpAddr)> =
            self.live.missing.iter().map(|(address, it)| (it.answers, *address)).collect();
        missing.sort_unstable_by(|one, other| other.cmp(one));
        for (_, address) in missing.into_iter().take(over) {
            self.live.missing.remove(&address);
            self.name.addresses.retain(|other| *other != address);
        }
    }

    /// Addresses that were replaced no longer count after the overlap. The new ones count only once that is
    /// written down: until then the old ones stay.
    fn drop_replaced(&mut self, with: &Circumstances<'_>) {
        if !has_others(&self.name, &self.live) {
            return;
        }
        let needed = needed(&self.name);
        let is_over =
            |it: &Missing| it.answers >= needed && it.since.after(with.overlap) <= with.now;
        let over: Vec<IpAddr> = self
            .live
            .missing
            .iter()
            .filter(|(_, it)| is_over(it))
            .map(|(address, _)| *address)
            .collect();
        for address in over {
            self.live.missing.remove(&address);
            self.live.replaced.insert(address, with.now);
            self.name.addresses.retain(|other| *other != address);
        }
        let is_recent = |at: Time| with.now.since(at) < DAY;
        self.live.replaced.retain(|_, at| is_recent(*at));
        while self.live.replaced.len() > MAX_ADDRESSES {
            let oldest = self.live.replaced.iter().min_by_key(|(_, at)| **at);
            let Some(oldest) = oldest.map(|(address, _)| *address) else { break };
            self.live.replaced.remove(&oldest);
        }
    }

    /// Whether the name has got new addresses very often of late.
    fn is_restless(&self, now: Time) -> bool {
        let changes = &self.name.changes;
        let of_late = changes.iter().filter(|at| now.since(**at) < RESTLESS_WITHIN).count();
        of_late > MAX_CHANGES_A_DAY
    }

    /// Notes that addresses changed, and says so if that happens often.
    fn note_changes(&mut self, before: &Name, now: Time) {
        if self.name.addresses == before.addresses {
            return;
        }
        self.name.changed = Some(now);
        let is_new = |address: &IpAddr| !before.addresses.contains(address);
        if before.addresses.is_empty() || !self.name.addresses.iter().any(is_new) {
            return;
        }
        let changes = &mut self.name.changes;
        changes.retain(|at| now.since(*at) < DAY);
        changes.push(now);
        let too_many = changes.len().saturating_sub(MAX_CHANGES_A_DAY + 1);
        changes.drain(..too_many);
        let often = changes.len() > MAX_CHANGES_A_DAY;
        if often && self.name.told_often.is_none_or(|told| now.since(told) >= DAY) {
            self.name.told_often = Some(now);
            self.notices.push(Notice::Often { name: self.name.name.clone() });
        }
    }
}
