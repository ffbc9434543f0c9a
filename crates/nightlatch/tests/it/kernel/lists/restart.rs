//! Lists over a restart, a boot, a removal of the table, and other changes meanwhile.

use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan};

use super::web::Web;
use super::{Probes, addresses, feed, open, set};
use crate::kernel::ground::{TIMEOUT, run};
use crate::support::{self, wait_until};

const LISTED: [&str; 3] = ["192.0.2.161", "192.0.2.170", "2001:db8:66::66"];
const OTHERS: [&str; 2] = ["192.0.2.20", "2001:db8:3::20"];

fn everybody() -> Vec<std::net::IpAddr> {
    addresses(&[&LISTED[..], &OTHERS[..]].concat())
}

#[test]
fn a_restart_needs_no_network() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let web = Web::on(server);
    let rules = format!("[countries]\nsource = \"{}\"\n", web.url("/table.csv"));
    let (nightlatch, daemon) = open(server, office, &rules);
    let probes = Probes::from(attacker, server, office);
    web.put("/bad", "192.0.2.160/30\n2001:db8:66::/64\n");
    web.put("/table.csv", "192.0.2.168,192.0.2.175,CN\n");
    nightlatch.must(&["feed", "add", "bad", &web.url("/bad")]);
    nightlatch.must(&["country", "block", "CN"]);
    assert_eq!(probes.passing(&everybody()), set(&OTHERS));

    // Killed: the kernel goes on. Started again: the kept version is known, and asked for.
    daemon.kill();
    assert_eq!(probes.passing(&everybody()), set(&OTHERS));
    let daemon = nightlatch.daemon();
    assert_eq!(probes.passing(&everybody()), set(&OTHERS));
    nightlatch.must(&["feed", "refresh"]);
    nightlatch.must(&["country", "refresh"]);
    assert_eq!(web.answers("/bad"), [200, 304]);
    assert_eq!(web.answers("/table.csv").last(), Some(&304));

    // Without a server, and without a table in the kernel: all from the disk.
    drop(web);
    daemon.kill();
    run(server, "nft delete table inet nightlatch");
    assert_eq!(probes.passing(&everybody()).len(), 5);
    nightlatch.must(&["boot"]);
    assert_eq!(probes.passing(&everybody()), set(&OTHERS));
    run(server, "nft delete table inet nightlatch");
    let _daemon = nightlatch.daemon();
    assert_eq!(probes.passing(&everybody()), set(&OTHERS));
    assert_eq!(feed(&nightlatch, "bad")["state"]["entries_v4"], 1);

    // The table flushed under the daemon, and each of the lists emptied.
    for what in [
        "flush ruleset",
        "delete table inet nightlatch",
        "flush set inet nightlatch LIST4",
        "flush set inet nightlatch LIST6",
    ] {
        run(server, &in_force(server, &format!("nft {what}")));
        wait_until(what, TIMEOUT, || probes.passing(&everybody()) == set(&OTHERS));
    }
    // One entry taken out, one put in.
    let delete = "nft delete element inet nightlatch LIST4 { 192.0.2.160/30 }";
    run(server, &in_force(server, delete));
    wait_until("a deleted entry comes back", TIMEOUT, || {
        !probes.passes("192.0.2.161".parse().unwrap())
    });
    let add = "nft add element inet nightlatch LIST4 { 192.0.2.16/28 }";
    run(server, &in_force(server, add));
    wait_until("a foreign entry goes", TIMEOUT, || probes.passes("192.0.2.20".parse().unwrap()));
    assert!(nightlatch.json(&["status"])["restored"].as_u64().unwrap() >= 4);
}

/// The command with the names of the trees that are in force: of the two places one is.
pub(super) fn in_force(server: &Host, command: &str) -> String {
    let listed = server.command("nft").args(["-t", "list", "table", "inet", "nightlatch"]).output();
    let other = String::from_utf8(listed.unwrap().stdout).unwrap().contains("@list4b");
    let suffix = if other { "b" } else { "" };
    command.replace("LIST4", &format!("list4{suffix}")).replace("LIST6", &format!("list6{suffix}"))
}

/// A crash between keeping a list and writing its version down must not leave an old list in
/// force for good.
#[test]
fn a_kept_list_of_another_version_is_fetched_anew() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let web = Web::on(server);
    let (nightlatch, daemon) = open(server, office, "");
    let probes = Probes::from(attacker, server, office);
    web.put("/bad", "192.0.2.160/30\n");
    nightlatch.must(&["feed", "add", "bad", &web.url("/bad")]);
    let kept = nightlatch.state().join("lists/bad.list");
    let old = std::fs::read(&kept).unwrap();
    web.put("/bad", "192.0.2.160/30\n192.0.2.168/29\n");
    nightlatch.must(&["feed", "refresh"]);
    assert!(!probes.passes("192.0.2.170".parse().unwrap()));
    daemon.kill();
    std::fs::write(&kept, old).unwrap();
    let daemon = nightlatch.daemon();
    nightlatch.must(&["feed", "refresh"]);
    assert_eq!(web.answers("/bad"), [200, 200, 200]);
    assert!(!probes.passes("192.0.2.170".parse().unwrap()));

    // Damaged on disk: told, fetched anew; meanwhile the daemon runs.
    daemon.kill();
    std::fs::write(&kept, "# {}\n192.0.2.160/30\n192.0.2.1").unwrap();
    std::fs::write(&kept, "# {}\n192.0.2.160/30\nrubbish\n").unwrap();
    let _daemon = nightlatch.daemon();
    assert!(nightlatch.log().contains("damaged"), "{}", nightlatch.log());
    nightlatch.must(&["feed", "refresh"]);
    assert!(!probes.passes("192.0.2.170".parse().unwrap()));
}

/// Background fetches never make the loop spin: a daemon with failing feeds sleeps.
#[test]
fn failing_feeds_cost_nothing() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office) = (host("server"), host("office"));
    let (nightlatch, daemon) = open(server, office, "[countries]\nsource = \"/nowhere\"\n");
    for name in ["a", "b", "c"] {
        nightlatch.must(&["feed", "add", name, "/nowhere/list", "--every", "1m", "--no-wait"]);
    }
    nightlatch.must_exit(1, &["country", "block", "CN"]);
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(3));
    let used = ticks() - before;
    assert!(used < 30, "{used} ticks of 10 ms in 3 s");
    let view = feed(&nightlatch, "a");
    assert_eq!(view["state"]["failures"], 1);
}
