//! The table of secrets, and how they are erased.
//!
//! SQLite overwrites what it deletes (`secure_delete`), but not the copies that remain in a page when its
//! rows are moved to another one. So whenever a secret is replaced or removed, all pages of the table are
//! given back, which overwrites them as a whole, and the other secrets are written anew. The old pages are
//! in the write-ahead log too, until it is emptied.

use std::collections::BTreeMap;

use nightlatch_core::row::Row;
use rusqlite::{Connection, Transaction, params};

/// Feature, key, body.
type Stored = (String, String, String);

/// Writes rows of secrets, or removes them. Returns whether something is left to erase in the write-ahead
/// log.
pub(super) fn write(transaction: &Transaction<'_>, rows: &[&Row]) -> rusqlite::Result<bool> {
    // Of several rows of one secret, only the last is ever written.
    let last: BTreeMap<(&str, &str), Option<&str>> =
        rows.iter().map(|row| ((row.feature, row.key.as_str()), row.body.as_deref())).collect();
    if last.is_empty() {
        return Ok(false);
    }
    let stored = all(transaction)?;
    let is_replaced = |(feature, key, body): &Stored| {
        last.get(&(feature.as_str(), key.as_str())).is_some_and(|new| *new != Some(body.as_str()))
    };
    let erases = stored.iter().any(is_replaced);
    if erases {
        transaction.execute("DELETE FROM secrets", [])?;
        for (feature, key, body) in stored.iter().filter(|stored| !is_replaced(stored)) {
            insert(transaction, feature, key, body)?;
        }
    }
    for ((feature, key), body) in last {
        if let Some(body) = body {
            insert(transaction, feature, key, body)?;
        }
    }
    Ok(erases)
}

/// Empties the write-ahead log. Returns whether that was possible: a reader may need it.
pub(super) fn empty_log(connection: &Connection) -> rusqlite::Result<bool> {
    let is_busy: i64 =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(is_busy == 0)
}

fn all(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Stored>> {
    let mut statement = transaction.prepare("SELECT feature, key, body FROM secrets")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

fn insert(
    transaction: &Transaction<'_>,
    feature: &str,
    key: &str,
    body: &str,
) -> rusqlite::Result<()> {
    transaction
        .prepare("INSERT OR REPLACE INTO secrets (feature, key, body) VALUES (?1, ?2, ?3)")?
        .execute(params![feature, key, body])
        .map(|_| ())
}
