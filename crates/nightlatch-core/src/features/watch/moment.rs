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
    last: Option<(Hour, i64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hour {
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
        let wanted = Hour { year, month, day, hour, offset };
        if let Some((last, begin)) = self.last
            && last == wanted
        {
            return Some(begin);
        }
        let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        let day = jiff::civil::Date::new(year, month, day).ok()?;
        let days = day.since(date(1970, 1, 1)).ok()?.get_days();
        let local = i64::from(days) * 24 * HOUR_MILLIS + i64::from(hour.min(23)) * HOUR_MILLIS;
        let begin = match offset {
            Some(offset) => local - i64::from(offset) * 1000,
            None => {
                let at = day.at(i8::try_from(hour).ok()?.min(23), 0, 0, 0);
                self.zone.to_timestamp(at).ok()?.as_millisecond()
            }
        };
        self.last = Some((wanted, begin));
        Some(begin)
    }
}
