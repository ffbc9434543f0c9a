//! The audit log: a chain of records, each with the hash of the one before in its own hash, so
//! that an edit or a gap anywhere shows.

use std::collections::BTreeMap;

use nightlatch_core::audit::Record;
use nightlatch_core::time::Time;
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Store;

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Its number, from 1, without gaps.
    pub number: i64,
    /// When.
    pub time: Time,
    /// Who did what.
    #[serde(flatten)]
    pub record: Record,
    /// SHA-256 over the hash before, the number, the time and the record, in hexadecimal.
    pub hash: String,
}

/// Where the chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("the audit log is broken at record {number}: {what}")]
pub struct Gap {
    /// The first record that does not fit.
    pub number: i64,
    /// What does not fit.
    pub what: String,
}

/// Adds a record to the chain.
pub(super) fn append(
    transaction: &Transaction<'_>,
    record: &Record,
    now: Time,
) -> rusqlite::Result<()> {
    let query = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1";
    let last = transaction
        .query_row(query, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))
        .optional()?;
    let (number, before) = last.map_or((1, Vec::new()), |(number, hash)| (number + 1, hash));
    let body = serde_json::to_string(record)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let hash = hash(&before, number, now.millis(), &body);
    transaction
        .prepare("INSERT INTO audit (number, time, body, hash) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![number, now.millis(), body, hash.as_slice()])?;
    Ok(())
}

/// The records from `since` on, oldest first.
///
/// # Errors
/// The database cannot be read.
pub fn entries(store: &Store, since: Option<Time>) -> Result<Vec<Entry>, String> {
    let since = since.map_or(i64::MIN, Time::millis);
    select(
        store,
        "SELECT number, time, body, hash FROM audit WHERE time >= ?1 ORDER BY number",
        since,
    )
}

/// The records behind a number, oldest first.
///
/// # Errors
/// The database cannot be read.
pub fn entries_after(store: &Store, number: i64) -> Result<Vec<Entry>, String> {
    select(
        store,
        "SELECT number, time, body, hash FROM audit WHERE number > ?1 ORDER BY number",
        number,
    )
}

/// A clock that was set back leaves records with a later time before such with an earlier one: so far apart
/// at most.
const SET_BACK: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;

/// How often each of these actions was recorded from `since` on, by hour since 1970.
///
/// Reads the log from its end, and no further than needed.
///
/// # Errors
/// The database cannot be read.
pub fn counts(
    store: &Store,
    since: Time,
    actions: &[&str],
) -> Result<BTreeMap<(i64, String), u64>, String> {
    let read = || -> rusqlite::Result<BTreeMap<(i64, String), u64>> {
        let mut counts = BTreeMap::new();
        let query = "SELECT time, json_extract(body, '$.action') FROM audit ORDER BY number DESC";
        let mut statement = store.connection().prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let time: i64 = row.get(0)?;
            if time < since.millis().saturating_sub(SET_BACK) {
                break;
            }
            let action: Option<String> = row.get(1)?;
            let action = action.filter(|action| actions.contains(&action.as_str()));
            if let Some(action) = action.filter(|_| time >= since.millis()) {
                *counts.entry((time.div_euclid(HOUR), action)).or_default() += 1;
            }
        }
        Ok(counts)
    };
    read().map_err(|error| error.to_string())
}

/// Checks the whole chain and returns the number of records.
///
/// # Errors
/// The first record that does not fit, or a database that cannot be read (record 0).
pub fn verify(store: &Store) -> Result<i64, Gap> {
    let unreadable = |error: rusqlite::Error| Gap { number: 0, what: error.to_string() };
    let query = "SELECT number, time, body, hash FROM audit ORDER BY number";
    let mut statement = store.connection().prepare(query).map_err(unreadable)?;
    let mut rows = statement.query([]).map_err(unreadable)?;
    let (mut before, mut count) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(unreadable)? {
        let row = || -> rusqlite::Result<Row> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        };
        let (number, time, body, found) = row().map_err(unreadable)?;
        count += 1;
        if number != count {
            let what = format!("record {count} is missing");
            return Err(Gap { number: count, what });
        }
        if hash(&before, number, time, &body).as_slice() != found.as_slice() {
            let what = "its text or time was changed, or the record before it".to_owned();
            return Err(Gap { number, what });
        }
        before = found;
    }
    Ok(count)
}

fn select(store: &Store, query: &str, bound: i64) -> Result<Vec<Entry>, String> {
    let read = || -> rusqlite::Result<Vec<Row>> {
        let mut statement = store.connection().prepare(query)?;
        let rows = statement
            .query_map([bound], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        rows.collect()
    };
    let rows = read().map_err(|error| error.to_string())?;
    let entry = |(number, time, body, hash): Row| {
        let record = serde_json::from_str(&body)
            .map_err(|error| format!("record {number} cannot be parsed: {error}"))?;
        Ok(Entry { number, time: Time::from_millis(time), record, hash: hexadecimal(&hash) })
    };
    rows.into_iter().map(entry).collect()
}

/// Number, time, record, hash.
type Row = (i64, i64, String, Vec<u8>);

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Fields of fixed length first, so that no two records give the same bytes.
fn hash(before: &[u8], number: i64, time: i64, body: &str) -> Vec<u8> {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(number.to_be_bytes());
    hasher.update(time.to_be_bytes());
    hasher.update(body.as_bytes());
    hasher.finalize().to_vec()
}
