//! The database's layout, by version. A migration that was released is never changed.

use std::path::Path;

use rusqlite::Connection;

use crate::shell::outcome::Failure;

/// Each version's step from the one before.
const STEPS: [&str; 2] = [V1, V2];

const V1: &str = "
    CREATE TABLE accounts (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE blocks (range TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE cuts (range TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE feeds (name TEXT PRIMARY KEY, body TEXT NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE settings (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        body TEXT NOT NULL,
        hash BLOB NOT NULL
    );
    CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END;
    CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is never shortened'); END;
";

/// Denials replace cuts, which were ranges whose running flows had to end, for two hours. 93,600,000
/// milliseconds are the 26 hours that a denial lasts.
const V2: &str = "
    CREATE TABLE denials (range TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO denials SELECT range, json_object(
        'range', range, 'since', since, 'until', since + 93600000,
        'cause', json_object('account-gone', json_object('account', ''))
    ) FROM cuts;
    DROP TABLE cuts;
";

/// The first schema version, for tests.
#[cfg(test)]
pub(super) const fn first_layout() -> &'static str {
    V1
}

/// Brings the database to today's layout.
pub(super) fn run(connection: &mut Connection, path: &Path) -> Result<(), Failure> {
    let fail = |error: rusqlite::Error| super::unreadable(path, &error);
    let version = check(connection, path)?;
    for (step, number) in STEPS.iter().zip(1u32..).skip(version) {
        let transaction = connection.transaction().map_err(fail)?;
        transaction.execute_batch(step).map_err(fail)?;
        transaction.pragma_update(None, "user_version", number).map_err(fail)?;
        transaction.commit().map_err(fail)?;
    }
    Ok(())
}

/// The layout's version; 0 where there is none yet.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(version as usize)
}

/// The layout's version, if we know it.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<usize, Failure> {
    let version = version(connection).map_err(|error| super::unreadable(path, &error))?;
    if version > STEPS.len() {
        let newer = format!("a newer nightlatch wrote it (layout {version})");
        return Err(super::unreadable(path, &newer));
    }
    Ok(version)
}
