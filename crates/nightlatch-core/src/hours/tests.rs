use super::*;

fn hours(times: &str, zone: &str) -> Hours {
    Hours::parse(times, zone).unwrap_or_else(|error| panic!("{times}: {error}"))
}

/// A moment written as `2026-03-29T01:00Z`.
fn at(text: &str) -> Time {
    let text = text.replace('Z', ":00Z");
    Time::from_millis(text.parse::<Timestamp>().unwrap().as_millisecond())
}

fn shown(windows: Vec<(Time, Time)>) -> Vec<String> {
    let utc =
        |time: Time| timestamp(time).unwrap().to_string().replace(":00Z", "Z").replace("2026-", "");
    windows.into_iter().map(|(from, to)| format!("{} {}", utc(from), utc(to))).collect()
}

#[test]
fn texts_are_read_and_written() {
    for (text, written) in [
        ("Mon-Fri 07:00-19:00", "Mon-Fri 07:00-19:00"),
        ("mon-fri 7:00-19:00,sat 9:30-13:00", "Mon-Fri 07:00-19:00, Sat 09:30-13:00"),
        ("Mon-Fri 07:00-12:00; 13:00-19:00", "Mon-Fri 07:00-12:00, Mon-Fri 13:00-19:00"),
        ("08:00-18:00", "daily 08:00-18:00"),
        ("daily 00:00-24:00", "daily 00:00-24:00"),
        ("Fri-Mon 22:00-06:00", "Fri-Mon 22:00-06:00"),
        ("Sunday 10:00-11:00", "Sun 10:00-11:00"),
        ("Tue-Mon 10:00-11:00", "daily 10:00-11:00"),
    ] {
        assert_eq!(hours(text, "UTC").to_string(), written);
        assert_eq!(hours(written, "UTC").to_string(), written);
    }
    let many = vec!["08:00-09:00"; 25].join(",");
    for text in [
        "",
        ",",
        "Mon",
        "Mon-Fri",
        "07:00",
        "Mon 07:00-07:00",
        "Mon 24:00-06:00",
        "Mon 7-19",
        "Mon 07:60-19:00",
        "Mon 07:00-24:01",
        "Foo 07:00-19:00",
        "Mon-Foo 07:00-19:00",
        "Mon 07:0-19:00",
        "Mon 007:00-19:00",
        "Mon +7:00-19:00",
        "Mon 07:00-19:00 x",
        many.as_str(),
    ] {
        assert!(matches!(Hours::parse(text, "UTC"), Err(HoursError::Times(_))), "{text}");
    }
    for zone in ["", "Mars/Base", "Europe/../Berlin", "/etc/passwd", "local"] {
        assert!(matches!(Hours::parse("07:00-19:00", zone), Err(HoursError::Zone(_))), "{zone}");
    }
    assert_eq!(hours("07:00-19:00", "europe/berlin").zone(), "Europe/Berlin");
    let json = serde_json::to_string(&hours("Sat 09:00-13:00", "Europe/Berlin")).unwrap();
    assert_eq!(json, r#"{"times":"Sat 09:00-13:00","zone":"Europe/Berlin"}"#);
    assert_eq!(serde_json::from_str::<Hours>(&json).unwrap().to_string(), "Sat 09:00-13:00");
}

#[test]
fn windows_follow_the_clock_on_the_wall() {
    for (times, zone, from, to, wanted) in [
        // Summer time begins in Berlin on 2026-03-29 at 01:00 UTC, and ends on 2026-10-25 at 01:00 UTC.
        (
            "daily 07:00-19:00",
            "Europe/Berlin",
            "2026-03-28T00:00Z",
            "2026-03-30T00:00Z",
            vec!["03-28T06:00Z 03-28T18:00Z", "03-29T05:00Z 03-29T17:00Z"],
        ),
        (
            "daily 07:00-19:00",
            "Europe/Berlin",
            "2026-10-24T00:00Z",
            "2026-10-26T00:00Z",
            vec!["10-24T05:00Z 10-24T17:00Z", "10-25T06:00Z 10-25T18:00Z"],
        ),
        // 02:30 is skipped: the window begins, or ends, with the skip.
        (
            "Sun 02:30-04:00",
            "Europe/Berlin",
            "2026-03-29T00:00Z",
            "2026-03-30T00:00Z",
            vec!["03-29T01:00Z 03-29T02:00Z"],
        ),
        (
            "Sun 01:30-02:30",
            "Europe/Berlin",
            "2026-03-29T00:00Z",
            "2026-03-30T00:00Z",
            vec!["03-29T00:30Z 03-29T01:00Z"],
        ),
        // Wholly within the skip: there is no such time on that day.
        ("Sun 02:10-02:50", "Europe/Berlin", "2026-03-29T00:00Z", "2026-03-30T00:00Z", vec![]),
        // 02:30 comes twice: a window has both.
        (
            "Sun 02:30-02:45",
            "Europe/Berlin",
            "2026-10-25T00:00Z",
            "2026-10-26T00:00Z",
            vec!["10-25T00:30Z 10-25T01:45Z"],
        ),
        // Over midnight, over the end of the week, and merged where they touch.
        (
            "Sun 22:00-06:00",
            "UTC",
            "2026-06-01T00:00Z",
            "2026-06-02T00:00Z",
            vec!["05-31T22:00Z 06-01T06:00Z"],
        ),
        (
            "daily 00:00-24:00",
            "UTC",
            "2026-06-01T12:00Z",
            "2026-06-02T12:00Z",
            vec!["06-01T00:00Z 06-03T00:00Z"],
        ),
        (
            "Mon-Fri 07:00-12:00, 11:00-19:00",
            "Asia/Kolkata",
            "2026-06-01T00:00Z",
            "2026-06-01T23:00Z",
            vec!["06-01T01:30Z 06-01T13:30Z"],
        ),
    ] {
        let windows = hours(times, zone).windows(at(from), at(to));
        assert_eq!(shown(windows), wanted, "{times} {zone}");
    }
}

#[test]
fn a_moment_is_within_or_not() {
    let office = hours("Mon-Fri 07:00-19:00", "Europe/Berlin");
    for (moment, open, next) in [
        ("2026-11-30T05:59Z", false, "2026-11-30T06:00Z"),
        ("2026-11-30T06:00Z", true, "2026-11-30T18:00Z"),
        ("2026-11-30T17:59Z", true, "2026-11-30T18:00Z"),
        ("2026-11-30T18:00Z", false, "2026-12-01T06:00Z"),
        // A Saturday.
        ("2026-12-05T10:00Z", false, "2026-12-07T06:00Z"),
    ] {
        assert_eq!(office.contain(at(moment)), open, "{moment}");
        assert_eq!(office.next_change(at(moment)), Some(at(next)), "{moment}");
    }
    let always = hours("daily 00:00-24:00", "UTC");
    assert!(always.contain(at("2026-11-30T00:00Z")));
    // Far outside of the calendar nothing is allowed, and nothing fails.
    for millis in [i64::MIN, i64::MAX] {
        assert!(!always.contain(Time::from_millis(millis)));
        assert_eq!(always.next_change(Time::from_millis(millis)), None);
    }
}

/// Whether a moment is within the hours follows from the clock on the wall alone: minute by minute
/// through a year with both changes.
#[test]
fn as_a_clock_on_the_wall_says() {
    for (times, zone) in [
        ("Mon-Fri 07:00-19:00", "Europe/Berlin"),
        ("Sun 01:15-03:45", "America/New_York"),
        ("daily 22:00-02:30", "Australia/Lord_Howe"),
    ] {
        let hours = hours(times, zone);
        let tz = zone_of(zone).unwrap();
        let mut now = at("2026-01-01T00:00Z");
        let end = at("2027-01-01T00:00Z");
        while now < end {
            let local = tz.to_datetime(timestamp(now).unwrap());
            let minute = u16::from(local.hour().unsigned_abs()) * 60
                + u16::from(local.minute().unsigned_abs());
            let bit = |date: Date| 1 << date.weekday().to_monday_zero_offset();
            let by_clock = hours.0.parts.iter().any(|part| {
                let today = part.days & bit(local.date()) != 0;
                let yesterday = part.days & bit(local.date().yesterday().unwrap()) != 0;
                let end = part.end();
                today && (part.from..end).contains(&minute)
                    || yesterday && (part.from..end).contains(&(minute + MINUTES_OF_DAY))
            });
            // In the hour that comes twice, a window that ends in it covers both passes.
            let twice = tz.to_ambiguous_timestamp(local).is_ambiguous();
            assert!(hours.contain(now) == by_clock || twice, "{times} {zone} {local}");
            now = now.after(Duration::from_secs(15 * 60));
        }
    }
}
