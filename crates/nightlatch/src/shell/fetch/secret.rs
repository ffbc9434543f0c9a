//! A key that never shows.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{FetchError, PLACEHOLDER, unseen};

/// No key is longer.
const MAX_LEN: u64 = 4096;
/// The fewest first characters of a key that are hidden where a text was cut within it.
const MIN_LEN: usize = 4;

/// A key from a file. Its `Debug` shows nothing of it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The first line of a file, without white space around it.
    ///
    /// # Errors
    /// Where it cannot be read, everyone may read it, or it holds no line of visible ASCII.
    pub fn read(path: &Path) -> Result<Secret, FetchError> {
        let wrong = |reason: String| FetchError::Key { path: path.to_owned(), reason };
        let unreadable = |error: std::io::Error| wrong(unseen::reason(path, &error));
        let kind = std::fs::metadata(path).map_err(unreadable)?;
        if !kind.is_file() {
            return Err(wrong("not a regular file".to_owned()));
        }
        if kind.permissions().mode() & 0o007 != 0 {
            return Err(wrong("any local user can access it; run chmod 600 on it".to_owned()));
        }
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MAX_LEN).read_to_string(&mut text).map_err(unreadable)?;
        let line = text.lines().next().unwrap_or_default();
        Secret::new(line).ok_or_else(|| {
            wrong("its first line must be the key, in visible ASCII without spaces".to_owned())
        })
    }

    /// A key of visible ASCII, so that it can forge neither a header nor an address.
    pub fn new(text: &str) -> Option<Secret> {
        let text = text.trim();
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        (visible && !text.is_empty()).then(|| Secret(text.to_owned()))
    }

    /// A header's value with the key in it.
    pub(super) fn fill(&self, text: &str) -> String {
        text.replace(PLACEHOLDER, &self.0)
    }

    /// An address with the key in it, escaped so that it stays one part of the address.
    pub(super) fn fill_address(&self, text: &str) -> String {
        text.replace(PLACEHOLDER, &self.escaped())
    }

    fn escaped(&self) -> String {
        self.escaped_with(|byte| format!("%{byte:02X}"))
    }

    fn escaped_with(&self, escape: impl Fn(u8) -> String) -> String {
        let mut escaped = String::new();
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    escaped.push(char::from(byte));
                }
                byte => escaped.push_str(&escape(byte)),
            }
        }
        escaped
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Takes a key out of texts that a server sent back or an error quotes.
#[derive(Clone, Default)]
pub(super) struct Cleaner {
    /// The key as it is, and as addresses write it.
    forms: Vec<String>,
}

impl Cleaner {
    pub(super) fn new(key: Option<&Secret>) -> Cleaner {
        let Some(key) = key else {
            return Cleaner::default();
        };
        let small = |byte: u8| format!("%{byte:02x}");
        let forms = vec![key.0.clone(), key.escaped(), key.escaped_with(small)];
        Cleaner { forms }
    }

    /// The text with the placeholder for the key, whole or cut off behind its first characters.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut clean = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let hidden = self.forms.iter().map(|key| begins(rest, key)).max();
            let (behind, shown) = match hidden {
                Some(length) if length > 0 => (length, PLACEHOLDER),
                _ => (first.len_utf8(), rest.get(..first.len_utf8()).unwrap_or_default()),
            };
            clean.push_str(shown);
            rest = rest.get(behind..).unwrap_or_default();
        }
        clean
    }
}

/// How much of the text's beginning is the key's beginning; 0 where that is too little to tell.
fn begins(text: &str, key: &str) -> usize {
    let same = text.bytes().zip(key.bytes()).take_while(|(a, b)| a == b);
    let same = same.count();
    if same >= MIN_LEN.min(key.len()) { same } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_nowhere() {
        let key = Secret::new(" s3cr3t/key+1 \n").unwrap();
        assert_eq!(format!("{key:?}"), "Secret");
        assert_eq!(key.fill("Bearer ${key}"), "Bearer s3cr3t/key+1");
        assert_eq!(key.fill_address("https://x/${key}/list"), "https://x/s3cr3t%2Fkey%2B1/list");
        let cleaner = Cleaner::new(Some(&key));
        for (text, expected) in [
            ("no key s3cr3t/key+1 here", "no key ${key} here"),
            ("https://x/s3cr3t%2Fkey%2B1/list", "https://x/${key}/list"),
            ("https://x/s3cr3t%2fkey%2b1/list", "https://x/${key}/list"),
            ("s3cr3s3cr3t/key+1", "${key}${key}"),
            ("cut off: s3cr3t/k", "cut off: ${key}"),
            ("cut off: s3cr3t/k...", "cut off: ${key}..."),
            ("s3cr", "${key}"),
            ("s3c", "s3c"),
            ("é s3cr3t/key+1é", "é ${key}é"),
        ] {
            assert_eq!(cleaner.clean(text), expected);
        }
        assert_eq!(Cleaner::new(None).clean("text"), "text");
    }

    #[test]
    fn what_is_no_key() {
        for text in ["", " ", "a b", "a\r\nX-Header: b", "clé"] {
            assert_eq!(Secret::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_key_file_must_be_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "abcdef\nsecond line\n").unwrap();
        let allow = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        allow(0o644);
        let error = Secret::read(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        allow(0o640);
        assert_eq!(Secret::read(&path).unwrap(), Secret("abcdef".to_owned()));
        let error = Secret::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
        assert!(Secret::read(&directory.path().join("none")).is_err());
    }
}
