//! Compares a transcript with its file, and shows where they differ.

use std::path::Path;

/// How many differing lines are shown of each side.
const MAX: usize = 40;
/// How much of a long line is shown on both sides of the first difference.
const AROUND: usize = 100;

/// Fails where `expected/NAME.txt` holds something else, or is missing.
pub(super) fn compare(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots/expected");
    let path = folder.join(format!("{name}.txt"));
    if std::env::var_os("NIGHTLATCH_UPDATE_SNAPSHOTS").is_some_and(|value| value == "1") {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let again = "NIGHTLATCH_UPDATE_SNAPSHOTS=1 writes it anew";
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; {again}", path.display()));
    assert!(
        expected == text,
        "not as in {} ({again}):\n{}",
        path.display(),
        difference(&expected, text)
    );
}

/// The lines between what both begin with and what both end with.
fn difference(expected: &str, found: &str) -> String {
    let expected: Vec<&str> = expected.split_inclusive('\n').collect();
    let found: Vec<&str> = found.split_inclusive('\n').collect();
    let same = |(one, other): &(&&str, &&str)| one == other;
    let begin = expected.iter().zip(&found).take_while(same).count();
    let end = expected[begin..].iter().rev().zip(found[begin..].iter().rev());
    let end = end.take_while(same).count();
    let expected_part = &expected[begin..expected.len() - end];
    let found_part = &found[begin..found.len() - end];
    let command = expected[..begin].iter().rfind(|line| line.starts_with("$ "));
    let mut shown = format!("line {}, behind {}", begin + 1, command.unwrap_or(&"nothing\n"));
    let line = |mark: char, line: &str, other: Option<&&str>| {
        let at = line.chars().zip(other.copied().unwrap_or_default().chars());
        let at = at.take_while(|(one, other)| one == other).count();
        let part: String = line.chars().skip(at.saturating_sub(AROUND)).take(2 * AROUND).collect();
        let before = if at > AROUND { "..." } else { "" };
        format!("{mark} {before}{}\n", part.trim_end_matches('\n').escape_debug())
    };
    for (at, text) in expected_part.iter().take(MAX).enumerate() {
        shown += &line('-', text, found_part.get(at));
    }
    for (at, text) in found_part.iter().take(MAX).enumerate() {
        shown += &line('+', text, expected_part.get(at));
    }
    let more = expected_part.len().max(found_part.len()).saturating_sub(MAX);
    if more > 0 {
        shown += &format!("and {more} lines more\n");
    }
    shown
}

#[test]
fn a_difference_can_be_read() {
    let expected = "$ a\n= 0\nx\n$ b\n= 0\nyes\n";
    let shown = difference(expected, "$ a\n= 0\nx\n$ b\n= 1\nno\nyes\n");
    assert_eq!(shown, "line 5, behind $ b\n- = 0\n+ = 1\n+ no\n");
    let long = format!("{}y\n", "x".repeat(500));
    let shown = difference(&long, &long.replace('y', "z"));
    assert!(shown.contains("- ...") && shown.contains("y\n") && shown.len() < 500, "{shown}");
}
