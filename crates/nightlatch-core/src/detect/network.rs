//! Neighbourhoods: when the networks within an IPv6 /56 or /48 attack, all of it does.
//!
//! An attacker has as many /64 as he likes. So the attempts within are counted once more, each device and
//! account once, against thresholds that are higher and must be reached by several networks.

use super::limits::{Limits, WIDER};
use super::source::{Case, Source, count, counts, spent};
use super::tries::{self, CERTAIN, NETWORK, ONE, Rule, Try, Window, apart};
use crate::attack::{Service, Weight};
use crate::time::Time;

/// Marks a network of the length 56 that attacks.
const IS_56: u32 = 1 << 16;

impl Source {
    /// Notes an attempt within, or that the network in which it was made attacks; its place.
    pub(super) fn note_within(
        &mut self,
        tried: &Try,
        child: u16,
        attacks: bool,
        is_certain: bool,
        limits: &Limits,
    ) -> Option<usize> {
        tries::forget(&mut self.tries, tried.at, limits.memory);
        let certain = if is_certain { CERTAIN } else { 0 };
        let kind = if attacks { NETWORK } else { 0 };
        let new = Try {
            session: u32::from(child),
            pair: if attacks { 0 } else { tried.pair },
            marks: certain | kind,
            ..*tried
        };
        self.replace(new, limits)
    }

    /// Puts an attempt in the place of an older one of the same device.
    fn replace(&mut self, mut new: Try, limits: &Limits) -> Option<usize> {
        let same = |t: &Try| {
            t.session == new.session && t.pair == new.pair && t.is(NETWORK) == new.is(NETWORK)
        };
        if let Some(place) = self.tries.iter().position(same) {
            let known = self.tries.get(place).copied()?;
            let is_later = new.at.saturating_sub(known.at) > limits.quick.within;
            if !is_later && known.score() >= new.score() && (known.is(CERTAIN) || !new.is(CERTAIN))
            {
                return None;
            }
            if !is_later {
                new.marks |= known.marks;
                new.outcome = if known.score() > new.score() { known.outcome } else { new.outcome };
            }
            self.tries.remove(place);
        }
        Some(tries::insert(&mut self.tries, new, limits.room_around))
    }

    /// Whether the /56 attacks in which the network `child` lies, or all of it (then true).
    pub(super) fn weigh_within(
        &mut self,
        place: usize,
        child: u16,
        service: Service,
        limits: &Limits,
    ) -> Option<(Case, bool)> {
        let tried = self.tries.get(place).copied()?;
        let trusted = self.positive(service, tried.at, tried.at, limits.memory).trusted;
        let here = |t: &Try| t.session & IS_56 == 0 && t.session >> 8 == u32::from(child) >> 8;
        let narrow = self.broken(place, WIDER, limits, here, |t| t.session);
        if let Some((weight, inside, threshold)) = narrow {
            self.mark(here, spent(weight));
            let case = self.case(&inside, weight, threshold, trusted);
            let certain = if weight == Weight::Full { CERTAIN } else { 0 };
            let network = Try {
                session: IS_56 | u32::from(child) >> 8,
                pair: 0,
                marks: certain | NETWORK,
                ..tried
            };
            let wide =
                self.replace(network, limits).and_then(|place| self.whole(place, trusted, limits));
            // The network of the length 56 is within the other, which is enough.
            return Some(wide.map_or((case, false), |case| (case, true)));
        }
        self.whole(place, trusted, limits).map(|case| (case, true))
    }

    /// Whether all of the /48 attacks.
    fn whole(&mut self, place: usize, trusted: Option<i64>, limits: &Limits) -> Option<Case> {
        let is_56 = self.tries.get(place).is_some_and(|t| t.session & IS_56 != 0);
        let within = |t: &Try| (t.session & IS_56 != 0) == is_56 && (is_56 || !t.is(NETWORK));
        let group = |t: &Try| if is_56 { t.session } else { t.session >> 8 };
        let (weight, inside, threshold) =
            self.broken(place, WIDER * WIDER, limits, within, group)?;
        self.mark(|_| true, spent(weight));
        Some(self.case(&inside, weight, threshold, trusted))
    }

    /// The attempts that are too many for a network, in which at least as many groups take part as must.
    fn broken(
        &self,
        place: usize,
        times: u32,
        limits: &Limits,
        within: impl Fn(&Try) -> bool,
        group: impl Fn(&Try) -> u32,
    ) -> Option<(Weight, Vec<Try>, (u32, u64))> {
        let tried = self.tries.get(place)?;
        for weight in [Weight::Full, Weight::Brief] {
            let fits = |t: &Try| within(t) && counts(t, weight);
            let groups = |inside: &[Try]| {
                let mut groups: Vec<u32> = inside.iter().map(&group).collect();
                groups.sort_unstable();
                groups.dedup();
                groups.len() >= limits.neighbours
            };
            if tried.is(NETWORK) {
                let near = |t: &Try| apart(t.at, tried.at) <= limits.slow.within;
                let inside = self.those(|t| fits(t) && t.is(NETWORK) && near(t));
                if fits(tried) && groups(&inside) {
                    let threshold = Rule { score: count(limits.neighbours) * ONE, ..limits.slow };
                    return Some((weight, inside, threshold.threshold()));
                }
                continue;
            }
            for rule in [limits.quick.times(times), limits.slow.times(times)] {
                let Some(Window { first, last, .. }) = rule.broken(&self.tries, place, fits) else {
                    continue;
                };
                let all = self.tries.get(first..=last).unwrap_or_default();
                let inside: Vec<Try> =
                    all.iter().filter(|t| fits(t) && !t.is(NETWORK)).copied().collect();
                if groups(&inside) {
                    return Some((weight, inside, rule.threshold()));
                }
            }
        }
        None
    }

    fn those(&self, which: impl Fn(&Try) -> bool) -> Vec<Try> {
        self.tries.iter().filter(|t| which(t)).copied().collect()
    }

    fn case(
        &mut self,
        inside: &[Try],
        weight: Weight,
        threshold: (u32, u64),
        trusted: Option<i64>,
    ) -> Case {
        let time = |t: Option<&Try>| Time::from_millis(t.map_or(0, |t| t.at));
        let mut accounts: Vec<u32> = inside.iter().map(|t| t.account).filter(|a| *a != 0).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let last = time(inside.last());
        self.attacked = last.millis();
        let score: u32 = inside.iter().map(Try::score).sum();
        Case {
            weight,
            trusted_since: trusted.map(Time::from_millis),
            attempts: count(inside.len()),
            score: if score == 0 { count(inside.len()) } else { score.div_ceil(ONE) },
            networks: inside.iter().all(|t| t.is(NETWORK)),
            since: time(inside.first()),
            last,
            threshold,
            accounts,
        }
    }
}
