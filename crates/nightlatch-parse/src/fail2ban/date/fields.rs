//! Fields of dates: the expression for each, and what their texts mean together.

use crate::log::Stamp;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The expression of a field. Names that begin with `Ex` are stricter or wider than the usual ones.
fn field(name: &str) -> Option<&'static str> {
    Some(match name {
        "Y" => r"(?P<Y>\d{4})",
        "ExY" => r"(?P<Y>20\d\d)",
        "y" | "Exy" => r"(?P<y>\d\d)",
        "m" => r"(?P<m>0?[1-9]|1[0-2])",
        "Exm" => r"(?P<m>0[1-9]|1[0-2])",
        "d" => r"(?P<d>[1-2]\d|[0 ]?[1-9]|3[0-1])",
        "Exd" => r"(?P<d>[1-2]\d|0[1-9]|3[0-1])",
        "H" => r"(?P<H>[0-1]?\d|2[0-3])",
        "ExH" => r"(?P<H>[0-1]\d|2[0-3])",
        "k" => r" ?(?P<H>[0-2]?\d)",
        "Exk" => r" ?(?P<H>[0-1]?\d|2[0-3])",
        "I" => r"(?P<I>1[0-2]|0[1-9]|[1-9])",
        "l" => r" ?(?P<I>1?\d)",
        "Exl" => r" ?(?P<I>1[0-2]|\d)",
        "M" => r"(?P<M>[0-5]?\d)",
        "ExM" => r"(?P<M>[0-5]\d)",
        "S" => r"(?P<S>[0-5]?\d|6[0-1])",
        "ExS" => r"(?P<S>[0-5]\d|6[0-1])",
        "f" => r"(?P<f>\d{1,6})",
        "j" => r"(?P<j>36[0-6]|3[0-5]\d|[1-2]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0[1-9]|[1-9])",
        "p" => r"(?P<p>am|pm)",
        "a" => r"(?P<a>mon|tue|wed|thu|fri|sat|sun)",
        "A" => r"(?P<A>monday|tuesday|wednesday|thursday|friday|saturday|sunday)",
        "b" => r"(?P<b>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
        "B" => {
            r"(?P<B>january|february|march|april|may|june|july|august|september|october|november|december)"
        }
        "U" => r"(?P<U>5[0-3]|[0-4]\d|\d)",
        "W" => r"(?P<W>5[0-3]|[0-4]\d|\d)",
        "w" => r"(?P<w>[0-6])",
        "Z" => r"(?P<Z>Z|[A-Z]{3,5})",
        "z" => r"(?P<z>Z|UTC|GMT|[+-][01]\d(?::?\d{2})?)",
        "ExZ" => r"(?P<Z>[A-Z](?:[A-Z]{2,4})?)",
        "Exz" => r"(?P<z>(?:[A-Z](?:[A-Z]{2,4})?)?[+-][01]\d(?::?\d{2})?|[A-Z](?:[A-Z]{2,4})?)",
        _ => return None,
    })
}

/// Replaces the fields of a pattern by their expressions, and says whether names of months or days are
/// among them: these match regardless of case.
pub(super) fn expand(text: &str) -> Result<(String, bool), String> {
    let mut out = String::new();
    let mut names = false;
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let after = after.get(1..).unwrap_or_default();
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let long = after.get(..3).and_then(|name| field(name).map(|found| (name, found)));
        let short = || after.get(..1).and_then(|name| field(name).map(|found| (name, found)));
        let Some((name, expression)) = long.or_else(short) else {
            return Err(format!(
                "unknown field %{} in a date",
                after.chars().take(3).collect::<String>()
            ));
        };
        names |= matches!(name, "a" | "A" | "b" | "B" | "p");
        out.push_str(expression);
        rest = after.get(name.len()..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok((out, names))
}

/// What was found of a date.
#[derive(Default)]
struct Parts {
    year: Option<u16>,
    month: Option<u8>,
    day: Option<u8>,
    day_of_year: Option<u16>,
    hour: u8,
    twelve: bool,
    afternoon: Option<bool>,
    minute: u8,
    second: u8,
    microsecond: u32,
    offset: Option<i32>,
}

/// A moment from named fields. `None` if it lacks month and day, or there is no such day.
pub(super) fn from_fields<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<Stamp> {
    let mut parts = Parts::default();
    for (name, text) in fields {
        let text = std::str::from_utf8(text).ok()?.trim();
        parts.read(name, text)?;
    }
    if parts.twelve {
        let hour = parts.hour % 12;
        parts.hour = if parts.afternoon == Some(true) { hour + 12 } else { hour };
    }
    let (month, day) = match (parts.month, parts.day, parts.day_of_year) {
        (Some(month), Some(day), _) => (month, day),
        (_, _, Some(day)) => month_and_day(parts.year?, day)?,
        _ => return None,
    };
    let exists = (1..=12).contains(&month)
        && day >= 1
        && day <= days_of(parts.year, month)
        && parts.hour < 24;
    exists.then_some(Stamp {
        year: parts.year,
        month,
        day,
        hour: parts.hour,
        minute: parts.minute,
        second: parts.second,
        microsecond: parts.microsecond,
        offset: parts.offset,
    })
}

impl Parts {
    fn read(&mut self, name: &str, text: &str) -> Option<()> {
        match name {
            "Y" => self.year = Some(text.parse().ok()?),
            "y" => self.year = Some(text.parse::<u16>().ok()?.checked_add(2000)?),
            "m" => self.month = Some(text.parse().ok()?),
            "b" | "B" => self.month = Some(month_of(text)?),
            "d" => self.day = Some(text.parse().ok()?),
            "j" => self.day_of_year = Some(text.parse().ok()?),
            "H" => self.hour = text.parse().ok()?,
            "I" => {
                self.hour = text.parse().ok()?;
                self.twelve = true;
            }
            "p" => self.afternoon = Some(text.eq_ignore_ascii_case("pm")),
            "M" => self.minute = text.parse().ok()?,
            "S" => self.second = text.parse().ok()?,
            "f" => self.microsecond = format!("{text:0<6}").parse().ok()?,
            "z" | "Z" => self.offset = Some(offset_of(text)?),
            _ => {}
        }
        Some(())
    }
}

fn month_of(text: &str) -> Option<u8> {
    let start = text.get(..3)?.to_ascii_lowercase();
    let at = MONTHS.iter().position(|month| month.starts_with(&start))?;
    u8::try_from(at + 1).ok()
}

/// Seconds east of UTC: a name, a number, or both.
fn offset_of(text: &str) -> Option<i32> {
    let (name, number) = text.split_at(text.find(['+', '-']).unwrap_or(text.len()));
    let base = if name.is_empty() { 0 } else { named_offset(name)? };
    if number.is_empty() {
        return Some(base);
    }
    let (sign, digits) = number.split_at(1);
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 =
        digits.get(2..).filter(|text| !text.is_empty()).unwrap_or("0").parse().ok()?;
    let seconds = hours * 3600 + minutes * 60;
    Some(base + if sign == "-" { -seconds } else { seconds })
}

/// Names of time zones that are common in logs. Others give no moment.
fn named_offset(name: &str) -> Option<i32> {
    let quarters = match name.to_ascii_uppercase().as_str() {
        "Z" | "UTC" | "GMT" | "WET" => 0,
        "CET" | "WEST" | "MEZ" => 4,
        "CEST" | "EET" | "CAT" | "SAST" | "MESZ" => 8,
        "EEST" | "MSK" | "EAT" => 12,
        "GST" => 16,
        "PKT" => 20,
        "WIB" | "ICT" => 28,
        "HKT" | "AWST" | "SGT" | "PHT" => 32,
        "JST" | "KST" => 36,
        "ACST" => 38,
        "AEST" => 40,
        "ACDT" => 42,
        "AEDT" => 44,
        "NZST" => 48,
        "NZDT" => 52,
        "NST" => -14,
        "NDT" => -10,
        "ART" | "BRT" | "ADT" => -12,
        "AST" | "EDT" | "CLT" => -16,
        "EST" | "CDT" | "COT" | "PET" => -20,
        "CST" | "MDT" => -24,
        "MST" | "PDT" => -28,
        "PST" | "AKDT" => -32,
        "AKST" => -36,
        "HST" => -40,
        _ => return None,
    };
    Some(quarters * 900)
}

fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Days of a month; February has 29 where the year is not written.
fn days_of(year: Option<u16>, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_none_or(is_leap) => 29,
        2 => 28,
        _ => 31,
    }
}

fn month_and_day(year: u16, mut day: u16) -> Option<(u8, u8)> {
    for month in 1..=12 {
        let days = u16::from(days_of(Some(year), month));
        if day <= days {
            return Some((month, u8::try_from(day).ok()?));
        }
        day -= days;
    }
    None
}

/// A moment from seconds since 1970, with a fraction after a point; of `long` ones, milliseconds or
/// microseconds, told apart by the number of digits.
pub(super) fn from_epoch(text: &[u8], long: bool) -> Option<Stamp> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number: u64 = whole.parse().ok()?;
    let microseconds = if long && text.len() >= 16 && fraction.is_empty() {
        number
    } else if long && text.len() >= 13 {
        number.checked_mul(1000)?
    } else {
        let fraction: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
        number.checked_mul(1_000_000)?.checked_add(fraction)?
    };
    stamp_of(microseconds / 1_000_000, u32::try_from(microseconds % 1_000_000).ok()?)
}

/// A moment from a TAI64N label, in the way of programs that write UTC into it.
pub(super) fn from_tai64n(text: &[u8]) -> Option<Stamp> {
    let digits = std::str::from_utf8(text.get(2..17)?).ok()?;
    stamp_of(u64::from_str_radix(digits, 16).ok()?, 0)
}

/// Seconds since 1970 as a date in UTC.
fn stamp_of(seconds: u64, microsecond: u32) -> Option<Stamp> {
    let days = i64::try_from(seconds / 86_400).ok()?;
    let rest = seconds % 86_400;
    // Days since the first of March of the year 0, so that a leap day is the last of its year.
    let days = days.checked_add(719_468)?;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some(Stamp {
        year: Some(u16::try_from(year).ok()?),
        month: u8::try_from(month).ok()?,
        day: u8::try_from(day).ok()?,
        hour: u8::try_from(rest / 3600).ok()?,
        minute: u8::try_from(rest / 60 % 60).ok()?,
        second: u8::try_from(rest % 60).ok()?,
        microsecond,
        offset: Some(0),
    })
}

#[cfg(test)]
mod tests {
    use super::{from_epoch, from_fields, offset_of};

    #[test]
    fn seconds_since_1970_become_dates() {
        let stamp = from_epoch(b"1124013600.25", false).unwrap();
        assert_eq!((stamp.year, stamp.month, stamp.day), (Some(2005), 8, 14));
        assert_eq!(
            (stamp.hour, stamp.minute, stamp.second, stamp.microsecond),
            (10, 0, 0, 250_000)
        );
        assert_eq!(from_epoch(b"1124013600250", true), Some(stamp));
        let leap = from_epoch(b"1709164800", false).unwrap();
        assert_eq!((leap.month, leap.day), (2, 29));
        assert_eq!(from_epoch(b"99999999999999999999", true), None);
    }

    #[test]
    fn days_that_do_not_exist_give_no_moment() {
        let fields = |month: &'static [u8], day: &'static [u8]| {
            from_fields([("m", month), ("d", day)].into_iter())
        };
        assert!(fields(b"2", b"29").is_some());
        assert!(fields(b"2", b"30").is_none());
        assert!(fields(b"13", b"1").is_none());
    }

    #[test]
    fn time_zones_are_offsets() {
        for (text, seconds) in
            [("Z", 0), ("+0200", 7200), ("-03:30", -12_600), ("CET+01", 7200), ("EST", -18_000)]
        {
            assert_eq!(offset_of(text), Some(seconds), "{text}");
        }
    }
}
