//! User agents: the text to compare with a secret one, and those that real programs send.

use std::borrow::Cow;

use super::header::unfolded;
use super::scan::{starts_with, trim};

/// The longest user agent that can be a secret, in bytes.
pub const MAX_SECRET: usize = 128;

/// The beginnings of user agents that phones, servers and scanners send, one a line.
const KNOWN: &str = include_str!("agents.txt");

/// Exactly the bytes that are compared with a secret user agent: the value without white space at its
/// ends and in one line, upper and lower case as sent. `None` if it is empty or longer than
/// [`MAX_SECRET`].
///
/// The value must be wholly known, as [`Message::user_agent`](super::Message::user_agent) guarantees.
pub fn secret(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let text = unfolded(trim(value));
    (!text.is_empty() && text.len() <= MAX_SECRET).then_some(text)
}

/// The beginning in our list that a user agent has, in upper or lower case: such a text is no secret,
/// because phones or scanners send it. White space before it does not count.
pub fn known_user_agent(text: &str) -> Option<&'static str> {
    let text = trim(text.as_bytes());
    known().find(|start| starts_with(text, start))
}

/// All beginnings in the list.
pub fn known() -> impl Iterator<Item = &'static str> {
    KNOWN.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known() {
        for (text, expected) in [
            ("friendly-scanner", Some("friendly-scanner")),
            ("Yealink SIP-T46S 66.85.0.5", Some("Yealink")),
            ("  YEALINK SIP-T46S", Some("Yealink")),
            ("snom370/8.7.5.35", Some("snom")),
            ("Cisco/SPA303-7.4.7", Some("Cisco")),
            ("baresip v1.0.0 (x86_64/linux)", Some("baresip")),
            ("Linphonec/5.1.65", Some("Linphone")),
            ("FPBX-16.0.40(18.9)", Some("FPBX")),
            ("VaxSIPUserAgent/3.1", Some("VaxSIPUserAgent")),
            ("my Yealink of the kitchen", None),
            ("h7kqm-4tw8z-pbnx2-rrd6v", None),
            ("Yealin", None),
            ("", None),
        ] {
            assert_eq!(known_user_agent(text), expected, "{text}");
        }
    }

    #[test]
    fn the_list_is_in_order() {
        let all: Vec<String> = known().map(str::to_lowercase).collect();
        assert!(all.len() > 80);
        for pair in all.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?} are not sorted");
            // The longer one would never be found.
            assert!(!pair[1].starts_with(&pair[0]), "{pair:?}: the first covers the second");
        }
        assert!(all.iter().all(|start| start.len() >= 3 && start.is_ascii()));
    }

    #[test]
    fn what_is_compared() {
        for (value, expected) in [
            ("h7kqm-4tw8z", Some("h7kqm-4tw8z")),
            (" \t h7kqm  4tw8z \r\n", Some("h7kqm  4tw8z")),
            ("h7kqm \r\n\t 4tw8z", Some("h7kqm 4tw8z")),
            ("H7kqm\n 4tw8z", Some("H7kqm 4tw8z")),
            (" \r\n ", None),
            ("", None),
        ] {
            let found = secret(value.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{value:?}");
        }
        assert!(matches!(secret(b" x "), Some(Cow::Borrowed(b"x"))));
        assert!(secret(&[b'x'; MAX_SECRET]).is_some());
        assert_eq!(secret(&[b'x'; MAX_SECRET + 1]), None);
    }
}
