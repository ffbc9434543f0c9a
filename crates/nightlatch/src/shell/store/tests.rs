mod migration;
mod secrets;

use std::os::unix::fs::PermissionsExt as _;

use nightlatch_core::audit::{Occurrence, ourselves};
use nightlatch_core::features::accounts::{self, Account, Entry as Lets};
use nightlatch_core::features::blocks::{self, Block};
use nightlatch_core::features::countries::{self, CountryAsker, CountryRules};
use nightlatch_core::features::denials::{self, Denial, DenialCause};
use nightlatch_core::features::feeds::{self, Feed, FeedState};
use nightlatch_core::features::{Change, firewall, peers};
use nightlatch_core::posture::{Mode, Protection, Site};
use nightlatch_core::service::Grant;
use proptest::prelude::*;

use super::*;
use crate::shell::clock::Clock;

const NOW: Time = Time::from_millis(1_795_166_220_000);

fn paths() -> (tempfile::TempDir, Paths) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let paths = Paths {
        config: at("config"),
        state_dir: at("state"),
        run_dir: at("run"),
        root: at("root"),
    };
    make_folder(&paths.state_dir).unwrap();
    (folder, paths)
}

fn record(subject: &str) -> Record {
    Occurrence::new("test", subject, &(), &"x").by(&ourselves())
}

fn account(name: &str) -> Account {
    Account {
        hours: None,
        name: name.parse().unwrap(),
        entries: vec![
            Lets::Range("203.0.113.0/24".parse().unwrap()),
            Lets::Host {
                name: "office.example.net".parse().unwrap(),
                addresses: vec!["2001:db8::7".parse().unwrap()],
            },
        ],
        services: Grant::parse("sip,web").unwrap(),
        until: Some(NOW),
        note: "über \"quotes\" and '; DROP TABLE accounts; --".to_owned(),
        allow_private: false,
        since: NOW,
        by: "anna from 203.0.113.7".to_owned(),
    }
}

fn block(range: &str) -> Block {
    let (range, reason) = (range.parse().unwrap(), String::new());
    Block { range, until: None, reason, since: NOW, by: "anna".to_owned() }
}

fn denial(range: &str, since: Time) -> Denial {
    let cause = DenialCause::AccountGone { account: "a".to_owned() };
    Denial::new(range.parse().unwrap(), cause, since)
}

fn feed(name: &str) -> Feed {
    Feed {
        name: name.parse().unwrap(),
        source: "https://192.0.2.80/'\";--".to_owned(),
        format: "auto".to_owned(),
        headers: vec![("Accept".to_owned(), "text/plain".to_owned())],
        key_file: None,
        every: Duration::from_secs(3600),
        since: NOW,
        by: "anna".to_owned(),
        origin: Some("2001:db8::7".parse().unwrap()),
    }
}

/// Writes changes down, as the store lane does.
fn commit(store: &mut Store, changes: &[Change], records: &[Record]) -> Result<(), String> {
    commit_at(store, changes, records, NOW)
}

fn commit_at(
    store: &mut Store,
    changes: &[Change],
    records: &[Record],
    now: Time,
) -> Result<(), String> {
    let rows: Vec<Row> = changes.iter().map(|change| change.row().unwrap()).collect();
    store.commit(&rows, records, now)
}

/// One of each kind, more than once.
fn changes() -> Vec<Change> {
    let range = |text: &str| text.parse().unwrap();
    let trial = Protection::Trial {
        since: NOW,
        until: NOW,
        before: Some(Mode::Open),
        before_since: Some(NOW),
    };
    let rules = CountryRules { blocked: ["cn".parse().unwrap()].into(), ..CountryRules::default() };
    vec![
        accounts::put(account("a")),
        accounts::put(Account { services: Grant::All, until: None, ..account("a") }),
        accounts::put(account("b")),
        accounts::removed("a".parse().unwrap()),
        blocks::put(block("192.0.2.0/24")),
        blocks::put(Block { until: Some(NOW), ..block("192.0.2.0/24") }),
        blocks::put(block("2001:db8::1-2001:db8::9")),
        blocks::removed(range("192.0.2.0/24")),
        firewall::set_mode(Mode::Open),
        firewall::set_mode(Mode::Allowlist),
        firewall::set_protection(Protection::On { since: NOW }),
        firewall::set_protection(trial),
        firewall::set_protection(Protection::Off),
        firewall::set_site(Site {
            guarded: vec![(range("::1"), "it".to_owned())],
            ..Site::default()
        }),
        denials::put(denial("203.0.113.7", NOW)),
        denials::put(denial("203.0.113.7", Time::from_millis(1))),
        denials::put(denial("::/64", NOW)),
        denials::removed(range("::/64")),
        feeds::put(feed("a"), FeedState { failures: 3, ..FeedState::default() }),
        feeds::put(feed("b"), FeedState::default()),
        feeds::removed("a".parse().unwrap()),
        countries::set_rules(rules.clone()),
        countries::set_rules(CountryRules::default()),
        countries::set_asker(Some(CountryAsker { origin: None, before: rules })),
        countries::set_asker(None),
        peers::set_signalling_closed(Some(NOW)),
        peers::set_signalling_closed(None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(
        picked in proptest::collection::vec(any::<proptest::sample::Index>(), 1..30)
    ) {
        let (_folder, paths) = paths();
        let mut state = State::default();
        let all = changes();
        for picked in picked {
            let change = picked.get(&all).clone();
            let _ = state.apply(change.clone());
            let mut store = Store::open(&paths).unwrap();
            commit(&mut store, &[change], &[record("x")]).unwrap();
            prop_assert_eq!(&store.state().unwrap(), &state);
        }
        let read = Store::open_to_read(&paths.database()).unwrap();
        prop_assert_eq!(&read.state().unwrap(), &state);
        prop_assert!(verify(&read).is_ok());
    }
}

#[test]
fn a_change_and_its_record_are_written_together_or_not_at_all() {
    let (_folder, paths) = paths();
    let mut store = Store::open(&paths).unwrap();
    commit(&mut store, &[accounts::put(account("a"))], &[record("a")]).unwrap();
    let (state, pages): (_, u32) = (
        store.state().unwrap(),
        store.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap(),
    );
    store.connection.pragma_update(None, "max_page_count", pages).unwrap();
    let many: Vec<Change> = (0..100).map(|n| accounts::put(account(&format!("n{n}")))).collect();
    let error = commit(&mut store, &many, &[record("many")]).unwrap_err();
    assert!(error.contains("full"), "{error}");
    assert_eq!(store.state().unwrap(), state);
    assert_eq!(verify(&store), Ok(1));
    store.connection.pragma_update(None, "max_page_count", pages + 1000).unwrap();
    commit(&mut store, &many, &[record("many")]).unwrap();
    assert_eq!((store.state().unwrap().accounts.all.len(), verify(&store)), (101, Ok(2)));
}

#[test]
fn the_log_is_a_chain() {
    let (_folder, paths) = paths();
    let mut store = Store::open(&paths).unwrap();
    assert_eq!((verify(&store), store.last_written()), (Ok(0), Time::from_millis(0)));
    for second in 1..=5 {
        let time = Time::from_millis(second * 1000);
        store.commit(&[], &[record("same"), record("same")], time).unwrap();
    }
    assert_eq!((verify(&store), store.last_written()), (Ok(10), Time::from_millis(5000)));
    let all = entries(&store, None).unwrap();
    let numbers: Vec<i64> = all.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    // The same text at the same time, and yet another hash.
    assert_ne!(all[0].hash, all[1].hash);
    assert_eq!(entries(&store, Some(Time::from_millis(4000))).unwrap().len(), 4);
    assert_eq!(entries_after(&store, 7).unwrap().len(), 3);
    assert_eq!(all[9].record, record("same"));
}

#[test]
fn the_clock_never_shows_less_than_what_was_written_last() {
    let (_folder, paths) = paths();
    let mut store = Store::open(&paths).unwrap();
    let future = crate::shell::clock::now().after(Duration::from_secs(3600));
    store.commit(&[], &[record("x")], future).unwrap();
    // As after a boot without a battery: the wall clock shows an hour less.
    let clock = Clock::not_before(store.last_written());
    let first = clock.now();
    assert!(first >= future && first < future.after(Duration::from_secs(60)));
    // From there it runs.
    std::thread::sleep(Duration::from_millis(20));
    assert!(clock.now() >= first.after(Duration::from_millis(20)));
    let right = Clock::not_before(Time::from_millis(0)).now();
    assert!(right < future && right.since(crate::shell::clock::now()) < Duration::from_secs(60));
}

#[test]
fn one_writes_and_others_read() {
    let (_folder, paths) = paths();
    let mut writer = Store::open(&paths).unwrap();
    let reader = Store::open_to_read(&paths.database()).unwrap();
    assert_eq!(reader.state().unwrap(), State::default());
    commit(&mut writer, &[blocks::put(block("192.0.2.1"))], &[record("x")]).unwrap();
    assert_eq!(reader.state().unwrap().blocks.all.len(), 1);
    let refused = reader.connection.execute("DELETE FROM records", []).unwrap_err().to_string();
    assert!(refused.contains("readonly"), "{refused}");
}

#[test]
fn notes_are_kept_beside_the_records() {
    let (_folder, paths) = paths();
    let store = Store::open(&paths).unwrap();
    assert_eq!(store.note("k"), None);
    for text in ["one", "two\n[open]\n\"'"] {
        store.keep_note("k", text).unwrap();
        assert_eq!(store.note("k").as_deref(), Some(text));
    }
    assert_eq!(store.state().unwrap(), State::default());
}

#[test]
fn a_database_is_begun_only_where_none_can_have_been() {
    let (_folder, paths) = paths();
    let mode = std::fs::metadata(&paths.state_dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(!is_there(&paths.database()).unwrap());
    // Killed in its first moment, a daemon leaves an empty file, or one without tables.
    std::fs::write(paths.database(), "").unwrap();
    drop(Store::open(&paths).unwrap());
    assert!(is_there(&paths.database()).unwrap());
    std::fs::remove_file(paths.database()).unwrap();
    let bare = Connection::open(paths.database()).unwrap();
    bare.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(bare);
    let read = Store::open_to_read(&paths.database()).unwrap();
    assert_eq!(read.state().unwrap(), State::default());
    drop((read, Store::open(&paths).unwrap()));

    // With the copy of a firewall beside it, an empty one is a lost one.
    std::fs::write(paths.last_good(), "{}").unwrap();
    drop(Store::open(&paths).unwrap());
    for lost in [true, false] {
        std::fs::remove_file(paths.database()).unwrap();
        if lost {
            std::fs::write(paths.database(), "").unwrap();
        }
        let failure = Store::open(&paths).unwrap_err();
        assert_eq!(failure.code, Code::Failed);
        assert!(failure.message.contains("is missing or empty"), "{failure}");
        std::fs::write(paths.database(), "").unwrap();
    }
}

#[test]
fn what_is_written_into_a_removed_file_is_not_acknowledged() {
    let (_folder, paths) = paths();
    let mut store = Store::open(&paths).unwrap();
    let mode = [firewall::set_mode(Mode::Open)];
    commit_at(&mut store, &mode, &[], Time::from_millis(1)).unwrap();
    std::fs::remove_file(paths.database()).unwrap();
    let error = commit_at(&mut store, &mode, &[], Time::from_millis(2)).unwrap_err();
    assert!(error.contains("was removed or replaced"), "{error}");
    std::fs::write(paths.database(), "another file").unwrap();
    assert!(commit_at(&mut store, &mode, &[], Time::from_millis(3)).is_err());
}

#[test]
fn cuts_of_the_first_layout_become_denials() {
    let (_folder, paths) = paths();
    let old = Connection::open(paths.database()).unwrap();
    old.execute_batch(super::migrations::first_layout()).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    old.execute("INSERT INTO cuts (range, since) VALUES ('203.0.113.7', 1000)", []).unwrap();
    drop(old);
    let since = Time::from_millis(1000);
    let cause = DenialCause::AccountGone { account: String::new() };
    let mut expected = State::default();
    let _ = expected.apply(denials::put(Denial::new("203.0.113.7".parse().unwrap(), cause, since)));
    // A read-only command runs first.
    let read = Store::open_to_read(&paths.database()).unwrap();
    assert_eq!(read.state().unwrap(), expected);
    drop(read);
    assert_eq!(Store::open(&paths).unwrap().state().unwrap(), expected);
}
