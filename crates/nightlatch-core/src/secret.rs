//! Values that must not show, and the random bytes of which they are made.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// A value that must not show. Its `Debug` shows nothing of it, it has no `Display`, and its memory is
/// overwritten when it is dropped. It is written as JSON only where it is kept or handed over.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// A value that must not show from now on.
    pub fn new(value: T) -> Secret<T> {
        Secret(value)
    }

    /// The value, for whoever it is for.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Random bytes from the kernel. The core draws none: whoever hands a request to the engine fills them
/// in, and nothing that travels through the control socket can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entropy(Secret<Vec<u8>>);

impl Entropy {
    /// How many bytes a request gets.
    pub const LENGTH: usize = 1024;

    /// These random bytes.
    pub fn new(bytes: Vec<u8>) -> Entropy {
        Entropy(Secret::new(bytes))
    }

    /// Draws from the beginning: each byte is used once.
    pub fn draw(&self) -> Draw<'_> {
        Draw(self.0.reveal())
    }
}

/// Random bytes that are not used yet.
#[derive(Debug)]
pub struct Draw<'a>(&'a [u8]);

impl<'a> Draw<'a> {
    /// The next bytes; `None` if there are not so many left.
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A part of what is left, to draw from separately: however much is used of it, what is drawn here
    /// afterwards is the same.
    pub fn part(&mut self, count: usize) -> Option<Draw<'a>> {
        self.bytes(count).map(Draw)
    }

    /// A number below 65,536.
    pub fn number(&mut self) -> Option<u16> {
        let bytes = self.bytes(2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// Writes bytes in the standard alphabet of base64 (RFC 4648, section 4), with padding.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place) & 63) as usize;
            let letter = ALPHABET.get(index).copied().unwrap_or(b'=');
            text.push(char::from(if place <= group.len() { letter } else { b'=' }));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show() {
        let secret = Secret::new("planted".to_owned());
        let shown =
            format!("{secret:?} {:#?} {:?}", Some(&secret), Entropy::new(b"planted".into()));
        assert!(!shown.contains("planted") && !shown.contains("112"), "{shown}");
        assert_eq!(secret.reveal(), "planted");
    }

    #[test]
    fn each_byte_is_drawn_once() {
        let entropy = Entropy::new((0..10).collect());
        let mut draw = entropy.draw();
        assert_eq!(draw.number(), Some(1));
        let mut part = draw.part(4).unwrap();
        assert_eq!((part.number(), part.bytes(3)), (Some(0x0203), None));
        assert_eq!((draw.bytes(4), draw.number()), (Some([6, 7, 8, 9].as_slice()), None));
        assert_eq!(Entropy::default().draw().bytes(1), None);
    }

    #[test]
    fn base64_of_rfc_4648() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xff, 0xef, 0xbf]), "/++/");
    }
}
