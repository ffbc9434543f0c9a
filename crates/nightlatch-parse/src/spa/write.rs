//! From a message to a packet.

use hmac::Mac as _;

use super::fields::encode;
use super::read::PREFIX;
use super::{Keys, Message, Refused, cipher};

impl Message {
    /// Writes the message as the payload of a packet. `random` must be new for each message: 64 bits are
    /// the salt, the others make the message differ from all others. An address that is the packet's
    /// source is written as `0.0.0.0`, which other servers understand.
    ///
    /// # Errors
    /// A value is out of its bounds.
    pub fn write(&self, keys: &Keys, random: u128) -> Result<String, Refused> {
        let halves = [random >> 64, random & u128::from(u64::MAX)];
        let [salt, value] = halves.map(|half| u64::try_from(half).unwrap_or_default());
        let plain = self.write_plain(value)?;
        Ok(seal(plain.as_bytes(), keys, salt.to_be_bytes()))
    }
}

/// The payload that has this plain text.
pub(super) fn seal(plain: &[u8], keys: &Keys, salt: [u8; cipher::SALT]) -> String {
    let text = encode(&cipher::encrypt(plain, keys.encryption(), salt));
    let mac = keys.mac().chain_update(&text).finalize().into_bytes();
    let sent = text.get(PREFIX.len()..).unwrap_or_default();
    format!("{sent}{}", encode(&mac))
}
