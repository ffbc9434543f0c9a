//! Moments as logs write them.
//!
//! Each reader takes the text at which a moment begins and returns it with the rest of the text. None looks
//! further than 40 bytes.

/// A moment as a log writes it, often without year and time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The year, where it is written.
    pub year: Option<u16>,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
    /// 0 to 999,999; 0 where it is not written.
    pub microsecond: u32,
    /// Seconds east of UTC, where it is written; otherwise it is local time.
    pub offset: Option<i32>,
}

/// What was read, and the text behind it.
type Read<'a, T> = Option<(T, &'a [u8])>;

/// A date: year where it is written, month, day.
type Date = (Option<u16>, u8, u8);

/// A time of day: hour, minute, second, microsecond.
type Time = (u8, u8, u8, u32);

/// Reads any of the forms below, the brackets around it included (`[...]`). The letter or digit with which
/// it begins decides which are tried.
pub fn any(text: &[u8]) -> Read<'_, Stamp> {
    if let Some(inner) = text.strip_prefix(b"[") {
        let (stamp, rest) = bare(inner)?;
        return Some((stamp, rest.strip_prefix(b"]")?));
    }
    bare(text)
}

fn bare(text: &[u8]) -> Read<'_, Stamp> {
    if text.first()?.is_ascii_digit() {
        return iso(text)
            .or_else(|| slashed(text))
            .or_else(|| common_log(text))
            .or_else(|| epoch(text));
    }
    month_day(text).or_else(|| weekday(text))
}

/// `2026-11-20 08:36:32`, with `T` instead of the space (RFC 3339), with a fraction of a second behind `.` or
/// `,`, with a zone (`Z`, `+01:00`, `-0700`, also behind a space). The month may be its English abbreviation
/// (`2026-Nov-20`, FreePBX).
pub fn iso(text: &[u8]) -> Read<'_, Stamp> {
    let (year, rest) = four(text)?;
    let rest = rest.strip_prefix(b"-")?;
    let (month, rest) = match two(rest) {
        Some(read) => read,
        None => month_name(rest)?,
    };
    let (day, rest) = two(rest.strip_prefix(b"-")?)?;
    let [b' ' | b'T' | b't', rest @ ..] = rest else {
        return None;
    };
    let (time, rest) = time_of_day(rest)?;
    let (offset, rest) = zone(rest);
    Some((stamp((Some(year), month, day), time, offset)?, rest))
}

/// `Nov 20 08:36:32`, the day also as ` 1` or `1` (RFC 3164; Asterisk without `dateformat`). With a year in
/// front of the time (`Nov 20 2026 08:36:32`), as some daemons write it.
pub fn month_day(text: &[u8]) -> Read<'_, Stamp> {
    let (month, rest) = month_name(text)?;
    let (day, rest) = day(rest.strip_prefix(b" ")?)?;
    let rest = rest.strip_prefix(b" ")?;
    let (year, rest) = match four(rest) {
        Some((year, rest)) => (Some(year), rest.strip_prefix(b" ")?),
        None => (None, rest),
    };
    let (time, rest) = time_of_day(rest)?;
    Some((stamp((year, month, day), time, None)?, rest))
}

/// `2012/04/09 11:53:29` (nginx).
pub fn slashed(text: &[u8]) -> Read<'_, Stamp> {
    let (year, rest) = four(text)?;
    let (month, rest) = two(rest.strip_prefix(b"/")?)?;
    let (day, rest) = two(rest.strip_prefix(b"/")?)?;
    let (time, rest) = time_of_day(rest.strip_prefix(b" ")?)?;
    Some((stamp((Some(year), month, day), time, None)?, rest))
}

/// `Thu Jul 11 01:21:43 2013`, with or without a fraction of the second (Apache).
pub fn weekday(text: &[u8]) -> Read<'_, Stamp> {
    const NAMES: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    let (name, rest) = text.split_at_checked(3)?;
    if !NAMES.contains(&name) {
        return None;
    }
    let (month, rest) = month_name(rest.strip_prefix(b" ")?)?;
    let (day, rest) = day(rest.strip_prefix(b" ")?)?;
    let (time, rest) = time_of_day(rest.strip_prefix(b" ")?)?;
    let (year, rest) = four(rest.strip_prefix(b" ")?)?;
    Some((stamp((Some(year), month, day), time, None)?, rest))
}

/// `10/Oct/2000:13:55:36 -0700`, the zone where it is written (access logs).
pub fn common_log(text: &[u8]) -> Read<'_, Stamp> {
    let (day, rest) = two(text)?;
    let (month, rest) = month_name(rest.strip_prefix(b"/")?)?;
    let (year, rest) = four(rest.strip_prefix(b"/")?)?;
    let (time, rest) = time_of_day(rest.strip_prefix(b":")?)?;
    let (offset, rest) = zone(rest);
    Some((stamp((Some(year), month, day), time, offset)?, rest))
}

/// `1700469392`, with or without a fraction: seconds since 1970 in UTC, of 9 or 10 digits (1973 to 2286).
pub fn epoch(text: &[u8]) -> Read<'_, Stamp> {
    let digits = text.iter().take(11).take_while(|byte| byte.is_ascii_digit()).count();
    if !(9..=10).contains(&digits) {
        return None;
    }
    let (number, rest) = text.split_at_checked(digits)?;
    let seconds = number.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let (microsecond, rest) = fraction(rest);
    let (year, month, day) = civil(seconds / 86_400)?;
    let of_day = seconds % 86_400;
    let time = (
        u8::try_from(of_day / 3600).ok()?,
        u8::try_from(of_day / 60 % 60).ok()?,
        u8::try_from(of_day % 60).ok()?,
        microsecond,
    );
    Some((stamp((Some(year), month, day), time, Some(0))?, rest))
}

/// A stamp of these parts, where each is in its range.
fn stamp((year, month, day): Date, time: Time, offset: Option<i32>) -> Option<Stamp> {
    let (hour, minute, second, microsecond) = time;
    let possible = (1..=12).contains(&month) && (1..=31).contains(&day);
    let possible = possible && hour < 24 && minute < 60 && second <= 60;
    possible.then_some(Stamp { year, month, day, hour, minute, second, microsecond, offset })
}

/// Year, month and day of the Gregorian calendar, so many days after 1970-01-01.
fn civil(days: u64) -> Option<(u16, u8, u8)> {
    // Years are counted from March here, so that the leap day is the last of a year. 719,468 days lie between
    // 0000-03-01 and 1970-01-01; 400 years have 146,097 days.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    Some((u16::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?))
}

/// `08:36:32`, with or without a fraction.
fn time_of_day(text: &[u8]) -> Read<'_, Time> {
    let (hour, rest) = two(text)?;
    let (minute, rest) = two(rest.strip_prefix(b":")?)?;
    let (second, rest) = two(rest.strip_prefix(b":")?)?;
    let (microsecond, rest) = fraction(rest);
    Some(((hour, minute, second, microsecond), rest))
}

/// A fraction of one to nine digits in microseconds; 0 where there is none.
fn fraction(text: &[u8]) -> (u32, &[u8]) {
    let [b'.' | b',', digits @ ..] = text else {
        return (0, text);
    };
    let length = digits.iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
    let Some((digits, rest)) = digits.split_at_checked(length) else {
        return (0, text);
    };
    if !(1..=9).contains(&length) {
        return (0, text);
    }
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    (padded.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')), rest)
}

/// A zone in seconds east of UTC: `Z`, `+01:00`, `+0100`, also behind a space. What is none is left in the rest.
fn zone(text: &[u8]) -> (Option<i32>, &[u8]) {
    if let [b'Z' | b'z', rest @ ..] = text {
        return (Some(0), rest);
    }
    let at = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, digits) = match at {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return (None, text),
    };
    let hours_and_minutes = || {
        let (hours, rest) = two(digits)?;
        let (minutes, rest) = two(rest.strip_prefix(b":").unwrap_or(rest))?;
        let ends = !rest.first().is_some_and(u8::is_ascii_digit);
        let possible = hours < 24 && minutes < 60 && ends;
        possible.then_some(((i32::from(hours) * 60 + i32::from(minutes)) * 60, rest))
    };
    match hours_and_minutes() {
        Some((seconds, rest)) => (Some(sign * seconds), rest),
        None => (None, text),
    }
}

/// `Jan` to `Dec`.
fn month_name(text: &[u8]) -> Read<'_, u8> {
    let (name, rest) = text.split_first_chunk::<3>()?;
    let month = match name {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    Some((month, rest))
}

/// A day of a month: `20`, `02`, ` 2` or `2`.
fn day(text: &[u8]) -> Read<'_, u8> {
    if let Some(read) = two(text) {
        return Some(read);
    }
    match text.strip_prefix(b" ").unwrap_or(text) {
        [digit @ b'1'..=b'9', rest @ ..] => Some((digit - b'0', rest)),
        _ => None,
    }
}

fn two(text: &[u8]) -> Read<'_, u8> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
            Some(((tens - b'0') * 10 + (ones - b'0'), rest))
        }
        _ => None,
    }
}

fn four(text: &[u8]) -> Read<'_, u16> {
    let (century, rest) = two(text)?;
    let (year, rest) = two(rest)?;
    Some((u16::from(century) * 100 + u16::from(year), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert, proptest};

    /// A stamp and what is left of the text, as text.
    fn shown(text: &str) -> String {
        let Some((stamp, rest)) = any(text.as_bytes()) else {
            return "none".to_owned();
        };
        let year = stamp.year.map_or_else(|| "----".to_owned(), |year| format!("{year:04}"));
        let fraction = match stamp.microsecond {
            0 => String::new(),
            microsecond => format!(".{microsecond:06}"),
        };
        let offset = stamp.offset.map(|offset| format!(" {offset:+}")).unwrap_or_default();
        format!(
            "{year}-{:02}-{:02} {:02}:{:02}:{:02}{fraction}{offset}|{}",
            stamp.month,
            stamp.day,
            stamp.hour,
            stamp.minute,
            stamp.second,
            String::from_utf8_lossy(rest)
        )
    }

    #[test]
    fn what_logs_write() {
        for (text, expected) in [
            ("2026-11-20 08:36:32 x", "2026-11-20 08:36:32| x"),
            ("[2026-11-20 08:36:32] x", "2026-11-20 08:36:32| x"),
            ("2013-12-31 17:39:54.767815 [W", "2013-12-31 17:39:54.767815| [W"),
            ("2026-11-20 08:36:32,5 x", "2026-11-20 08:36:32.500000| x"),
            ("2026-11-20T08:36:32.123456789Z h", "2026-11-20 08:36:32.123456 +0| h"),
            ("2026-11-20T08:36:32.123456+01:00 h", "2026-11-20 08:36:32.123456 +3600| h"),
            ("2026-11-20T08:36:32.123-0730\"", "2026-11-20 08:36:32.123000 -27000|\""),
            ("[2026-Nov-20 08:36:32] x", "2026-11-20 08:36:32| x"),
            ("Nov 20 08:36:32 host", "-----11-20 08:36:32| host"),
            ("[Nov  2 08:36:32] N", "-----11-02 08:36:32| N"),
            ("Nov 2 08:36:32 N", "-----11-02 08:36:32| N"),
            ("Nov  2 2026 08:36:32 N", "2026-11-02 08:36:32| N"),
            ("2012/04/09 11:53:29 [error]", "2012-04-09 11:53:29| [error]"),
            ("[Thu Jul 11 01:21:43 2013] [e", "2013-07-11 01:21:43| [e"),
            ("[Thu Jul 11 01:21:43.123456 2013] [e", "2013-07-11 01:21:43.123456| [e"),
            ("[10/Oct/2000:13:55:36 -0700] \"", "2000-10-10 13:55:36 -25200| \""),
            ("[10/Oct/2000:13:55:36] \"", "2000-10-10 13:55:36| \""),
            ("1700469392.5 x", "2023-11-20 08:36:32.500000 +0| x"),
            ("[1700469392] x", "2023-11-20 08:36:32 +0| x"),
            ("951782400 x", "2000-02-29 00:00:00 +0| x"),
            ("4102444799 x", "2099-12-31 23:59:59 +0| x"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_moment() {
        for text in [
            "",
            "[",
            "[]",
            "2026-13-20 08:36:32",
            "2026-00-20 08:36:32",
            "2026-11-32 08:36:32",
            "2026-11-20 24:36:32",
            "2026-11-20 08:60:32",
            "2026-11-20 08:36:61",
            "2026-11-20",
            "[2026-11-20 08:36:32",
            "2026-1-20 08:36:32",
            "Nov 00 08:36:32",
            "Nox 20 08:36:32",
            "17004693921",
            "17004693",
            "Thu Jul 11 01:21:43",
        ] {
            assert_eq!(shown(text), "none", "{text}");
        }
    }

    #[test]
    fn what_is_no_fraction_or_zone_is_left() {
        assert_eq!(shown("2026-11-20 08:36:32. x"), "2026-11-20 08:36:32|. x");
        assert_eq!(shown("2026-11-20 08:36:32 -x"), "2026-11-20 08:36:32| -x");
        assert_eq!(shown("2026-11-20 08:36:32 +9900"), "2026-11-20 08:36:32| +9900");
    }

    proptest! {
        #[test]
        fn any_bytes_leave_a_rest_of_themselves(text: Vec<u8>) {
            if let Some((_, rest)) = any(&text) {
                prop_assert!(text.ends_with(rest));
                prop_assert!(text.len() - rest.len() <= 40);
            }
        }

        #[test]
        fn days_since_1970_go_up_by_one(day in 0_u64..115_000) {
            let (year, month, of_month) = civil(day).unwrap();
            let next = civil(day + 1).unwrap();
            let expected = [
                (year, month, of_month + 1),
                (year, month + 1, 1),
                (year + 1, 1, 1),
            ];
            prop_assert!(expected.contains(&next));
        }
    }
}
