//! Secrets: kept apart, whole or not at all, and really erased.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;

use nightlatch_core::features::users::{self, Credential, Kind, Secrets, User};
use nightlatch_core::secret::Secret;

use super::*;

fn user(number: usize) -> User {
    let credential = Credential { fingerprint: format!("{number:016x}"), since: NOW };
    User {
        hours: None,
        name: format!("user-{number}").parse().unwrap(),
        services: Grant::parse("sip").unwrap(),
        credentials: [(Kind::Spa, credential)].into(),
        idle_seconds: None,
        any_address: false,
        require_address: false,
        note: String::new(),
        since: NOW,
        by: "anna".to_owned(),
        card_shown: None,
    }
}

/// What is planted into the secrets of a user: `generation` tells new from old.
fn planted(number: usize, generation: usize) -> String {
    format!("planted-{number:04}-{generation:04}")
}

fn secrets(number: usize, generation: usize) -> Secrets {
    let key = |end: &str| Secret::new(format!("{}{end}", planted(number, generation).repeat(3)));
    let spa = users::Spa { port: Secret::new(4000), key: key("="), hmac_key: key("==") };
    Secrets { spa: Some(spa), ..Secrets::default() }
}

fn put(number: usize, generation: usize) -> [Change; 2] {
    users::put(user(number), secrets(number, generation))
}

/// All that is planted anywhere in the files of the state.
fn found(paths: &Paths) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(&paths.state_dir).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let at = bytes.windows(8).enumerate().filter(|(_, window)| window == b"planted-");
        for (at, _) in at {
            let text = bytes.get(at..at + "planted-0000-0000".len()).unwrap_or_default();
            found.insert(String::from_utf8_lossy(text).into_owned());
        }
    }
    found
}

/// Writes changes down, and erases, as the store lane does.
fn commit_and_erase(store: &mut Store, changes: &[Change]) {
    commit(store, changes, &[record("users")]).unwrap();
    store.erase().unwrap();
    assert!(!store.is_erasing());
}

#[test]
fn secrets_are_in_their_own_table_alone() {
    let (_folder, paths) = paths();
    let mut store = Store::open(&paths).unwrap();
    commit_and_erase(&mut store, &put(1, 1));
    assert_eq!(store.state().unwrap().users.secrets.values().next(), Some(&secrets(1, 1)));
    assert_eq!(found(&paths), [planted(1, 1)].into());
    store.connection.execute_batch("DELETE FROM secrets").unwrap();
    store.is_erasing = true;
    store.erase().unwrap();
    assert_eq!(found(&paths), BTreeSet::new(), "they were in another table too");
    assert_eq!(store.state().unwrap().users.all.len(), 1);
    for file in std::fs::read_dir(&paths.state_dir).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

#[test]
fn a_database_that_others_may_read_is_closed_to_them() {
    let (_folder, paths) = paths();
    drop(Store::open(&paths).unwrap());
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(paths.database(), open).unwrap();
    let _store = Store::open(&paths).unwrap();
    assert_eq!(std::fs::metadata(paths.database()).unwrap().mode() & 0o777, 0o600);
}

/// Rows of several hundred users wander between pages when others come and go; copies that stay behind
/// would be found.
#[test]
fn what_is_replaced_or_removed_is_in_no_file() {
    const USERS: usize = 300;
    let (_folder, paths) = paths();
    let mut store = Store::open(&paths).unwrap();
    let mut generations = std::collections::BTreeMap::new();
    // Whose turn it is: a fixed sequence that looks random (of a linear congruential generator).
    let mut dice = 1_usize;
    for turn in 0..500 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (dice >> 33) % USERS;
        let is_removed = generations.contains_key(&number) && turn % 3 == 0;
        if is_removed {
            generations.remove(&number);
            commit_and_erase(&mut store, &users::removed(user(number).name));
        } else {
            generations.insert(number, turn);
            commit_and_erase(&mut store, &put(number, turn));
        }
        if turn % 20 == 0 || is_removed {
            let expected = generations.iter().map(|(number, turn)| planted(*number, *turn));
            assert_eq!(found(&paths), expected.collect(), "turn {turn}");
        }
    }
    let state = store.state().unwrap();
    assert_eq!(state.users.secrets.len(), generations.len());
    for (number, turn) in &generations {
        assert_eq!(state.users.secrets[&user(*number).name], secrets(*number, *turn));
    }
}

#[test]
fn of_several_rows_of_one_commit_the_last_counts() {
    let (_folder, paths) = paths();
    let mut store = Store::open(&paths).unwrap();
    let changes = [put(1, 1), put(1, 2), put(2, 1), users::removed(user(2).name)].concat();
    commit_and_erase(&mut store, &changes);
    assert_eq!(found(&paths), [planted(1, 2)].into());
    let changes = [users::removed(user(1).name), put(1, 3), put(2, 2)].concat();
    commit_and_erase(&mut store, &changes);
    assert_eq!(found(&paths), [planted(1, 3), planted(2, 2)].into());
}

#[test]
fn where_somebody_reads_erasing_waits() {
    let (_folder, paths) = paths();
    let mut store = Store::open(&paths).unwrap();
    commit_and_erase(&mut store, &put(1, 1));
    let reader = Connection::open(paths.database()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM records").unwrap();
    store.connection.busy_timeout(Duration::from_millis(1)).unwrap();
    commit(&mut store, &put(1, 2), &[]).unwrap();
    assert_eq!(store.erase(), Err("another program is reading the database".to_owned()));
    assert!(store.is_erasing());
    assert!(found(&paths).contains(&planted(1, 1)));
    reader.execute_batch("COMMIT").unwrap();
    store.erase().unwrap();
    assert_eq!(found(&paths), [planted(1, 2)].into());
}

/// A daemon that is killed between its commit and erasing leaves the write-ahead log.
#[test]
fn the_next_start_erases_what_a_killed_daemon_left() {
    let (folder, paths) = paths();
    let mut store = Store::open(&paths).unwrap();
    commit_and_erase(&mut store, &put(1, 1));
    commit(&mut store, &put(1, 2), &[]).unwrap();
    let copy = folder.path().join("copy");
    make_folder(&copy).unwrap();
    for name in ["nightlatch.db", "nightlatch.db-wal"] {
        std::fs::copy(paths.state_dir.join(name), copy.join(name)).unwrap();
    }
    let copied = Paths { state_dir: copy, ..paths };
    assert!(found(&copied).contains(&planted(1, 1)));
    let store = Store::open(&copied).unwrap();
    assert!(!store.is_erasing());
    assert_eq!(found(&copied), [planted(1, 2)].into());
    assert_eq!(store.state().unwrap().users.secrets.values().next(), Some(&secrets(1, 2)));
}

#[test]
fn on_a_full_disk_users_and_secrets_stay_as_they_were() {
    let (_folder, paths) = paths();
    let mut store = Store::open(&paths).unwrap();
    commit_and_erase(&mut store, &put(1, 1));
    let pages: u32 = store.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let state = store.state().unwrap();
    store.connection.pragma_update(None, "max_page_count", pages).unwrap();
    let many: Vec<Change> =
        (1..200).flat_map(|number| put(number, 2)).chain(users::removed(user(1).name)).collect();
    let error = commit(&mut store, &many, &[]).unwrap_err();
    assert!(error.contains("full") && !error.contains("planted"), "{error}");
    assert_eq!(store.state().unwrap(), state);
}

#[test]
fn a_secret_that_cannot_be_understood_is_not_shown() {
    let (_folder, paths) = paths();
    let mut store = Store::open(&paths).unwrap();
    commit_and_erase(&mut store, &put(1, 1));
    store
        .connection
        .execute_batch("UPDATE secrets SET body = replace(body, '4000', '\"x\"')")
        .unwrap();
    let message = store.state().unwrap_err().message;
    assert!(message.contains("the record \"users/secrets/user-1\" cannot be"), "{message}");
    assert!(!message.contains("planted"), "{message}");
}
