//! What is told of all sources together: attacks begin and end, and lines that name no source for sure.

use std::net::IpAddr;

use nightlatch_parse::log::Doubt;
use serde::{Deserialize, Serialize};

use super::details::{NAME, log_name};
use super::limits::HOUR;
use super::text::printable;
use super::{Finding, Notice};
use crate::attack::{Evidence, Service};
use crate::time::Time;

/// So many logs have a count of their own.
const MAX_LOGS: usize = 64;
/// So many sources of a line are named.
const MAX_NAMED: usize = 4;
/// The longest part of a line, in characters.
const TEXT: usize = 2 * NAME;

/// An attack that goes on, from whatever sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) since: i64,
    pub(super) last: i64,
    pub(super) sources: u32,
    pub(super) attempts: u64,
}

impl Course {
    /// Takes in that a source attacks; `is_new` says whether it has not done so in this attack.
    pub(super) fn attacked(course: &mut Option<Course>, evidence: &Evidence, is_new: bool) {
        let at = evidence.last;
        let course = course.get_or_insert_with(|| {
            let attempts = u64::from(evidence.attempts);
            Course { since: at.millis(), last: at.millis(), sources: 0, attempts }
        });
        course.last = course.last.max(at.millis());
        course.sources = course.sources.saturating_add(u32::from(is_new));
    }

    /// Whether it is over; a clock that was set back does not prolong it.
    pub(super) fn is_over(&mut self, now: i64, quiet: i64) -> bool {
        self.last = self.last.min(now);
        now.saturating_sub(self.last) >= quiet
    }

    pub(super) fn underway(&self) -> Underway {
        Underway {
            since: Time::from_millis(self.since),
            last: Time::from_millis(self.last),
            sources: self.sources,
            attempts: self.attempts,
        }
    }

    pub(super) fn ended(&self) -> Notice {
        Notice::AttackEnded {
            sources: self.sources,
            attempts: self.attempts,
            since: Time::from_millis(self.since),
            until: Time::from_millis(self.last),
        }
    }
}

/// An attack that is underway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Underway {
    /// When it began.
    pub since: Time,
    /// When a source was last found to attack.
    pub last: Time,
    /// How many sources attack.
    pub sources: u32,
    /// How many distinct attempts failed meanwhile, from whatever source.
    pub attempts: u64,
}

/// Lines that deceive, by log.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    logs: Vec<Doubtful>,
}

#[derive(Debug)]
struct Doubtful {
    log: String,
    /// Whether its lines name sources, or something that is not an address.
    has_sources: bool,
    service: Service,
    /// When the administrator last heard of it.
    told: i64,
    /// How many there were since.
    lines: u32,
    sources: Vec<IpAddr>,
    text: String,
    at: Time,
}

impl Doubts {
    pub(super) fn see(&mut self, at: Time, log: &str, doubt: &Doubt<'_>, found: &mut Vec<Finding>) {
        let log = log_name(log);
        let has_sources = !doubt.sources.is_empty();
        let is_same = |known: &Doubtful| known.log == log && known.has_sources == has_sources;
        let place = match self.logs.iter().position(is_same) {
            Some(place) => place,
            None => self.add(log, has_sources, at),
        };
        let Some(known) = self.logs.get_mut(place) else { return };
        known.lines = known.lines.saturating_add(1);
        known.service = doubt.service;
        known.sources = doubt.sources.iter().take(MAX_NAMED).copied().collect();
        known.text = printable(doubt.text, TEXT);
        known.at = at;
        known.tell(at.millis(), found);
    }

    /// Tells what was counted, an hour after the last notice.
    pub(super) fn pass(&mut self, now: i64, found: &mut Vec<Finding>) {
        for known in self.logs.iter_mut().filter(|known| known.lines > 0) {
            known.tell(now, found);
        }
    }

    fn add(&mut self, log: String, has_sources: bool, at: Time) -> usize {
        if self.logs.len() >= MAX_LOGS {
            let oldest = self.logs.iter().enumerate().min_by_key(|(_, known)| known.told);
            let oldest = oldest.map_or(0, |(place, _)| place);
            self.logs.remove(oldest);
        }
        self.logs.push(Doubtful {
            log,
            has_sources,
            service: Service::Other,
            told: i64::MIN,
            lines: 0,
            sources: Vec::new(),
            text: String::new(),
            at,
        });
        self.logs.len() - 1
    }
}

impl Doubtful {
    fn tell(&mut self, now: i64, found: &mut Vec<Finding>) {
        // After a clock was set back, the hour begins anew.
        self.told = self.told.min(now);
        if self.told != i64::MIN && now.saturating_sub(self.told) < HOUR {
            return;
        }
        self.told = now;
        let (log, service, at) = (self.log.clone(), self.service, self.at);
        let lines = std::mem::take(&mut self.lines);
        let (sources, text) = (self.sources.clone(), self.text.clone());
        found.push(Finding::Notice(match self.has_sources {
            true => Notice::Doubtful { log, service, lines, sources, text, at },
            false => Notice::NoAddress { log, service, lines, name: text, at },
        }));
    }
}
