//! What `nightlatch boot` puts up when things are as they should be, and when they are not. A
//! reboot is played: the daemon is killed, and the table is gone.

use std::time::Duration;

use nightlatch::shell::client;
use nightlatch::shell::paths::Paths;
use nightlatch::wording;
use nightlatch_core::api::Request;
use nightlatch_core::features::firewall;
use nightlatch_core::pbx::PbxPeers;
use nightlatch_core::posture::{Mode, Site};

use super::*;

/// Kills the daemon and takes the table away.
fn reboot(scene: &Scene<'_>, daemon: Daemon) {
    daemon.kill();
    scene.shell("nft delete table inet nightlatch 2> /dev/null || true");
    reaches(scene.stranger, scene.server.v4(), &SERVICES);
}

/// The lines of a table: the order of its chains tells only which was there first.
fn parts(table: &str) -> Vec<String> {
    let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn boot(scene: &Scene<'_>, words: &[&str]) {
    check(&scene.nightlatch.run_it(&["boot"]), 0, words);
}

/// Waits until the copy of the last good firewall holds a text.
fn wait_for_copy(scene: &Scene<'_>, text: &str) {
    let copy = scene.nightlatch.state().join("last-good.json");
    wait_until("the copy is renewed", Duration::from_secs(15), || {
        std::fs::read_to_string(&copy).unwrap_or_default().contains(text)
    });
}

/// Puts the firewall up on trial, as `up` does at a terminal.
fn on_trial(scene: &Scene<'_>, mode: Mode) {
    on_trial_for(scene, mode, 60);
}

fn on_trial_for(scene: &Scene<'_>, mode: Mode, seconds: u64) {
    let nightlatch = &scene.nightlatch;
    let paths = Paths {
        config: nightlatch.config(),
        state_dir: nightlatch.state(),
        run_dir: nightlatch.run(),
        root: nightlatch.directory().to_owned(),
    };
    let trial = Some(Duration::from_secs(seconds));
    let (site, pbx) = (Site::default(), PbxPeers::default());
    let up = firewall::Up { mode: Some(mode), site, trial, pbx };
    let request = Request::of(firewall::Request::Up(up));
    let message = wording::done(&client::change(&paths, request).unwrap());
    assert!(message.contains("on trial"), "{message}");
}

#[test]
fn the_firewall_stands_again_as_it_stood() {
    let Some(stage) = stage() else {
        return;
    };
    let (scene, daemon) = Scene::guarded(&stage);
    let nightlatch = &scene.nightlatch;
    nightlatch.must(&["block", "203.0.113.200"]);
    let table = parts(&scene.table());
    let guest = stage.host("traveller").unwrap();
    nightlatch.must(&["allow", "guest", &guest.v4().to_string(), "--for", "1s"]);
    reboot(&scene, daemon);
    // The end of the guest comes while nobody looks.
    std::thread::sleep(Duration::from_millis(1100));
    boot(&scene, &[]);
    scene.is_guarded();
    reaches(guest, scene.server.v4(), &[]);
    assert_eq!(parts(&scene.table()), table);
    // A second time changes nothing; the daemon denies the guest, whose account has expired.
    scene.untouched(|| boot(&scene, &[]));
    nightlatch.daemon().kill();
    assert!(scene.table().contains(&format!("{} : jump denied_in.nothing", guest.v4())));
    scene.untouched(|| nightlatch.daemon().kill());

    // With a bad configuration the last good one counts.
    let daemon = nightlatch.daemon();
    nightlatch.configure("[open]\nservices = [\"web\"]\n");
    nightlatch.must(&["reload"]);
    nightlatch.must(&["mode", "open"]);
    reaches(scene.stranger, scene.server.v4(), &["tcp/80"]);
    nightlatch.configure("[open]\nservices = [\"wbe\"]\n");
    reboot(&scene, daemon);
    boot(&scene, &["unknown service \"wbe\"", "using the last good configuration instead"]);
    reaches(scene.office, scene.server.v4(), &SERVICES);
    reaches(scene.stranger, scene.server.v4(), &["tcp/80"]);
}

#[test]
fn with_a_broken_database_the_copy_counts_and_without_one_only_ssh_answers() {
    let Some(stage) = stage() else {
        return;
    };
    let (scene, daemon) = Scene::guarded(&stage);
    let office = scene.office.v4().to_string();
    wait_for_copy(&scene, &office);
    let folder = scene.nightlatch.state();
    reboot(&scene, daemon);
    let break_it = |text: Option<&str>| {
        for file in ["nightlatch.db", "nightlatch.db-wal", "nightlatch.db-shm"] {
            let _ = std::fs::remove_file(folder.join(file));
        }
        if let Some(text) = text {
            std::fs::write(folder.join("nightlatch.db"), text).unwrap();
        }
        scene.shell("nft delete table inet nightlatch 2> /dev/null || true");
    };
    let garbage = "not a database, ".repeat(1000);
    for broken in [Some(garbage.as_str()), Some(""), None] {
        break_it(broken);
        boot(&scene, &["nightlatch.db", "loading the copy of the last good firewall instead"]);
        scene.is_guarded();
    }

    for copy in [None, Some(""), Some("{}")] {
        break_it(Some(&garbage));
        let _ = std::fs::remove_file(folder.join("last-good.json"));
        if let Some(text) = copy {
            std::fs::write(folder.join("last-good.json"), text).unwrap();
        }
        boot(&scene, &["nightlatch.db", "blocking everything except SSH"]);
        for host in [scene.office, scene.stranger] {
            reaches(host, scene.server.v4(), &["tcp/22"]);
        }
        reaches(scene.stranger, scene.server.v6(), &["tcp/22"]);
    }
}

#[test]
fn what_nobody_confirmed_is_not_put_up() {
    let Some(stage) = stage() else {
        return;
    };
    let scene = Scene::new(&stage);
    boot(&scene, &["nothing to load", "was never run"]);
    assert_eq!(scene.table(), "");
    let daemon = scene.nightlatch.daemon();
    on_trial(&scene, Mode::Allowlist);
    reaches(scene.stranger, scene.server.v4(), &[]);
    reboot(&scene, daemon);
    boot(&scene, &["the firewall was off at shutdown"]);
    assert_eq!(scene.table(), "");
    let daemon = scene.nightlatch.daemon();
    scene.nightlatch.must(&["rollback"]);

    // A mode on trial goes back to the mode before.
    scene.nightlatch.must(&["up", "--yes"]);
    let office = scene.office.v4().to_string();
    scene.nightlatch.must(&["allow", "office", &office]);
    scene.is_guarded();
    on_trial(&scene, Mode::Open);
    reaches(scene.stranger, scene.server.v4(), &["udp/5060"]);
    reboot(&scene, daemon);
    boot(&scene, &[]);
    scene.is_guarded();

    // Off is off.
    let daemon = scene.nightlatch.daemon();
    scene.nightlatch.must(&["down", "--yes"]);
    reboot(&scene, daemon);
    boot(&scene, &["the firewall was off at shutdown: leaving it off"]);
    assert_eq!(scene.table(), "");
}

#[test]
fn a_trial_asked_for_again_lasts_as_long_again_and_ends_without_anybody() {
    let Some(stage) = stage() else {
        return;
    };
    let scene = Scene::new(&stage);
    let daemon = scene.nightlatch.daemon();
    let first = support::now();
    on_trial_for(&scene, Mode::Allowlist, 3);
    std::thread::sleep(Duration::from_secs(2));
    let again = support::now();
    on_trial_for(&scene, Mode::Allowlist, 4);
    // Nobody is left to take it back but the kernel.
    daemon.kill();
    std::thread::sleep(Duration::from_millis(3200).saturating_sub(first.elapsed()));
    reaches(scene.stranger, scene.server.v4(), &[]);
    assert!(again.elapsed() < Duration::from_secs(4), "too slow a machine to tell");
    reaches(scene.stranger, scene.server.v4(), &SERVICES);
    assert!(again.elapsed() > Duration::from_millis(3900));
}
