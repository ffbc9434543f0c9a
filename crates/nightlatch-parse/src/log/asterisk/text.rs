//! Looking at bytes: small steps that never fail, each linear in what it looks at.

use std::net::{IpAddr, Ipv4Addr};

use memchr::memchr;

/// The longest address with a port in brackets and with a zone.
const MAX_ADDRESS: usize = 80;

/// What begins at `place`; nothing if it lies outside.
pub(super) fn from(text: &[u8], place: usize) -> &[u8] {
    text.get(place..).unwrap_or_default()
}

/// What lies between two places; nothing if they lie outside.
pub(super) fn between(text: &[u8], start: usize, end: usize) -> &[u8] {
    text.get(start..end).unwrap_or_default()
}

/// What is before and after the first `byte`.
pub(super) fn split(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr(byte, text)?;
    Some((between(text, 0, place), from(text, place + 1)))
}

/// The place of the first quote or backslash. Values are short: eight bytes at once beat a search that has
/// to be set up.
#[inline]
pub(super) fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_ne_bytes([128; 8]);
    // The highest bit of each byte that is zero; of those above the first one it may be wrong.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHEST;
    let (words, rest) = text.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found =
            zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(number * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
    found.map(|place| words.len() * 8 + place)
}

/// The place of the first `needle`.
pub(super) fn find(text: &[u8], needle: &'static [u8]) -> Option<usize> {
    find_all(text, needle).next()
}

/// The places of all `needle`.
pub(super) fn find_all<'a>(
    text: &'a [u8],
    needle: &'static [u8],
) -> impl Iterator<Item = usize> + 'a {
    let (first, rest) = needle.split_first().unwrap_or((&0, b""));
    memchr::memchr_iter(*first, text).filter(move |place| from(text, place + 1).starts_with(rest))
}

/// The place of the last `needle`.
pub(super) fn find_last(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    memchr::memrchr_iter(*first, text).find(|place| from(text, place + 1).starts_with(rest))
}

/// Without spaces and tabs at the beginning.
pub(super) fn trim_start(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    from(text, end)
}

/// Without spaces, tabs and line ends at the end.
pub(super) fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    between(text, 0, end.map_or(0, |place| place + 1))
}

/// The digits at the beginning, and what follows; none if there is none.
pub(super) fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at_checked(end))?
}

/// A decimal number of at most nine digits.
pub(super) fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0_u32, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0'))
    })
}

/// A port.
pub(super) fn port(text: &[u8]) -> Option<u16> {
    u16::try_from(number(text)?).ok()
}

/// An address without a port, as `getnameinfo` writes it.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    if text.len() > MAX_ADDRESS {
        return None;
    }
    if let Some(address) = ipv4(text) {
        return Some(IpAddr::V4(address));
    }
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.split_once('%').map_or(text, |(address, _)| address);
    Some(bare.parse::<std::net::Ipv6Addr>().ok()?.to_canonical())
}

/// An IPv4 address without needless zeros.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let (mut part, mut length, mut sum) = (0, 0, 0_u32);
    for byte in text {
        match byte {
            b'0'..=b'9' if length < 3 && !(length > 0 && sum == 0) => {
                sum = sum * 10 + u32::from(byte - b'0');
                length += 1;
            }
            b'.' if length > 0 && part < 3 => {
                *octets.get_mut(part)? = u8::try_from(sum).ok()?;
                (part, length, sum) = (part + 1, 0, 0);
            }
            _ => return None,
        }
    }
    if part != 3 || length == 0 {
        return None;
    }
    *octets.get_mut(3)? = u8::try_from(sum).ok()?;
    Some(Ipv4Addr::from(octets))
}

/// An address with or without a port: `192.0.2.1:5060`, `[2001:db8::1]:5060`, `2001:db8::1`.
pub(super) fn socket(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    if text.len() > MAX_ADDRESS {
        return None;
    }
    if let Some(inside) = text.strip_prefix(b"[") {
        let (host, rest) = split(inside, b']')?;
        let host = address(host)?;
        return match rest.strip_prefix(b":") {
            Some(digits) => Some((host, Some(port(digits)?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match split(text, b':') {
        Some((host, digits)) if memchr(b':', digits).is_none() => {
            Some((address(host)?, Some(port(digits)?)))
        }
        _ => Some((address(text)?, None)),
    }
}

/// An address and a port after the last colon, with or without brackets: IPv6 may lack them.
pub(super) fn socket_bare(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    if text.len() > MAX_ADDRESS {
        return None;
    }
    if text.first() == Some(&b'[') {
        return socket(text);
    }
    let colon = memchr::memrchr(b':', text)?;
    Some((address(between(text, 0, colon))?, Some(port(from(text, colon + 1))?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, Option<u16>)>) {
        let expected = expected.map(|(host, port)| (host.parse().unwrap(), port));
        assert_eq!(socket(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn sockets() {
        check("192.0.2.1:5060", Some(("192.0.2.1", Some(5060))));
        check("192.0.2.1", Some(("192.0.2.1", None)));
        check("[2001:db8::1]:5060", Some(("2001:db8::1", Some(5060))));
        check("2001:db8::1", Some(("2001:db8::1", None)));
        check("::ffff:192.0.2.1", Some(("192.0.2.1", None)));
        check("[fe80::1%eth0]:5060", Some(("fe80::1", Some(5060))));
        for wrong in ["", ":", "1:2", "192.0.2.1:", "192.0.2.1:70000", "192.0.2.01", "192.0.2", "x"]
        {
            check(wrong, None);
        }
        for wrong in ["192.0.2.1.5", "256.0.2.1", "192.0.2.1:5060x", "[::1", "[::1]5060"] {
            check(wrong, None);
        }
    }

    #[test]
    fn quotes_and_backslashes() {
        let letters = [b'"', b'\\', b'a', b'!', b'#', b'[', b']', 0, 1, 0x80, 0xa2, 0xdc, 0xff];
        for length in 0..20 {
            for place in 0..=length {
                for letter in letters {
                    let mut text = vec![b'x'; length];
                    text.extend([letter, b'"']);
                    text.swap(place, length);
                    let is_wanted = |byte: &u8| matches!(byte, b'"' | b'\\');
                    assert_eq!(quote_or_backslash(&text), text.iter().position(is_wanted));
                }
            }
        }
        assert_eq!(quote_or_backslash(b"abcdefghijk"), None);
    }

    #[test]
    fn sockets_without_brackets() {
        let expected = ("2001:db8::1".parse().unwrap(), Some(5060));
        assert_eq!(socket_bare(b"2001:db8::1:5060"), Some(expected));
        assert_eq!(socket_bare(b"[2001:db8::1]:5060"), Some(expected));
        assert_eq!(socket_bare(b"192.0.2.1"), None);
    }
}
