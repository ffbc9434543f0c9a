//! Puts a fixed word in place of what differs from one run to the next. Everything else stays.
//!
//! | what | becomes |
//! |---|---|
//! | a moment, `2026-11-20 09:17:00 UTC` | `YYYY-MM-DD hh:mm:ss UTC`, as wide |
//! | a moment in JSON, 13 digits | `MILLIS` |
//! | a span that the clock decides: `3s ago`, `7h 59m left` | `SPAN ago`, `SPAN left` |
//! | how long a fetch took, `(0.2 s)` | `(SECONDS s)` |
//! | the version of a file, `"etag":"12-57-34.56"` | `"etag":"INODE-57-MTIME"` |
//! | a hash of the audit log | `HASH` |
//! | the fingerprint of a credential, 16 hexadecimal digits | `FINGERPRINT` |
//! | the number of a process, `(process 17)` | `(process N)` |
//! | what the kernel counted | `N` |
//! | how often a notice was heard, `"severity":"error","count":3` | `N` |
//! | the same in its line, ` (3 times):` | `:` |
//! | the count-down of a trial at a terminal | nothing |

/// Spans behind these words depend on the clock.
const BEFORE: [&str; 5] = [
    "rolled back in ",
    "next check in ",
    "another ",
    "denied for ",
    "since YYYY-MM-DD hh:mm:ss UTC (",
];
/// So do spans before these.
const BEHIND: [&str; 2] = [" ago", " left"];
/// And those in the columns of tables with these titles.
const COLUMNS: [&str; 3] = ["  AGE  ", "  LAST SENT  ", "  LEFT  "];
/// In JSON, the number of times that a notice was heard is behind these.
const NOTICED: [&str; 2] = ["\"warning\",\"count\":", "\"error\",\"count\":"];
/// Lines and fields with counters.
const COUNTED: [(&str, &str); 2] = [("dropped   ", "\n"), ("\"dropped\":{", "}")];

pub(super) fn normal(text: &str) -> String {
    let has_ages = COLUMNS.iter().any(|title| text.contains(title));
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let inside_word = made.ends_with(|c: char| c.is_ascii_alphanumeric());
        let replaced = if inside_word { None } else { replace(&made, rest, has_ages) };
        let unchanged = || (first.to_string(), first.len_utf8());
        let (word, length) =
            replaced.or_else(|| count_down(rest)).or_else(|| times(rest)).unwrap_or_else(unchanged);
        made.push_str(&word);
        rest = &rest[length..];
    }
    COUNTED.into_iter().fold(made, |text, (begin, end)| without_counts(&text, begin, end))
}

/// What stands for the beginning of `rest`, and how much of it is replaced.
fn replace(made: &str, rest: &str, has_ages: bool) -> Option<(String, usize)> {
    let word = |word: &str, length: usize| Some((word.to_owned(), length));
    if has_shape(rest, "0000-00-00 00:00:00 UTC") {
        return word("YYYY-MM-DD hh:mm:ss UTC", 23);
    }
    let run = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
    let digits = digits(rest);
    if run == 64 {
        return word("HASH", run);
    }
    if run == 16 {
        return word("FINGERPRINT", run);
    }
    if digits == 13 && run == 13 && rest.starts_with(['1', '2']) {
        return word("MILLIS", digits);
    }
    // In CSV, quotes are doubled.
    let is_version = ["\"etag\":\"", "\"etag\"\":\"\""].iter().any(|name| made.ends_with(name));
    if digits > 0 && is_version {
        return version_of_file(rest);
    }
    if digits > 0 && made.ends_with("process ") {
        return word("N", digits);
    }
    if digits > 0 && made.ends_with('(') && has_shape(&rest[digits..], ".0 s)") {
        return word("SECONDS", digits + 2);
    }
    if digits > 0 && NOTICED.iter().any(|severity| made.ends_with(severity)) {
        return word("N", digits);
    }
    let length = span(rest)?;
    let behind = &rest[length..];
    if BEFORE.iter().any(|before| made.ends_with(before))
        || BEHIND.iter().any(|known| behind.starts_with(known))
    {
        // In a table, what follows is set by the width of the span.
        let (ago, blanks) = match behind.strip_prefix(" ago") {
            Some(behind) => (4, blanks(behind)),
            None => (0, 0),
        };
        return match blanks {
            0 | 1 => word("SPAN", length),
            _ => word("SPAN ago  ", length + ago + blanks),
        };
    }
    let in_column = has_ages && made.ends_with("  ");
    if in_column && (behind.starts_with('\n') || blanks(behind) > 1) {
        let end = if behind.starts_with('\n') { "SPAN" } else { "SPAN  " };
        return word(end, length + blanks(behind));
    }
    None
}

/// Inode, size and time of a file, as in `12-57-34.56"`.
fn version_of_file(rest: &str) -> Option<(String, usize)> {
    let version = rest.split('"').next()?;
    let [_, size, time] = version.split('-').collect::<Vec<_>>()[..] else { return None };
    let is_number = |text: &str| digits(text) == text.len();
    let is_one = time.split_once('.').is_some_and(|(one, two)| is_number(one) && is_number(two));
    (is_one && is_number(size)).then(|| (format!("INODE-{size}-MTIME"), version.len()))
}

/// `\r`, an erased line and what is left of the trial, as a terminal gets it.
fn count_down(rest: &str) -> Option<(String, usize)> {
    let begin = "\r\u{1b}[2Krolled back in ";
    let left = rest.strip_prefix(begin)?;
    let digits = digits(left);
    left[digits..].starts_with(" s ").then(|| (String::new(), begin.len() + digits + 3))
}

/// ` (3 times):`, which is not said of what was heard once.
fn times(rest: &str) -> Option<(String, usize)> {
    let (begin, end) = (" (", " times)");
    let times = rest.strip_prefix(begin)?;
    let digits = digits(times);
    let is_whole = digits > 0 && times[digits..].starts_with(" times):");
    is_whole.then(|| (String::new(), begin.len() + digits + end.len()))
}

fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

fn blanks(text: &str) -> usize {
    text.find(|c: char| c != ' ').unwrap_or(text.len())
}

/// Whether a text begins like another one in which `0` stands for any digit.
fn has_shape(text: &str, shape: &str) -> bool {
    let mut letters = text.chars();
    shape.chars().all(|wanted| match (wanted, letters.next()) {
        ('0', Some(letter)) => letter.is_ascii_digit(),
        (wanted, letter) => letter == Some(wanted),
    })
}

/// The length of a span in front: `3s`, `7h 59m`.
fn span(text: &str) -> Option<usize> {
    let first = one_unit(text)?;
    let second = text[first..].strip_prefix(' ').and_then(one_unit);
    Some(first + second.map_or(0, |second| second + 1))
}

fn one_unit(text: &str) -> Option<usize> {
    let digits = digits(text);
    let mut letters = text[digits..].chars();
    let has_unit = digits > 0 && letters.next().is_some_and(|unit| "dhms".contains(unit));
    let ends = !letters.next().is_some_and(|next| next.is_ascii_alphanumeric());
    (has_unit && ends).then_some(digits + 1)
}

/// The same with `N` for every number between `begin` and `end`.
fn without_counts(text: &str, begin: &str, end: &str) -> String {
    let mut parts = text.split(begin);
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (counts, rest) = part.split_at(part.find(end).unwrap_or(part.len()));
        made.push_str(begin);
        let mut in_number = false;
        for letter in counts.chars() {
            match letter.is_ascii_digit() {
                true if in_number => {}
                true => made.push('N'),
                false => made.push(letter),
            }
            in_number = letter.is_ascii_digit();
        }
        made.push_str(rest);
    }
    made
}

#[test]
fn only_what_differs_from_run_to_run_is_replaced() {
    for (text, expected) in [
        ("until 2026-11-20 09:17:00 UTC (8h)", "until YYYY-MM-DD hh:mm:ss UTC (8h)"),
        (
            "on        since 2026-11-20 09:17:00 UTC (1m 3s)\n",
            "on        since YYYY-MM-DD hh:mm:ss UTC (SPAN)\n",
        ),
        ("until 2026-11-20 09:17:00 UTC, 1h 29m left", "until YYYY-MM-DD hh:mm:ss UTC, SPAN left"),
        ("{\"since\":1795166220123,\"n\":17}", "{\"since\":MILLIS,\"n\":17}"),
        ("3 entries (0.2 s)", "3 entries (SECONDS s)"),
        ("2 ago, read 12s ago: in 60 seconds, 5m", "2 ago, read SPAN ago: in 60 seconds, 5m"),
        (
            "{\"etag\":\"12-57-34.5600\"},{\"etag\":\"17\"}",
            "{\"etag\":\"INODE-57-MTIME\"},{\"etag\":\"17\"}",
        ),
        ("by nft (process 4711)", "by nft (process N)"),
        (
            "UTC (21 times): 3 times (2 times), {\"count\":2}",
            "UTC: 3 times (2 times), {\"count\":2}",
        ),
        ("{\"severity\":\"error\",\"count\":2}", "{\"severity\":\"error\",\"count\":N}"),
        ("203.0.113.7 sip5m 5m", "203.0.113.7 sip5m 5m"),
        ("A  AGE  B\nx  1s   0\n", "A  AGE  B\nx  SPAN  0\n"),
        ("P  LAST SENT  E\nx  12s ago    1m 3s\n", "P  LAST SENT  E\nx  SPAN ago  SPAN\n"),
        ("dropped   17 of, 4 x\n5", "dropped   N of, N x\n5"),
        ("{\"dropped\":{\"a4\":12},\"x\":12}", "{\"dropped\":{\"aN\":N},\"x\":12}"),
        ("go\r\u{1b}[2Krolled back in 59 s \nyes", "go\nyes"),
    ] {
        assert_eq!(normal(text), expected, "{text}");
    }
    let hash = "0a".repeat(32);
    assert_eq!(normal(&format!("\"{hash}\",{hash}0")), format!("\"HASH\",{hash}0"));
}
