//! What a stream plainly is, from its first bytes: a list is text, and many things are not.

use crate::lines::without_byte_order_mark;

/// How many bytes are looked at.
pub(crate) const HEAD: usize = 4096;

/// What was sent instead of a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAList {
    /// Nothing but white space.
    #[error("the list is empty; check the address")]
    Empty,
    /// HTML: a login, an error page, a captcha.
    #[error(
        "this is a web page, not a list; open the address in a browser: it may ask for a login or a key, or have moved"
    )]
    WebPage,
    /// XML of some kind.
    #[error("this is XML, not a list; use a text, CSV or JSON version")]
    Xml,
    /// A compressed file, and of which kind.
    #[error(
        "this is a {0} file; only gzip is supported; use the address of a text or gzip version"
    )]
    Compressed(&'static str),
    /// A character set that is not a superset of ASCII.
    #[error("this is {0} text; a list must be UTF-8, ASCII or Latin-1")]
    Charset(&'static str),
    /// Other bytes that are no text.
    #[error("this is binary data, not a list; check the address")]
    Binary,
}

/// What the first bytes of a stream show that it is, where that is no list.
///
/// `head` is at most [`HEAD`] bytes; `whole` says that there are no more.
pub(crate) fn not_a_list(head: &[u8], whole: bool) -> Option<NotAList> {
    if let Some(other) = by_signature(head) {
        return Some(other);
    }
    // ASCII written as UTF-16 is zero in every other byte.
    let zeros = |offset: usize| {
        let bytes = head.iter().skip(offset).step_by(2);
        bytes.filter(|byte| **byte == 0).count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    if even.min(odd) == 0 && even.max(odd) * 4 > head.len() {
        return Some(NotAList::Charset("UTF-16"));
    }
    let odd = head.iter().filter(|byte| is_no_text(**byte)).count();
    if head.contains(&0) || odd * 20 > head.len() {
        return Some(NotAList::Binary);
    }
    let text = without_byte_order_mark(head).trim_ascii_start();
    if text.is_empty() {
        return whole.then_some(NotAList::Empty);
    }
    if !text.starts_with(b"<") {
        return None;
    }
    let low = text.to_ascii_lowercase();
    let has = |needle: &[u8]| low.windows(needle.len()).any(|window| window == needle);
    if has(b"<html") || has(b"<!doctype html") || has(b"<head") || has(b"<body") {
        return Some(NotAList::WebPage);
    }
    Some(NotAList::Xml)
}

fn by_signature(head: &[u8]) -> Option<NotAList> {
    const SIGNATURES: [(&[u8], NotAList); 10] = [
        (b"\x1f\x8b", NotAList::Compressed("gzip")),
        (b"PK\x03\x04", NotAList::Compressed("zip")),
        (b"BZh", NotAList::Compressed("bzip2")),
        (b"\xfd7zXZ", NotAList::Compressed("xz")),
        (b"\x28\xb5\x2f\xfd", NotAList::Compressed("zstd")),
        (b"7z\xbc\xaf", NotAList::Compressed("7-zip")),
        (b"\xff\xfe\0\0", NotAList::Charset("UTF-32")),
        (b"\xff\xfe", NotAList::Charset("UTF-16")),
        (b"\xfe\xff", NotAList::Charset("UTF-16")),
        (b"%PDF", NotAList::Binary),
    ];
    SIGNATURES.into_iter().find(|(signature, _)| head.starts_with(signature)).map(|(_, what)| what)
}

fn is_no_text(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8], expected: impl Into<Option<NotAList>>) {
        assert_eq!(not_a_list(head, true), expected.into(), "{head:?}");
    }

    #[test]
    fn what_is_no_list() {
        check(b"", Some(NotAList::Empty));
        check(b"\xef\xbb\xbf \r\n\t", Some(NotAList::Empty));
        check(b"\n<!DOCTYPE HTML><p>Login", Some(NotAList::WebPage));
        check(b"<!-- x --><HTML>", Some(NotAList::WebPage));
        check(b"<?xml version='1.0'?><list/>", Some(NotAList::Xml));
        check(b"\x1f\x8b\x08rest", Some(NotAList::Compressed("gzip")));
        check(b"PK\x03\x04rest", Some(NotAList::Compressed("zip")));
        check(b"\xff\xfe1\0.\0", Some(NotAList::Charset("UTF-16")));
        check(b"1\x009\x002\0.\x000\0.\0", Some(NotAList::Charset("UTF-16")));
        check(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0", Some(NotAList::Binary));
        check(&[0; 100], Some(NotAList::Binary));
    }

    #[test]
    fn what_may_be_a_list() {
        check(b"192.0.2.1\n", None);
        check(b"# r\xe9seau\n192.0.2.1\n", None);
        check(b"{\"cidr\":\"192.0.2.0/24\"}", None);
        check(b"Invalid key", None);
        assert_eq!(not_a_list(b"  ", false), None);
    }
}
