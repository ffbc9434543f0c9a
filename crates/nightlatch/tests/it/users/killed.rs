//! `kill -9` and a full disk: a user and the secrets are there together, or not at all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{card, server, stage};
use crate::support::{Installation, told};

/// How often the daemon is killed.
const KILLS: u64 = 20;

/// Each user with the kinds of credentials, as the record and as the secrets have it.
fn stored(nightlatch: &Installation<'_>) -> [BTreeMap<String, Vec<String>>; 2] {
    let database = rusqlite::Connection::open(nightlatch.state().join("nightlatch.db")).unwrap();
    let read = |query: &str| {
        let mut statement = database.prepare(query).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let rows = rows.map(Result::unwrap).map(|(name, body): (String, String)| {
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            let kinds = body.get("credentials").unwrap_or(&body).as_object().unwrap();
            let mut kinds: Vec<String> = kinds.keys().cloned().collect();
            kinds.sort();
            (name.strip_prefix("secrets/").unwrap_or(&name).to_owned(), kinds)
        });
        rows.collect::<BTreeMap<String, Vec<String>>>()
    };
    [
        read("SELECT key, body FROM records WHERE feature = 'users'"),
        read("SELECT key, body FROM secrets"),
    ]
}

#[test]
fn after_kill_minus_nine_no_user_is_without_secrets_and_no_secret_without_user() {
    let Some(stage) = stage() else { return };
    let nightlatch = server(&stage);
    let over = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        let changes = scope.spawn(|| {
            let mut acknowledged = 0;
            for turn in 0_u32.. {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let name = format!("n{}", turn % 5);
                let words = match turn / 5 % 4 {
                    0 => format!("user add {name} --services sip --keys knock,spa,agent"),
                    1 => format!("user rotate {name} --keys spa,agent"),
                    2 => format!("user rotate {name}"),
                    _ => format!("user revoke {name}"),
                };
                let words: Vec<&str> = words.split(' ').collect();
                acknowledged += u32::from(nightlatch.run_it(&words).status.success());
            }
            acknowledged
        });
        for kill in 0..KILLS {
            let daemon = nightlatch.daemon();
            std::thread::sleep(Duration::from_millis(40 + kill * 67 % 400));
            daemon.kill();
            let [records, secrets] = stored(&nightlatch);
            assert_eq!(records, secrets, "kill {kill}");
        }
        over.store(true, Ordering::SeqCst);
        changes.join().unwrap()
    });
    assert!(acknowledged > 20, "only {acknowledged} changes");
    let _daemon = nightlatch.daemon();
    let [records, _] = stored(&nightlatch);
    let listed = nightlatch.json(&["user", "list"]);
    let listed = listed.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap());
    assert_eq!(listed.collect::<Vec<_>>(), records.keys().map(String::as_str).collect::<Vec<_>>());
    for name in records.keys() {
        assert!(card(&nightlatch, name).contains_key("KEY"));
    }
}

#[test]
fn on_a_full_disk_nothing_is_half_done() {
    let Some(stage) = stage() else { return };
    let nightlatch = server(&stage);
    let (state, host) = (nightlatch.state(), stage.host("server").unwrap());
    let shell = |script: &str| {
        let output = host.command("sh").args(["-ec", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", told(&output));
    };
    shell(&format!("mount -t tmpfs -o size=2m tmpfs {}", state.display()));
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["user", "add", "anna", "--services", "sip", "--keys", "knock,spa,agent"]);
    let before = card(&nightlatch, "anna");
    let list = nightlatch.json(&["user", "list"]);
    shell(&format!("dd if=/dev/zero of={}/filler bs=4k 2> /dev/null || true", state.display()));
    for words in [
        "user add bob --services sip",
        "user rotate anna",
        "user revoke anna",
        "user set anna --services web",
        "user card anna --again",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let said = nightlatch.must_exit(74, &words);
        assert!(said.contains("nothing was changed") && !said.contains(&before["KEY"]), "{said}");
    }
    assert_eq!(nightlatch.json(&["user", "list"]), list);
    shell(&format!("rm {}/filler", state.display()));
    let after = card(&nightlatch, "anna");
    assert_eq!(after.get("KEY"), before.get("KEY"));
    nightlatch.must(&["user", "revoke", "anna"]);
    let key = &before["KEY"];
    shell(&format!("! grep -rqF '{key}' {}", state.display()));
}
