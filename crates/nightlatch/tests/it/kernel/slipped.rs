//! A rule that another program slips in at the very moment in which we change the table ourselves:
//! it never counts as ours.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use nightlatch::features::demo::stage::{Host, Plan};

use super::ground::{run, shell};
use crate::support::{self, Installation, told, wait_until};

/// The regular look comes every five seconds, and so does the last of the retries.
const NOTICED_WITHIN: Duration = Duration::from_secs(8);
/// The mark of the rule that is slipped in.
const MARK: &str = "comment slipped";

/// An `nft` which does what it is asked; where the file `slip` is there and it was given a text,
/// it slips in a rule right behind it. With `once` there as well, only the first time.
fn slipping_nft(directory: &Path) {
    let script = format!(
        "#!/bin/sh\n\
         PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin\n\
         nft \"$@\"\n\
         result=$?\n\
         if [ -e '{0}/slip' ] && [ \"$1\" = -f ]; then\n\
         \tif [ -e '{0}/once' ]; then rm '{0}/slip'; fi\n\
         \tnft insert rule inet nightlatch gate accept {MARK} || true\n\
         fi\n\
         exit $result\n",
        directory.display()
    );
    let program = directory.join("nft");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_slipped_in(server: &Host) -> bool {
    run(server, "nft list chain inet nightlatch gate").contains("slipped")
}

#[test]
fn a_rule_slipped_in_behind_a_load_is_not_ours() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let nightlatch = Installation::on(server);
    let place = nightlatch.directory().to_owned();
    slipping_nft(&place);
    let path = format!("{}:{}", place.display(), std::env::var("PATH").unwrap());
    let _daemon = nightlatch.daemon_in(&[("PATH", &path)]);
    nightlatch.must(&["up", "--yes"]);
    let slip = place.join("slip");
    std::fs::write(place.join("once"), "").unwrap();
    for mode in ["open", "allowlist", "open"] {
        std::fs::write(&slip, "").unwrap();
        nightlatch.must(&["mode", mode]);
        assert!(!slip.exists(), "nothing was slipped in");
        wait_until(mode, NOTICED_WITHIN, || !is_slipped_in(server));
    }
    // Behind each load: it is said, and not tried for ever.
    std::fs::remove_file(place.join("once")).unwrap();
    std::fs::write(&slip, "").unwrap();
    let output = nightlatch.run_it(&["mode", "allowlist"]);
    let said = told(&output);
    assert!(!output.status.success() && said.contains("another program"), "{said}");
    let said = told(&nightlatch.run_it(&["status"]));
    assert!(said.contains("another program"), "{said}");
    std::fs::remove_file(&slip).unwrap();
    wait_until("it is restored", NOTICED_WITHIN, || !is_slipped_in(server));
    wait_until("all is well", NOTICED_WITHIN, || nightlatch.run_it(&["status"]).status.success());
}

#[test]
fn a_rule_slipped_in_while_accounts_change_is_not_ours() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let nightlatch = Installation::on(server);
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    nightlatch.must(&["allow", "office", "203.0.113.7"]);
    for times in 0..12 {
        // Both at once, again and again: the change of the account may come first.
        let insert = format!("nft insert rule inet nightlatch gate accept {MARK}");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                nightlatch.must(&["allow", &format!("a{times}"), &format!("192.0.2.{times}")]);
            });
            scope.spawn(|| shell(server, &format!("sleep 0.00{times}; {insert}")));
        });
        wait_until("it is restored", NOTICED_WITHIN, || !is_slipped_in(server));
        // And the audit log names the program.
        wait_until("it is written down", NOTICED_WITHIN, || {
            restores(&nightlatch).len() == times + 1
        });
        let named = |line: &String| line.contains("by nft (process ");
        assert!(restores(&nightlatch).iter().all(named), "{}", nightlatch.log());
    }
}

/// A container engine that writes its own table all the time is in nobody's way, and is not blamed;
/// neither are we.
#[test]
fn a_busy_neighbour_does_not_matter() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let nightlatch = Installation::on(server);
    let place = nightlatch.directory().to_owned();
    let mut daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let list: String = (0..600).map(|n| format!("198.18.{}.{}\n", n / 100, n % 100 * 2)).collect();
    std::fs::write(place.join("list"), list).unwrap();
    nightlatch.must(&["feed", "add", "bad", place.join("list").to_str().unwrap()]);
    let busy = place.join("busy");
    std::fs::write(&busy, "").unwrap();
    let neighbour = format!(
        "while [ -e '{}' ]; do nft 'add table inet other; delete table inet other'; sleep 0.01; done",
        busy.display()
    );
    let _daemon = std::thread::scope(|scope| {
        let _end = Ends(&busy);
        scope.spawn(|| shell(server, &neighbour));
        for times in 0..5 {
            let (name, address) = (format!("a{times}"), format!("192.0.2.{times}"));
            nightlatch.must(&["mode", "open"]);
            nightlatch.must(&["allow", &name, &address, "--services", "iax,web"]);
            nightlatch.must(&["mode", "allowlist"]);
            nightlatch.must(&["remove", &name]);
            let insert = format!("nft insert rule inet nightlatch gate accept {MARK}");
            shell(server, &insert);
            wait_until("it is restored", NOTICED_WITHIN, || {
                restores(&nightlatch).len() == times + 1
            });
            daemon.kill();
            daemon = nightlatch.daemon();
        }
        // So long that the regular look has come.
        std::thread::sleep(Duration::from_secs(6));
        daemon
    });
    assert_eq!(restores(&nightlatch).len(), 5, "{}", nightlatch.log());
    assert!(!is_slipped_in(server));
    nightlatch.must(&["status"]);
}

/// Ends the neighbour also where the test fails.
struct Ends<'a>(&'a Path);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}

/// What the audit log says of restored tables.
fn restores(nightlatch: &Installation<'_>) -> Vec<String> {
    let log = nightlatch.must(&["log", "--json"]);
    log.lines().filter(|line| line.contains("\"restore\"")).map(str::to_owned).collect()
}
