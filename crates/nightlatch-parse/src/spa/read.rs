//! From a packet to a message: first who wrote it, then what it says.

use base64ct::{Base64Unpadded, Encoding as _};
use hmac::Mac as _;

use super::cipher::{self, BLOCK, MAGIC, SALT};
use super::fields::{DIGEST_TEXT, MAX_PLAIN, MIN_PLAIN};
use super::{Keys, Message, Refused};

/// What the base64 of every encrypted text begins with. It is not sent.
pub(super) const PREFIX: &[u8; 10] = b"U2FsdGVkX1";
/// The HMAC in base64.
pub(super) const MAC_TEXT: usize = 43;
/// The shortest message that GPG encrypts.
const MIN_GPG: usize = 400;

/// The shortest payload of a packet that can be a message, in bytes.
pub const MIN_PAYLOAD: usize = payload_of(MIN_PLAIN);
/// The longest payload of a packet that can be a message, in bytes.
pub const MAX_PAYLOAD: usize = payload_of(MAX_PLAIN);
/// Every message begins with one of these: four bits of its first character are of the last `_` of
/// `Salted__`.
pub const FIRST_BYTES: [u8; 4] = *b"+/89";

/// A message whose HMAC is right: its writer has the keys. It may still be old, or a repetition.
#[must_use]
pub struct Authentic<'k> {
    keys: &'k Keys,
    mac: [u8; 32],
    encrypted: Vec<u8>,
}

/// Why a packet is not authentic. Anyone can cause it, as often as they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAuthentic {
    /// No message has this length or this beginning.
    #[error("the packet is not an SPA message")]
    Implausible,
    /// It looks like a message that is encrypted by GPG.
    #[error("the SPA message is encrypted by GPG")]
    Gpg,
    /// It is not in base64, or not in the one accepted form of it.
    #[error("the SPA message is not in canonical base64")]
    Encoding,
    /// The HMAC is wrong: other keys, another hash or none, or somebody changed the message.
    #[error("the HMAC of the SPA message is wrong")]
    Mac,
}

/// Whether a message can have a payload of `length` bytes. Of the lengths between [`MIN_PAYLOAD`] and
/// [`MAX_PAYLOAD`] most are impossible, because the encryption has blocks.
pub const fn plausible_len(length: usize) -> bool {
    if length < MIN_PAYLOAD || length > MAX_PAYLOAD {
        return false;
    }
    let encrypted = (length - MAC_TEXT + PREFIX.len()) * 3 / 4;
    encrypted.is_multiple_of(BLOCK) && payload_of_encrypted(encrypted) == length
}

/// Whether a payload can be a message, by its length and its first byte. This costs next to nothing and
/// proves nothing.
pub fn is_plausible(payload: &[u8]) -> bool {
    plausible_len(payload.len()) && payload.first().is_some_and(|byte| FIRST_BYTES.contains(byte))
}

/// Checks that a packet was written by someone who has the keys. Nothing is decrypted, and of a packet
/// that is not authentic nothing but the HMAC is decoded. The HMAC is compared in constant time.
///
/// # Errors
/// It is not a message, or its HMAC is not of these keys.
pub fn authenticate<'k>(payload: &[u8], keys: &'k Keys) -> Result<Authentic<'k>, NotAuthentic> {
    if !is_plausible(payload) {
        let is_gpg = looks_like_gpg(payload);
        return Err(if is_gpg { NotAuthentic::Gpg } else { NotAuthentic::Implausible });
    }
    let (text, mac_text) =
        payload.split_last_chunk::<MAC_TEXT>().ok_or(NotAuthentic::Implausible)?;
    let mut mac = [0; 32];
    Base64Unpadded::decode(mac_text, &mut mac).map_err(|_| NotAuthentic::Encoding)?;
    keys.mac()
        .chain_update(PREFIX)
        .chain_update(text)
        .verify_slice(&mac)
        .map_err(|_| NotAuthentic::Mac)?;
    let whole = [PREFIX.as_slice(), text].concat();
    let mut encrypted = vec![0; whole.len()];
    let length =
        Base64Unpadded::decode(&whole, &mut encrypted).map_err(|_| NotAuthentic::Encoding)?.len();
    encrypted.truncate(length);
    Ok(Authentic { keys, mac, encrypted })
}

impl Authentic<'_> {
    /// What is the same for every repetition of this message, and for no other message: its HMAC.
    pub fn replay_key(&self) -> [u8; 32] {
        self.mac
    }

    /// Decrypts and reads the message.
    ///
    /// # Errors
    /// It is malformed, or asks for what is not supported.
    pub fn open(mut self) -> Result<Message, Refused> {
        let key = self.keys.encryption();
        let plain = cipher::decrypt(&mut self.encrypted, key).ok_or(Refused::Decryption)?;
        Message::read_plain(plain)
    }
}

impl std::fmt::Debug for Authentic<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authentic(..)")
    }
}

/// What GPG writes for a key of RSA begins in few ways; fwknop does not send the first two characters.
fn looks_like_gpg(payload: &[u8]) -> bool {
    let rest = payload.strip_prefix(b"hQ").unwrap_or(payload);
    payload.len() >= MIN_GPG && matches!(rest, [b'E' | b'G' | b'I', b'M', b'A', ..])
}

/// The length of a payload whose plain text has `plain` bytes.
const fn payload_of(plain: usize) -> usize {
    payload_of_encrypted(MAGIC.len() + SALT + (plain / BLOCK + 1) * BLOCK)
}

const fn payload_of_encrypted(encrypted: usize) -> usize {
    (encrypted * 4).div_ceil(3) - PREFIX.len() + MAC_TEXT
}

/// A SHA-256 in base64 is as long as an HMAC-SHA256.
const _: () = assert!(MAC_TEXT == DIGEST_TEXT);
