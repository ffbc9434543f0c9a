use proptest::prelude::*;

use super::super::Reading;
use super::Pattern;

/// What a pattern reads in a line: the address and the account, or `?` and all addresses.
fn read(pattern: &str, line: &str) -> String {
    let pattern: Pattern = pattern.parse().unwrap();
    match pattern.read(line.as_bytes()) {
        None => "-".to_owned(),
        Some(Reading::Attempt(read)) => {
            let account = read.account.map(|text| format!(" {}", String::from_utf8_lossy(text)));
            format!("{}{}", read.source, account.unwrap_or_default())
        }
        Some(Reading::Doubtful(doubt)) => {
            doubt.sources.iter().fold("?".to_owned(), |shown, source| format!("{shown} {source}"))
        }
    }
}

#[test]
fn what_patterns_read() {
    let from = "login failed for <ACCOUNT> from <ADDRESS>";
    for (pattern, line, expected) in [
        (
            from,
            "Nov 20 08:36:32 pbx x: login failed for anna from 198.51.100.66",
            "198.51.100.66 anna",
        ),
        (from, "login failed for anna from 2001:db8::66", "2001:db8::66 anna"),
        (from, "login failed for  from ::ffff:198.51.100.66", "198.51.100.66"),
        (from, "login failed for anna from 198.51.100.66 port 5", "-"),
        (from, "login failed for anna from 198.51.100.66.", "-"),
        (from, "login failed for anna from office", "-"),
        (from, "failed for anna from 198.51.100.66", "-"),
        // The end of the line decides, whatever the name is.
        (
            from,
            "login failed for a from 203.0.113.10 from 198.51.100.66",
            "198.51.100.66 a from 203.0.113.10",
        ),
        ("^login from <ADDRESS>", "login from 198.51.100.66", "198.51.100.66"),
        ("^login from <ADDRESS>", "a login from 198.51.100.66", "-"),
        ("peer <ADDRESS>:<ANY> failed", "peer 198.51.100.66:5060 failed", "198.51.100.66"),
        ("peer [<ADDRESS>]:<ANY> failed", "peer [2001:db8::66]:5060 failed", "2001:db8::66"),
        ("fail IP:<ADDRESS>)", "fail IP:198.51.100.66)", "198.51.100.66"),
        ("rejected: <ADDRESS>.", "rejected: 198.51.100.66.", "198.51.100.66"),
        ("<script>: <ADDRESS> failed", "<script>: 198.51.100.66 failed", "198.51.100.66"),
        ("v<ADDRESS> failed", "v198.51.100.66 failed", "-"),
        ("from <ADDRESS> user <ACCOUNT>", "from 198.51.100.66 user anna", "198.51.100.66 anna"),
        ("from <ADDRESS><ANY>", "from 198.51.100.66, and more", "198.51.100.66"),
        ("user <ACCOUNT> at <ANY> by <ADDRESS>", "user a at b by 198.51.100.66", "198.51.100.66 a"),
        ("by <ADDRESS> at <ANY> user <ACCOUNT>", "by 198.51.100.66 at b user a", "198.51.100.66 a"),
        ("<ADDRESS> ünknown", "198.51.100.66 ünknown", "198.51.100.66"),
    ] {
        assert_eq!(read(pattern, line), expected, "{pattern}: {line}");
    }
}

#[test]
fn several_addresses_that_could_be_meant_are_doubtful() {
    let pattern = "from <ADDRESS> user <ACCOUNT>";
    let line = "from 198.51.100.66 user a from 203.0.113.10 user b";
    assert_eq!(read(pattern, line), "? 198.51.100.66 203.0.113.10");
    assert_eq!(read(&format!("^{pattern}"), line), "198.51.100.66 a from 203.0.113.10 user b");
    let line = "from 198.51.100.66 user a from 198.51.100.66 user b";
    assert_eq!(read(pattern, line), "198.51.100.66 a from 198.51.100.66 user b");
    let pattern = "user <ACCOUNT> from <ADDRESS>,<ANY>";
    let line = "user a from 203.0.113.10, from 198.51.100.66, agent b from 192.0.2.9, c";
    assert_eq!(read(pattern, line), "? 203.0.113.10 198.51.100.66 192.0.2.9");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (pattern, message) in [
        ("login failed", "has no <ADDRESS>"),
        ("failed <HOST>", "at character 8: \"<HOST>\" is not a placeholder"),
        ("ünd failed <HOST>", "at character 12: "),
        ("^failed <ADDRESS> <ADDRESS>", "at character 19: <ADDRESS> occurs twice in the pattern"),
        ("<ACCOUNT> failed <ACCOUNT> <ADDRESS>", "at character 18: <ACCOUNT> occurs twice"),
        ("<ANY> <ADDRESS>", "fewer than 4 letters and digits"),
        ("failed\n<ADDRESS>", "at character 7: a pattern cannot contain control characters"),
        ("", "has no <ADDRESS>"),
    ] {
        let error = pattern.parse::<Pattern>().unwrap_err().to_string();
        assert!(error.contains(message), "{pattern}: {error}");
    }
    let long = format!("<ADDRESS>{}", "a".repeat(1024));
    assert!(long.parse::<Pattern>().unwrap_err().to_string().contains("1033 bytes"));
}

#[test]
fn a_pattern_is_shown_as_written() {
    let text = "^<script>: <ACCOUNT> failed from <ADDRESS><ANY>";
    assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
}

/// Whether a pattern, of which `*` is any text, is the text: by trying everything.
fn naive(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| naive(rest, &text[at..])),
        ([a, rest @ ..], [b, text @ ..]) if a == b => naive(rest, text),
        _ => false,
    }
}

proptest! {
    #[test]
    fn reading_agrees_with_trying_everything(
        head in "[ab*]{0,6}",
        tail in "[ab*]{0,6}",
        begins_line: bool,
        line in prop::collection::vec(prop::sample::select(vec!["a", "b", "-", " 192.0.2.1 ", " 192.0.2.2 "]), 0..12),
    ) {
        let line = format!("xxxx{}yyyy", line.concat());
        let star = |text: &str| text.replace('*', "<ANY>");
        let caret = if begins_line { "^" } else { "" };
        let text = format!("{caret}xxxx{} <ADDRESS> {}yyyy", star(&head), star(&tail));
        let pattern: Pattern = text.parse().unwrap();
        let free = if begins_line { "" } else { "*" };
        let mut expected = Vec::new();
        for source in ["192.0.2.1", "192.0.2.2"] {
            let whole = format!("{free}xxxx{head} {source} {tail}yyyy");
            if naive(whole.as_bytes(), line.as_bytes()) {
                expected.push(source.to_owned());
            }
        }
        let mut found = match pattern.read(line.as_bytes()) {
            None => Vec::new(),
            Some(Reading::Attempt(read)) => vec![read.source.to_string()],
            Some(Reading::Doubtful(doubt)) => doubt.sources.iter().map(ToString::to_string).collect(),
        };
        found.sort();
        prop_assert_eq!(found, expected, "{} in {}", text, line);
    }

    #[test]
    fn any_text_is_read_without_panic(pattern in "\\PC{0,40}", line: Vec<u8>) {
        if let Ok(pattern) = pattern.parse::<Pattern>() {
            let _ = pattern.read(&line);
        }
        let _ = format!("fail {pattern}<ADDRESS>").parse::<Pattern>().map(|pattern| {
            pattern.read(&line).is_some()
        });
    }
}
