//! The database's layout, by version. A migration that was released is never changed.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::shell::outcome::Failure;

/// Each version's step from the one before.
const STEPS: [&str; 4] = [V1, V2, V3, V4];

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

/// Each range of the first layout's cuts as a denial: cuts were ranges whose running flows had to
/// end, for two hours. 93,600,000 milliseconds are the 26 hours that a denial lasts.
macro_rules! denials_from_cuts {
    () => {
        "SELECT range, json_object(
            'range', range, 'since', since, 'until', since + 93600000,
            'cause', json_object('account-gone', json_object('account', ''))
        ) AS body FROM cuts"
    };
}

/// Denials replace cuts.
const V2: &str = concat!(
    "CREATE TABLE denials (range TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO denials ",
    denials_from_cuts!(),
    "; DROP TABLE cuts;"
);

/// The rows that the records of the second layout become. Bodies stay as they are, byte by byte.
macro_rules! records_of_layout_2 {
    () => {
        "SELECT 'accounts', name, body FROM accounts
        UNION ALL SELECT 'blocks', range, body FROM blocks
        UNION ALL SELECT 'denials', range, body FROM denials
        UNION ALL SELECT 'feeds', name, '{\"feed\":' || body || ',\"state\":' || state || '}' FROM feeds
        UNION ALL SELECT 'firewall', key, body FROM settings
            WHERE key IN ('mode', 'protection', 'site')
        UNION ALL SELECT 'countries', 'rules', body FROM settings WHERE key = 'countries'
        UNION ALL SELECT 'countries', 'asker', body FROM settings
            WHERE key = 'country_asker' AND body <> 'null'
        UNION ALL SELECT 'peers', key, body FROM settings
            WHERE key = 'signalling_closed' AND body <> 'null'"
    };
}

/// One table of records replaces the tables of accounts, blocks, denials, feeds and settings. What
/// stood among the settings without being a record is in a table of its own.
const V3: &str = concat!(
    "CREATE TABLE records (
        feature TEXT NOT NULL,
        key TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (feature, key)
    ) WITHOUT ROWID;
    CREATE TABLE meta (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO records (feature, key, body) ",
    records_of_layout_2!(),
    ";
    INSERT INTO meta (key, body) SELECT key, body FROM settings WHERE key NOT IN (
        'mode', 'protection', 'site', 'countries', 'country_asker', 'signalling_closed'
    );
    DROP TABLE accounts;
    DROP TABLE blocks;
    DROP TABLE denials;
    DROP TABLE feeds;
    DROP TABLE settings;"
);

/// Secrets are kept apart from the records, and erased otherwise.
const V4: &str = "
    CREATE TABLE secrets (
        feature TEXT NOT NULL,
        key TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (feature, key)
    ) WITHOUT ROWID;
";

/// What reads the records of a layout as rows of today's; `None` where there are no tables yet:
/// killed in its very first moment, a daemon leaves such a database.
pub(super) const fn records_of(version: usize) -> Option<&'static str> {
    match version {
        0 => None,
        1 => Some(concat!("WITH denials AS (", denials_from_cuts!(), ") ", records_of_layout_2!())),
        2 => Some(records_of_layout_2!()),
        3 => Some("SELECT feature, key, body FROM records"),
        _ => Some(
            "SELECT feature, key, body FROM records
            UNION ALL SELECT feature, key, body FROM secrets",
        ),
    }
}

/// The first schema version, for tests.
#[cfg(test)]
pub(super) const fn first_layout() -> &'static str {
    V1
}

/// Brings the database to today's layout, in one transaction: whatever ends it halfway leaves the
/// database as it was.
pub(super) fn run(connection: &mut Connection, path: &Path) -> Result<(), Failure> {
    let fail = |error: rusqlite::Error| super::unreadable(path, &error);
    if check(connection, path)? == STEPS.len() {
        return Ok(());
    }
    // Nobody else writes in between: what is read here is what is replaced.
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    let version = check(&transaction, path)?;
    for (step, number) in STEPS.iter().zip(1u32..).skip(version) {
        transaction.execute_batch(step).map_err(fail)?;
        transaction.pragma_update(None, "user_version", number).map_err(fail)?;
    }
    transaction.commit().map_err(fail)
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
        let newer = format!("it was written by a newer version of nightlatch (layout {version})");
        return Err(super::unreadable(path, &newer));
    }
    Ok(version)
}
