//! What a summary is made of, read beside the daemon, or without one: attempts from the database of log
//! watching, bans from the audit log.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nightlatch_core::detect::{Acts, Hour, Span, Summary};
use nightlatch_core::time::Time;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::shell::outcome::Failure;
use crate::shell::paths::Paths;
use crate::shell::store::{self, Store};

/// How long to wait for others who use the database.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What the audit log calls the beginning of a ban, and that of a limit.
const BAN: &str = "ban";
const LIMIT: &str = "limit";

/// The summary up to `now`.
///
/// # Errors
/// The caller may not read the databases, or the disk fails.
pub(in crate::features::watch) fn read(
    paths: &Paths,
    span: Span,
    now: Time,
) -> Result<Summary, Failure> {
    let from = span.from(now);
    Ok(Summary::of(span, now, &attempts(&paths.watch_database(), from)?, &acts(paths, from)?))
}

/// Writes a picture into a file.
///
/// # Errors
/// It cannot be written.
pub(in crate::features::watch) fn write(path: &str, picture: &str) -> Result<(), Failure> {
    std::fs::write(path, picture).map_err(|error| {
        Failure::failed(format!(
            "the picture cannot be written to {path}: {error}; name another file, or write it to standard output with --svg alone"
        ))
    })
}

fn attempts(path: &Path, from: Time) -> Result<BTreeMap<i64, Hour>, Failure> {
    if !store::is_there(path)? {
        return Ok(BTreeMap::new());
    }
    let read = |flags| hours(path, flags, from);
    // After a kill -9 the journal has to be played back first, which needs to write.
    read(OpenFlags::SQLITE_OPEN_READ_ONLY)
        .or_else(|_| read(OpenFlags::SQLITE_OPEN_READ_WRITE))
        .map_err(|error| {
            Failure::failed(format!(
                "the counts of attempts in {} cannot be read: {error}; if the file is damaged, move it away and restart the daemon",
                path.display()
            ))
        })
}

fn hours(path: &Path, flags: OpenFlags, from: Time) -> rusqlite::Result<BTreeMap<i64, Hour>> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(TIMEOUT)?;
    let known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'hours'";
    // An older version has counted nothing.
    if connection.query_row(known, [], |_| Ok(())).optional()?.is_none() {
        return Ok(BTreeMap::new());
    }
    let mut rows = connection.prepare("SELECT number, body FROM hours WHERE number >= ?1")?;
    let rows = rows.query_map([from.millis().div_euclid(3_600_000)], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    let mut hours = BTreeMap::new();
    for row in rows {
        let (number, body) = row?;
        hours.extend(Hour::read(&body).map(|hour| (number, hour)));
    }
    Ok(hours)
}

fn acts(paths: &Paths, from: Time) -> Result<BTreeMap<i64, Acts>, Failure> {
    let path = paths.database();
    if !store::is_there(&path)? {
        return Ok(BTreeMap::new());
    }
    let store = Store::open_to_read(&path)?;
    let counts = store::counts(&store, from, &[BAN, LIMIT]).map_err(Failure::failed)?;
    let mut acts = BTreeMap::<i64, Acts>::new();
    for ((hour, action), count) in counts {
        let acts = acts.entry(hour).or_default();
        match action.as_str() {
            BAN => acts.bans = count,
            _ => acts.limits = count,
        }
    }
    Ok(acts)
}
