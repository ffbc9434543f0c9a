//! The daemon begins with the database of an earlier version.

use std::path::PathBuf;

use serde_json::Value;

use super::*;

/// What an earlier version left, and said before: see `data/README.md`.
fn old(layout: u32, file: &str) -> PathBuf {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/data");
    data.join(format!("layout-{layout}/open")).join(file)
}

fn said(layout: u32, command: &str) -> String {
    std::fs::read_to_string(old(layout, &format!("{command}.json"))).unwrap()
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Compares what the program says now with what the earlier version said.
fn says_the_same(nightlatch: &Installation<'_>, layout: u32) {
    // Later versions list more kinds of records; of those there are none yet.
    let (list, before) = (nightlatch.json(&["list"]), read(&said(layout, "list")));
    for (kind, records) in list["list"].as_object().unwrap() {
        let before = before["list"].get(kind).cloned().unwrap_or_else(|| Value::Array(Vec::new()));
        assert_eq!(*records, before, "{kind}");
    }
    assert_eq!(
        nightlatch.json(&["country", "list"])["rules"],
        read(&said(layout, "countries"))["rules"]
    );
    // The lists themselves are looked for again, and their states change.
    let feeds = |all: Value| -> Vec<Value> {
        all.as_array().unwrap().iter().map(|one| one["feed"].clone()).collect()
    };
    let found = feeds(nightlatch.json(&["feed", "list"]));
    assert_eq!((found.len(), found), (4, feeds(read(&said(layout, "feeds")))));
    let (status, before) = (nightlatch.json(&["status"]), read(&said(layout, "status")));
    for field in ["protection", "mode", "strangers_reach"] {
        assert_eq!(status[field], before[field], "{field}");
    }
}

/// The log goes on where it was, and is whole.
fn keeps_the_log(nightlatch: &Installation<'_>, layout: u32) {
    let before = said(layout, "log");
    let now = nightlatch.must(&["log", "--json"]);
    assert!(before.lines().count() >= 30);
    for (now, before) in now.lines().zip(before.lines()) {
        assert_eq!(read(now), read(before));
    }
    assert!(now.lines().count() >= before.lines().count());
    let verified = nightlatch.json(&["log", "--verify"]);
    assert_eq!(verified["whole"], true, "{verified}");
}

#[test]
fn the_daemon_begins_with_an_old_database() {
    let Some(stage) = stage() else {
        return;
    };
    for layout in [1, 2, 3] {
        println!("layout {layout}");
        let server = stage.host("server").unwrap();
        let nightlatch = Installation::on(server).with_asterisk();
        let path = nightlatch.state().join("nightlatch.db");
        std::fs::copy(old(layout, "nightlatch.db"), path).unwrap();
        // Before the daemon has seen it, too.
        keeps_the_log(&nightlatch, layout);
        nightlatch.must(&["boot"]);
        for _ in 0..2 {
            let daemon = nightlatch.daemon();
            says_the_same(&nightlatch, layout);
            keeps_the_log(&nightlatch, layout);
            daemon.kill();
        }
        let _daemon = nightlatch.daemon();
        nightlatch.must(&["remove", "office"]);
        nightlatch.must(&["unblock", "203.0.113.66"]);
        assert!(!nightlatch.must(&["list"]).contains("office"));
        keeps_the_log(&nightlatch, layout);
        nightlatch.must(&["down", "--yes"]);
    }
}

#[test]
fn on_a_full_disk_an_old_database_stays_old() {
    let Some(stage) = stage() else {
        return;
    };
    for layout in [1, 2, 3] {
        let server = stage.host("server").unwrap();
        let nightlatch = Installation::on(server).with_asterisk();
        let folder = nightlatch.state();
        let folder = folder.display();
        let database = old(layout, "nightlatch.db");
        let database = database.display();
        // There is room to open it, but not for another layout. The last step makes only a table.
        let room = if layout == 3 { "36k" } else { "48k" };
        let fill = format!(
            "mount -t tmpfs -o size=1m tmpfs {folder}
            cp {database} {folder}/nightlatch.db
            dd if=/dev/zero of={folder}/filler bs=4k 2> /dev/null || true
            truncate -s -{room} {folder}/filler"
        );
        shell(server, &fill);
        check(&ends(&nightlatch), 74, &["nightlatch.db", "full", "left unchanged"]);
        shell(server, &format!("cmp {database} {folder}/nightlatch.db; rm {folder}/filler"));
        {
            let _daemon = nightlatch.daemon();
            says_the_same(&nightlatch, layout);
            keeps_the_log(&nightlatch, layout);
            nightlatch.must(&["down", "--yes"]);
        }
        shell(server, &format!("umount {folder}"));
    }
}

/// Runs a shell script on the server, in its own mounts; it must succeed.
fn shell(server: &Host, script: &str) {
    let output = server.command("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", told(&output));
}
