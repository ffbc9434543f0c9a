//! The disk is full, the database is damaged.

use std::path::Path;

use rusqlite::Connection;

use super::*;

#[test]
fn a_full_disk_changes_nothing() {
    let Some(stage) = stage() else {
        return;
    };
    let scene = Scene::new(&stage);
    let nightlatch = &scene.nightlatch;
    let folder = nightlatch.state();
    let folder = folder.display();
    scene.shell(&format!("mount -t tmpfs -o size=2m tmpfs {folder}"));
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let office = scene.office.v4().to_string();
    nightlatch.must(&["allow", "office", &office]);
    let traveller = stage.host("traveller").unwrap();
    nightlatch.must(&["allow", "guest", &traveller.v4().to_string(), "--for", "3s"]);
    reaches(traveller, scene.server.v4(), &SERVICES);
    let fill = format!("dd if=/dev/zero of={folder}/filler bs=4k 2> /dev/null || true");
    scene.shell(&fill);

    let refusal = ["nothing was changed", "could not be saved", "full"];
    scene.untouched(|| {
        // A few pages may still be free in what SQLite holds already.
        let stranger = scene.stranger.v4().to_string();
        let allow = ["allow", "stranger", &stranger, "--note", &"x".repeat(900)];
        check(&nightlatch.run_it(&allow), 74, &refusal);
        check(&nightlatch.run_it(&["mode", "open"]), 74, &refusal);
        check(&nightlatch.run_it(&["down", "--yes"]), 74, &refusal);
        assert!(!nightlatch.must(&["list"]).contains("stranger"));
    });
    // What was for a time ends all the same.
    wait_until("the guest is out", Duration::from_secs(10), || {
        !probe(traveller, scene.server.v4(), "tcp/22")
    });
    reaches(traveller, scene.server.v4(), &[]);
    // So does the daemon, and comes back.
    scene.untouched(|| daemon.kill());
    let daemon = nightlatch.daemon();
    reaches(traveller, scene.server.v4(), &[]);
    scene.is_guarded();
    check(&nightlatch.run_it(&["status"]), 0, &["on "]);

    scene.shell(&format!("rm {folder}/filler"));
    nightlatch.must(&["allow", "new", "203.0.113.99"]);
    assert!(nightlatch.must(&["log", "--verify"]).contains("intact"));
    drop(daemon);
}

#[test]
fn a_database_that_cannot_be_used_leaves_the_firewall() {
    let Some(stage) = stage() else {
        return;
    };
    let (scene, daemon) = Scene::guarded(&stage);
    let nightlatch = &scene.nightlatch;
    // The copy of the last good firewall is written a little later.
    let copy = nightlatch.state().join("last-good.json");
    wait_until("the copy holds the office", Duration::from_secs(15), || {
        std::fs::read_to_string(&copy).unwrap_or_default().contains("203.0.113.10")
    });
    daemon.kill();
    let path = nightlatch.state().join("nightlatch.db");
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    Connection::open(&path).unwrap().query_row(checkpoint, [], |_| Ok(())).unwrap();
    let good = std::fs::read(&path).unwrap();

    let try_it = |name: &str, words: &[&str], damage: &dyn Fn(&Path)| {
        println!("{name}");
        for file in ["nightlatch.db", "nightlatch.db-wal", "nightlatch.db-shm"] {
            let _ = std::fs::remove_file(nightlatch.state().join(file));
        }
        std::fs::write(&path, &good).unwrap();
        damage(&path);
        scene.untouched(|| {
            check(&scene.daemon_ends(), 74, words);
            // It looks at the whole machine first; a few times are enough.
            if ["no bytes at all", "another file", "a bad account"].contains(&name) {
                let up = nightlatch.run_it(&["up", "--yes"]);
                assert_eq!(up.status.code(), Some(74), "{name}: {}", told(&up));
            }
            check(&nightlatch.run_it(&["status"]), 69, &["The last good firewall is loaded"]);
        });
    };
    let left = ["nightlatch.db", "left unchanged", "backup"];
    try_it("no bytes at all", &left, &|path| std::fs::write(path, []).unwrap());
    try_it("gone", &left, &|path| std::fs::remove_file(path).unwrap());
    try_it("cut off in its first page", &left, &|path| {
        std::fs::write(path, &good[..100]).unwrap();
    });
    try_it("cut off in the middle", &left, &|path| {
        std::fs::write(path, &good[..good.len() / 2]).unwrap();
    });
    try_it("another file", &left, &|path| {
        std::fs::write(path, b"# not a database\n".repeat(1000)).unwrap();
    });
    try_it("random bytes in every page", &left, &|path| {
        let mut bytes = good.clone();
        let noise = (0..251u8).cycle();
        bytes.iter_mut().skip(100).zip(noise).for_each(|(byte, noise)| *byte ^= noise);
        std::fs::write(path, bytes).unwrap();
    });
    try_it("a folder", &left, &|path| {
        std::fs::remove_file(path).unwrap();
        std::fs::create_dir(path).unwrap();
    });
    std::fs::remove_dir(&path).unwrap();
    try_it(
        "of the future",
        &["it was written by a newer version of nightlatch (layout 99)"],
        &|path| {
            sql(path, "PRAGMA user_version = 99");
        },
    );
    let row = ["cannot be parsed", "accounts/office", "left unchanged", "backup"];
    try_it("a bad account", &row, &|path| {
        sql(path, "UPDATE records SET body = '{}' WHERE key = 'office'");
    });
    try_it("a bad address", &row, &|path| {
        sql(path, "UPDATE records SET body = replace(body, '203.0.113.10', '203.0.113.256')");
    });
    try_it("another name", &row, &|path| {
        sql(path, "UPDATE records SET body = replace(body, 'office', 'home')");
    });
    let row = ["cannot be parsed", "firewall/protection", "left unchanged", "backup"];
    try_it("a bad setting", &row, &|path| {
        sql(path, "UPDATE records SET body = '\"sideways\"' WHERE key = 'protection'");
    });
    let unknown = ["unknown record \"quotas/192.0.2.7\"", "install that one"];
    try_it("an unknown feature", &unknown, &|path| {
        sql(path, "INSERT INTO records VALUES ('quotas', '192.0.2.7', '{}')");
    });
    try_it("a lost table", &["no such table"], &|path| sql(path, "DROP TABLE records"));

    // And whole again, all is as it was.
    std::fs::write(&path, &good).unwrap();
    scene.untouched(|| {
        let _daemon = nightlatch.daemon();
        assert!(nightlatch.must(&["list"]).contains("office"));
    });
}

fn sql(path: &Path, command: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(command).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}
