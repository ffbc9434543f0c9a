//! What is kept about countries, one record each.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{CountryAsker, CountryRules};

/// Which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Which countries are shut out.
    Rules,
    /// Who waits for the next table.
    Asker,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Key::Rules => "rules",
            Key::Asker => "asker",
        })
    }
}

/// There is no record of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such record")]
pub struct NoKey;

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Key, NoKey> {
        [Key::Rules, Key::Asker].into_iter().find(|key| key.to_string() == text).ok_or(NoKey)
    }
}

/// One of the records.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Record {
    /// Which countries are shut out.
    Rules(CountryRules),
    /// Who waits for the next table.
    Asker(CountryAsker),
}
