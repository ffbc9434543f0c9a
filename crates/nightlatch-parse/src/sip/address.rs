//! Addresses as `From`, `To` and `Contact` have them: `"name" <uri>;parameters`, or `uri;parameters`
//! (RFC 3261, section 20.10).

use std::borrow::Cow;

use super::header::unfolded;
use super::scan::{from, is_space, is_token, outside_quotes, position, quoted};
use super::scan::{split, split_once, trim};
use super::{Parameters, Uri};

/// A name, a URI and parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// The name as it was sent, without quotes but with escapes; empty if there is none.
    pub raw_name: &'a [u8],
    /// The URI as it was sent, without angle brackets. `*` in a `Contact` that removes all.
    pub raw_uri: &'a [u8],
    /// The URI; `None` if it has no scheme.
    pub uri: Option<Uri<'a>>,
    /// The parameters of the header. Without angle brackets all parameters are the header's.
    pub parameters: Parameters<'a>,
    /// Whether everything in it is as it must be.
    pub is_sound: bool,
}

impl<'a> Address<'a> {
    /// Parses one address; it has no error, but may be without a usable URI.
    pub fn parse(value: &'a [u8]) -> Address<'a> {
        let value = trim(value);
        let name_end = match value.first() {
            Some(b'"') => quoted(value),
            _ => Some(0),
        };
        // A quote without an end: what is between brackets is the URI all the same.
        let (name, rest) = split(value, name_end.unwrap_or(0));
        let quoted_name = name.get(1..name.len().saturating_sub(1)).unwrap_or_default();
        let Some(open) = outside_quotes(rest, b'<') else {
            return Address::bare(quoted_name, rest, name.is_empty() && name_end.is_some());
        };
        let (before, inner) = (trim(split(rest, open).0), from(rest, open + 1));
        let (raw_uri, after) = split_once(inner, b'>');
        let after = trim(after.unwrap_or_default());
        let uri = Uri::parse(raw_uri);
        // Without quotes a name is made of tokens.
        let is_named = match name {
            [] => position(before, |byte| !is_token(byte) && !is_space(byte)).is_none(),
            _ => before.is_empty(),
        };
        let is_closed = name_end.is_some() && inner.len() > raw_uri.len();
        let is_tight = trim(raw_uri).len() == raw_uri.len();
        let is_sound = is_named
            && is_closed
            && is_tight
            && uri.is_some_and(|uri| uri.is_sound)
            && matches!(after.first(), None | Some(b';'));
        let start = position(after, |byte| byte == b';').unwrap_or(after.len());
        let parameters = Parameters(from(after, start));
        Address {
            raw_name: if name.is_empty() { before } else { quoted_name },
            raw_uri: trim(raw_uri),
            uri,
            parameters,
            is_sound: is_sound && parameters.is_sound(),
        }
    }

    /// An address without angle brackets.
    fn bare(raw_name: &'a [u8], rest: &'a [u8], is_sound: bool) -> Address<'a> {
        let end = outside_quotes(rest, b';').unwrap_or(rest.len());
        let (raw_uri, parameters) = split(rest, end);
        let raw_uri = trim(raw_uri);
        let uri = Uri::parse(raw_uri);
        // With a comma or a question mark, a URI must be in brackets.
        let is_plain = position(raw_uri, |byte| matches!(byte, b',' | b'?')).is_none();
        let is_sound = is_sound && is_plain && uri.is_some_and(|uri| uri.is_sound);
        let is_sound = is_sound || (raw_uri == b"*" && raw_name.is_empty());
        let parameters = Parameters(parameters);
        let is_sound = is_sound && parameters.is_sound();
        Address { raw_name, raw_uri, uri, parameters, is_sound }
    }

    /// The name without folds and escapes.
    pub fn name(&self) -> Cow<'a, [u8]> {
        let name = unfolded(self.raw_name);
        if position(&name, |byte| byte == b'\\').is_none() {
            return name;
        }
        let mut plain = Vec::with_capacity(name.len());
        let mut bytes = name.iter();
        while let Some(byte) = bytes.next() {
            plain.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
        }
        Cow::Owned(plain)
    }

    /// The tag of `From` or `To`.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.parameters.value("tag")
    }

    /// Whether it is the `*` of a `Contact` that removes all registrations.
    pub fn is_star(&self) -> bool {
        self.raw_uri == b"*"
    }
}
