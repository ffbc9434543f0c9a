//! A keyed hash (SipHash-1-3): who does not know the key cannot write texts that collide.

use std::hash::{BuildHasher, Hasher};

/// The key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seed {
    k0: u64,
    k1: u64,
}

impl Seed {
    pub(super) fn new(bytes: [u8; 16]) -> Seed {
        let number = u128::from_le_bytes(bytes);
        Seed { k0: low(number), k1: low(number >> 64) }
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        (u128::from(self.k1) << 64 | u128::from(self.k0)).to_le_bytes()
    }

    /// The hash of a text, never 0: that stands for no text.
    pub(super) fn text(self, text: &[u8]) -> u32 {
        let mut hasher = self.build_hasher();
        hasher.write(text);
        short(hasher.finish())
    }

    /// The hash of several texts: `ab` and `c` is another than `a` and `bc`.
    pub(super) fn texts(self, texts: &[&[u8]]) -> u32 {
        let mut hasher = self.build_hasher();
        for text in texts {
            hasher.write_u64(text.len() as u64);
            hasher.write(text);
        }
        short(hasher.finish())
    }
}

impl BuildHasher for Seed {
    type Hasher = Sip;

    fn build_hasher(&self) -> Sip {
        Sip {
            v0: self.k0 ^ 0x736f_6d65_7073_6575,
            v1: self.k1 ^ 0x646f_7261_6e64_6f6d,
            v2: self.k0 ^ 0x6c79_6765_6e65_7261,
            v3: self.k1 ^ 0x7465_6462_7974_6573,
            tail: 0,
            filled: 0,
            length: 0,
        }
    }
}

/// The state of a hash.
#[derive(Clone, Debug)]
pub(super) struct Sip {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
    /// Bytes that do not make a word yet, and how many.
    tail: u64,
    filled: u32,
    length: u64,
}

impl Sip {
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }

    fn word(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    fn byte(&mut self, byte: u8) {
        self.tail |= u64::from(byte) << (8 * self.filled);
        self.filled += 1;
        if self.filled == 8 {
            let word = std::mem::take(&mut self.tail);
            self.filled = 0;
            self.word(word);
        }
    }
}

impl Hasher for Sip {
    fn write(&mut self, mut bytes: &[u8]) {
        self.length = self.length.wrapping_add(bytes.len() as u64);
        while self.filled != 0 {
            let Some((first, rest)) = bytes.split_first() else { return };
            self.byte(*first);
            bytes = rest;
        }
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.byte(*byte);
        }
    }

    fn finish(&self) -> u64 {
        let mut state = self.clone();
        state.word((self.length & 0xff) << 56 | self.tail);
        state.v2 ^= 0xff;
        for _ in 0..3 {
            state.round();
        }
        state.v0 ^ state.v1 ^ state.v2 ^ state.v3
    }
}

fn short(hash: u64) -> u32 {
    let folded = (hash ^ hash >> 32) & u64::from(u32::MAX);
    u32::try_from(folded).unwrap_or(1).max(1)
}

fn low(number: u128) -> u64 {
    u64::try_from(number & u128::from(u64::MAX)).unwrap_or_default()
}

#[cfg(test)]
#[allow(deprecated, reason = "the hasher of the standard library is the same with the key 0")]
mod tests {
    use std::hash::DefaultHasher;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_hash_of_the_standard_library(parts in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..20), 0..6)) {
            let (mut ours, mut theirs) =
                (Seed::new([0; 16]).build_hasher(), DefaultHasher::new());
            for part in &parts {
                ours.write(part);
                theirs.write(part);
            }
            prop_assert_eq!(ours.finish(), theirs.finish());
        }
    }

    #[test]
    fn the_key_counts() {
        let mut key = [7; 16];
        let one = Seed::new(key).text(b"call");
        key[15] = 8;
        assert_ne!(one, Seed::new(key).text(b"call"));
        assert_eq!(Seed::new(key).bytes(), key);
        assert_ne!(Seed::new(key).texts(&[b"ab", b"c"]), Seed::new(key).texts(&[b"a", b"bc"]));
    }
}
