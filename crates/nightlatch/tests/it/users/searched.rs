//! The secrets of real users are searched for in all that the program says and writes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{card, secrets, server, stage};
use crate::support::{self, Installation, told};

/// Everything that commands say, but the card.
fn all_outputs(nightlatch: &Installation<'_>) -> String {
    let mut said = String::new();
    for words in [
        "status",
        "list",
        "user list",
        "user show anna",
        "log",
        "check",
        "services",
        "feed list",
        "country list",
        "peer list",
        "why 203.0.113.7",
        "lease anna 203.0.113.7",
        "user card anna",
        "user add anna --services sip",
        "user set anna --note other",
        "user rotate bob --keys knock",
        "log --verify",
    ] {
        for json in [&[][..], &["--json"]] {
            let words: Vec<&str> = words.split(' ').chain(json.iter().copied()).collect();
            said += &told(&nightlatch.run_it(&words));
        }
    }
    said + &nightlatch.must(&["log", "--csv"]) + &nightlatch.log()
}

/// The database as SQL, without the table of secrets.
fn dump(nightlatch: &Installation<'_>) -> String {
    let path = nightlatch.state().join("nightlatch.db");
    let tables = "SELECT group_concat(name, ' ') FROM sqlite_schema WHERE type = 'table' AND name <> 'secrets'";
    let database = rusqlite::Connection::open(path).unwrap();
    let tables: String = database.query_row(tables, [], |row| row.get(0)).unwrap();
    let mut dump = String::new();
    for table in tables.split(' ') {
        let mut statement = database.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                dump += &match row.get_ref(column).unwrap() {
                    rusqlite::types::ValueRef::Text(text) => {
                        String::from_utf8_lossy(text).into_owned()
                    }
                    other => format!("{other:?}"),
                };
                dump.push('\n');
            }
        }
    }
    assert!(dump.contains("user-add"), "{dump}");
    dump
}

/// In which files below a folder a text is.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if let Ok(bytes) = std::fs::read(&path)
            && has(&bytes, text)
        {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

/// Whether a secret is in some bytes: a number only as a whole one.
fn has(bytes: &[u8], secret: &str) -> bool {
    let is_number = secret.bytes().all(|byte| byte.is_ascii_digit());
    let is_digit =
        |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    bytes.windows(secret.len()).enumerate().any(|(at, window)| {
        let is_part = is_digit(at.checked_sub(1)) || is_digit(Some(at + secret.len()));
        window == secret.as_bytes() && !(is_number && is_part)
    })
}

fn appear_nowhere(nightlatch: &Installation<'_>, secrets: &[String]) {
    let said = all_outputs(nightlatch) + &dump(nightlatch);
    for secret in secrets {
        assert!(!has(said.as_bytes(), secret), "{secret} shows: {said}");
        let mut files = files_with(nightlatch.directory(), secret);
        files.retain(|name| !name.starts_with("nightlatch.db"));
        assert_eq!(files, [] as [&str; 0], "{secret}");
    }
}

/// In no file at all, the database included. A number of five digits may be in binary data by chance.
fn are_erased(nightlatch: &Installation<'_>, secrets: &[String]) {
    for secret in secrets.iter().filter(|secret| secret.len() > 5) {
        assert_eq!(files_with(nightlatch.directory(), secret), [] as [&str; 0], "{secret}");
    }
}

/// Has notices given to a command, and returns the file in which it keeps them.
fn with_notices(nightlatch: &Installation<'_>) -> PathBuf {
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let (written, program) =
        (nightlatch.directory().join("written"), nightlatch.directory().join("tell"));
    std::fs::create_dir(&written).unwrap();
    mode(&written, 0o777);
    mode(nightlatch.directory(), 0o755);
    let told = written.join("told");
    support::write_program(&program, &format!("#!/bin/sh\ncat >> {}\n", told.display()));
    let command = format!("[notices]\ncommand = [\"{}\"]\n", program.display());
    nightlatch.configure(&format!("{}\n{command}", support::ASTERISK));
    told
}

#[test]
fn secrets_are_on_the_card_alone_and_erased_when_they_are_replaced() {
    let Some(stage) = stage() else { return };
    let nightlatch = server(&stage);
    let told = with_notices(&nightlatch);
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    nightlatch.must(&["user", "add", "anna", "--services", "sip,web", "--keys", "knock,spa,agent"]);
    nightlatch.must(&["user", "add", "bob", "--services", "sip", "--keys", "knock,spa"]);
    // Only its hash is kept of a user agent that was shown, so the first card is the one to read.
    let anna = card(&nightlatch, "anna");
    let bob = card(&nightlatch, "bob");
    let mut all = secrets(&anna);
    assert_eq!((all.len(), secrets(&bob).len()), (7, 6));
    assert!(!card(&nightlatch, "anna").contains_key("USER_AGENT"));
    are_erased(&nightlatch, &[anna["USER_AGENT"].clone()]);
    all.extend(secrets(&bob));
    // So that there is a notice.
    nightlatch.must(&["down", "--yes"]);
    nightlatch.must(&["up", "--yes"]);
    support::wait_until("a notice is given", std::time::Duration::from_secs(30), || {
        std::fs::read_to_string(&told).is_ok_and(|text| text.contains("off"))
    });
    appear_nowhere(&nightlatch, &all);
    // The keys that count are in the database, so the search finds what there is.
    let in_files = files_with(nightlatch.directory(), &anna["KEY"]);
    assert!(in_files.iter().any(|name| name.starts_with("nightlatch.db")), "{in_files:?}");

    nightlatch.must(&["user", "rotate", "anna"]);
    are_erased(&nightlatch, &secrets(&anna));
    let renewed = card(&nightlatch, "anna");
    assert!(secrets(&renewed).iter().all(|secret| !all.contains(secret)));
    all.extend(secrets(&renewed));
    appear_nowhere(&nightlatch, &all);
    nightlatch.must(&["user", "revoke", "anna"]);
    are_erased(&nightlatch, &all[..7]);
    are_erased(&nightlatch, &secrets(&renewed));
    let said = nightlatch.must_exit(1, &["user", "card", "anna", "--again"]);
    assert!(said.contains("there is no user \"anna\""), "{said}");
    // Whatever the daemon does next, nothing of it comes back.
    daemon.kill();
    let daemon = nightlatch.daemon();
    are_erased(&nightlatch, &secrets(&renewed));
    let again = card(&nightlatch, "bob");
    assert_eq!(again.get("KEY"), bob.get("KEY"));
    nightlatch.must(&["user", "revoke", "bob"]);
    daemon.stop();
    are_erased(&nightlatch, &all);
    nightlatch.must(&["down", "--yes"]);
}

#[test]
fn erasing_waits_for_whoever_reads_the_database() {
    let Some(stage) = stage() else { return };
    let nightlatch = server(&stage);
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["user", "add", "anna", "--services", "sip"]);
    let key = card(&nightlatch, "anna")["KEY"].clone();
    let reader = rusqlite::Connection::open(nightlatch.state().join("nightlatch.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM records").unwrap();
    // It no longer counts, and the administrator is told that it is still there.
    nightlatch.must(&["user", "revoke", "anna"]);
    let log = nightlatch.log();
    assert!(
        log.contains("could not erase replaced or removed secrets") && !log.contains(&key),
        "{log}"
    );
    assert!(!files_with(nightlatch.directory(), &key).is_empty());
    // Changes do not wait for that.
    let start = support::now();
    for number in 0..5 {
        nightlatch.must(&["user", "add", &format!("n{number}"), "--services", "sip"]);
    }
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    reader.execute_batch("COMMIT").unwrap();
    support::wait_until("it is erased", std::time::Duration::from_secs(30), || {
        files_with(nightlatch.directory(), &key).is_empty()
    });
}
