//! AES-256-CBC in the form of OpenSSL's `enc`, with a key that MD5 derives.

use aes::Aes256;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

/// What every encrypted text begins with.
pub(super) const MAGIC: &[u8; 8] = b"Salted__";
/// How many bytes of salt follow it.
pub(super) const SALT: usize = 8;
/// The size of a block of AES.
pub(super) const BLOCK: usize = 16;

/// Decrypts `text` in its place; `None` for other forms, and where the padding is wrong.
pub(super) fn decrypt<'a>(text: &'a mut [u8], key: &[u8]) -> Option<&'a [u8]> {
    let (magic, rest) = text.split_first_chunk_mut::<{ MAGIC.len() }>()?;
    let (salt, blocks) = rest.split_first_chunk_mut::<SALT>()?;
    if magic != MAGIC {
        return None;
    }
    let (key, vector) = derive(key, *salt);
    let cipher = cbc::Decryptor::<Aes256>::new((&*key).into(), (&vector).into());
    cipher.decrypt_padded::<Pkcs7>(blocks).ok()
}

/// Encrypts `text`.
pub(super) fn encrypt(text: &[u8], key: &[u8], salt: [u8; SALT]) -> Vec<u8> {
    let (key, vector) = derive(key, salt);
    // The padding has at least one byte.
    let mut blocks = vec![0; (text.len() / BLOCK + 1) * BLOCK];
    blocks.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    let cipher = cbc::Encryptor::<Aes256>::new((&*key).into(), (&vector).into());
    let blocks = cipher.encrypt_padded::<Pkcs7>(&mut blocks, text.len()).unwrap_or_default();
    [MAGIC, salt.as_slice(), blocks].concat()
}

/// Key and initialization vector: three times MD5, each over the one before, the key and the salt.
fn derive(key: &[u8], salt: [u8; SALT]) -> (Zeroizing<[u8; 32]>, [u8; BLOCK]) {
    let next = |before: &[u8]| -> [u8; BLOCK] {
        Md5::new().chain_update(before).chain_update(key).chain_update(salt).finalize().into()
    };
    let first = Zeroizing::new(next(&[]));
    let second = Zeroizing::new(next(&*first));
    let mut derived = Zeroizing::new([0; 32]);
    derived.iter_mut().zip(first.iter().chain(second.iter())).for_each(|(to, from)| *to = *from);
    (derived, next(&*second))
}
