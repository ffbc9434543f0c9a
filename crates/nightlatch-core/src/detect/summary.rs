//! A summary of the last day or week.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits::HOUR;
use super::tally::{Hour, Most};
use crate::attack::Service;
use crate::time::Time;

/// How many sources and accounts are named.
const MAX_NAMED: usize = 10;
const DAY: i64 = 24 * HOUR;

/// Of which time a summary tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Span {
    /// The hour that has begun, and the 23 before it.
    Day,
    /// The day (UTC) that has begun, and the six before it.
    Week,
}

/// What failed, who was banned, hour by hour or day by day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Of which time it tells.
    pub span: Span,
    /// When that begins.
    pub from: Time,
    /// Until when it is told.
    pub until: Time,
    /// Hours or days, in their order.
    pub bins: Vec<Bin>,
    /// How many attempts failed in all.
    pub attempts: u64,
    /// How many bans began in all.
    pub bans: u64,
    /// How many sources were limited in all, because they are not banned.
    pub limits: u64,
    /// How many attempts failed at each service, most first.
    pub services: Vec<AtService>,
    /// The sources that failed most often, most first.
    pub sources: Vec<FromSource>,
    /// The accounts that were tried most often, most first. Attackers' texts, printable and short.
    pub accounts: Vec<WithAccount>,
    /// Whether the counts of sources and accounts are exact. Otherwise there were too many to count each, and
    /// there may have been more of each.
    pub is_exact: bool,
}

/// An hour or a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bin {
    /// When it begins.
    pub begin: Time,
    /// How many attempts failed.
    pub attempts: u64,
    /// How many bans began.
    pub bans: u64,
    /// How many sources were limited.
    pub limits: u64,
}

/// A service at which attempts failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtService {
    /// Which.
    pub service: Service,
    /// How many.
    pub attempts: u64,
}

/// A source whose attempts failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromSource {
    /// An address, or an IPv6 network of the length 64.
    pub source: String,
    /// How many.
    pub attempts: u64,
}

/// An account that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithAccount {
    /// Its name.
    pub account: String,
    /// How often.
    pub attempts: u64,
}

/// What was done about attacks within an hour, by the audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acts {
    /// How many bans began.
    pub bans: u64,
    /// How many sources were limited.
    pub limits: u64,
}

impl Summary {
    /// Of the hours up to `now`, each by its number since 1970.
    pub fn of(
        span: Span,
        now: Time,
        hours: &BTreeMap<i64, Hour>,
        acts: &BTreeMap<i64, Acts>,
    ) -> Summary {
        let (from, length, count) = span.bins(now);
        let mut bins: Vec<Bin> = (0..count)
            .map(|at| Bin {
                begin: Time::from_millis(from.saturating_add(at.saturating_mul(length))),
                attempts: 0,
                bans: 0,
                limits: 0,
            })
            .collect();
        let numbers = from.div_euclid(HOUR)..=now.millis().div_euclid(HOUR);
        let bin = |number: i64| {
            let at = number.saturating_mul(HOUR).saturating_sub(from).div_euclid(length);
            usize::try_from(at).unwrap_or(usize::MAX)
        };
        let (mut services, mut sources, mut accounts) =
            (BTreeMap::<Service, u64>::new(), Sums::default(), Sums::default());
        for (number, hour) in hours.range(numbers.clone()) {
            for (service, attempts) in &hour.services {
                add(services.entry(*service).or_default(), *attempts);
                if let Some(bin) = bins.get_mut(bin(*number)) {
                    add(&mut bin.attempts, *attempts);
                }
            }
            sources.take(&hour.sources);
            accounts.take(&hour.accounts);
        }
        for (number, acts) in acts.range(numbers) {
            if let Some(bin) = bins.get_mut(bin(*number)) {
                add(&mut bin.bans, acts.bans);
                add(&mut bin.limits, acts.limits);
            }
        }
        let sum = |of: fn(&Bin) -> u64| bins.iter().map(of).fold(0, u64::saturating_add);
        let mut services: Vec<AtService> = services
            .into_iter()
            .map(|(service, attempts)| AtService { service, attempts })
            .collect();
        services.sort_by_key(|it| std::cmp::Reverse(it.attempts));
        let is_exact = sources.missed == 0 && accounts.missed == 0;
        let source = |(source, attempts)| FromSource { source, attempts };
        let account = |(account, attempts)| WithAccount { account, attempts };
        Summary {
            span,
            from: Time::from_millis(from),
            until: now,
            attempts: sum(|bin| bin.attempts),
            bans: sum(|bin| bin.bans),
            limits: sum(|bin| bin.limits),
            bins,
            services,
            sources: sources.first().map(source).collect(),
            accounts: accounts.first().map(account).collect(),
            is_exact,
        }
    }
}

impl Span {
    /// When the first hour or day begins, how long each is, and how many there are.
    fn bins(self, now: Time) -> (i64, i64, i64) {
        let begun = |length: i64| now.millis().div_euclid(length).saturating_mul(length);
        match self {
            Span::Day => (begun(HOUR).saturating_sub(23 * HOUR), HOUR, 24),
            Span::Week => (begun(DAY).saturating_sub(6 * DAY), DAY, 7),
        }
    }

    /// The first moment of which a summary tells.
    pub fn from(self, now: Time) -> Time {
        Time::from_millis(self.bins(now).0)
    }
}

/// What came most often in several hours.
#[derive(Default)]
struct Sums {
    counts: BTreeMap<String, u64>,
    missed: u64,
}

impl Sums {
    fn take(&mut self, most: &Most) {
        add(&mut self.missed, most.missed());
        for (name, count) in most.iter() {
            add(self.counts.entry(name.to_owned()).or_default(), count);
        }
    }

    /// The most frequent ones, most first.
    fn first(self) -> impl Iterator<Item = (String, u64)> {
        let mut sums: Vec<(String, u64)> = self.counts.into_iter().collect();
        sums.sort_by(|(name, count), (other, others)| others.cmp(count).then(name.cmp(other)));
        sums.into_iter().take(MAX_NAMED)
    }
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_moment;

    fn hour(row: &str) -> Hour {
        Hour::read(row).unwrap()
    }

    fn number(moment: &str) -> i64 {
        parse_moment(moment).unwrap().millis() / HOUR
    }

    #[test]
    fn hours_of_a_day_and_days_of_a_week() {
        let now = parse_moment("2026-11-20 09:17").unwrap();
        let one = || hour(r#"{"services":{"sip":3,"ssh":1},"sources":[[1,"192.0.2.1",3]]}"#);
        let hours = BTreeMap::from([
            (number("2026-11-20 09:00"), one()),
            (number("2026-11-20 00:00"), one()),
            (number("2026-11-19 10:00"), one()),
            (number("2026-11-19 09:00"), one()),
            (number("2026-11-14 00:00"), one()),
            (number("2026-11-13 23:00"), one()),
            (number("2026-11-20 10:00"), one()),
        ]);
        let acts = BTreeMap::from([(number("2026-11-19 09:00"), Acts { bans: 2, limits: 1 })]);
        let day = Summary::of(Span::Day, now, &hours, &acts);
        assert_eq!((day.bins.len(), day.attempts, day.bans), (24, 12, 0));
        assert_eq!(day.from.to_string(), "2026-11-19 10:00:00 UTC");
        let full: Vec<usize> = (0..24).filter(|at| day.bins[*at].attempts > 0).collect();
        assert_eq!(full, [0, 14, 23]);
        let week = Summary::of(Span::Week, now, &hours, &acts);
        assert_eq!((week.bins.len(), week.attempts, week.bans, week.limits), (7, 20, 2, 1));
        assert_eq!(week.from.to_string(), "2026-11-14 00:00:00 UTC");
        let attempts: Vec<u64> = week.bins.iter().map(|bin| bin.attempts).collect();
        assert_eq!(attempts, [4, 0, 0, 0, 0, 8, 8]);
        assert_eq!(week.services[0], AtService { service: Service::Sip, attempts: 15 });
        assert_eq!(week.sources, [FromSource { source: "192.0.2.1".to_owned(), attempts: 15 }]);
        assert!(week.is_exact);
    }

    #[test]
    fn the_most_frequent_come_first_and_there_are_ten() {
        let names: Vec<(u64, String, u64)> =
            (0..40).map(|n| (n, format!("{n:02}"), if n < 20 { 5 } else { 7 })).collect();
        let row = serde_json::json!({ "accounts": names, "accounts_missed": 1 });
        let hours = BTreeMap::from([(0, hour(&row.to_string()))]);
        let summary = Summary::of(Span::Day, Time::from_millis(1), &hours, &BTreeMap::new());
        let accounts: Vec<&str> = summary.accounts.iter().map(|it| it.account.as_str()).collect();
        assert_eq!(accounts, ["20", "21", "22", "23", "24", "25", "26", "27", "28", "29"]);
        assert!(!summary.is_exact);
    }

    #[test]
    fn no_clock_does_harm() {
        for millis in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX] {
            let now = Time::from_millis(millis);
            for span in [Span::Day, Span::Week] {
                let hours = BTreeMap::from([(millis / HOUR, Hour::default())]);
                let summary = Summary::of(span, now, &hours, &BTreeMap::new());
                assert!(summary.from <= summary.until || millis < 0);
            }
        }
    }
}
