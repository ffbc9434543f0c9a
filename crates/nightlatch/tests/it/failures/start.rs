//! A bad configuration, no `nft`, a second daemon, somebody who is not root.

use std::path::Path;

use super::*;

#[test]
fn a_bad_configuration_is_shown_and_does_not_count() {
    let Some(stage) = stage() else {
        return;
    };
    let (scene, daemon) = Scene::guarded(&stage);
    let nightlatch = &scene.nightlatch;
    let long = vec![b'#'; (1 << 20) + 1];
    let tries: [(&[u8], &[&str]); 7] = [
        (b"[opne]\n", &["line 1, column 2", "opne", " ^^^^"]),
        (b"[open]\nservices = [\"spi\"]\n", &["line 2", "unknown service \"spi\"", "^^^^^"]),
        (b"[services]\nsip = [\"5060\"]\n", &["\"5060\" is not a port"]),
        (b"[open\n", &["line 1"]),
        (b"[pbx]\nproduct = \"astrisk\"\n", &["unknown telephone server \"astrisk\""]),
        (b"\xff\xfe", &["UTF-8"]),
        (&long, &["longer than 1 MiB"]),
    ];
    for (text, words) in tries {
        std::fs::write(nightlatch.config(), text).unwrap();
        let words: Vec<&str> = words.iter().copied().chain(["nightlatch.toml"]).collect();
        scene.untouched(|| {
            check(&nightlatch.run_it(&["check"]), 78, &words);
            check(&nightlatch.run_it(&["reload"]), 78, &words);
            check(&nightlatch.run_it(&["status"]), 0, &["on "]);
        });
    }
    daemon.kill();
    scene.untouched(|| {
        check(&scene.daemon_ends(), 78, &["longer than 1 MiB"]);
        check(&nightlatch.run_it(&["up", "--yes"]), 78, &["longer than 1 MiB"]);
    });
    std::fs::remove_file(nightlatch.config()).unwrap();
    std::fs::create_dir(nightlatch.config()).unwrap();
    scene.untouched(|| check(&scene.daemon_ends(), 78, &["cannot be read"]));
    std::fs::remove_dir(nightlatch.config()).unwrap();
    // A good one counts at once.
    let _daemon = nightlatch.daemon();
    nightlatch.configure("[open]\nservices = [\"web\"]\n");
    nightlatch.must(&["reload"]);
    nightlatch.must(&["mode", "open"]);
    reaches(scene.stranger, scene.server.v4(), &["tcp/80"]);
}

#[test]
fn without_nft_what_stands_goes_on_standing() {
    let Some(stage) = stage() else {
        return;
    };
    let (scene, daemon) = Scene::guarded(&stage);
    let nightlatch = &scene.nightlatch;
    let missing = "nft is not installed: install the package nftables";
    // For the server alone, in its own mounts.
    let hide = "for place in /usr/local/sbin /usr/sbin /sbin /usr/bin /bin /usr/local/bin; do
        if [ -e $place/nft ]; then
            mkdir -p /mnt/all$place /mnt/without$place
            mount --bind $(readlink -f $place) /mnt/all$place
            for program in /mnt/all$place/*; do ln -s $program /mnt/without$place/; done
            rm /mnt/without$place/nft
            hidden=\"$hidden $place\"
        fi
    done
    for place in $hidden; do
        if [ -e $place/nft ]; then mount --bind /mnt/without$place $(readlink -f $place); fi
    done
    ! command -v nft";
    scene.shell(hide);
    scene.untouched(|| {
        check(
            &nightlatch.run_it(&["mode", "open"]),
            74,
            &["saved, but not yet applied", missing, "retrying"],
        );
        check(&nightlatch.run_it(&["status"]), 1, &["BROKEN", missing]);
        // Back to what the kernel holds; then there is nothing to load.
        check(&nightlatch.run_it(&["mode", "allowlist"]), 74, &[missing]);
    });
    scene.untouched(|| daemon.kill());
    let daemon = nightlatch.daemon();
    scene.untouched(|| check(&nightlatch.run_it(&["status"]), 1, &["BROKEN", missing]));
    drop(daemon);

    // On a machine where ours never was, `up` does not begin what it cannot do.
    let fresh = Installation::on(scene.server).with_asterisk();
    let up = fresh.run_it(&["up", "--yes"]);
    check(&up, 74, &["nothing was changed", missing]);
    assert!(!fresh.state().join("nightlatch.db").exists());
}

#[test]
fn a_second_daemon_gives_way() {
    let Some(stage) = stage() else {
        return;
    };
    let (scene, _daemon) = Scene::guarded(&stage);
    scene.untouched(|| {
        check(
            &scene.daemon_ends(),
            1,
            &["another nightlatch daemon already uses", "nightlatch status"],
        );
        let elsewhere = Installation::on(scene.server).with_asterisk();
        let words = ["already manages this network namespace", "stop it first"];
        check(&ends(&elsewhere), 1, &words);
        scene.nightlatch.must(&["status"]);
    });
}

#[test]
fn who_is_not_root_may_look_and_not_touch() {
    let Some(stage) = stage() else {
        return;
    };
    let (scene, _daemon) = Scene::guarded(&stage);
    let nightlatch = &scene.nightlatch;
    let open = |path: &Path, mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, permissions).unwrap();
    };
    // As the package has it: the sockets are in sight, the state is not.
    open(nightlatch.directory(), 0o755);
    open(&nightlatch.run(), 0o755);
    open(&nightlatch.state(), 0o700);
    // The program may lie where only root looks.
    let program = nightlatch.directory().join("nightlatch");
    crate::support::install_program(env!("CARGO_BIN_EXE_nightlatch"), &program);
    let as_nobody = |arguments: &[&str]| {
        let mut command = nightlatch.command_called("setpriv", &["--reuid=65534"]);
        command.args(["--regid=65534", "--clear-groups"]).arg(&program).args(arguments);
        command.output().unwrap()
    };
    scene.untouched(|| {
        check(&as_nobody(&["status"]), 0, &["on ", "strangers are dropped"]);
        check(&as_nobody(&["status", "--json"]), 0, &["\"intact\":true"]);
        check(&as_nobody(&["check"]), 0, &[]);
        check(&as_nobody(&["--help"]), 0, &["Usage"]);
        for command in [
            &["up", "--yes"] as &[&str],
            &["down", "--yes"],
            &["confirm"],
            &["rollback"],
            &["allow", "me", "192.0.2.166"],
            &["remove", "office"],
            &["block", "203.0.113.10"],
            &["unblock", "203.0.113.10"],
            &["mode", "open"],
            &["list"],
            &["show", "office"],
            &["why", "192.0.2.166"],
            &["services"],
            &["reload"],
            &["log"],
            &["daemon"],
            &["boot"],
        ] {
            check(&as_nobody(command), 77, &["only root", "sudo"]);
        }
    });
}
