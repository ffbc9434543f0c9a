//! Attackers' texts, printable and short.

use std::fmt::Write as _;

/// The beginning of a text from outside, at most `most` characters: control characters, what has no
/// printable ASCII or letter, and bytes that are no UTF-8 are written as `\x1b` or `\u{202e}`.
pub fn printable(text: &[u8], most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most) + 3);
    // Most texts are plain, and need not be looked at character by character.
    let plain = text.iter().take(most).position(|byte| !matches!(byte, b' '..=b'~'));
    let plain = plain.unwrap_or(text.len().min(most));
    let (head, text) = text.split_at_checked(plain).unwrap_or((text, &[]));
    shown.push_str(str::from_utf8(head).unwrap_or_default());
    let mut count = plain;
    for chunk in text.get(..most.saturating_mul(4)).unwrap_or(text).utf8_chunks() {
        for character in chunk.valid().chars() {
            if !fits(&mut shown, &mut count, most, character) {
                return shown;
            }
        }
        for byte in chunk.invalid() {
            if count + 4 > most {
                shown.push_str("...");
                return shown;
            }
            let _ = write!(shown, "\\x{byte:02x}");
            count += 4;
        }
    }
    if text.len() > most.saturating_mul(4) {
        shown.push_str("...");
    }
    shown
}

/// Appends a character, or dots where it does not fit any more.
fn fits(shown: &mut String, count: &mut usize, most: usize, character: char) -> bool {
    let plain = matches!(character, ' '..='~') || character.is_alphanumeric();
    let length = match character {
        _ if plain => 1,
        _ if character.is_ascii() => 4,
        _ => character.escape_unicode().count(),
    };
    if *count + length > most {
        shown.push_str("...");
        return false;
    }
    *count += length;
    match character {
        _ if plain => shown.push(character),
        _ if character.is_ascii() => {
            let _ = write!(shown, "\\x{:02x}", u32::from(character));
        }
        _ => {
            let _ = write!(shown, "{}", character.escape_unicode());
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], most: usize, expected: &str) {
        assert_eq!(printable(text, most), expected);
    }

    #[test]
    fn texts_are_printable_and_short() {
        check(b"204", 10, "204");
        check(b"a\x1b[31m\r\n", 40, "a\\x1b[31m\\x0d\\x0a");
        check(b"\xff\xfe!", 40, "\\xff\\xfe!");
        check("z\u{202e}\u{00e9}".as_bytes(), 40, "z\\u{202e}\u{00e9}");
        check(b"0123456789abc", 10, "0123456789...");
        check(b"01234567\x00", 10, "01234567...");
        check(b"", 10, "");
        check(&[b'x'; 100], 2, "xx...");
    }

    proptest::proptest! {
        #[test]
        fn nothing_else_gets_through(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let shown = printable(&text, 40);
            proptest::prop_assert!(shown.chars().count() <= 43);
            proptest::prop_assert!(shown.chars().all(|c| matches!(c, ' '..='~') || c.is_alphanumeric()));
        }
    }
}
