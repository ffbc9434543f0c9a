//! One entry a line, with comments: the text lists.
//!
//! Read are an address, network or range a line; comments behind `#`, `;` or `//`; a count or a
//! time behind the entry (ipsum); `first last prefix` (`DShield`); `name:first-last`
//! (`PeerGuardian`); `first - last , level , name` (eMule, where a level above 127 means "allowed").

use std::net::IpAddr;

use super::entry;
use crate::address::AddrRange;

/// eMule's highest access level that means "blocked".
const HIGHEST_BLOCKED_LEVEL: u32 = 127;

/// What a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing, and rightly so.
    Nothing,
    /// An entry.
    Entry(AddrRange),
    /// Something that is no entry.
    Refused,
}

/// Reads one line.
pub(crate) fn line(text: &[u8]) -> Found {
    let bare = without_comment(text.trim_ascii()).trim_ascii_end();
    if bare.is_empty() {
        return Found::Nothing;
    }
    if let Some(range) = entry::read(bare) {
        return Found::Entry(range);
    }
    let Ok(bare) = std::str::from_utf8(bare) else {
        return peer_guardian(bare).map_or(Found::Refused, Found::Entry);
    };
    if let Some(found) = emule(bare) {
        return found;
    }
    words(bare).or_else(|| peer_guardian(bare.as_bytes())).map_or(Found::Refused, Found::Entry)
}

/// The text before the first `#`, `;` or `//`.
pub(crate) fn without_comment(text: &[u8]) -> &[u8] {
    let mut previous = 0;
    for (at, byte) in text.iter().copied().enumerate() {
        let end = match byte {
            b'#' | b';' => at,
            b'/' if previous == b'/' => at - 1,
            _ => {
                previous = byte;
                continue;
            }
        };
        return text.get(..end).unwrap_or(text);
    }
    text
}

/// `address count`, `address time`, `address netmask`, `first last prefix`.
fn words(text: &str) -> Option<AddrRange> {
    let mut words = text.split_ascii_whitespace();
    let first = words.next()?;
    let second = words.next()?;
    let range = entry::read(first.as_bytes())?;
    if let Ok(last) = second.parse::<IpAddr>() {
        if let Some(prefix) = entry::netmask(second) {
            return (range.is_single())
                .then(|| AddrRange::network(range.first_address(), prefix))?;
        }
        // Two addresses are a range only where the prefix behind them says the same: a line of
        // two unrelated addresses must not become all that lies between them.
        let prefix: u32 = words.next()?.parse().ok()?;
        let network = AddrRange::network(range.first_address(), prefix)?;
        let agrees =
            range.is_single() && network.first() == range.first() && network.last_address() == last;
        return agrees.then_some(network);
    }
    let number_or_time = second.starts_with(|first: char| first.is_ascii_digit());
    let number_or_time = number_or_time
        && second.bytes().all(|byte| byte.is_ascii_digit() || b"-:.,+TZ".contains(&byte));
    number_or_time.then_some(range)
}

/// `name:first-last`, IPv4 only; the name may be in any character set and hold colons.
fn peer_guardian(text: &[u8]) -> Option<AddrRange> {
    let colon = text.iter().rposition(|byte| *byte == b':')?;
    let (name, rest) = text.split_at(colon);
    let rest = rest.get(1..)?;
    // "::192.0.2.1-..." would be an IPv6 address, not a name.
    if name.is_empty() || name.ends_with(b":") || !rest.contains(&b'-') {
        return None;
    }
    entry::read(rest)
}

/// `first - last , level , name`; `None` where the line is nothing of that kind.
fn emule(text: &str) -> Option<Found> {
    let (range, rest) = text.split_once(',')?;
    if !range.contains('-') {
        return None;
    }
    let range = entry::read(range.as_bytes())?;
    let level = rest.split(',').next()?.trim();
    let level: u32 = level.parse().ok()?;
    Some(match level {
        0..=HIGHEST_BLOCKED_LEVEL => Found::Entry(range),
        _ => Found::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match line(text.as_bytes()) {
            Found::Nothing => "nothing".to_owned(),
            Found::Refused => "refused".to_owned(),
            Found::Entry(range) => range.to_string(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn entries_and_comments() {
        check("192.0.2.1", "192.0.2.1");
        check("  192.0.2.0/24\t", "192.0.2.0/24");
        check("", "nothing");
        check("# Firehol", "nothing");
        check("; Spamhaus DROP List", "nothing");
        check("// comment", "nothing");
        check("192.0.2.0/24 ; SBL256894", "192.0.2.0/24");
        check("192.0.2.0/24;SBL256894", "192.0.2.0/24");
        check("192.0.2.1 # seen 12 times", "192.0.2.1");
        check("192.0.2.1#4#2#Scanning Host#CN", "192.0.2.1");
        check("192.0.2.1 // why", "192.0.2.1");
        check("192.0.2.0/24//why", "192.0.2.0/24");
        check("2001:db8::/48 # v6", "2001:db8::/48");
        check("192.0.2.1\t\t# 2024-01-01 00:00:00\t\t3", "192.0.2.1");
    }

    #[test]
    fn entries_with_words_behind() {
        check("192.0.2.1\t9", "192.0.2.1");
        check("192.0.2.1 2024-01-01 12:00:00", "192.0.2.1");
        check("192.0.2.1 2024-01-01T12:00:00Z", "192.0.2.1");
        check("192.0.2.0 255.255.255.0", "192.0.2.0/24");
        check("192.0.2.0\t192.0.2.255\t24\t1234\tACME", "192.0.2.0/24");
        check("192.0.2.0\t203.0.113.255\t24", "refused");
        check("192.0.2.1 203.0.113.9", "refused");
        check("192.0.2.1 ads.example.com", "refused");
        check("0.0.0.0 0.example.com", "refused");
        check("127.0.0.1 localhost", "refused");
        check("example.com", "refused");
        check("192.0.2.1,192.0.2.2", "refused");
        check("Rate limit exceeded", "refused");
    }

    #[test]
    fn lists_of_ranges_with_names() {
        check("Bad people:192.0.2.0-192.0.2.255", "192.0.2.0/24");
        check("a:b: c:192.0.2.1-192.0.2.2", "192.0.2.1-192.0.2.2");
        check("64:ff9b::192.0.2.1-192.0.2.2", "refused");
        check("x:192.0.2.1", "refused");
        check("bad # was x:192.0.2.1-192.0.2.2", "refused");
        check("192.000.002.000 - 192.000.002.255 , 000 , Bad", "192.0.2.0/24");
        check("192.000.002.000 - 192.000.002.255 , 127 , Bad", "192.0.2.0/24");
        check("192.000.002.000 - 192.000.002.255 , 200 , Good", "nothing");
        check("192.000.002.000 - 192.000.002.255 , x , Bad", "refused");
        let latin_1 = b"Caf\xe9:192.0.2.1-192.0.2.2";
        assert!(matches!(line(latin_1), Found::Entry(_)));
    }
}
