//! What another program slips in at the very moment in which we change the table ourselves: it never
//! counts as ours. And what a neighbour does to its own table is never held against anybody.

use std::path::Path;
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan};

use super::ground::{run, shell};
use crate::support::{self, Installation, told, wait_until};

/// The regular look comes every five seconds, and so does the last of the retries.
const NOTICED_WITHIN: Duration = Duration::from_secs(8);
/// The mark of the rule that is slipped in.
const MARK: &str = "comment slipped";

/// An `nft` which does what it is asked; where the file `slip` is there and it was given a text,
/// it does something else `before` and `behind`. With `once` there as well, only the first time.
fn slipping_nft(directory: &Path, before: &str, behind: &str) {
    let script = format!(
        "#!/bin/sh\n\
         PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin\n\
         slip=true\n\
         if [ -e '{0}/slip' ] && [ \"$1\" = -f ]; then slip=false; fi\n\
         if ! $slip && [ -e '{0}/once' ]; then rm '{0}/slip'; fi\n\
         $slip || {before}\n\
         nft \"$@\"\n\
         result=$?\n\
         $slip || {behind}\n\
         exit $result\n",
        directory.display()
    );
    let program = directory.join("nft");
    crate::support::write_program(&program, &script);
}

fn is_slipped_in(server: &Host) -> bool {
    run(server, "nft list chain inet nightlatch prerouting").contains("slipped")
}

#[test]
fn a_rule_slipped_in_behind_a_load_is_not_ours() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let nightlatch = Installation::on(server).with_asterisk();
    let place = nightlatch.directory().to_owned();
    let insert = format!("nft insert rule inet nightlatch prerouting accept {MARK}");
    slipping_nft(&place, "true", &insert);
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
    let nightlatch = Installation::on(server).with_asterisk();
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    nightlatch.must(&["allow", "office", "203.0.113.7"]);
    for times in 0..12 {
        // Both at once, again and again: the change of the account may come first.
        let insert = format!("nft insert rule inet nightlatch prerouting accept {MARK}");
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
    let nightlatch = Installation::on(server).with_asterisk();
    let place = nightlatch.directory().to_owned();
    let mut daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let list: String = (0..600).map(|n| format!("198.18.{}.{}\n", n / 100, n % 100 * 2)).collect();
    add_feed(&nightlatch, &list);
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
            let insert = format!("nft insert rule inet nightlatch prerouting accept {MARK}");
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

fn add_feed(nightlatch: &Installation<'_>, list: &str) {
    let file = nightlatch.directory().join("list");
    std::fs::write(&file, list).unwrap();
    nightlatch.must(&["feed", "add", "bad", file.to_str().unwrap()]);
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

#[test]
fn an_entry_of_a_list_taken_away_before_a_load_comes_back() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let nightlatch = Installation::on(server).with_asterisk();
    let place = nightlatch.directory().to_owned();
    slipping_nft(&place, "nft delete element inet nightlatch list4 '{ 192.0.2.161 }'", "true");
    let path = format!("{}:{}", place.display(), std::env::var("PATH").unwrap());
    let _daemon = nightlatch.daemon_in(&[("PATH", &path)]);
    nightlatch.must(&["up", "--yes", "--mode", "open"]);
    let list: String = (1..200).map(|number| format!("192.0.2.{}\n", number | 1)).collect();
    add_feed(&nightlatch, &list);
    // In the one place or the other.
    let is_listed = || {
        let get = |set| format!("nft get element inet nightlatch {set} '{{ 192.0.2.161 }}'");
        let command = format!("{} || {}", get("list4"), get("list4b"));
        server.command("sh").args(["-c", &command]).output().unwrap().status.success()
    };
    assert!(is_listed());
    std::fs::write(place.join("once"), "").unwrap();
    let slip = place.join("slip");
    std::fs::write(&slip, "").unwrap();
    // Its services are new, so that chains and rules are loaded.
    nightlatch.must(&["allow", "office", "203.0.113.7", "--services", "sip"]);
    assert!(!slip.exists(), "nothing was slipped in");
    wait_until("it is listed again", NOTICED_WITHIN, is_listed);
}

#[test]
fn a_busy_neighbour_is_no_hindrance_and_no_reason_to_restore() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let nightlatch = Installation::on(server).with_asterisk();
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes", "--mode", "open"]);
    add_feed(&nightlatch, "192.0.2.161\n");
    let busy = nightlatch.directory().join("busy");
    std::fs::write(&busy, "").unwrap();
    let neighbour = format!(
        "nft add table inet neighbour; nft 'add set inet neighbour s {{ type ipv4_addr; }}'\n\
         while [ -e '{}' ]; do\n\
         nft 'add element inet neighbour s {{ 192.0.2.1 }}'; nft flush set inet neighbour s\n\
         sleep 0.002\ndone",
        busy.display()
    );
    std::thread::scope(|scope| {
        let _end = Ends(&busy);
        scope.spawn(|| shell(server, &neighbour));
        // Chains come and go.
        for times in 0..6 {
            let name = format!("a{times}");
            nightlatch.must(&["allow", &name, "203.0.113.9", "--services", "sip"]);
            nightlatch.must(&["remove", &name]);
        }
        std::thread::sleep(Duration::from_secs(1));
    });
    let status = nightlatch.json(&["status"]);
    assert_eq!(status["restored"], 0, "{}", nightlatch.log());
}

/// Somebody who changes what time changes anyway is no reason to load long lists anew.
#[test]
fn other_sets_of_ours_do_not_make_the_lists_doubtful() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let nightlatch = Installation::on(server).with_asterisk();
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes", "--mode", "open"]);
    add_feed(&nightlatch, "192.0.2.161\n");
    for number in 1..4 {
        let flow = format!("192.0.2.{number} . udp . 5060 . 5060");
        shell(server, &format!("nft 'add element inet nightlatch cut4 {{ {flow} }}'"));
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(restores(&nightlatch), Vec::<String>::new());
    shell(server, "nft flush set inet nightlatch list4 || nft flush set inet nightlatch list4b");
    wait_until("it is restored", NOTICED_WITHIN, || restores(&nightlatch).len() == 1);
}
