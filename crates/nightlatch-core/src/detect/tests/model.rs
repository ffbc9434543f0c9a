//! A model that keeps everything and looks through all of it each time: random streams of attempts, of
//! filters with thresholds of their own among them, must lead to the same attacks, over restarts too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;
use crate::attack::Weight;

/// An attempt that the model remembers.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "a model is simple")]
struct Kept {
    at: i64,
    /// The source, and the /64 within where it is a neighbourhood.
    source: String,
    within: Option<u16>,
    session: String,
    account: &'static str,
    host: IpAddr,
    score: u32,
    /// Lines with a wrong password, and others: at most four and eight are one attempt.
    lines: (u8, u8),
    proven: bool,
    /// Has led to a brief attack, to a full one.
    brief: bool,
    full: bool,
    /// Stands for a network of that length that attacks.
    network: Option<u8>,
}

/// Counts as the documentation says, and nothing else.
#[derive(Default)]
struct Model {
    kept: Vec<Kept>,
}

/// An attack: the source, whether it is sure, the attempts.
type Found = (String, bool, u32);

impl Model {
    fn see(&mut self, shown: &Shown, session: &str) -> Vec<Found> {
        let (name, network) = source_of(shown.source);
        // What a filter reads counts for its log alone.
        let source = match shown.filter {
            Some(_) => format!("{name} in {}", shown.log),
            None => name.clone(),
        };
        let network = network.filter(|_| shown.filter.is_none());
        let proven = shown.proof == Proof::Answered && shown.trust == Trust::Full;
        let score = if shown.outcome == Outcome::WrongPassword { 1 } else { 2 };
        let room = |kept: &Kept| if score == 1 { kept.lines.0 < 4 } else { kept.lines.1 < 8 };
        let known = self
            .kept
            .iter()
            .enumerate()
            .filter(|(_, kept)| kept.source == source && kept.session == session && room(kept))
            .filter(|(_, kept)| kept.network.is_none() && (kept.at - shown.at).abs() <= 10)
            .max_by_key(|(place, kept)| (kept.at, *place))
            .map(|(place, _)| place);
        let line = if score == 1 { (1, 0) } else { (0, 1) };
        let place = if let Some(place) = known {
            let kept = &mut self.kept[place];
            kept.lines = (kept.lines.0 + line.0, kept.lines.1 + line.1);
            if kept.proven >= proven && kept.score >= score {
                return Vec::new();
            }
            kept.proven |= proven;
            kept.score = kept.score.max(score);
            place
        } else {
            self.kept.push(Kept {
                at: shown.at,
                source: source.clone(),
                within: None,
                session: session.to_owned(),
                account: shown.account.unwrap(),
                host: shown.source,
                score,
                lines: line,
                proven,
                brief: false,
                full: false,
                network: None,
            });
            self.kept.len() - 1
        };
        let mut found = Vec::new();
        let rules = match shown.filter {
            Some(it) => vec![(it.maxretry, it.findtime.as_secs().cast_signed())],
            None => vec![(5, 600), (20, 7 * DAY)],
        };
        let attack = self.source_attacks(&source, place, &rules);
        found.extend(attack.clone().map(|(_, full, attempts)| (name, full, attempts)));
        if let Some((around, within)) = network {
            let copy = self.kept[place].clone();
            found.extend(self.around(&around, within, copy, None));
            if let Some((_, full, _)) = attack {
                let copy = Kept { proven: full, ..self.kept[place].clone() };
                found.extend(self.around(&around, within, copy, Some(64)));
            }
        }
        found
    }

    /// Five within ten minutes or twenty within a week, or what a filter says; first of those that are
    /// proven, then of all.
    fn source_attacks(
        &mut self,
        source: &str,
        place: usize,
        rules: &[(u32, i64)],
    ) -> Option<Found> {
        for full in [true, false] {
            for (most, within) in rules.iter().copied() {
                let those = |kept: &Kept| kept.source == source && kept.network.is_none();
                if let Some(places) = self.too_many(place, full, most, within, those) {
                    self.spend(full, those);
                    return Some((source.to_owned(), full, places.len() as u32));
                }
            }
        }
        None
    }

    /// Notes an attempt in a neighbourhood: each account of each host once in ten minutes.
    fn around(
        &mut self,
        around: &str,
        within: u16,
        kept: Kept,
        network: Option<u8>,
    ) -> Option<Found> {
        let place = self.note_around(around, within, kept, network)?;
        let here = |kept: &Kept| {
            kept.source == around
                && kept.network != Some(56)
                && kept.within.unwrap() >> 8 == within >> 8
        };
        for full in [true, false] {
            let narrow = if network.is_some() {
                self.networks(place, full, here)
            } else {
                let attempts = |kept: &Kept| here(kept) && kept.network.is_none();
                [(10, 600), (40, 7 * DAY)].into_iter().find_map(|(most, span)| {
                    let places = self.too_many(place, full, most, span, attempts)?;
                    self.groups(&places, |within| within).then_some(places.len() as u32)
                })
            };
            let Some(attempts) = narrow else { continue };
            self.spend(full, here);
            let copy = Kept { proven: full, ..self.kept[place].clone() };
            let place = self.note_around(around, within >> 8, copy, Some(56));
            for sure in [true, false] {
                let wider = |kept: &Kept| kept.source == around && kept.network == Some(56);
                if let Some(attempts) = place.and_then(|place| self.networks(place, sure, wider)) {
                    self.spend(sure, |kept| kept.source == around);
                    return Some((around.to_owned(), sure, attempts));
                }
            }
            let bits = around_bits(around) | u128::from(within & 0xff00) << 64;
            return Some((format!("{}/56", Ipv6Addr::from_bits(bits)), full, attempts));
        }
        if network.is_some() {
            return None;
        }
        for full in [true, false] {
            for (most, span) in [(20, 600), (80, 7 * DAY)] {
                let those = |kept: &Kept| kept.source == around && kept.network.is_none();
                let places = self.too_many(place, full, most, span, those);
                if let Some(places) =
                    places.filter(|places| self.groups(places, |within| within >> 8))
                {
                    self.spend(full, |kept| kept.source == around);
                    return Some((around.to_owned(), full, places.len() as u32));
                }
            }
        }
        None
    }

    fn note_around(
        &mut self,
        around: &str,
        within: u16,
        kept: Kept,
        network: Option<u8>,
    ) -> Option<usize> {
        let same = |old: &Kept| {
            old.source == around
                && old.within == Some(within)
                && old.network == network
                && (network.is_some() || (old.account, old.host) == (kept.account, kept.host))
        };
        let score = if network.is_some() { 0 } else { kept.score };
        let mut new = Kept {
            source: around.to_owned(),
            within: Some(within),
            network,
            score,
            brief: false,
            full: false,
            ..kept
        };
        if let Some(place) = self.kept.iter().position(same) {
            let old = self.kept[place].clone();
            if new.at - old.at <= 600 {
                if old.score >= new.score && old.proven >= new.proven {
                    return None;
                }
                new.score = new.score.max(old.score);
                (new.proven, new.brief, new.full) = (new.proven | old.proven, old.brief, old.full);
            }
            self.kept.remove(place);
        }
        self.kept.push(new);
        Some(self.kept.len() - 1)
    }

    /// The places of attempts that are too many in any span that ends with one of them and holds `place`.
    fn too_many(
        &self,
        place: usize,
        full: bool,
        most: u32,
        within: i64,
        those: impl Fn(&Kept) -> bool,
    ) -> Option<Vec<usize>> {
        let counts = |kept: &Kept| {
            those(kept) && if full { kept.proven && !kept.full } else { !kept.brief && !kept.full }
        };
        if !counts(&self.kept[place]) {
            return None;
        }
        let at = self.kept[place].at;
        let ends: BTreeSet<i64> = self
            .kept
            .iter()
            .filter(|kept| counts(kept) && kept.at >= at)
            .map(|kept| kept.at)
            .collect();
        ends.into_iter().find_map(|end| {
            let inside = |kept: &Kept| counts(kept) && end - within <= kept.at && kept.at <= end;
            if at < end - within {
                return None;
            }
            let places: Vec<usize> =
                (0..self.kept.len()).filter(|place| inside(&self.kept[*place])).collect();
            let score: u32 = places.iter().map(|place| self.kept[*place].score).sum();
            (score >= most).then_some(places)
        })
    }

    /// How many networks within attack, where they are three or more.
    fn networks(&self, place: usize, full: bool, those: impl Fn(&Kept) -> bool) -> Option<u32> {
        let counts = |kept: &Kept| {
            those(kept)
                && kept.network.is_some()
                && if full { kept.proven && !kept.full } else { !kept.brief && !kept.full }
        };
        let at = self.kept[place].at;
        let near: BTreeSet<_> = self
            .kept
            .iter()
            .filter(|kept| counts(kept) && (kept.at - at).abs() <= 7 * DAY)
            .map(|kept| kept.within)
            .collect();
        (counts(&self.kept[place]) && near.len() >= 3).then_some(near.len() as u32)
    }

    fn groups(&self, places: &[usize], group: impl Fn(u16) -> u16) -> bool {
        let groups: BTreeSet<u16> =
            places.iter().map(|place| group(self.kept[*place].within.unwrap())).collect();
        groups.len() >= 3
    }

    fn spend(&mut self, full: bool, those: impl Fn(&Kept) -> bool) {
        for kept in self.kept.iter_mut().filter(|kept| those(kept)) {
            kept.brief = true;
            kept.full |= full;
        }
    }
}

fn thresholds(maxretry: u32, seconds: u64) -> Thresholds {
    Thresholds {
        maxretry,
        findtime: std::time::Duration::from_secs(seconds),
        ..Thresholds::default()
    }
}

fn around_bits(around: &str) -> u128 {
    around.trim_end_matches("/48").parse::<Ipv6Addr>().unwrap().to_bits()
}

/// The source as it is written, and the neighbourhood with the number of the source within.
fn source_of(address: IpAddr) -> (String, Option<(String, u16)>) {
    let IpAddr::V6(address) = address else { return (address.to_string(), None) };
    let bits = address.to_bits();
    let cut = |length: u32| Ipv6Addr::from_bits(bits >> (128 - length) << (128 - length));
    let around = (format!("{}/48", cut(48)), address.segments()[3]);
    (format!("{}/64", cut(64)), Some(around))
}

/// A line, how many seconds after the one before, and whether the program restarts before it.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is drawn by itself")]
struct Step {
    pause: i64,
    source: IpAddr,
    account: usize,
    session: u8,
    unknown: bool,
    claimed: bool,
    low: bool,
    restart: bool,
    /// The filter that reads the line, if one does.
    filter: Option<(&'static str, Thresholds)>,
}

const ACCOUNTS: [&str; 4] = ["root", "admin", "alice", "bob"];

fn steps(most: usize, sources: BoxedStrategy<IpAddr>) -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![
        8 => 0..5_i64,
        4 => 0..200_i64,
        2 => 0..4000_i64,
        1 => 0..2 * DAY,
        1 => -300..0_i64,
    ];
    let filter = prop_oneof![
        6 => Just(None),
        2 => Just(Some(("/var/log/a", thresholds(3, 60)))),
        1 => Just(Some(("/var/log/b", thresholds(7, 86_400)))),
    ];
    let what = (0..10_u8, 0..10_u8, 0..40_u8);
    let step = (pause, sources, 0..4_usize, any::<u8>(), what, filter).prop_map(
        |(pause, source, account, session, (kind, trust, restart), filter)| Step {
            pause,
            source,
            account,
            session,
            unknown: kind < 2,
            claimed: trust == 0,
            low: trust == 1,
            restart: restart == 0,
            filter,
        },
    );
    proptest::collection::vec(step, 0..most)
}

/// Shows the steps to both.
fn compare(steps: &[Step]) -> Result<(), TestCaseError> {
    let settings = Settings::default();
    let mut bench = Bench::with(settings.clone());
    let mut model = Model::default();
    let mut stored = BTreeMap::new();
    let mut at = 0;
    for (number, step) in steps.iter().enumerate() {
        at += step.pause;
        if step.restart {
            bench.restart(&mut stored, &settings);
        }
        // Some sessions have several lines.
        let session =
            if step.session < 60 { format!("s{}", step.session % 6) } else { format!("n{number}") };
        let shown =
            wrong("192.0.2.1", at, ACCOUNTS[step.account]).ssh().session(&session).with(|shown| {
                shown.source = step.source;
                if let Some((log, filter)) = step.filter {
                    *shown = shown.clone().filtered(log, filter);
                } else if step.unknown {
                    shown.outcome = Outcome::UnknownAccount;
                }
                if step.claimed {
                    shown.proof = Proof::Claimed;
                }
                if step.low {
                    shown.trust = Trust::Low;
                }
            });
        let found = bench.see(&shown);
        let ours: Vec<Found> = attacks(&found)
            .into_iter()
            .map(|attack| {
                prop_assert_eq!(attack.trusted_since, None);
                let full = attack.weight == Weight::Full;
                Ok((attack.source.to_string(), full, attack.evidence.attempts))
            })
            .collect::<Result<_, _>>()?;
        prop_assert_eq!(ours, model.see(&shown, &session), "at step {}: {:?}", number, shown);
    }
    bench.judge.memory.check();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_judge_counts_as_the_model(steps in steps(150, (0..3_u8).prop_map(|n| IpAddr::from([192, 0, 2, n])).boxed())) {
        compare(&steps)?;
    }

    #[test]
    fn and_so_it_does_with_neighbours(steps in steps(250, neighbours().boxed())) {
        compare(&steps)?;
    }
}

/// Addresses in a few networks around one another.
fn neighbours() -> impl Strategy<Value = IpAddr> {
    (0..4_u16, 0..4_u16, 0..3_u16).prop_map(|(wide, narrow, host)| {
        IpAddr::from([0x2001, 0xdb8, 0x66, wide << 8 | narrow, 0, 0, 0, host + 1])
    })
}
