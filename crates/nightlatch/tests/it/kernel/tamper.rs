//! Whoever changes our table: it is noticed, restored and written down. Killed, the daemon leaves
//! the firewall standing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nightlatch_lab::packet::{Packet, flags};
use nightlatch_lab::stage::{Host, Plan};

use super::ground::{
    Ears, Echo, Prober, Stream, TIMEOUT, Talk, answers_udp, both, connect, echoes, ignores_tcp,
    ignores_udp, protect, run, shell,
};
use crate::support::{self, Installation, now, wait_until};

/// "Within a second", and what a busy machine needs to look.
const RESTORED_WITHIN: Duration = Duration::from_secs(2);

/// Our table as far as it can be listed; chains come in the order in which they were made. Of the
/// long lists there are two places, taken in turn.
fn table(server: &Host) -> Vec<String> {
    listed(server, &["-s", "list", "table", "inet", "nightlatch"])
}

/// The same without the flows that were cut: of all elements, accounts alone.
fn table_but_cuts(server: &Host) -> Vec<String> {
    let mut lines = listed(server, &["-s", "-t", "list", "table", "inet", "nightlatch"]);
    lines.extend(listed(server, &["list", "map", "inet", "nightlatch", "account4"]));
    lines.extend(listed(server, &["list", "map", "inet", "nightlatch", "account6"]));
    lines
}

fn listed(server: &Host, arguments: &[&str]) -> Vec<String> {
    let listed = server.command("nft").args(arguments).output().unwrap();
    // Of the two pairs of sets for lists, one or the other is in force.
    let text = String::from_utf8(listed.stdout).unwrap();
    let text = text.replace("list4b", "list4").replace("list6b", "list6");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Two accounts and a block, so that every list has something in it.
fn fill(nightlatch: &Installation<'_>) {
    nightlatch.must(&["allow", "office", "203.0.113.0/24", "2001:db8:2::/64"]);
    nightlatch.must(&["allow", "calls", "192.0.2.20", "--services", "sip"]);
    nightlatch.must(&["block", "203.0.113.77"]);
}

#[test]
fn every_change_by_others_is_undone_and_written_down() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let (nightlatch, _daemon) = protect(server, "");
    fill(&nightlatch);
    let whole = table(server);
    let tamperings = [
        "flush ruleset",
        "delete table inet nightlatch",
        "insert rule inet nightlatch prerouting accept",
        "add rule inet nightlatch to_this_host accept",
        "flush chain inet nightlatch to_this_host",
        "add chain inet nightlatch prerouting { policy drop; }",
        "add chain inet nightlatch evil { type filter hook input priority 10; policy drop; }",
        "add table inet nightlatch { flags dormant; }",
        "add element inet nightlatch account4 { 192.0.2.166 : accept }",
        "add element inet nightlatch account4 { 192.0.2.166 : jump to.all }",
        "delete element inet nightlatch account4 { 203.0.113.0-203.0.113.76 }",
        "flush map inet nightlatch account6",
        "delete element inet nightlatch closed_in4 { 203.0.113.77 }",
        "add element inet nightlatch closed_in6 { 2001:db8:2::10 : drop }",
    ];
    for (restored, tampering) in (1..).zip(tamperings) {
        run(server, &format!("nft {tampering}"));
        let start = now();
        wait_until(tampering, RESTORED_WITHIN, || table(server) == whole);
        println!("{tampering}: {:?}", start.elapsed());
        wait_until("it is written down", TIMEOUT, || restores(&nightlatch).len() == restored);
        let by = restores(&nightlatch).pop().unwrap();
        assert!(by.contains("by nft (process "), "{tampering}: {by}");
    }
    // Again and again, also right after it was restored.
    shell(server, "for i in 1 2 3 4 5 6 7 8 9 10; do nft flush ruleset; done");
    wait_until("it is back", RESTORED_WITHIN, || table(server) == whole);
    // One rule deleted by its handle.
    let chain = run(server, "nft -a list chain inet nightlatch prerouting");
    let last = chain.lines().rfind(|line| line.contains("goto to_this_host")).unwrap();
    let handle = last.rsplit(' ').next().unwrap();
    run(server, &format!("nft delete rule inet nightlatch prerouting handle {handle}"));
    wait_until("the rule is back", RESTORED_WITHIN, || table(server) == whole);
    // Somebody listed, where no list is.
    let add = |set| format!("nft add element inet nightlatch {set} '{{ 192.0.2.166 }}'");
    shell(server, &format!("{} || {}", add("list4"), add("list4b")));
    wait_until("it is empty again", TIMEOUT, || table(server) == whole);
    assert!(support::told(&nightlatch.run_it(&["status"])).contains("nft"));
    nightlatch.must(&["log", "--verify"]);
}

/// The regular look and the kernel's word come at the same moment, again and again: whichever is
/// first, the audit log names the program.
#[test]
fn the_program_is_named_though_the_regular_look_came_first() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let nightlatch = Installation::on(server).with_asterisk();
    // A watchdog makes the daemon look every tenth of a second.
    let daemon = nightlatch.daemon_in(&[("WATCHDOG_USEC", "200000")]);
    nightlatch.must(&["up", "--yes"]);
    let whole = table(server);
    for times in 1..=20 {
        // Both are due when it goes on.
        daemon.pause();
        run(server, "nft insert rule inet nightlatch prerouting accept");
        std::thread::sleep(Duration::from_millis(150));
        daemon.resume();
        wait_until("it is restored", RESTORED_WITHIN, || table(server) == whole);
        wait_until("it is written down", TIMEOUT, || restores(&nightlatch).len() == times);
    }
    for restore in restores(&nightlatch) {
        assert!(restore.contains("by nft (process "), "{restore}");
    }
}

/// A neighbour that flushes again while the table is being restored: a second after it has stopped
/// the table stands again, and who came in meanwhile is out.
#[test]
fn a_burst_of_flushes_is_outlasted() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (nightlatch, daemon) = protect(server, "");
    fill(&nightlatch);
    let whole = table_but_cuts(server);
    // As it is loaded anew by another firewall's service: its own table stays, so that connections
    // are tracked all the time.
    let other = nightlatch.directory().join("other.nft");
    let rules = "flush ruleset\ntable inet other { chain input { type filter hook input priority 0; ct state new accept; }; }\n";
    std::fs::write(&other, rules).unwrap();
    let other = other.display();
    for (at, (times, rests)) in
        (0..).zip([(1, ""), (10, ""), (10, "sleep 0.01"), (10, "sleep 0.03"), (600, "")])
    {
        daemon.pause();
        run(server, &format!("nft -f {other}"));
        let slipped = Talk::between(attacker, server, SocketAddr::new(server.v4(), 4000 + at));
        daemon.resume();
        let burst = format!("for i in $(seq {times}); do nft -f {other}; {rests}\ndone");
        shell(server, &burst);
        let start = now();
        wait_until(&burst, TIMEOUT, || table_but_cuts(server) == whole);
        println!("{burst}: {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(1), "{burst}: {:?}", start.elapsed());
        let quiet = Duration::from_millis(500);
        wait_until("they end", TIMEOUT, || slipped.silent_for() > quiet);
    }
}

/// What the audit log says of restored tables.
fn restores(nightlatch: &Installation<'_>) -> Vec<String> {
    let log = nightlatch.must(&["log", "--json"]);
    log.lines().filter(|line| line.contains("\"restore\"")).map(str::to_owned).collect()
}

#[test]
fn what_does_not_touch_our_table_leaves_it_standing() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["iptables", "ip6tables"]) {
        return;
    }
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let _echo = Echo::on(server, &[5060], &[]);
    let (nightlatch, _daemon) = protect(server, "");
    fill(&nightlatch);
    let whole = table(server);
    for line in [
        "iptables -A INPUT -j ACCEPT",
        "ip6tables -I INPUT -j ACCEPT",
        "iptables -F",
        "iptables -X",
        "ip6tables -F",
        "nft add table inet other",
        "nft flush table inet other",
        "nft delete table inet other",
    ] {
        run(server, line);
        assert_eq!(table(server), whole, "{line}");
        assert!(ignores_udp(stranger, SocketAddr::new(server.v4(), 5060)), "{line}");
    }
    assert_eq!(restores(&nightlatch), Vec::<String>::new());
}

/// Flows that slipped in while the table was gone, and those that had been cut, end when it is
/// restored.
#[test]
fn what_slipped_in_meanwhile_is_put_out_again() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let office = stage.host("office").unwrap();
    let (nightlatch, daemon) = protect(server, "");
    fill(&nightlatch);
    let target = |port| SocketAddr::new(server.v4(), port);
    let removed = Talk::between(office, server, target(4000));
    nightlatch.must(&["remove", "office"]);
    let quiet = Duration::from_millis(500);
    wait_until("the flow ends", TIMEOUT, || removed.silent_for() > quiet);
    let allowed = stage.host("traveller").unwrap();
    let call = Talk::between(allowed, server, target(5060));
    // A daemon that is too slow: the table is gone for a while. The container engine's table is
    // soon there again, so that connections are tracked.
    daemon.pause();
    run(server, "nft flush ruleset");
    shell(
        server,
        "echo 'table inet engine { chain input { type filter hook input priority 0; ct state new accept; }; }' | nft -f -",
    );
    let _echo = Echo::on(server, &[], &[443]);
    let mut stream = connect(attacker, target(443)).unwrap();
    assert!(echoes(&mut stream, TIMEOUT));
    let slipped = Talk::between(attacker, server, target(4001));
    daemon.resume();
    wait_until("they end", TIMEOUT, || {
        slipped.silent_for() > quiet && removed.silent_for() > quiet
    });
    assert!(!echoes(&mut stream, quiet));
    assert!(ignores_tcp(attacker, target(443)));
    wait_until("an allowed call goes on", TIMEOUT, || {
        call.silent_for() < Duration::from_millis(50)
    });
}

/// Connections that began while nothing tracked connections: the host's own next packet must not
/// make them its own.
#[test]
fn strangers_connections_of_before_end_when_the_firewall_goes_up() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let begin = |port| {
        both(server).map(|own| Stream::between(attacker, server, SocketAddr::new(own, port)))
    };
    let end = |streams: &[Stream; 2]| {
        let quiet = Duration::from_millis(500);
        wait_until("they end", TIMEOUT, || streams.iter().all(|s| s.silent_for() > quiet));
    };
    let streams = begin(5061);
    let ours = Stream::between(server, attacker, SocketAddr::new(attacker.v4(), 443));
    let (_nightlatch, daemon) = protect(server, "");
    end(&streams);
    daemon.pause();
    run(server, "nft flush ruleset");
    let streams = begin(5062);
    daemon.resume();
    end(&streams);
    // What the server began goes on.
    wait_until("it goes on", TIMEOUT, || ours.silent_for() < Duration::from_millis(50));
}

#[test]
fn killed_and_started_again_it_is_never_open_and_never_closed() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let office = stage.host("office").unwrap();
    let (nightlatch, daemon) = protect(server, "");
    fill(&nightlatch);
    let calls = both(server).map(|own| Talk::between(office, server, SocketAddr::new(own, 5060)));
    let ears = Ears::on(server);
    let (friend, enemy) = (Prober::on(office), Prober::on(attacker));
    let ended = AtomicBool::new(false);
    let probe = || {
        let mut sent = 0;
        while !ended.load(Ordering::Relaxed) {
            for (place, own) in both(server).into_iter().enumerate() {
                let port = 10_000 + sent % 40_000;
                let from = |host| SocketAddr::new(both(host)[place], port);
                enemy.send(&Packet::udp(from(attacker), SocketAddr::new(own, 5060), b"OPTIONS"));
                enemy.send(&Packet::tcp(from(attacker), SocketAddr::new(own, 22), flags::SYN));
                friend.send(&Packet::other(both(office)[place], own, 253, b"friend"));
            }
            sent += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        usize::from(sent)
    };
    let sent = std::thread::scope(|scope| {
        let prober = scope.spawn(probe);
        let _end = Ends(&ended);
        let mut daemon = daemon;
        for _ in 0..3 {
            daemon.kill();
            // Nothing watches it now; it stands all the same.
            std::thread::sleep(Duration::from_millis(100));
            daemon = nightlatch.daemon();
        }
        assert!(daemon.stop().code().is_none_or(|code| code == 0));
        std::thread::sleep(Duration::from_millis(100));
        ended.store(true, Ordering::Relaxed);
        prober.join().unwrap()
    });
    std::thread::sleep(Duration::from_millis(300));
    let heard = ears.heard();
    assert!(heard.iter().all(|heard| !both(attacker).contains(&heard.from)), "the attacker got in");
    for source in both(office) {
        let of = |h: &&super::ground::Heard| h.from == source && h.protocol == 253;
        assert_eq!(heard.iter().filter(of).count(), sent, "from {source}");
    }
    for call in &calls {
        wait_until("calls go on", TIMEOUT, || call.silent_for() < Duration::from_millis(50));
    }
    assert!(answers_udp_of(office, server));
}

/// Ends the prober also where the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Without a daemon new connections of accounts are still let in.
fn answers_udp_of(office: &Host, server: &Host) -> bool {
    let _echo = Echo::on(server, &[4569], &[]);
    both(server).into_iter().all(|own| answers_udp(office, SocketAddr::new(own, 4569)))
}

/// The kernel cannot change a chain's type: a table whose output chain had another type under the same
/// name could not be updated.
#[test]
fn the_table_of_an_older_version_is_replaced() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    run(server, "nft add table inet nightlatch");
    run(
        server,
        "nft add chain inet nightlatch outgoing { type filter hook output priority 0; policy accept; }",
    );
    let (_nightlatch, _daemon) = protect(server, "");
    let chains = server.command("nft").args(["list", "chains", "inet"]).output().unwrap();
    let chains = String::from_utf8_lossy(&chains.stdout);
    assert!(chains.contains("chain output") && !chains.contains("chain outgoing"), "{chains}");
}
