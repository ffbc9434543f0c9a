//! How far logs were read, and what was counted in them: one transaction of a database of their own, so that
//! after a crash no line is judged twice and none is lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use nightlatch_core::detect::Saved as Judged;
use nightlatch_core::time::Time;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::file::{Id, Position};
use crate::shell::lane;

/// The layout that this version writes. A file of another one is begun anew: what it says is no more than
/// how far was read.
const LAYOUT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS positions (
        log TEXT, number INTEGER, device INTEGER, inode INTEGER, offset INTEGER, hash BLOB,
        in_long_line INTEGER, PRIMARY KEY (log, number)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT) STRICT;
    CREATE TABLE IF NOT EXISTS judged (key BLOB PRIMARY KEY, body BLOB) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS hours (number INTEGER PRIMARY KEY, body TEXT) STRICT;
";

/// All that is kept at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Snapshot {
    /// How far each log was read: the files that have or had its name, the oldest first.
    pub(super) positions: BTreeMap<String, Vec<Position>>,
    /// How far the journal was read.
    pub(super) cursor: Option<String>,
    /// Up to when all that was written had been read.
    pub(super) read_until: Time,
    /// What the judge remembers, as far as it has changed.
    pub(super) judged: Judged,
}

/// The thread that writes, so that reading never waits for the disk.
pub(super) struct Saver {
    to: SyncSender<Snapshot>,
}

impl Saver {
    /// Opens the database, and returns what was kept. Where it cannot be read, it is begun anew: the
    /// firewall does not depend on it.
    ///
    /// # Errors
    /// It cannot be made either.
    pub(super) fn begin(
        path: &Path,
        told: impl Fn(Result<(), String>) + Send + 'static,
    ) -> Result<(Saver, Snapshot), String> {
        let (connection, snapshot) = open(path)?;
        let (to, snapshots) = sync_channel::<Snapshot>(1);
        let mut connection = Some(connection);
        let path = path.to_owned();
        lane::begin("watch-store", move || {
            while let Ok(snapshot) = snapshots.recv() {
                told(write(&mut connection, &path, &snapshot));
            }
        });
        Ok((Saver { to }, snapshot))
    }

    /// Keeps it, unless the disk is busy with the one before: then it comes back.
    pub(super) fn keep(&self, snapshot: Snapshot) -> Option<Snapshot> {
        match self.to.try_send(snapshot) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => None,
            Err(TrySendError::Full(snapshot)) => Some(snapshot),
        }
    }
}

fn open(path: &Path) -> Result<(Connection, Snapshot), String> {
    let first = connect(path).and_then(|connection| Ok((read(&connection)?, connection)));
    if let Ok((snapshot, connection)) = first {
        return Ok((connection, snapshot));
    }
    for name in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(name);
        let _ = std::fs::remove_file(PathBuf::from(file));
    }
    let connection = connect(path).map_err(|error| error.to_string())?;
    let snapshot = read(&connection).map_err(|error| error.to_string())?;
    Ok((connection, snapshot))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A power cut may take the last transactions, but positions and counters go together: then the lines are
    // read again, by the counters of that time.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.execute_batch(TABLES)?;
    let layout = "SELECT value FROM notes WHERE name = 'layout'";
    let layout: Option<String> = connection.query_row(layout, [], |row| row.get(0)).optional()?;
    match layout {
        None => keep_note(&connection, "layout", &LAYOUT.to_string())?,
        Some(layout) if layout == LAYOUT.to_string() => {}
        Some(_) => return Err(rusqlite::Error::InvalidQuery),
    }
    Ok(connection)
}

fn keep_note(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let note = "INSERT OR REPLACE INTO notes (name, value) VALUES (?1, ?2)";
    connection.execute(note, params![name, value])?;
    Ok(())
}

fn read(connection: &Connection) -> rusqlite::Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    let mut positions = connection.prepare(
        "SELECT log, device, inode, offset, hash, in_long_line FROM positions ORDER BY log, number",
    )?;
    let rows = positions.query_map([], |row| {
        let id = Id {
            device: row.get::<_, i64>(1)?.cast_unsigned(),
            inode: row.get::<_, i64>(2)?.cast_unsigned(),
        };
        let position = Position {
            id,
            offset: row.get::<_, i64>(3)?.cast_unsigned(),
            hash: row.get(4)?,
            in_long_line: row.get(5)?,
        };
        Ok((row.get::<_, String>(0)?, position))
    })?;
    for row in rows {
        let (log, position) = row?;
        snapshot.positions.entry(log).or_default().push(position);
    }
    let note = |name: &str| -> rusqlite::Result<Option<String>> {
        let note = "SELECT value FROM notes WHERE name = ?1";
        connection.query_row(note, [name], |row| row.get(0)).optional()
    };
    snapshot.cursor = note("cursor")?;
    let until = note("read_until")?.and_then(|text| text.parse().ok());
    snapshot.read_until = Time::from_millis(until.unwrap_or(0));
    let mut judged = connection.prepare("SELECT key, body FROM judged")?;
    let rows = judged.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    snapshot.judged.rows = rows.collect::<rusqlite::Result<_>>()?;
    let mut hours = connection.prepare("SELECT number, body FROM hours")?;
    let rows = hours.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    snapshot.judged.hours = rows.collect::<rusqlite::Result<_>>()?;
    Ok(snapshot)
}

/// Writes a snapshot; where the file cannot be written, it is opened again the next time.
fn write(
    connection: &mut Option<Connection>,
    path: &Path,
    snapshot: &Snapshot,
) -> Result<(), String> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => connect(path).map_err(|error| error.to_string())?,
    };
    write_all(&mut open, snapshot).map_err(|error| error.to_string())?;
    *connection = Some(open);
    Ok(())
}

fn write_all(connection: &mut Connection, snapshot: &Snapshot) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute("DELETE FROM positions", [])?;
    write_positions(&transaction, snapshot)?;
    match &snapshot.cursor {
        Some(cursor) => keep_note(&transaction, "cursor", cursor)?,
        None => drop(transaction.execute("DELETE FROM notes WHERE name = 'cursor'", [])?),
    }
    keep_note(&transaction, "read_until", &snapshot.read_until.millis().to_string())?;
    let Judged { whole, removed, rows, hours } = &snapshot.judged;
    if *whole {
        transaction.execute("DELETE FROM judged", [])?;
        transaction.execute("DELETE FROM hours", [])?;
    }
    write_hours(&transaction, hours)?;
    let mut remove = transaction.prepare("DELETE FROM judged WHERE key = ?1")?;
    for key in removed {
        remove.execute([key])?;
    }
    drop(remove);
    let put = "INSERT OR REPLACE INTO judged (key, body) VALUES (?1, ?2)";
    let mut put = transaction.prepare(put)?;
    for (key, body) in rows {
        put.execute(params![key, body])?;
    }
    drop(put);
    transaction.commit()
}

fn write_hours(transaction: &Connection, hours: &[(i64, Option<String>)]) -> rusqlite::Result<()> {
    for (number, body) in hours {
        match body {
            Some(body) => {
                let put = "INSERT OR REPLACE INTO hours (number, body) VALUES (?1, ?2)";
                transaction.execute(put, params![number, body])?;
            }
            None => {
                transaction.execute("DELETE FROM hours WHERE number = ?1", [number])?;
            }
        }
    }
    Ok(())
}

fn write_positions(transaction: &Connection, snapshot: &Snapshot) -> rusqlite::Result<()> {
    let mut insert =
        transaction.prepare("INSERT INTO positions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let all = snapshot.positions.iter();
    let all = all.flat_map(|(log, of_log)| of_log.iter().enumerate().map(move |it| (log, it)));
    for (log, (number, position)) in all {
        insert.execute(params![
            log,
            i64::try_from(number).unwrap_or(i64::MAX),
            position.id.device.cast_signed(),
            position.id.inode.cast_signed(),
            position.offset.cast_signed(),
            position.hash,
            position.in_long_line,
        ])?;
    }
    Ok(())
}
