//! Small searches in lines that the readers of all formats share. Linear, without allocation.

use std::net::IpAddr;

use super::{Attempt, Doubt, Outcome, Proof, Reading, Service, Stamp};

/// The longest text of an address.
const MAX_ADDRESS: usize = 45;

/// An address that is the whole text; IPv4 written as IPv6 becomes IPv4.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    if !(2..=MAX_ADDRESS).contains(&text.len()) {
        return None;
    }
    let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

/// A port that is the whole text.
pub(super) fn port(text: &[u8]) -> Option<u16> {
    if !(1..=5).contains(&text.len()) || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = text.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    u16::try_from(number).ok()
}

/// `192.0.2.1:5060`, `[2001:db8::1]:5060` or `2001:db8::1:5060`: the last colon precedes the port.
pub(super) fn address_port(text: &[u8]) -> Option<(IpAddr, u16)> {
    let colon = text.iter().rposition(|byte| *byte == b':')?;
    let (host, rest) = text.split_at_checked(colon)?;
    let inner = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host);
    Some((address(inner)?, port(rest.strip_prefix(b":")?)?))
}

/// The texts before and behind the first `needle`.
pub(super) fn split_once<'a>(text: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = find(text, needle)?;
    split_around(text, at, needle.len())
}

/// The texts before and behind the last `needle`.
pub(super) fn split_last<'a>(text: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (first, others) = needle.split_first()?;
    let mut end = text.len();
    loop {
        end = text.get(..end)?.iter().rposition(|byte| byte == first)?;
        if text.get(end + 1..)?.starts_with(others) {
            return split_around(text, end, needle.len());
        }
    }
}

/// Where `needle` begins first.
pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, others) = needle.split_first()?;
    let mut at = 0;
    loop {
        at += text.get(at..)?.iter().position(|byte| byte == first)? + 1;
        if text.get(at..)?.starts_with(others) {
            return Some(at - 1);
        }
    }
}

/// The texts before and behind each `needle`, from the left.
pub(super) fn splits<'a>(
    text: &'a [u8],
    needle: &'a [u8],
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + find(text.get(from..)?, needle)?;
        from = at + 1;
        split_around(text, at, needle.len())
    })
}

fn split_around(text: &[u8], at: usize, length: usize) -> Option<(&[u8], &[u8])> {
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.get(length..)?))
}

/// A text in brackets at the beginning (`[text]`, without brackets in it) and what follows.
pub(super) fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"[")?;
    let end = inner.iter().position(|byte| *byte == b']')?;
    split_around(inner, end, 1)
}

/// The text without the sequences at its beginning that set colours of a terminal, and spaces.
pub(super) fn without_colours(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        let Some(inner) = text.strip_prefix(b"\x1b[") else {
            return text;
        };
        let digits = inner.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';')).count();
        match inner.get(digits..) {
            Some([b'm' | b'K', rest @ ..]) => text = rest,
            _ => return text,
        }
    }
}

/// The text, unless it is empty.
pub(super) fn filled(text: &[u8]) -> Option<&[u8]> {
    (!text.is_empty()).then_some(text)
}

/// An attempt about which only the source and the end are known yet.
pub(super) fn attempt<'a>(source: IpAddr, service: Service, outcome: Outcome) -> Attempt<'a> {
    Attempt {
        stamp: None,
        source,
        port: None,
        service,
        outcome,
        proof: Proof::Claimed,
        account: None,
        session: None,
        agent: None,
        dialled: None,
    }
}

/// The places in a line at which its source could stand.
#[derive(Default)]
pub(super) struct Candidates {
    first: Option<(IpAddr, Option<u16>)>,
    /// Distinct sources beyond the first, at most [`MAX_SOURCES`].
    others: Vec<IpAddr>,
}

/// The most sources that a doubtful line tells.
const MAX_SOURCES: usize = 8;

impl Candidates {
    pub(super) fn add(&mut self, source: IpAddr, port: Option<u16>) {
        match self.first {
            None => self.first = Some((source, port)),
            Some((first, _)) if first == source => {}
            Some(_) if self.others.len() < MAX_SOURCES && !self.others.contains(&source) => {
                self.others.push(source);
            }
            Some(_) => {}
        }
    }

    /// The one source, or why there is none: the outer `None` where there are no candidates.
    pub(super) fn only(
        self,
        stamp: Option<Stamp>,
        service: Service,
        text: &[u8],
    ) -> Option<Result<(IpAddr, Option<u16>), Reading<'_>>> {
        let (source, port) = self.first?;
        if self.others.is_empty() {
            return Some(Ok((source, port)));
        }
        let mut sources = self.others;
        sources.insert(0, source);
        Some(Err(Reading::Doubtful(Doubt { stamp, service, sources, text })))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::{prop_assert_eq, proptest};

    use super::{find, split_last, splits};

    proptest! {
        #[test]
        fn searches_find_what_comparing_each_place_finds(
            text in vec(0_u8..3, 0..30),
            needle in vec(0_u8..3, 1..4),
        ) {
            let places: Vec<usize> = text
                .windows(needle.len())
                .enumerate()
                .filter_map(|(at, window)| (window == needle).then_some(at))
                .collect();
            prop_assert_eq!(find(&text, &needle), places.first().copied());
            let last = split_last(&text, &needle).map(|(before, _)| before.len());
            prop_assert_eq!(last, places.last().copied());
            let all: Vec<usize> = splits(&text, &needle).map(|(before, _)| before.len()).collect();
            prop_assert_eq!(all, places);
        }
    }
}
