//! What failed within a week, hour by hour: where summaries come from. Bounded, whatever arrives.
//!
//! Of the sources and accounts of an hour, those are counted that come most often (Misra and Gries, "Finding
//! repeated elements", 1982): each count may be too low, by at most a 49th of all attempts of the hour, and is
//! never too high.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::limits::HOUR;
use crate::attack::Service;

/// How many hours are kept: a week, and the one that has begun.
const MAX_HOURS: usize = 169;
const HOURS: i64 = 168;
/// Of so many sources, and so many accounts, each hour keeps the counts.
const MAX_COUNTED: usize = 48;
/// The longest name in a row, in characters.
const MAX_NAME: usize = 64;

/// What failed within an hour.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hour {
    /// How many attempts failed, by service.
    pub services: BTreeMap<Service, u64>,
    /// The sources that failed most often: addresses, and IPv6 networks of the length 64.
    pub sources: Most,
    /// The accounts that were tried most often: printable and short.
    pub accounts: Most,
}

/// What came most often.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Most {
    counts: BTreeMap<u64, (String, u64)>,
    missed: u64,
}

impl Most {
    /// Names, each with how often it came at least.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.values().map(|(name, count)| (name.as_str(), *count))
    }

    /// By how much a count may be too low.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Counts what has this key. Where there is no room, all counts shrink by one: as many steps as were
    /// taken to let them grow.
    fn count(&mut self, key: u64, name: impl FnOnce() -> String) {
        if let Some((_, count)) = self.counts.get_mut(&key) {
            *count = count.saturating_add(1);
        } else if self.counts.len() < MAX_COUNTED {
            self.counts.insert(key, (name(), 1));
        } else {
            self.missed = self.missed.saturating_add(1);
            self.counts.retain(|_, (_, count)| {
                *count = count.saturating_sub(1);
                *count > 0
            });
        }
    }

    fn of(rows: Vec<(u64, String, u64)>, missed: u64) -> Most {
        let rows = rows.into_iter().take(MAX_COUNTED);
        let counts = rows.map(|(key, name, count)| {
            (key, (super::text::printable(name.as_bytes(), MAX_NAME), count))
        });
        Most { counts: counts.collect(), missed }
    }

    fn rows(&self) -> Vec<(u64, String, u64)> {
        let rows = self.counts.iter();
        rows.map(|(key, (name, count))| (*key, name.clone(), *count)).collect()
    }
}

/// An hour as a row.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Row {
    services: BTreeMap<Service, u64>,
    sources: Vec<(u64, String, u64)>,
    sources_missed: u64,
    accounts: Vec<(u64, String, u64)>,
    accounts_missed: u64,
}

impl Hour {
    /// The hour of a row; `None` where it is not understood.
    pub fn read(row: &str) -> Option<Hour> {
        let row: Row = serde_json::from_str(row).ok()?;
        Some(Hour {
            services: row.services,
            sources: Most::of(row.sources, row.sources_missed),
            accounts: Most::of(row.accounts, row.accounts_missed),
        })
    }

    fn write(&self) -> String {
        let row = Row {
            services: self.services.clone(),
            sources: self.sources.rows(),
            sources_missed: self.sources.missed,
            accounts: self.accounts.rows(),
            accounts_missed: self.accounts.missed,
        };
        // Numbers and texts can always be written.
        serde_json::to_string(&row).unwrap_or_default()
    }
}

/// An attempt that failed.
pub(super) struct Failed<S, A> {
    /// When, in milliseconds since 1970.
    pub(super) at: i64,
    pub(super) service: Service,
    pub(super) source: u64,
    /// The hash of the account; 0 where none is known.
    pub(super) account: u32,
    pub(super) source_name: S,
    pub(super) account_name: A,
}

/// The hours of a week.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// By the number of hours since 1970.
    hours: BTreeMap<i64, Hour>,
    /// Those that have changed, or are gone, since they were last written.
    dirty: BTreeSet<i64>,
}

impl Tally {
    pub(super) fn count(
        &mut self,
        failed: Failed<impl FnOnce() -> String, impl FnOnce() -> String>,
    ) {
        let number = failed.at.div_euclid(HOUR);
        let hour = self.hours.entry(number).or_default();
        let attempts = hour.services.entry(failed.service).or_default();
        *attempts = attempts.saturating_add(1);
        hour.sources.count(failed.source, failed.source_name);
        if failed.account != 0 {
            hour.accounts.count(failed.account.into(), failed.account_name);
        }
        self.dirty.insert(number);
        while self.hours.len() > MAX_HOURS {
            let Some((oldest, _)) = self.hours.pop_first() else { return };
            self.dirty.insert(oldest);
        }
    }

    /// Forgets what is older than a week, and what was counted for a time that has not come: the clock was
    /// wrong.
    pub(super) fn pass(&mut self, now: i64) {
        let now = now.div_euclid(HOUR);
        let (first, last) = (now.saturating_sub(HOURS), now.saturating_add(1));
        let is_left = |hour: &i64| (first..=last).contains(hour);
        let ends = [self.hours.first_key_value(), self.hours.last_key_value()];
        if ends.into_iter().flatten().all(|(hour, _)| is_left(hour)) {
            return;
        }
        let dirty = &mut self.dirty;
        self.hours.retain(|hour, _| {
            let is_left = is_left(hour);
            dirty.extend((!is_left).then_some(*hour));
            is_left
        });
    }

    /// The rows that have changed; without a body those that are gone.
    pub(super) fn drain(&mut self) -> Vec<(i64, Option<String>)> {
        let dirty = std::mem::take(&mut self.dirty).into_iter();
        dirty.map(|number| (number, self.hours.get(&number).map(Hour::write))).collect()
    }

    /// Regards nothing as written.
    pub(super) fn forget_stored(&mut self) {
        self.dirty = self.hours.keys().copied().collect();
    }

    /// Takes in what was written. What is not understood is left where it is.
    pub(super) fn restore<'r>(&mut self, rows: impl IntoIterator<Item = (i64, &'r str)>) {
        let rows = rows.into_iter().filter_map(|(number, row)| Some((number, Hour::read(row)?)));
        self.hours.extend(rows);
        while self.hours.len() > MAX_HOURS {
            self.hours.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failed(tally: &mut Tally, at: i64, source: u64, account: u32) {
        tally.count(Failed {
            at,
            service: Service::Sip,
            source,
            account,
            source_name: || source.to_string(),
            account_name: || account.to_string(),
        });
    }

    #[test]
    fn a_week_is_kept_and_no_more() {
        let mut tally = Tally::default();
        for hour in 0..1000 {
            failed(&mut tally, hour * HOUR + 1, 1, 0);
        }
        assert_eq!(tally.hours.len(), MAX_HOURS);
        tally.pass(1100 * HOUR);
        assert_eq!(tally.hours.first_key_value().unwrap().0, &932);
        // A clock that was wrong for a while.
        failed(&mut tally, 5000 * HOUR, 1, 0);
        tally.pass(1100 * HOUR);
        assert_eq!(tally.hours.last_key_value().unwrap().0, &999);
        for at in [i64::MIN, i64::MAX, -1] {
            failed(&mut tally, at, 1, 1);
            tally.pass(at);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut tally = Tally::default();
        for number in 0..100_u32 {
            failed(&mut tally, HOUR * i64::from(number % 3), number.into(), number % 7);
        }
        let rows = tally.drain();
        assert_eq!(tally.drain(), []);
        let read = |rows: &[(i64, Option<String>)]| {
            let mut read = Tally::default();
            read.restore(rows.iter().filter_map(|(hour, row)| Some((*hour, row.as_deref()?))));
            read.hours
        };
        assert_eq!(read(&rows), tally.hours);
        tally.pass(200 * HOUR);
        assert_eq!(tally.drain(), [(0, None), (1, None), (2, None)]);
        assert_eq!(read(&[(1, Some("7".to_owned())), (2, Some("{".to_owned()))]).len(), 0);
    }

    proptest! {
        /// Each count is right but for the bound, however the sources are mixed.
        #[test]
        fn counts_are_never_too_high_and_hardly_too_low(
            sources in proptest::collection::vec(0..200_u64, 0..3000),
            one in 0..200_u64,
        ) {
            let mut most = Most::default();
            let mut exact = BTreeMap::<String, u64>::new();
            let all = sources.iter().enumerate();
            // One of them comes half of the time.
            let all: Vec<u64> = all.map(|(at, it)| if at % 2 == 0 { one } else { *it }).collect();
            for source in &all {
                *exact.entry(source.to_string()).or_default() += 1;
                most.count(*source, || source.to_string());
            }
            let found: BTreeMap<&str, u64> = most.iter().collect();
            prop_assert!(found.len() <= MAX_COUNTED);
            prop_assert!(most.missed() <= all.len() as u64 / (MAX_COUNTED as u64 + 1));
            for (name, count) in exact {
                let told = found.get(name.as_str()).copied().unwrap_or(0);
                prop_assert!(told <= count && told + most.missed() >= count, "{name}");
            }
        }

        #[test]
        fn no_row_does_harm(row in ".{0,200}", names in proptest::collection::vec(".{0,100}", 0..60)) {
            prop_assert!(Hour::read(&row).is_none());
            let sources: Vec<(u64, &String, u64)> =
                names.iter().zip(0..).map(|(name, key)| (key, name, u64::MAX)).collect();
            let row = serde_json::json!({ "sources": sources, "of_a_newer_version": 1 });
            let hour = Hour::read(&row.to_string()).unwrap();
            prop_assert!(hour.sources.iter().count() <= MAX_COUNTED);
            for (name, _) in hour.sources.iter() {
                prop_assert!(name.chars().all(|c| matches!(c, ' '..='~') || c.is_alphanumeric()));
                prop_assert!(name.chars().count() <= MAX_NAME + 3);
            }
        }
    }
}
