//! The keys of a user.

use std::fmt;

use base64ct::{Base64Unpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The longest key of the encryption, in bytes, as of fwknop.
pub const MAX_KEY: usize = 32;
/// The longest key of the HMAC, in bytes, as of fwknop.
pub const MAX_HMAC_KEY: usize = 128;

/// The keys of a user's messages. Overwritten in memory when they are dropped; not shown by `Debug`.
#[derive(Clone)]
pub struct Keys {
    encryption: Zeroizing<Vec<u8>>,
    /// With the key already mixed in, so that a packet costs two blocks of SHA-256 less.
    mac: Hmac<Sha256>,
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is empty, or longer than [`MAX_KEY`] or [`MAX_HMAC_KEY`].
    #[error("the key is empty or too long")]
    Length,
    /// It is not in base64.
    #[error("the key is not in base64")]
    Base64,
}

impl Keys {
    /// The keys as bytes: what is encoded in fwknop's `KEY_BASE64` and `HMAC_KEY_BASE64`, and what is
    /// written out in its `KEY` and `HMAC_KEY`.
    ///
    /// # Errors
    /// One is empty or too long.
    pub fn new(encryption: &[u8], hmac: &[u8]) -> Result<Keys, KeyError> {
        let is_sized = |key: &[u8], longest| (1..=longest).contains(&key.len());
        if !is_sized(encryption, MAX_KEY) || !is_sized(hmac, MAX_HMAC_KEY) {
            return Err(KeyError::Length);
        }
        let mac = Hmac::new_from_slice(hmac).map_err(|_| KeyError::Length)?;
        Ok(Keys { encryption: Zeroizing::new(encryption.to_vec()), mac })
    }

    /// The keys in base64, as in fwknop's `KEY_BASE64` and `HMAC_KEY_BASE64`, with or without `=` at
    /// their ends.
    ///
    /// # Errors
    /// One is empty, too long or not in base64.
    pub fn from_base64(encryption: &str, hmac: &str) -> Result<Keys, KeyError> {
        Keys::new(&decode(encryption, MAX_KEY)?, &decode(hmac, MAX_HMAC_KEY)?)
    }

    pub(super) fn encryption(&self) -> &[u8] {
        &self.encryption
    }

    /// A computation of the HMAC to which nothing was added yet.
    pub(super) fn mac(&self) -> Hmac<Sha256> {
        self.mac.clone()
    }
}

/// A key of at most `longest` bytes, from base64.
pub(super) fn decode(text: &str, longest: usize) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let text = match text.len() % 4 {
        0 => text.strip_suffix("==").or(text.strip_suffix('=')).unwrap_or(text),
        _ => text,
    };
    // Four characters give three bytes.
    if text.is_empty() || text.len() > longest.div_ceil(3) * 4 {
        return Err(KeyError::Length);
    }
    let mut key = Zeroizing::new(vec![0; text.len()]);
    let length = Base64Unpadded::decode(text, &mut key).map_err(|_| KeyError::Base64)?.len();
    key.truncate(length);
    Ok(key)
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}
