//! Hours of access: the times of a week, in a time zone, during which something is allowed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use crate::time::Time;

/// Times of a week in a time zone, e.g. `Mon-Fri 07:00-19:00` in `Europe/Berlin`.
///
/// They follow the clock on the wall: where summer time begins or ends, the windows move with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Hours(Arc<Week>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Week {
    parts: Vec<Part>,
    zone: String,
}

/// Some days, and the time of these days. Minutes since midnight; an end that is not behind the start is
/// on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    /// Bit 0 is Monday.
    days: u8,
    from: u16,
    to: u16,
}

/// As the store keeps them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    times: String,
    zone: String,
}

/// When something counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Within {
    /// At any time.
    Always,
    /// During these hours.
    Hours(Hours),
}

impl Within {
    /// The hours, if there are any.
    pub fn hours(self) -> Option<Hours> {
        match self {
            Within::Always => None,
            Within::Hours(hours) => Some(hours),
        }
    }
}

/// Why hours cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// The times of the week.
    #[error(
        "invalid hours: \"{0}\": write days and times, e.g. \"Mon-Fri 07:00-19:00, Sat 09:00-13:00\""
    )]
    Times(String),
    /// The time zone.
    #[error(
        "unknown time zone: \"{0}\": write it as in the IANA database, e.g. Europe/Berlin or UTC"
    )]
    Zone(String),
}

/// The names of the days, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const EVERY_DAY: u8 = 0b111_1111;
const MINUTES_OF_DAY: u16 = 1440;
/// The most parts of a week.
const MAX_PARTS: usize = 24;
/// The longest text that is read.
const MAX_TEXT: usize = 500;
/// A window ends at the latest on the day after it began.
const MAX_WINDOW_DAYS: i64 = 2;

impl Hours {
    /// Reads times, e.g. `Mon-Fri 07:00-19:00, Sat 09:00-13:00`, in a zone of the IANA database. Times
    /// without days are of the same days as those before; without any, they are of every day. A time
    /// that ends before it begins ends on the next day.
    ///
    /// # Errors
    /// The times or the zone cannot be read.
    pub fn parse(times: &str, zone: &str) -> Result<Hours, HoursError> {
        let invalid = || HoursError::Times(times.chars().take(64).collect());
        if times.len() > MAX_TEXT {
            return Err(invalid());
        }
        let mut days = EVERY_DAY;
        let mut parts = Vec::new();
        for text in times.split([',', ';']) {
            let part = part(text, &mut days).ok_or_else(invalid)?;
            parts.push(part);
        }
        if parts.len() > MAX_PARTS {
            return Err(invalid());
        }
        let known =
            zone_of(zone).ok_or_else(|| HoursError::Zone(zone.chars().take(64).collect()))?;
        let zone = known.iana_name().unwrap_or("UTC").to_owned();
        Ok(Hours(Arc::new(Week { parts, zone })))
    }

    /// The name of the time zone.
    pub fn zone(&self) -> &str {
        &self.0.zone
    }

    /// Whether a moment is within the hours.
    pub fn contain(&self, now: Time) -> bool {
        let after = now.after(Duration::from_millis(1));
        self.windows(now, after).iter().any(|(from, to)| *from <= now && now < *to)
    }

    /// The next moment after `now` at which a window begins or ends, if there is one within ten days.
    pub fn next_change(&self, now: Time) -> Option<Time> {
        const AHEAD: Duration = Duration::from_secs(10 * 86_400);
        let windows = self.windows(now, now.after(AHEAD));
        windows.into_iter().flat_map(|(from, to)| [from, to]).find(|at| *at > now)
    }

    /// The windows that overlap a span of time: disjoint, in ascending order, each with its begin and
    /// its end. None where the span is outside of what can be calculated (the years -9999 to 9999).
    pub fn windows(&self, from: Time, to: Time) -> Vec<(Time, Time)> {
        let mut windows = self.unmerged(from, to).unwrap_or_default();
        windows.retain(|(begin, end)| begin < end && *begin < to && from < *end);
        windows.sort_unstable();
        windows.into_iter().fold(Vec::new(), |mut merged: Vec<(Time, Time)>, (begin, end)| {
            match merged.last_mut() {
                Some(last) if begin <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((begin, end)),
            }
            merged
        })
    }

    fn unmerged(&self, from: Time, to: Time) -> Option<Vec<(Time, Time)>> {
        let zone = zone_of(&self.0.zone)?;
        let date = |time: Time| Some(zone.to_datetime(timestamp(time)?).date());
        let mut day = date(from)?.checked_sub(MAX_WINDOW_DAYS.days()).ok()?;
        let last = date(to)?;
        let mut windows = Vec::new();
        while day <= last {
            let bit = 1 << day.weekday().to_monday_zero_offset();
            for part in self.0.parts.iter().filter(|part| part.days & bit != 0) {
                windows
                    .push((at(&zone, day, part.from, false)?, at(&zone, day, part.end(), true)?));
            }
            day = day.tomorrow().ok()?;
        }
        Some(windows)
    }
}

impl Part {
    /// The end in minutes since the first day's midnight.
    fn end(self) -> u16 {
        if self.to > self.from { self.to } else { self.to + MINUTES_OF_DAY }
    }
}

/// Reads `Mon-Fri 07:00-19:00`; without days, those before.
fn part(text: &str, days: &mut u8) -> Option<Part> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let times = match *words {
        [times] => times,
        [named, times] => {
            *days = days_of(named)?;
            times
        }
        _ => return None,
    };
    let (from, to) = times.split_once('-')?;
    let (from, to) = (minutes(from)?, minutes(to)?);
    // "24:00" is an end only, and nothing lasts no time at all.
    (from < MINUTES_OF_DAY && from != to).then_some(Part { days: *days, from, to })
}

/// Reads `Mon`, `Mon-Fri`, `Fri-Mon`, `daily`; whole English names too.
fn days_of(text: &str) -> Option<u8> {
    let text = text.to_ascii_lowercase();
    if text == "daily" {
        return Some(EVERY_DAY);
    }
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    let (first, last) = (day_of(first)?, day_of(last)?);
    let days = (0..7).map(|after| (first + after) % 7);
    let count = (last + 7 - first) % 7 + 1;
    Some(days.take(count).fold(0, |bits, day| bits | 1 << day))
}

fn day_of(text: &str) -> Option<usize> {
    const NAMES: [&str; 7] =
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    (0..7).find(|day| DAYS.get(*day) == Some(&text) || NAMES.get(*day) == Some(&text))
}

/// Reads `07:00` to `24:00`.
fn minutes(text: &str) -> Option<u16> {
    let number = |text: &str| {
        let is_plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| is_plain)
    };
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|_| minutes.len() == 2)?);
    let of_day = hours * 60 + minutes;
    (minutes < 60 && of_day <= MINUTES_OF_DAY).then_some(of_day)
}

/// The zone of a name. Only the bundled database is asked, so the answer depends on nothing else.
fn zone_of(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn timestamp(time: Time) -> Option<Timestamp> {
    Timestamp::from_millisecond(time.millis()).ok()
}

/// The moment at which the clock shows a time of a day. A time that is skipped is the moment of the
/// skip; of a time that comes twice, a window begins with the first and ends with the second.
fn at(zone: &TimeZone, day: Date, minutes: u16, is_end: bool) -> Option<Time> {
    let days = i64::from(minutes / MINUTES_OF_DAY);
    let of_day = i16::try_from(minutes % MINUTES_OF_DAY).ok()?;
    let hour = i8::try_from(of_day / 60).ok()?;
    let minute = i8::try_from(of_day % 60).ok()?;
    let local = day.checked_add(days.days()).ok()?.at(hour, minute, 0, 0);
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let timestamp = match ambiguous.offset() {
        AmbiguousOffset::Gap { .. } => {
            let before = ambiguous.earlier().ok()?;
            zone.following(before).next()?.timestamp()
        }
        _ if is_end => ambiguous.later().ok()?,
        _ => ambiguous.earlier().ok()?,
    };
    Some(Time::from_millis(timestamp.as_millisecond()))
}

/// Writes `Mon-Fri 07:00-19:00, Sat 09:00-13:00`, without the zone.
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, part) in self.0.parts.iter().enumerate() {
            let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
            let comma = if number == 0 { "" } else { ", " };
            let days = days_text(part.days);
            write!(f, "{comma}{days} {}-{}", clock(part.from), clock(part.to))?;
        }
        Ok(())
    }
}

/// `daily`, `Mon`, `Mon-Fri`, `Fri-Mon`: days are always a run of the week.
fn days_text(days: u8) -> String {
    if days == EVERY_DAY {
        return "daily".to_owned();
    }
    let has = |day: usize| days & (1 << (day % 7)) != 0;
    let name = |day: usize| {
        let name = DAYS.get(day % 7).copied().unwrap_or_default();
        let (first, rest) = name.split_at(1);
        first.to_ascii_uppercase() + rest
    };
    let first = (0..7).find(|day| has(*day) && !has(day + 6)).unwrap_or(0);
    let count = (0..7).take_while(|after| has(first + after)).count();
    match count {
        1 => name(first),
        _ => format!("{}-{}", name(first), name(first + count - 1)),
    }
}

impl From<Hours> for Written {
    fn from(hours: Hours) -> Written {
        Written { times: hours.to_string(), zone: hours.0.zone.clone() }
    }
}

impl TryFrom<Written> for Hours {
    type Error = HoursError;

    fn try_from(written: Written) -> Result<Hours, HoursError> {
        Hours::parse(&written.times, &written.zone)
    }
}

/// The names of the days are those of the calendar.
const _: () = assert!(Weekday::Monday as i8 == 1);

#[cfg(test)]
mod tests;
