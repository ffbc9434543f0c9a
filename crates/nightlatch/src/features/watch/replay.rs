//! A log read again from its beginning: who would have been banned, when, and why.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use nightlatch_core::attack::Attack;
use nightlatch_core::detect::{Finding, Judge, Notice, Settings, Sighting};
use nightlatch_core::features::watch::Moments;
use nightlatch_core::time::Time;
use serde::Serialize;

use super::intake::{Intake, LineReader, Onlooker, Written};

/// How often the judge hears that time has passed, in the time of the log.
const PASS_INTERVAL: Duration = Duration::from_secs(1);
/// The most sources that are told of.
const MAX_TOLD: usize = 100_000;
/// The most notices that are told of.
const MAX_NOTICES: usize = 1_000;

/// A source that would have been banned.
#[derive(Debug, Serialize)]
pub(super) struct Would {
    /// When.
    pub(super) at: Time,
    #[serde(skip)]
    pub(super) attack: Attack,
    /// How many attempts came from it afterwards.
    pub(super) later: u64,
    /// Why it would not have been, if it is spared.
    pub(super) spared: Option<Spared>,
    /// Whether the service that it attacks would have been limited instead.
    pub(super) limited: bool,
    /// In words why it would not have been banned, as far as the daemon knows it; who it is, where it is
    /// [allowed](Spared::Allowed).
    #[serde(skip)]
    pub(super) because: String,
}

/// Why a source is not banned that attacks. Scripts read these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Spared {
    /// Somebody logs in from there with success, and did so before.
    Trusted,
    /// Accounts, leases, providers or exemptions cover it.
    Allowed,
    /// This server needs it.
    Guarded,
    /// A phone is registered from there, or this server is registered there.
    Registered,
    /// Somebody administers this server from there.
    Administers,
}

/// What a log told.
#[derive(Default)]
pub(super) struct Told {
    pub(super) first: Option<Time>,
    pub(super) last: Option<Time>,
    pub(super) sources: Vec<Would>,
    /// How many sources more there are.
    pub(super) more: u64,
    pub(super) notices: Vec<Notice>,
    /// Where each source is in the list.
    places: HashMap<IpAddr, usize>,
}

/// Reads a log again.
pub(super) struct Replay {
    pub(super) lines: LineReader,
    /// What counts as an attack, where no filter says otherwise.
    pub(super) settings: Settings,
    intake: Intake,
    pub(super) told: Told,
    /// Nothing that was later is believed.
    now: Time,
    passed: Time,
}

impl Replay {
    /// With a secret for the judge, and what lines are left out that are older than a moment.
    pub(super) fn new(
        lines: LineReader,
        settings: Settings,
        seed: [u8; 16],
        moments: Moments,
        not_before: Time,
        now: Time,
    ) -> Replay {
        let judge = Judge::new(settings.clone(), seed);
        let intake =
            Intake { judge, moments, found: Vec::new(), not_before, runs: None, last_thread: None };
        Replay { lines, settings, intake, told: Told::default(), now, passed: Time::default() }
    }

    /// Takes whole lines in.
    pub(super) fn take(&mut self, lines: &[u8]) {
        let mut rest = lines;
        if matches!(self.lines.how, super::intake::How::Undetected) {
            self.lines.detect(lines);
        }
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(end);
            rest = after;
            // Lines without a stamp are of the moment of those before.
            let otherwise = self.told.last.unwrap_or(self.now);
            let written = Written::AsStamped(otherwise, self.now);
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.lines.take_line(line, written, &mut self.intake, &mut self.told);
            self.collect();
        }
    }

    /// The end of the log.
    pub(super) fn finish(&mut self) {
        if let Some(last) = self.told.last {
            // An attack that nobody continues has an end.
            let later = last.after(Duration::from_secs(86_400)).min(self.now);
            self.intake.judge.pass(later, &mut self.intake.found);
            self.collect();
        }
    }

    fn collect(&mut self) {
        let at = self.told.last.unwrap_or(self.now);
        if at.since(self.passed) >= PASS_INTERVAL {
            self.passed = at;
            self.intake.judge.pass(at, &mut self.intake.found);
        }
        for finding in self.intake.found.drain(..) {
            match finding {
                Finding::Attack(attack) => self.told.attacks(attack, at),
                Finding::Notice(notice) if self.told.notices.len() < MAX_NOTICES => {
                    self.told.notices.push(notice);
                }
                Finding::Notice(_) => {}
            }
        }
    }
}

impl Told {
    fn attacks(&mut self, attack: Attack, at: Time) {
        let place = attack.source.first_address();
        if self.places.contains_key(&place) {
            return;
        }
        if self.sources.len() >= MAX_TOLD {
            self.more += 1;
            return;
        }
        self.places.insert(place, self.sources.len());
        let (spared, because) = (None, String::new());
        self.sources.push(Would { at, attack, later: 0, spared, limited: false, because });
    }
}

impl Onlooker for Told {
    fn sees(&mut self, sighting: &Sighting<'_>) {
        self.first.get_or_insert(sighting.at);
        self.last = self.last.max(Some(sighting.at));
        let found = networks(sighting.attempt.source).find_map(|it| self.places.get(&it));
        let would = found.and_then(|at| self.sources.get_mut(*at));
        if let Some(would) = would.filter(|it| it.attack.source.contains(sighting.attempt.source)) {
            would.later += 1;
        }
    }
}

/// The first addresses of the networks that may be banned for an address.
fn networks(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let of_length = move |length: u32| match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let mask = u128::MAX << (128 - length);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    };
    [64, 56, 48].into_iter().map(of_length)
}
