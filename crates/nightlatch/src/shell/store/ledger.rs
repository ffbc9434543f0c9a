//! The ledger's rows. Bodies are JSON, so that a rescue needs nothing but `sqlite3`.

use nightlatch_core::ledger::{Account, Block, Change, Denial, Ledger};
use nightlatch_core::lists::{Feed, FeedState};
use rusqlite::{Connection, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

const MODE: &str = "mode";
const PROTECTION: &str = "protection";
const SITE: &str = "site";
const COUNTRIES: &str = "countries";
const COUNTRY_ASKER: &str = "country_asker";
const SIGNALLING_CLOSED: &str = "signalling_closed";

/// The schema version that introduced the table of denials.
const DENIALS_SINCE: usize = 2;

/// Writes one change.
pub(super) fn write(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    let run = |command: &str, values: &[&dyn rusqlite::ToSql]| {
        transaction.prepare(command)?.execute(values).map(|_| ())
    };
    match change {
        Change::PutAccount(account) => run(
            "INSERT OR REPLACE INTO accounts (name, body) VALUES (?1, ?2)",
            params![account.name.as_str(), json(account)?],
        ),
        Change::DropAccount(name) => {
            run("DELETE FROM accounts WHERE name = ?1", params![name.as_str()])
        }
        Change::PutBlock(block) => run(
            "INSERT OR REPLACE INTO blocks (range, body) VALUES (?1, ?2)",
            params![block.range.to_string(), json(block)?],
        ),
        Change::DropBlock(range) => {
            run("DELETE FROM blocks WHERE range = ?1", params![range.to_string()])
        }
        Change::PutDenial(denial) => run(
            "INSERT OR REPLACE INTO denials (range, body) VALUES (?1, ?2)",
            params![denial.range.to_string(), json(denial)?],
        ),
        Change::DropDenial(range) => {
            run("DELETE FROM denials WHERE range = ?1", params![range.to_string()])
        }
        Change::PutFeed(feed, state) => run(
            "INSERT OR REPLACE INTO feeds (name, body, state) VALUES (?1, ?2, ?3)",
            params![feed.name.as_str(), json(feed)?, json(state)?],
        ),
        Change::DropFeed(name) => run("DELETE FROM feeds WHERE name = ?1", params![name.as_str()]),
        Change::SetCountries(countries) => set(transaction, COUNTRIES, countries),
        Change::SetCountryAsker(asker) => set(transaction, COUNTRY_ASKER, asker),
        Change::SetMode(mode) => set(transaction, MODE, mode),
        Change::SetProtection(protection) => set(transaction, PROTECTION, protection),
        Change::SetSite(site) => set(transaction, SITE, site),
        Change::SetSignallingClosed(at) => set(transaction, SIGNALLING_CLOSED, at),
    }
}

/// Reads the whole ledger.
///
/// A row that cannot be understood is an error, never left out: a block that is lost would open,
/// and an account that is lost would shut somebody out.
pub(super) fn load(connection: &Connection) -> Result<Ledger, String> {
    let mut ledger = Ledger {
        mode: setting(connection, MODE)?,
        protection: setting(connection, PROTECTION)?,
        site: setting(connection, SITE)?,
        countries: setting(connection, COUNTRIES)?,
        country_asker: setting(connection, COUNTRY_ASKER)?,
        signalling_closed: setting(connection, SIGNALLING_CLOSED)?,
        ..Ledger::default()
    };
    let mut accounts: Vec<Account> = Vec::new();
    for_each(connection, "accounts", "SELECT body FROM accounts", |mut account| {
        ledger.compact(&mut account);
        accounts.push(account);
    })?;
    let blocks = bodies::<Block>(connection, "blocks", "SELECT body FROM blocks")?;
    let feeds = "SELECT json_array(json(body), json(state)) FROM feeds";
    for (feed, state) in bodies::<(Feed, FeedState)>(connection, "feeds", feeds)? {
        ledger.feeds.insert(feed.name.clone(), (feed, state));
    }
    // A read-only command may run before the daemon has migrated the database.
    let has_denials =
        super::migrations::version(connection).is_ok_and(|version| version >= DENIALS_SINCE);
    let denials = match has_denials {
        true => bodies::<Denial>(connection, "denials", "SELECT body FROM denials")?,
        false => Vec::new(),
    };
    ledger.load(accounts, blocks, denials);
    Ok(ledger)
}

fn set(transaction: &Transaction<'_>, key: &str, value: &impl Serialize) -> rusqlite::Result<()> {
    let command = "INSERT OR REPLACE INTO settings (key, body) VALUES (?1, ?2)";
    transaction.execute(command, params![key, json(value)?]).map(|_| ())
}

fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn setting<T: DeserializeOwned + Default>(connection: &Connection, key: &str) -> Result<T, String> {
    let query = "SELECT body FROM settings WHERE key = ?1";
    let body = connection.query_row(query, [key], |row| row.get::<_, String>(0));
    match body {
        Ok(body) => understand("settings", &body),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(T::default()),
        Err(error) => Err(error.to_string()),
    }
}

fn bodies<T: DeserializeOwned>(
    connection: &Connection,
    table: &str,
    query: &str,
) -> Result<Vec<T>, String> {
    let mut bodies = Vec::new();
    for_each(connection, table, query, |body| bodies.push(body))?;
    Ok(bodies)
}

/// Reads row by row: the texts of many rows at once would double what the daemon needs at its start.
fn for_each<T: DeserializeOwned>(
    connection: &Connection,
    table: &str,
    query: &str,
    mut found: impl FnMut(T),
) -> Result<(), String> {
    let failed = |error: rusqlite::Error| error.to_string();
    let mut statement = connection.prepare(query).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let body = row.get_ref(0).map_err(failed)?;
        found(understand(table, body.as_str().map_err(|error| error.to_string())?)?);
    }
    Ok(())
}

fn understand<T: DeserializeOwned>(table: &str, body: &str) -> Result<T, String> {
    serde_json::from_str(body).map_err(|error| {
        let shown: String = body.chars().take(200).collect();
        format!("a row of the table \"{table}\" cannot be understood: {error}: {shown}")
    })
}
