//! Parameters: `;name=value;name`.

use super::scan::{Pieces, from, is_token, is_word, position, quoted, split_once, trim};

/// The parameters of a URI, an address or a `Via`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters<'a>(pub(super) &'a [u8]);

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// The name as it was sent.
    pub name: &'a [u8],
    /// The value, without quotes but with escapes; `None` if there is no `=`.
    pub value: Option<&'a [u8]>,
}

impl<'a> Parameters<'a> {
    /// All of them; empty ones are skipped.
    pub fn iter(&self) -> impl Iterator<Item = Parameter<'a>> + use<'a> {
        Pieces::of_parameters(self.0).filter(|piece| !piece.is_empty()).map(|piece| {
            let (name, value) = split_once(piece, b'=');
            Parameter { name: trim(name), value: value.map(trim).map(without_quotes) }
        })
    }

    /// The first parameter of this name, in upper or lower case.
    pub fn get(&self, name: &str) -> Option<Parameter<'a>> {
        self.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The value of the first parameter of this name; `None` if it is empty or has none.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.get(name)?.value.filter(|value| !value.is_empty())
    }

    /// Whether all are as those of a header must be: none is empty, names are tokens, values are
    /// tokens, hosts or quoted.
    pub(super) fn is_sound(&self) -> bool {
        let is_value = |value: &[u8]| {
            let is_plain = |byte| is_token(byte) || matches!(byte, b'[' | b']' | b':');
            let is_quoted = value.first() == Some(&b'"') && quoted(value) == Some(value.len());
            let is_bare = !value.is_empty() && position(value, |byte| !is_plain(byte)).is_none();
            is_quoted || is_bare
        };
        // What is before the first semicolon is no parameter.
        self.0.is_empty()
            || Pieces::of_parameters(from(self.0, 1)).all(|piece| {
                let (name, value) = split_once(piece, b'=');
                is_word(trim(name)) && value.map(trim).is_none_or(is_value)
            })
    }

    /// Whether all have a name, and those with `=` a value: what a URI demands.
    pub(super) fn are_named(&self) -> bool {
        self.0.is_empty()
            || Pieces::of_parameters(from(self.0, 1)).all(|piece| {
                let (name, value) = split_once(piece, b'=');
                !name.is_empty() && value.is_none_or(|value| !value.is_empty())
            })
    }

    /// The text with semicolons, as it was sent.
    pub fn raw(&self) -> &'a [u8] {
        self.0
    }
}

fn without_quotes(value: &[u8]) -> &[u8] {
    let is_quoted = value.first() == Some(&b'"') && quoted(value) == Some(value.len());
    let inner = value.get(1..value.len().saturating_sub(1));
    inner.filter(|_| is_quoted).unwrap_or(value)
}
