//! What the kernel tells of knocks at once: of completed ones, and of tries that failed.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::knock::opening;
use super::{Event, Notice, Users};
use crate::action::Unlearn;
use crate::features::{Fact, Plan, View};
use crate::knock::{KNOCKED, key};
use crate::time::Time;

/// How many wrong sequences of one source an administrator hears of.
const MANY: u32 = 5;
/// Within which time these come. Of one source and of a full set it is told once in this time.
const WHILE: Duration = Duration::from_secs(3600);
/// Of how many sources it is told within that time: sources can be forged.
const MAX_TOLD: usize = 10;
/// How many sources must find no room within which time for the set to count as full: the kernel also refuses
/// an element for a moment where one source begins anew again and again. It tells of as many at once, and then
/// of one a minute.
const FULL_FOR: usize = 3;
const FULL_WITHIN: Duration = Duration::from_secs(600);
/// The most sources that are counted; the one that began first makes room.
const MAX_SOURCES: usize = 1_024;

/// A SYN of which the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syn {
    /// From where.
    pub source: IpAddr,
    /// To which port.
    pub port: u16,
    /// What it did.
    pub did: Did,
}

/// What a SYN did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// It completed a sequence: the address is open.
    Completed,
    /// It belongs to no place in the sequence that its source had begun.
    Failed,
    /// Its source found no room among those who have begun.
    Overflowed,
}

/// The tries that failed lately. Bounded.
#[derive(Clone, Debug, Default)]
pub(super) struct Tries {
    sources: BTreeMap<IpAddr, (Time, u32)>,
    /// When an administrator was told of sources.
    told: VecDeque<Time>,
    /// Which sources found no room last, and when.
    refused: BTreeMap<IpAddr, Time>,
    /// When the kernel's set was full last.
    full_at: Option<Time>,
}

impl Tries {
    /// How many wrong sequences a source has begun lately, this one included.
    fn count_with(&self, source: IpAddr, now: Time) -> u32 {
        let lately = self.sources.get(&source).filter(|(since, _)| now.since(*since) < WHILE);
        lately.map_or(1, |(_, count)| count.saturating_add(1))
    }

    fn may_tell(&self, now: Time) -> bool {
        self.told.iter().filter(|at| now.since(**at) < WHILE).count() < MAX_TOLD
    }

    /// Whether the set is full, as far as sources find no room, this one included.
    fn is_full_with(&self, source: IpAddr, now: Time) -> bool {
        let others = self
            .refused
            .iter()
            .filter(|(other, at)| **other != source && now.since(**at) < FULL_WITHIN);
        others.count() + 1 >= FULL_FOR
    }

    /// When the set was full, if that was lately.
    pub(super) fn full_lately(&self, now: Time) -> Option<Time> {
        self.full_at.filter(|at| now.since(*at) < WHILE)
    }

    /// Notes a SYN.
    pub(super) fn note(&mut self, syn: &Syn, now: Time) {
        match syn.did {
            Did::Completed => drop(self.sources.remove(&syn.source)),
            Did::Overflowed => {
                if self.is_full_with(syn.source, now) {
                    self.full_at = Some(now);
                }
                self.refused.retain(|_, at| now.since(*at) < FULL_WITHIN);
                if self.refused.len() < FULL_FOR {
                    self.refused.insert(syn.source, now);
                }
            }
            Did::Failed => {
                let count = self.count_with(syn.source, now);
                if count == MANY && self.may_tell(now) {
                    self.told.push_back(now);
                    self.told.drain(..self.told.len().saturating_sub(MAX_TOLD));
                }
                if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&syn.source) {
                    let first = self.sources.iter().min_by_key(|(_, (since, _))| *since);
                    let first = first.map(|(source, _)| *source);
                    first.map(|source| self.sources.remove(&source));
                }
                let since = if count == 1 { now } else { self.since(syn.source).unwrap_or(now) };
                self.sources.insert(syn.source, (since, count));
            }
        }
    }

    fn since(&self, source: IpAddr) -> Option<Time> {
        self.sources.get(&source).map(|(since, _)| *since)
    }
}

impl Users {
    /// The kernel tells of a SYN.
    pub(super) fn syn(&self, syn: &Syn, view: &View<'_>) -> Plan<Users> {
        let mut plan = Plan::default();
        let now = view.now();
        match syn.did {
            Did::Completed => {
                let knocks = self.knocks();
                let services = view.catalogue().every_port();
                let knock = knocks.by_last(syn.port).filter(|knock| knock.is_possible(&services));
                plan.effects
                    .facts
                    .extend(knock.map(|it| Fact::UserOpens(opening(it, syn.source, now))));
                let gone = [(&KNOCKED, key(syn.source, syn.port))].into();
                plan.effects.unlearn.push(Unlearn::Exactly(gone));
            }
            Did::Failed => {
                let is_many = self.tries.count_with(syn.source, now) == MANY;
                if is_many && self.tries.may_tell(now) {
                    let (source, tries) = (syn.source, MANY);
                    plan.notices.push(Notice::WrongKnocks { source, tries });
                }
            }
            Did::Overflowed => {
                let is_news = self.tries.full_lately(now).is_none()
                    && self.tries.is_full_with(syn.source, now);
                plan.notices.extend(is_news.then_some(Notice::KnocksFull));
            }
        }
        plan.at_once.push(Event::Syn(*syn));
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_counted_within_bounds() {
        let mut tries = Tries::default();
        let at = |seconds: u64| Time::from_millis(0).after(Duration::from_secs(seconds));
        let syn =
            |number: u32, did| Syn { source: IpAddr::from(number.to_be_bytes()), port: 9, did };
        for seconds in 0..4 {
            assert_ne!(tries.count_with(syn(7, Did::Failed).source, at(seconds)), MANY);
            tries.note(&syn(7, Did::Failed), at(seconds));
        }
        let source = syn(7, Did::Failed).source;
        assert_eq!(tries.count_with(source, at(5)), MANY);
        assert_eq!(tries.count_with(source, at(3601)), 1, "an hour later");
        tries.note(&syn(7, Did::Completed), at(6));
        assert_eq!(tries.count_with(source, at(7)), 1, "the person got it right");
        for number in 0..3_000 {
            for _ in 0..5 {
                tries.note(&syn(number, Did::Failed), at(10));
            }
        }
        assert_eq!((tries.sources.len(), tries.told.len()), (MAX_SOURCES, MAX_TOLD));
        assert!(!tries.may_tell(at(11)) && tries.may_tell(at(3611)));
        for seconds in 12..20 {
            tries.note(&syn(1, Did::Overflowed), at(seconds));
        }
        assert_eq!(tries.full_lately(at(20)), None, "one source alone");
        tries.note(&syn(2, Did::Overflowed), at(20));
        tries.note(&syn(3, Did::Overflowed), at(20));
        assert_eq!((tries.full_lately(at(30)), tries.full_lately(at(3621))), (Some(at(20)), None));
    }
}
