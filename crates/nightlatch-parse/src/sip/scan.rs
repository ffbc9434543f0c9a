//! The primitives by which everything here looks at bytes: they never fail, and in tests they count
//! the bytes that they look at, so that a test can prove that the work is linear.

/// Whether a byte is white space between the parts of a header; line ends are, because of folding.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a byte may be part of a token: a method, the name of a header or of a parameter (RFC 3261,
/// section 25.1).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

/// Whether all of `bytes` is a token.
pub(super) fn is_word(bytes: &[u8]) -> bool {
    !bytes.is_empty() && position(bytes, |byte| !is_token(byte)).is_none()
}

/// The place of the first byte for which `is_wanted` holds.
pub(super) fn position(bytes: &[u8], is_wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let found = bytes.iter().position(|byte| is_wanted(*byte));
    steps::count(found.map_or(bytes.len(), |place| place + 1));
    found
}

/// What is before and after `place`; everything is before it if it lies outside.
pub(super) fn split(bytes: &[u8], place: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(place).unwrap_or((bytes, &[]))
}

/// Splits at the first `byte`, which belongs to neither part; without it, everything is before it.
pub(super) fn split_once(bytes: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match position(bytes, |found| found == byte) {
        Some(place) => (split(bytes, place).0, Some(from(bytes, place + 1))),
        None => (bytes, None),
    }
}

/// What begins at `place`.
pub(super) fn from(bytes: &[u8], place: usize) -> &[u8] {
    bytes.get(place..).unwrap_or_default()
}

/// Without white space at the beginning.
pub(super) fn trim_start(bytes: &[u8]) -> &[u8] {
    from(bytes, position(bytes, |byte| !is_space(byte)).unwrap_or(bytes.len()))
}

/// Without white space at the end.
pub(super) fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !is_space(*byte)).map_or(0, |place| place + 1);
    steps::count(bytes.len() - end + 1);
    split(bytes, end).0
}

/// Without white space at both ends.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// Whether `bytes` begins with `start`, upper and lower case being the same.
pub(super) fn starts_with(bytes: &[u8], start: &str) -> bool {
    steps::count(start.len());
    bytes.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

/// A decimal number of digits only; `None` if it is none or too large.
pub(super) fn number(digits: &[u8]) -> Option<u32> {
    // Zeros in front do not count: RFC 4475 has such numbers.
    let zeros = position(digits, |byte| byte != b'0').unwrap_or(digits.len());
    let significant = from(digits, zeros);
    if digits.is_empty() || significant.len() > 10 {
        return None;
    }
    let sum = significant.iter().try_fold(0_u64, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'))
    });
    u32::try_from(sum?).ok()
}

/// The length of the quoted string with which `bytes` begins, both quotes included; `None` if it has
/// no end. A backslash makes the next byte ordinary.
pub(super) fn quoted(bytes: &[u8]) -> Option<usize> {
    let mut place = 1;
    loop {
        place += position(from(bytes, place), |byte| matches!(byte, b'"' | b'\\'))?;
        if bytes.get(place) == Some(&b'"') {
            return Some(place + 1);
        }
        place += 2;
    }
}

/// Splits a value at every separator that is in no quoted string and, in lists of addresses, in no
/// angle brackets.
///
/// A quote or bracket without an end is an ordinary character, and so are all that follow it:
/// otherwise each of them would be searched to the end again.
#[derive(Clone, Debug)]
pub(super) struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    with_quotes: bool,
    with_brackets: bool,
}

impl<'a> Pieces<'a> {
    /// The pieces of a list of addresses or of `Via` values.
    pub(super) fn of_list(value: &'a [u8]) -> Pieces<'a> {
        Pieces { rest: Some(value), separator: b',', with_quotes: true, with_brackets: true }
    }

    /// The pieces between semicolons.
    pub(super) fn of_parameters(value: &'a [u8]) -> Pieces<'a> {
        Pieces { rest: Some(value), separator: b';', with_quotes: true, with_brackets: false }
    }

    /// The place of the next separator in `rest`.
    fn separator(&mut self, rest: &[u8]) -> Option<usize> {
        let mut place = 0;
        loop {
            let Pieces { separator, with_quotes, with_brackets, .. } = *self;
            place += position(from(rest, place), |byte| {
                byte == separator
                    || (byte == b'"' && with_quotes)
                    || (byte == b'<' && with_brackets)
            })?;
            let here = from(rest, place);
            let length = match here.first() {
                Some(byte) if *byte == separator => return Some(place),
                Some(b'"') => quoted(here),
                Some(b'<') => position(here, |byte| byte == b'>').map(|end| end + 1),
                _ => None,
            };
            if length.is_none() {
                let is_quote = here.first() == Some(&b'"');
                self.with_quotes &= !is_quote;
                self.with_brackets &= is_quote;
            }
            place += length.unwrap_or(1);
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let Some(place) = self.separator(rest) else {
            self.rest = None;
            return Some(trim(rest));
        };
        self.rest = Some(from(rest, place + 1));
        Some(trim(split(rest, place).0))
    }
}

/// The place of the first `wanted` outside quoted strings; see [`Pieces`] for a quote without an end.
pub(super) fn outside_quotes(bytes: &[u8], wanted: u8) -> Option<usize> {
    let mut pieces =
        Pieces { rest: None, separator: wanted, with_quotes: true, with_brackets: false };
    pieces.separator(bytes)
}

#[cfg(test)]
pub(super) mod steps {
    use std::cell::Cell;

    thread_local! {
        static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    pub(in crate::sip) fn count(bytes: usize) {
        STEPS.set(STEPS.get() + bytes);
    }

    /// How many bytes `work` looks at.
    pub(in crate::sip) fn of(work: impl FnOnce()) -> usize {
        STEPS.set(0);
        work();
        STEPS.get()
    }
}

#[cfg(not(test))]
mod steps {
    pub(super) fn count(_bytes: usize) {}
}
