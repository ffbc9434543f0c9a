//! Blocks: who wins against accounts, and that nothing of a blocked address gets through.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nightlatch_lab::packet::Packet;
use nightlatch_lab::stage::Plan;

use super::ground::{
    Ears, Echo, Prober, Stream, TIMEOUT, Talk, answers_udp, both, connect, echoes, ignores_udp,
    protect,
};
use crate::support::{self, now, wait_until};

#[test]
fn the_more_specific_one_wins_and_the_block_where_both_are_equal() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (nightlatch, _daemon) = protect(server, "");
    let accounts = ["203.0.113.0/25", "203.0.113.200", "2001:db8:2::/56", "2001:db8:2:ff00::7"];
    nightlatch.must(&[&["allow", "all"], accounts.as_slice()].concat());
    nightlatch.must(&["allow", "calls", "203.0.113.210", "--services", "sip"]);
    for block in [
        "203.0.113.16/28",      // inside an account
        "203.0.113.192/27",     // around an account
        "203.0.113.230",        // alone
        "2001:db8:2:8::/64",    // inside an account
        "2001:db8:2:ff00::/56", // around an account
    ] {
        nightlatch.must(&["block", block]);
    }
    nightlatch.must(&["allow", "equal", "203.0.113.240", "2001:db8:2:fe00::/64"]);
    nightlatch.must(&["block", "203.0.113.240"]);
    nightlatch.must(&["block", "2001:db8:2:fe00::/64"]);
    let ears = Ears::on(server);
    let prober = Prober::on(attacker);
    let cases = [
        ("203.0.113.15", 9999, true),
        ("203.0.113.16", 9999, false),
        ("203.0.113.31", 9999, false),
        ("203.0.113.32", 9999, true),
        ("203.0.113.199", 9999, false),
        ("203.0.113.200", 9999, true),
        ("203.0.113.201", 9999, false),
        ("203.0.113.210", 5060, true),
        ("203.0.113.210", 9999, false),
        ("203.0.113.230", 9999, false),
        ("203.0.113.240", 9999, false),
        ("2001:db8:2:7::1", 9999, true),
        ("2001:db8:2:8::1", 9999, false),
        ("2001:db8:2:9::1", 9999, true),
        ("2001:db8:2:ff00::6", 9999, false),
        ("2001:db8:2:ff00::7", 9999, true),
        ("2001:db8:2:fe00::7", 9999, false),
    ];
    for (place, (source, port, _)) in (0..).zip(cases) {
        let source: IpAddr = source.parse().unwrap();
        let target = if source.is_ipv4() { server.v4() } else { server.v6() };
        let from = SocketAddr::new(source, 4000 + place);
        // Each case counts by how many packets of its source have come.
        prober.send(&Packet::udp(from, SocketAddr::new(target, port), b"hello"));
    }
    std::thread::sleep(Duration::from_millis(300));
    let heard: Vec<IpAddr> = ears.heard().into_iter().map(|heard| heard.from).collect();
    for (source, port, _) in cases {
        let address: IpAddr = source.parse().unwrap();
        let expected = cases.iter().filter(|case| case.0 == source && case.2).count();
        let found = heard.iter().filter(|from| **from == address).count();
        assert_eq!(found, expected, "{source} to port {port}");
    }
}

#[test]
fn a_block_ends_running_flows_and_answers_and_ends_itself() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let _outside = Echo::on(office, &[53], &[443]);
    let (nightlatch, _daemon) = protect(server, "");
    nightlatch.must(&["allow", "office", "203.0.113.0/24", "2001:db8:2::/64"]);
    let mut flows = Vec::new();
    for own in both(server) {
        let port = SocketAddr::new(own, 5060);
        flows.push((Talk::between(office, server, port), Stream::between(office, server, port)));
    }
    let outside = SocketAddr::new(office.v4(), 443);
    let mut ours = connect(server, outside).unwrap();
    assert!(echoes(&mut ours, TIMEOUT));
    let quick = Duration::from_millis(50);
    for (talk, stream) in &flows {
        wait_until("they flow", TIMEOUT, || talk.silent_for() < quick);
        wait_until("they flow", TIMEOUT, || stream.silent_for() < quick);
    }
    nightlatch.must(&["block", "203.0.113.10", "--for", "4s", "--reason", "a test"]);
    let blocked = now();
    nightlatch.must(&["block", "2001:db8:2::10"]);
    let quiet = Duration::from_millis(500);
    wait_until("they end", Duration::from_millis(1500) + quiet, || {
        flows.iter().all(|(talk, stream)| talk.silent_for() > quiet && stream.silent_for() > quiet)
    });
    // Not even answers to what the host began: its peer is blocked.
    assert!(!echoes(&mut ours, quiet));
    assert!(ignores_udp(server, SocketAddr::new(office.v6(), 53)));
    // A neighbour in the same account has no part in it; the block itself ends.
    assert!(blocked.elapsed() < Duration::from_secs(4), "the machine is too slow for this test");
    let v4 = &flows[0].0;
    wait_until("the block has ended", TIMEOUT, || v4.silent_for() < quick);
    assert!(blocked.elapsed() > Duration::from_millis(3500), "too early");
    assert!(answers_udp(server, SocketAddr::new(office.v4(), 53)));
    nightlatch.must(&["unblock", "2001:db8:2::10"]);
    let v6 = &flows[1].0;
    wait_until("no longer blocked", TIMEOUT, || v6.silent_for() < quick);
    assert!(answers_udp(server, SocketAddr::new(office.v6(), 53)));
}

/// Around an account a block is a wall: the account keeps its services and the host its answers;
/// running flows of other services end.
#[test]
fn a_wide_block_around_an_account() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let configuration = "[open]\nservices = [\"web\", \"sip\"]\n";
    let (nightlatch, _daemon) = protect(server, configuration);
    nightlatch.must(&["mode", "open"]);
    let addresses = both(office).map(|address| address.to_string());
    nightlatch.must(&["allow", "office", &addresses[0], &addresses[1], "--services", "sip"]);
    let _outside = Echo::on(office, &[53], &[]);
    let flows = |port| {
        let on = |own| Talk::between(office, server, SocketAddr::new(own, port));
        both(server).map(on)
    };
    let pages = both(server).map(|own| Stream::between(office, server, SocketAddr::new(own, 80)));
    let calls = flows(5060);
    nightlatch.must(&["block", "203.0.113.0/24"]);
    nightlatch.must(&["block", "2001:db8:2::/48"]);
    let quiet = Duration::from_millis(500);
    wait_until("what only strangers' rules let in ends", Duration::from_secs(2), || {
        pages.iter().all(|page| page.silent_for() > quiet)
    });
    for call in &calls {
        wait_until("calls go on", TIMEOUT, || call.silent_for() < Duration::from_millis(50));
    }
    for target in both(office) {
        assert!(answers_udp(server, SocketAddr::new(target, 53)));
    }
}
