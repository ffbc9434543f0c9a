//! When a line was written: stamps of logs as moments.

use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;
use nightlatch_parse::log::Stamp;

use crate::time::Time;

/// A stamp without a year is not later than this after the moment of reading: clocks differ a little, and
/// on New Year's Eve the last year is meant.
const AHEAD_MILLIS: i64 = 86_400_000;
const HOUR_MILLIS: i64 = 3_600_000;

/// Turns stamps into moments, in a time zone.
#[derive(Clone, Debug)]
pub struct Moments {
    zone: TimeZone,
    /// The hour of the last stamp, and when it begins: consecutive lines are nearly always of the same hour.
    last: Option<(OfDay, i64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OfDay {
    year: i16,
    month: u8,
    day: u8,
    hour: u8,
    offset: Option<i32>,
}

impl Moments {
    /// For stamps in the zone of this name; if it is not known, in that of the content of a zone file
    /// (TZif, RFC 9636); UTC without both.
    pub fn of(name: &str, file: &[u8]) -> Moments {
        let zone = TimeZone::get(name).or_else(|_| TimeZone::tzif(name, file));
        Moments { zone: zone.unwrap_or(TimeZone::UTC), last: None }
    }

    /// The moment of a stamp; none if there is no such day. A stamp without a year is of the last year
    /// in which it is not after `now`. Of a time that comes twice, the first counts.
    pub fn moment(&mut self, stamp: &Stamp, now: Time) -> Option<Time> {
        let year = match stamp.year {
            Some(year) => i16::try_from(year).ok()?,
            None => self.year(stamp, now)?,
        };
        let begin = self.begin(stamp, year)?;
        let seconds = i64::from(stamp.minute) * 60 + i64::from(stamp.second.min(59));
        let millis = i64::from(stamp.microsecond) / 1000;
        Some(Time::from_millis(begin + seconds * 1000 + millis))
    }

    fn year(&mut self, stamp: &Stamp, now: Time) -> Option<i16> {
        let this = Timestamp::from_millisecond(now.millis()).ok()?;
        let this = self.zone.to_datetime(this).year();
        let latest = now.millis().saturating_add(AHEAD_MILLIS);
        // A 29 February is of the last leap year.
        (0..=8)
            .map(|back| this + 1 - back)
            .find(|year| self.begin(stamp, *year).is_some_and(|begin| begin <= latest))
    }

    /// When the hour of a stamp begins, in milliseconds since 1970.
    fn begin(&mut self, stamp: &Stamp, year: i16) -> Option<i64> {
        let Stamp { month, day, hour, offset, .. } = *stamp;
        let wanted = OfDay { year, month, day, hour, offset };
        if let Some((last, begin)) = self.last
            && last == wanted
        {
            return Some(begin);
        }
        let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        let day = jiff::civil::Date::new(year, month, day).ok()?;
        let days = day.since(date(1970, 1, 1)).ok()?.get_days();
        let local = i64::from(days) * 24 * HOUR_MILLIS + i64::from(hour.min(23)) * HOUR_MILLIS;
        let begin = if let Some(offset) = offset {
            local - i64::from(offset) * 1000
        } else {
            let at = day.at(i8::try_from(hour).ok()?.min(23), 0, 0, 0);
            self.zone.to_timestamp(at).ok()?.as_millisecond()
        };
        self.last = Some((wanted, begin));
        Some(begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_moment;

    fn stamp(year: Option<u16>, date: (u8, u8), clock: (u8, u8, u8)) -> Stamp {
        let ((month, day), (hour, minute, second)) = (date, clock);
        Stamp { year, month, day, hour, minute, second, microsecond: 250_000, offset: None }
    }

    fn check(zone: &str, stamp: Stamp, now: &str, expected: &str) {
        let now = parse_moment(now).unwrap();
        let found = Moments::of(zone, &[]).moment(&stamp, now).map(|at| at.to_string());
        assert_eq!(
            found.as_deref(),
            Some(expected).filter(|it| !it.is_empty()),
            "{stamp:?} {zone}"
        );
    }

    #[test]
    fn stamps_are_local_time() {
        let full = stamp(Some(2026), (7, 20), (8, 36, 32));
        check("UTC", full, "2026-07-20 09:00", "2026-07-20 08:36:32 UTC");
        check("Europe/Berlin", full, "2026-07-20 09:00", "2026-07-20 06:36:32 UTC");
        let winter = stamp(Some(2026), (1, 20), (8, 36, 32));
        check("Europe/Berlin", winter, "2026-07-20 09:00", "2026-01-20 07:36:32 UTC");
        check("nowhere", full, "2026-07-20 09:00", "2026-07-20 08:36:32 UTC");
        let with_zone = Stamp { offset: Some(-18_000), ..full };
        check("Europe/Berlin", with_zone, "2026-07-20 09:00", "2026-07-20 13:36:32 UTC");
        // The hour that is skipped, and the one that comes twice.
        let skipped = stamp(Some(2026), (3, 29), (2, 30, 0));
        check("Europe/Berlin", skipped, "2026-07-20 09:00", "2026-03-29 01:30:00 UTC");
        let twice = stamp(Some(2026), (10, 25), (2, 30, 0));
        check("Europe/Berlin", twice, "2026-11-20 09:00", "2026-10-25 00:30:00 UTC");
    }

    #[test]
    fn a_stamp_without_year_is_the_last_such_day() {
        let eve = stamp(None, (12, 31), (23, 59, 59));
        check("UTC", eve, "2027-01-01 00:00:05", "2026-12-31 23:59:59 UTC");
        check("UTC", eve, "2026-12-31 23:00", "2026-12-31 23:59:59 UTC");
        let new_year = stamp(None, (1, 1), (0, 0, 1));
        check("UTC", new_year, "2026-12-31 23:59:58", "2027-01-01 00:00:01 UTC");
        check("UTC", new_year, "2027-06-01 00:00", "2027-01-01 00:00:01 UTC");
        let leap = stamp(None, (2, 29), (12, 0, 0));
        check("UTC", leap, "2027-06-01 00:00", "2024-02-29 12:00:00 UTC");
        check("UTC", stamp(None, (2, 30), (12, 0, 0)), "2027-06-01 00:00", "");
        check("UTC", stamp(None, (13, 1), (12, 0, 0)), "2027-06-01 00:00", "");
        check("UTC", stamp(Some(2026), (4, 31), (12, 0, 0)), "2027-06-01 00:00", "");
    }

    #[test]
    fn the_moment_of_the_hour_before_does_not_stay() {
        let mut moments = Moments::of("UTC", &[]);
        let now = parse_moment("2026-07-20 12:00").unwrap();
        for (hour, minute) in [(8, 59), (9, 0), (8, 59), (9, 1)] {
            let at = moments.moment(&stamp(Some(2026), (7, 20), (hour, minute, 0)), now).unwrap();
            assert_eq!(at.to_string(), format!("2026-07-20 {hour:02}:{minute:02}:00 UTC"));
        }
    }
}
