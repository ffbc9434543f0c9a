//! The table of records, and what reads it with the secrets. Whose they are and what they say is for others to know.

use nightlatch_core::row::{Row, RowError};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::migrations;

/// Writes one row, or removes it.
pub(super) fn write(transaction: &Transaction<'_>, row: &Row) -> rusqlite::Result<()> {
    let Row { feature, key, body, .. } = row;
    let changed = match body {
        Some(body) => transaction
            .prepare("INSERT OR REPLACE INTO records (feature, key, body) VALUES (?1, ?2, ?3)")?
            .execute(params![feature, key, body]),
        None => transaction
            .prepare("DELETE FROM records WHERE feature = ?1 AND key = ?2")?
            .execute(params![feature, key]),
    };
    changed.map(|_| ())
}

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The database fails.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    /// A row is not taken.
    #[error("{0}")]
    Row(#[from] RowError),
}

/// Calls `found` with the feature, the key and the body of each row, one by one: the texts of many
/// rows at once would double what the daemon needs at its start.
///
/// A command that only reads may come before the daemon has migrated the database, so rows of older
/// layouts are read as they will be.
pub(super) fn read(
    connection: &Connection,
    mut found: impl FnMut(&str, &str, &str) -> Result<(), RowError>,
) -> Result<(), ReadError> {
    // In one transaction, the layout stays what it is.
    let transaction = connection.unchecked_transaction()?;
    let Some(query) = migrations::records_of(migrations::version(&transaction)?) else {
        return Ok(());
    };
    let mut statement = transaction.prepare(query)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text = |column| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
        found(text(0)?, text(1)?, text(2)?)?;
    }
    Ok(())
}

/// A text that is kept beside the records.
pub(super) fn note(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    let query = "SELECT body FROM meta WHERE key = ?1";
    connection.query_row(query, [key], |row| row.get(0)).optional()
}

/// Keeps a text beside the records.
pub(super) fn keep_note(connection: &Connection, key: &str, text: &str) -> rusqlite::Result<()> {
    let command = "INSERT OR REPLACE INTO meta (key, body) VALUES (?1, ?2)";
    connection.execute(command, [key, text]).map(|_| ())
}
