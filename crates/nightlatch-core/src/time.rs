//! Moments and spans of time, as arguments: nothing here reads a clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since 1970-01-01 00:00 UTC, by the wall clock.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(i64);

impl Time {
    /// The moment so many milliseconds after 1970.
    pub const fn from_millis(millis: i64) -> Time {
        Time(millis)
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The moment `span` later; stops at the end of time.
    #[must_use]
    pub fn after(self, span: Duration) -> Time {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Time(self.0.saturating_add(millis))
    }

    /// How long from `earlier` until this moment; zero where it is not later.
    pub fn since(self, earlier: Time) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// Year, month, day, hour, minute, second in UTC (proleptic Gregorian calendar).
    fn civil(self) -> (i64, i64, i64, i64, i64, i64) {
        let seconds = self.0.div_euclid(1000);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Days are counted from 0000-03-01, so that the leap day is the last day of a year.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year, month, day, second / 3600, second / 60 % 60, second % 60)
    }
}

/// Writes `2026-11-20 09:17:00 UTC`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

/// What is wrong with a text that should be a span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a time: write a number and s, m, h, d or w, for example 90s, 15m, 8h, 7d")]
pub struct SpanError(String);

/// Reads `90s`, `15m`, `8h`, `7d`, `2w`, or several in a row (`1h30m`). At most ten years.
///
/// # Errors
/// Anything else, a span of zero, and one above ten years.
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    const TEN_YEARS: u64 = 3650 * 86_400;
    let wrong = || SpanError(text.chars().take(40).collect());
    let (mut total, mut number) = (0u64, None::<u64>);
    for character in text.trim().chars() {
        if let Some(digit) = character.to_digit(10) {
            let so_far = number.unwrap_or(0).checked_mul(10).ok_or_else(wrong)?;
            number = Some(so_far.checked_add(u64::from(digit)).ok_or_else(wrong)?);
            continue;
        }
        let unit = match character {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return Err(wrong()),
        };
        let seconds = number.take().and_then(|n| n.checked_mul(unit)).ok_or_else(wrong)?;
        total = total.checked_add(seconds).ok_or_else(wrong)?;
    }
    if number.is_some() || total == 0 || total > TEN_YEARS {
        return Err(wrong());
    }
    Ok(Duration::from_secs(total))
}

/// What is wrong with a text that should be a moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a date and time: write \"2026-12-31 18:00\" (UTC), or \"2026-12-31 18:00 +01:00\" with the offset of your zone"
)]
pub struct MomentError(String);

/// Reads `2026-12-31 18:00` or `2026-12-31 18:00:30`, with a space or a `T` in between, in UTC; in the
/// zone of an offset where one follows, such as `+01:00` or `-0530`. `Z` and `UTC` are accepted too.
///
/// # Errors
/// Anything else, and a day or hour that does not exist.
pub fn parse_moment(text: &str) -> Result<Time, MomentError> {
    moment(text.trim()).ok_or_else(|| MomentError(text.chars().take(40).collect()))
}

fn moment(text: &str) -> Option<Time> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix([' ', 'T'])?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(rest.len());
    let (clock, zone) = rest.split_at_checked(end)?;
    let date: Vec<&str> = date.split('-').collect();
    let clock: Vec<&str> = clock.split(':').collect();
    let [year, month, day] = date.as_slice() else { return None };
    let (hour, minute, second) = match clock.as_slice() {
        [hour, minute] => (hour, minute, &"00"),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_of_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // As in `civil`: years begin in March, so that the leap day is the last day of a year.
    let shifted_year = year - i64::from(month <= 2);
    let (era, year_of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let minutes = (days * 24 + hour) * 60 + minute - offset(zone.trim())?;
    Some(Time((minutes * 60 + second) * 1000))
}

/// The minutes by which a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone == "Z" || zone == "UTC" {
        return Some(0);
    }
    let (sign, digits) = match (zone.strip_prefix('+'), zone.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None => digits.split_at_checked(2)?,
    };
    let minutes = if minutes.is_empty() { "00" } else { minutes };
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours <= 14 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

/// Whether an end has come.
pub fn is_over(until: Option<Time>, now: Time) -> bool {
    until.is_some_and(|until| until <= now)
}

/// Writes a span in its two largest units: `8h`, `6d 23h`, `59s`.
pub fn show_span(span: Duration) -> String {
    let seconds = span.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let Some(from) = parts.iter().position(|(count, _)| *count > 0) else {
        return "0s".to_owned();
    };
    let shown: Vec<String> = parts
        .iter()
        .skip(from)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for (millis, shown) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399_000, "2000-02-28 23:59:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_795_166_220_123, "2026-11-20 09:17:00 UTC"),
            (-1000, "1969-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(Time::from_millis(millis).to_string(), shown);
        }
    }

    #[test]
    fn spans() {
        for (text, seconds, shown) in [
            ("90s", 90, "1m 30s"),
            ("15m", 900, "15m"),
            ("8h", 28_800, "8h"),
            ("7d", 604_800, "7d"),
            ("1h30m", 5400, "1h 30m"),
            ("1w", 604_800, "7d"),
        ] {
            let span = parse_span(text).unwrap();
            assert_eq!((span.as_secs(), show_span(span).as_str()), (seconds, shown));
        }
        for text in ["", "8", "h", "-8h", "8 h", "0s", "9999999d", "99999999999999999999s", "8x"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_and_times() {
        for (text, shown) in [
            ("2026-12-31 18:00", "2026-12-31 18:00:00 UTC"),
            ("2026-12-31T18:00:59Z", "2026-12-31 18:00:59 UTC"),
            ("2026-12-31 18:00 UTC", "2026-12-31 18:00:00 UTC"),
            ("2026-12-31 18:00 +01:00", "2026-12-31 17:00:00 UTC"),
            ("2026-12-31 18:00-0530", "2026-12-31 23:30:00 UTC"),
            ("2026-12-31 23:30 -02", "2027-01-01 01:30:00 UTC"),
            ("2028-02-29 00:00", "2028-02-29 00:00:00 UTC"),
            ("2000-02-29 12:00", "2000-02-29 12:00:00 UTC"),
            ("1970-01-01 00:00", "1970-01-01 00:00:00 UTC"),
            ("9999-12-31 23:59", "9999-12-31 23:59:00 UTC"),
        ] {
            assert_eq!(parse_moment(text).unwrap().to_string(), shown, "{text}");
        }
        for text in [
            "",
            "never",
            "2026-12-31",
            "18:00",
            "2026-13-01 18:00",
            "2026-02-29 18:00",
            "2100-02-29 18:00",
            "2026-04-31 18:00",
            "2026-00-10 18:00",
            "2026-12-31 24:00",
            "2026-12-31 18:60",
            "2026-12-31 18:00:60",
            "2026-12-31 1:00",
            "2026-12-31 18",
            "2026-12-31  18:00",
            "2026-12-31 18:00 CET",
            "2026-12-31 18:00 +15:00",
            "2026-12-31 18:00 +1",
            "2026-12-31 18:00 +01:00 x",
            "+026-12-31 18:00",
            "2026-12-31é18:00",
        ] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
    }
}
