//! The store: the records and the audit log, in one SQLite database, so that a change and its
//! record are written in one transaction or not at all.
//!
//! What has been acknowledged has reached the disk (`synchronous = FULL`), and a process killed at
//! any moment leaves the database whole.

mod audit;
mod migrations;
mod records;
mod secrets;

use std::fs::{OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nightlatch_core::audit::Record;
use nightlatch_core::features::{Loading, State};
use nightlatch_core::row::{Row, RowError};
use nightlatch_core::time::Time;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

pub use audit::{Entry, Gap, counts, entries, entries_after, verify};
use records::ReadError;

use super::outcome::{Code, Failure};
use super::paths::Paths;

/// How long to wait for others who use the database.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The same before secrets are erased from the write-ahead log; that is tried again.
const ERASE_TIMEOUT: Duration = Duration::from_millis(500);

/// The database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    /// Device and number of the file that was opened.
    file: Option<(u64, u64)>,
    /// Whether the write-ahead log may have secrets that were replaced or removed.
    is_erasing: bool,
}

impl Store {
    /// Opens the database to read and write; makes it where there is none.
    ///
    /// # Errors
    /// The disk fails, the file is no database of ours, a newer version wrote it, or it is empty
    /// though a firewall stood: without records it would take the firewall off.
    pub fn open(paths: &Paths) -> Result<Store, Failure> {
        let path = &paths.database();
        let fail = |error: rusqlite::Error| unreadable(path, &error);
        refuse_lost(paths)?;
        make_private(path)?;
        let mut connection = Connection::open(path).map_err(fail)?;
        connection.busy_timeout(TIMEOUT).map_err(fail)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
        connection.pragma_update(None, "secure_delete", "ON").map_err(fail)?;
        connection.pragma_update(None, "temp_store", "MEMORY").map_err(fail)?;
        check_whole(&connection, path)?;
        migrations::run(&mut connection, path)?;
        let mut store =
            Store { connection, path: path.to_owned(), file: file_at(path), is_erasing: true };
        // A daemon that was killed may have left secrets that were to be erased; and the log of a migration
        // has the whole database, which each start after a kill would read again. Where this fails, nothing
        // is lost, and it is tried again.
        let _ = store.erase();
        Ok(store)
    }

    /// Opens the database only to read, beside a daemon that writes.
    ///
    /// # Errors
    /// There is no database, or it cannot be read.
    pub fn open_to_read(path: &Path) -> Result<Store, Failure> {
        let fail = |error: rusqlite::Error| unreadable(path, &error);
        let open = |mode| -> Result<Connection, Failure> {
            let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags).map_err(fail)?;
            connection.busy_timeout(TIMEOUT).map_err(fail)?;
            check_whole(&connection, path)?;
            Ok(connection)
        };
        // After a kill -9 the journal has to be played back first, which needs to write.
        let connection = open(OpenFlags::SQLITE_OPEN_READ_ONLY)
            .or_else(|_| open(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
        migrations::check(&connection, path)?;
        let file = file_at(path);
        Ok(Store { connection, path: path.to_owned(), file, is_erasing: false })
    }

    /// The state of all features.
    ///
    /// # Errors
    /// The disk fails, or a row cannot be understood.
    pub fn state(&self) -> Result<State, Failure> {
        let mut loading = Loading::default();
        let read = records::read(&self.connection, |feature, key, body| {
            loading.take_row(feature, key, body)
        });
        match read {
            Ok(()) => Ok(loading.finish()),
            Err(ReadError::Database(error)) => Err(unreadable(&self.path, &error)),
            Err(ReadError::Row(error)) => Err(bad_record(&self.path, &error)),
        }
    }

    /// Writes rows and audit records down, in one transaction.
    ///
    /// # Errors
    /// The disk fails or is full, or the file is no longer in its place; then nothing was written.
    pub fn commit(&mut self, rows: &[Row], records: &[Record], now: Time) -> Result<(), String> {
        // A file that was removed takes what is written into it along.
        if self.file != file_at(&self.path) {
            return Err(format!(
                "the database {} was removed or replaced while the daemon was running: put it back, then restart the daemon",
                self.path.display()
            ));
        }
        let write = |connection: &mut Connection| -> Result<bool, rusqlite::Error> {
            let transaction = connection.transaction()?;
            let (secret, public): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|it| it.is_secret);
            for row in public {
                records::write(&transaction, row)?;
            }
            let erases = secrets::write(&transaction, &secret)?;
            for record in records {
                audit::append(&transaction, record, now)?;
            }
            transaction.commit()?;
            Ok(erases)
        };
        self.is_erasing |= write(&mut self.connection).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Whether secrets that were replaced or removed may still be in the write-ahead log.
    pub fn is_erasing(&self) -> bool {
        self.is_erasing
    }

    /// Erases them there.
    ///
    /// # Errors
    /// The disk fails or is full, or another program reads the database all the time: they are still
    /// there, and it has to be tried again.
    pub fn erase(&mut self) -> Result<(), String> {
        if !self.is_erasing {
            return Ok(());
        }
        // Commits wait meanwhile.
        let _ = self.connection.busy_timeout(ERASE_TIMEOUT);
        let emptied = secrets::empty_log(&self.connection);
        let _ = self.connection.busy_timeout(TIMEOUT);
        match emptied {
            Ok(true) => {
                self.is_erasing = false;
                Ok(())
            }
            Ok(false) => Err("another program is reading the database".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A text that is kept beside the records, such as the last configuration that was good.
    pub fn note(&self, key: &str) -> Option<String> {
        records::note(&self.connection, key).ok().flatten()
    }

    /// Keeps a text under a key, beside the records.
    ///
    /// # Errors
    /// The disk fails or is full.
    pub fn keep_note(&self, key: &str, text: &str) -> Result<(), String> {
        records::keep_note(&self.connection, key, text).map_err(|error| error.to_string())
    }

    /// When something was last written: before that it cannot be now.
    pub fn last_written(&self) -> Time {
        let query = "SELECT time FROM audit ORDER BY number DESC LIMIT 1";
        let last = self.connection.query_row(query, [], |row| row.get(0)).optional();
        Time::from_millis(last.ok().flatten().unwrap_or(0))
    }

    /// The connection, for the audit log's readers.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// The database has secrets: nobody else may read it, wherever it lies. SQLite gives its other files the
/// same mode.
fn make_private(path: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| unreadable(path, &error);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    for ending in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(ending);
        match std::fs::set_permissions(&file, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(())
}

fn file_at(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|file| (file.dev(), file.ino()))
}

/// A damaged page is noticed when the daemon starts, not in the middle of a change.
fn check_whole(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| unreadable(path, &error))?;
    if found == "ok" { Ok(()) } else { Err(unreadable(path, &found)) }
}

/// Makes the folder of the state, for root's eyes only.
///
/// # Errors
/// The disk fails.
pub fn make_folder(path: &Path) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Failure::failed(format!("cannot create {}: {error}", path.display())))
}

/// Whether there is a database to read.
///
/// # Errors
/// The caller may not know.
pub fn is_there(path: &Path) -> Result<bool, Failure> {
    match std::fs::File::open(path).map_err(|error| error.kind()) {
        Err(ErrorKind::NotFound) => Ok(false),
        Err(ErrorKind::PermissionDenied) => {
            let message = "only root may read this: run the command with sudo";
            Err(Failure::new(Code::NotAllowed, message))
        }
        // Whatever else is wrong shows when it is opened.
        _ => Ok(true),
    }
}

/// Refuses to begin anew where a firewall stood: the copy of it is still there.
///
/// # Errors
/// The database is gone or empty, and must not be.
pub fn refuse_lost(paths: &Paths) -> Result<(), Failure> {
    let is_empty = std::fs::metadata(paths.database()).map_or(true, |found| found.len() == 0);
    if !is_empty || !paths.last_good().exists() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the database {} is missing or empty, but a firewall was active here: it is left unchanged. Restore a backup of the database; or, to start with an empty one, move {} away",
        paths.database().display(),
        paths.last_good().display()
    )))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format!(
        "cannot use the database {}: {error}. The firewall is left unchanged. Is the disk full or damaged? If the file is damaged, restore a backup, or move it away to start with an empty one",
        path.display()
    ))
}

fn bad_record(path: &Path, error: &RowError) -> Failure {
    Failure::failed(format!(
        "cannot use the database {}: {error}. The firewall is left unchanged. If a newer nightlatch wrote this record, install that one; otherwise restore a backup of the database, or repair the record in its table \"records\" with sqlite3",
        path.display()
    ))
}

#[cfg(test)]
mod tests;
