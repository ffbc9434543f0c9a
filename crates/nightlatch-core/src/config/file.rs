//! The configuration file, which each feature reads for itself.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use toml::Spanned;

use super::Mistake;

/// The configuration of a feature: what it reads from its tables of the file.
///
/// Each feature parses the whole file into a struct of its own, in which every table has a default and
/// is strict (`deny_unknown_fields`), but not the struct itself: what other features read stands beside.
/// See `features/countries/config.rs`. What holds is in [`View::config`](crate::features::View::config).
pub trait Table: Sized {
    /// The names of its tables, and of its keys outside of all tables.
    const NAMES: &'static [&'static str] = &[];

    /// Reads and checks them.
    ///
    /// # Errors
    /// The first mistake.
    fn read(file: &File<'_>) -> Result<Self, Mistake>;
}

/// The configuration of a feature that has none.
impl Table for () {
    fn read(_file: &File<'_>) -> Result<(), Mistake> {
        Ok(())
    }
}

/// The text of the file.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    text: &'a str,
}

impl<'a> File<'a> {
    /// The file, if nothing stands in it but tables and keys of these names.
    ///
    /// # Errors
    /// It is not TOML, or something else stands in it.
    pub(crate) fn of(text: &'a str, names: &[&str]) -> Result<File<'a>, Mistake> {
        let file = File { text };
        #[expect(clippy::zero_sized_map_values, reason = "TOML has no sets")]
        let all: BTreeMap<Spanned<String>, IgnoredAny> = file.parsed()?;
        match all.keys().find(|name| !names.contains(&name.get_ref().as_str())) {
            None => Ok(file),
            Some(unknown) => {
                let known: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let (name, known) = (unknown.get_ref(), known.join(", "));
                let what = format!("unknown field `{name}`, expected one of {known}");
                Err(file.mistake(unknown.span(), what))
            }
        }
    }

    /// What stands in the file, as far as `T` asks for it.
    ///
    /// # Errors
    /// It is no such thing.
    pub fn parsed<T: DeserializeOwned>(&self) -> Result<T, Mistake> {
        toml::from_str(self.text).map_err(|error| {
            let what = error.message().lines().next().unwrap_or_default().to_owned();
            self.mistake(error.span().unwrap_or(0..0), what)
        })
    }

    /// A mistake at some place.
    pub fn mistake(&self, span: Range<usize>, what: impl ToString) -> Mistake {
        Mistake::new(self.text, span, what.to_string())
    }

    /// A value that is written as text.
    ///
    /// # Errors
    /// The text is no such value.
    pub fn value<T: FromStr<Err: ToString>>(
        &self,
        written: &Spanned<String>,
    ) -> Result<T, Mistake> {
        written.get_ref().parse().map_err(|error: T::Err| self.mistake(written.span(), error))
    }
}

/// `"one"` or `["one", "another"]`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a string or a list of strings")]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}
