//! Rows: records as the store keeps them. A body is JSON, so that a rescue needs nothing but
//! `sqlite3`.

use std::fmt;

use serde::Serialize;

use crate::features::Feature;

/// How many characters of a key or a body a message shows.
const SHOWN: usize = 200;
/// What stands for the body of a secret.
const HIDDEN: &str = "(secret)";

/// One record as the store keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// The feature whose record it is.
    pub feature: &'static str,
    /// What identifies it among the records of its feature.
    pub key: String,
    /// What it says; `None` if the record is gone.
    pub body: Option<String>,
    /// Whether it is secret: kept apart from the others, overwritten when it is replaced or removed.
    pub is_secret: bool,
}

/// Shows no body of a secret.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { feature, key, body, is_secret } = self;
        let body = body.as_deref().map(|body| if *is_secret { HIDDEN } else { body });
        f.debug_struct("Row")
            .field("feature", feature)
            .field("key", key)
            .field("body", &body)
            .finish()
    }
}

impl Row {
    /// A record that is to be kept.
    ///
    /// # Errors
    /// The record cannot be written as JSON.
    pub fn kept(
        feature: &'static str,
        key: impl ToString,
        record: &impl Serialize,
    ) -> Result<Row, RowError> {
        let key = key.to_string();
        match serde_json::to_string(record) {
            Ok(body) => Ok(Row { feature, key, body: Some(body), is_secret: false }),
            Err(error) => {
                Err(RowError::CannotBeWritten { name: name(feature, &key), why: error.to_string() })
            }
        }
    }

    /// A record that is gone.
    pub fn gone(feature: &'static str, key: impl ToString) -> Row {
        Row { feature, key: key.to_string(), body: None, is_secret: false }
    }

    /// The row of a feature's record.
    ///
    /// # Errors
    /// The record cannot be written as JSON.
    pub(crate) fn of<F: Feature>(
        key: &F::Key,
        record: Option<&F::Record>,
    ) -> Result<Row, RowError> {
        let row = match record {
            Some(record) => Row::kept(F::NAME, key, record)?,
            None => Row::gone(F::NAME, key),
        };
        Ok(Row { is_secret: F::is_secret(key), ..row })
    }
}

/// Why a row is not taken, or cannot be made. `name` is the record's, `feature/key`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// No feature of this version keeps such a record.
    #[error("unknown record \"{name}\": this version does not support it")]
    Unknown {
        /// Which record.
        name: String,
    },
    /// What is stored is no such record.
    #[error("the record \"{name}\" cannot be parsed: {why}: {body}")]
    CannotBeUnderstood {
        /// Which record.
        name: String,
        /// What is wrong with it.
        why: String,
        /// How its body begins.
        body: String,
    },
    /// A record that cannot be written as JSON.
    #[error("the record \"{name}\" cannot be written: {why}")]
    CannotBeWritten {
        /// Which record.
        name: String,
        /// Why not.
        why: String,
    },
}

/// A row that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) feature: &'a str,
    pub(crate) key: &'a str,
    pub(crate) body: &'a str,
}

impl Stored<'_> {
    /// The record, and its key, if it names itself as its key does: one under another key could never be
    /// replaced or removed.
    pub(crate) fn read<F: Feature>(&self) -> Result<(F::Key, F::Record), RowError> {
        let key: F::Key = self.key.parse().map_err(|_| self.unknown())?;
        let is_secret = F::is_secret(&key);
        let record = F::read(&key, self.body).map_err(|error| match is_secret {
            // An error of the reader may quote what it read.
            true => self.cannot_be_understood("it is damaged", HIDDEN),
            false => self.misunderstood(error),
        })?;
        let own = F::own_key(&record).unwrap_or_else(|| key.clone());
        if own == key && key.to_string() == self.key {
            return Ok((key, record));
        }
        Err(self.misunderstood(format!("it is the record of \"{}\"", shown(&own.to_string()))))
    }

    /// No feature keeps it.
    pub(crate) fn unknown(&self) -> RowError {
        RowError::Unknown { name: name(self.feature, self.key) }
    }

    fn misunderstood(&self, why: impl ToString) -> RowError {
        self.cannot_be_understood(why, self.body)
    }

    fn cannot_be_understood(&self, why: impl ToString, body: &str) -> RowError {
        RowError::CannotBeUnderstood {
            name: name(self.feature, self.key),
            why: why.to_string(),
            body: shown(body),
        }
    }
}

fn name(feature: &str, key: &str) -> String {
    format!("{}/{}", shown(feature), shown(key))
}

/// The beginning of a text, on one line.
fn shown(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(SHOWN).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{Loading, State, blocks, countries, peers, users};

    const BLOCK: &str = r#"{"range":"192.0.2.7","since":1,"by":"root"}"#;

    #[test]
    fn a_row_is_the_whole_record() {
        let mut loading = Loading::default();
        loading.take_row("blocks", "192.0.2.7", BLOCK).unwrap();
        let state = loading.finish();
        let block = state.blocks.all.values().next().unwrap();
        let row = blocks::put(block.clone()).row().unwrap();
        let body = Some(BLOCK.to_owned());
        assert_eq!(
            row,
            Row { feature: "blocks", key: "192.0.2.7".to_owned(), body, is_secret: false }
        );
        let gone = blocks::removed(block.range).row().unwrap();
        assert_eq!(gone, Row { body: None, ..row });
    }

    #[test]
    fn what_is_absent_has_no_row() {
        for change in [countries::set_asker(None), peers::set_signalling_closed(None)] {
            assert_eq!(change.row().unwrap().body, None, "{change:?}");
        }
        assert_eq!(Loading::default().finish(), State::default());
    }

    #[test]
    fn a_secret_row_shows_nothing() {
        let body = r#"{"knock":[7001,"planted",7003]}"#;
        let error = Loading::default().take_row("users", "secrets/anna", body).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("\"users/secrets/anna\" cannot be parsed"), "{text}");
        assert!(!text.contains("planted") && !text.contains("7001"), "{text}");
        let body = r#"{"knock":[7001,7000,7003]}"#;
        let mut loading = Loading::default();
        loading.take_row("users", "secrets/anna", body).unwrap();
        let state = loading.finish();
        let [_, change] = users::put(anna(), state.users.secrets.values().next().unwrap().clone());
        let row = change.row().unwrap();
        assert_eq!(
            (row.is_secret, row.key.as_str(), row.body.as_deref()),
            (true, "secrets/anna", Some(body))
        );
        let text = format!("{row:?} {change:?} {state:?}");
        assert!(text.contains("(secret)") && !text.contains("7001"), "{text}");
    }

    fn anna() -> users::User {
        let body = r#"{"name":"anna","services":["sip"],"credentials":{},"since":1,"by":"root"}"#;
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn a_row_that_says_nothing_certain_is_refused() {
        let refused = |feature: &str, key: &str, body: &str, expected: &str| {
            let error = Loading::default().take_row(feature, key, body).unwrap_err().to_string();
            assert!(error.contains(expected), "{feature}/{key}: {error}");
        };
        refused("ban", "192.0.2.7", "{}", "unknown record \"ban/192.0.2.7\"");
        refused("firewall", "colour", "1", "unknown record \"firewall/colour\"");
        refused("firewall", "mode", "\"sideways\"", "\"firewall/mode\" cannot be parsed");
        refused("blocks", "192.0.2.7", "{", "\"blocks/192.0.2.7\" cannot be parsed");
        refused("blocks", "192.0.2.8", BLOCK, "it is the record of \"192.0.2.7\"");
        refused("blocks", "192.0.2.7/32", BLOCK, "it is the record of \"192.0.2.7\"");
        refused("countries", "asker", "null", "\"countries/asker\" cannot be parsed");
        let long = Loading::default().take_row("a\nb", &"x".repeat(5000), "").unwrap_err();
        let text = long.to_string();
        assert!(text.len() < 300 && text.contains("\"a b/xxx"), "{text}");
    }
}
