//! Text from outside, made safe to show: a user agent, the name of an extension, the name of a file.
//!
//! An attacker chooses such a text. It may reach a terminal, a mail, a chat or a ticket, so nothing in
//! it may end a line, move the cursor, turn the direction of writing or be invisible. Whatever could is
//! replaced by an escape that shows which character it was. Characters that only a certain reader takes
//! for a command (`$`, a backtick, `<`) stay: it is the JSON string around them that separates them.

/// The most characters of a text from outside.
pub const MAX_TEXT: usize = 200;

/// What follows a text that was cut.
const CUT: char = '…';

/// Characters that are invisible, turn the direction of writing, or end a line, besides control
/// characters (Unicode 16, general categories Cf, Zl, Zp, and what has the property
/// `Default_Ignorable_Code_Point`).
const INVISIBLE: [(char, char); 26] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// A text from outside as one visible line of at most `most` characters; a longer one ends in `…`.
///
/// A backslash is doubled, so that an escape cannot be imitated. The work does not grow with what is
/// cut off.
pub fn visible(text: &str, most: usize) -> String {
    shown(text, most, "\\\\")
}

/// [`visible`] for a sentence of the program: what the program has escaped in it stays as it is.
pub(super) fn sentence(text: &str, most: usize) -> String {
    shown(text, most, "\\")
}

fn shown(text: &str, most: usize, backslash: &str) -> String {
    let mut shown = String::new();
    let mut length = 0;
    // Where to cut, so that there is room for the mark and no escape is split.
    let mut cut = 0;
    for character in text.chars() {
        let piece = match character {
            '\\' => backslash.to_owned(),
            _ => escape(character),
        };
        length += piece.chars().count();
        if length > most {
            shown.truncate(cut);
            if most > 0 {
                shown.push(CUT);
            }
            return shown;
        }
        shown.push_str(&piece);
        if length < most {
            cut = shown.len();
        }
    }
    shown
}

/// The name of a feature, of a kind or of a field: lower case letters, digits, `-`, `_`, `/`, `.`.
pub(super) fn token(text: &str, most: usize) -> String {
    let plain = |c: char| {
        let is_plain = c.is_ascii_lowercase() || c.is_ascii_digit() || "-_/.".contains(c);
        if is_plain { c } else { '-' }
    };
    let token: String = text.chars().take(most).map(plain).collect();
    if token.is_empty() { "-".to_owned() } else { token }
}

fn escape(character: char) -> String {
    match character {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        _ if character.is_control() || is_invisible(character) => {
            format!("\\u{{{:x}}}", u32::from(character))
        }
        _ => character.to_string(),
    }
}

fn is_invisible(character: char) -> bool {
    INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&character))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_texts() {
        let check = |text: &str, shown: &str| assert_eq!(visible(text, MAX_TEXT), shown);
        check("Büro 2 – 電話 😀", "Büro 2 – 電話 😀");
        check("a\r\nBcc: x@example.net", "a\\r\\nBcc: x@example.net");
        check("a\u{1b}[2J\u{9b}31m\u{7}\u{8}\u{7f}", "a\\u{1b}[2J\\u{9b}31m\\u{7}\\u{8}\\u{7f}");
        check("\"; $(reboot) `reboot` ${x} 'y'", "\"; $(reboot) `reboot` ${x} 'y'");
        check("<script>alert(1)</script>&amp;", "<script>alert(1)</script>&amp;");
        check("end\0begin\t", "end\\u{0}begin\\t");
        check("txt.\u{202e}exe\u{2066}\u{200f}", "txt.\\u{202e}exe\\u{2066}\\u{200f}");
        check("a\u{200b}\u{200d}\u{feff}\u{ad}b", "a\\u{200b}\\u{200d}\\u{feff}\\u{ad}b");
        check("a\u{2028}b\u{2029}c\u{85}d", "a\\u{2028}b\\u{2029}c\\u{85}d");
        check("tags\u{e0041}\u{e007f}\u{fe0f}", "tags\\u{e0041}\\u{e007f}\\u{fe0f}");
        // An escape cannot be imitated.
        check("\\u{1b}\\n", "\\\\u{1b}\\\\n");
    }

    #[test]
    fn long_texts_are_cut_and_escapes_are_not_split() {
        assert_eq!(visible("abcd", 4), "abcd");
        assert_eq!(visible("abcde", 4), "abc…");
        assert_eq!(visible("ab\n", 4), "ab\\n");
        assert_eq!(visible("abc\n", 4), "abc…");
        assert_eq!(visible("\u{202e}\u{202e}", 9), "\\u{202e}…");
        assert_eq!(visible("äöüß", 2), "ä…");
        assert_eq!(visible("", 0), "");
        assert_eq!(visible("a", 0), "");
        assert_eq!(visible(&"x".repeat(10_000_000), MAX_TEXT).chars().count(), MAX_TEXT);
    }

    #[test]
    fn what_is_escaped_in_a_sentence_stays_as_it_is() {
        assert_eq!(sentence("the phone \"a\\\"\\n\"\n", 40), "the phone \"a\\\"\\n\"\\n");
    }

    #[test]
    fn names() {
        assert_eq!(token("firewall-off", 40), "firewall-off");
        assert_eq!(token("Ä b\n", 40), "--b-".to_owned());
        assert_eq!(token("", 40), "-");
        assert_eq!(token("abc", 2), "ab");
    }

    proptest! {
        #[test]
        fn always_one_visible_line_within_the_bound(text in any::<String>(), most in 0usize..60) {
            let shown = visible(&text, most);
            prop_assert!(shown.chars().count() <= most);
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)));
        }

        #[test]
        fn different_texts_stay_different(a in "[\\\\nu{}1b\n\u{1b}]{0,12}", b in "[\\\\nu{}1b\n\u{1b}]{0,12}") {
            prop_assert_eq!(a == b, visible(&a, 1000) == visible(&b, 1000));
        }
    }
}
