//! The mode is switched while calls run and an attacker tries all the time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nightlatch_lab::packet::{Packet, flags};
use nightlatch_lab::stage::Plan;

use super::ground::{Ears, Ends, Prober, Stream, TIMEOUT, Talk, both, protect};
use crate::support::{self, wait_until};

const QUICK: Duration = Duration::from_millis(50);
/// The longest pause of a call that nobody would call dropped, on a busy machine.
const PAUSE: Duration = Duration::from_millis(400);

#[test]
fn a_switch_of_mode_drops_no_call_and_opens_nothing_else() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let stranger = stage.host("traveller").unwrap();
    let (nightlatch, _daemon) = protect(server, "[open]\nservices = [\"sip\", \"web\"]\n");
    nightlatch.must(&["mode", "open"]);
    let mut talks = Vec::new();
    let mut streams = Vec::new();
    for own in both(server) {
        talks.push(Talk::between(stranger, server, SocketAddr::new(own, 10_000)));
        streams.push(Stream::between(stranger, server, SocketAddr::new(own, 80)));
    }
    let ears = Ears::on(server);
    let prober = Prober::on(attacker);
    let ended = AtomicBool::new(false);
    let probe = || {
        let mut port = 0;
        while !ended.load(Ordering::Relaxed) {
            port = (port + 1) % 20_000;
            for (source, own) in both(attacker).into_iter().zip(both(server)) {
                let from = SocketAddr::new(source, 20_000 + port);
                prober.send(&Packet::tcp(from, SocketAddr::new(own, 22), flags::SYN));
                prober.send(&Packet::udp(from, SocketAddr::new(own, 4569), b"IAX"));
                prober.send(&Packet::echo(source, own, port, b"ping"));
            }
            // Many, as only one that is under way between two hooks while rules are loaded might get in.
            std::thread::sleep(Duration::from_micros(50));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(probe);
        let _end = Ends(&ended);
        for mode in ["allowlist", "open"].into_iter().cycle().take(21) {
            nightlatch.must(&["mode", mode]);
            let start = support::now();
            while start.elapsed() < Duration::from_millis(50) {
                let longest = talks.iter().map(Talk::silent_for).max();
                assert!(longest < Some(PAUSE), "a call paused for {longest:?} in mode {mode}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    for (talk, stream) in talks.iter().zip(&streams) {
        wait_until("calls go on", TIMEOUT, || talk.silent_for() < QUICK);
        // Strangers' flows that began in open mode are cut.
        wait_until("connections end", TIMEOUT, || stream.silent_for() > PAUSE);
    }
    let heard = ears.heard();
    let got_in = heard.iter().find(|heard| both(attacker).contains(&heard.from));
    assert!(got_in.is_none(), "the attacker got in: {got_in:?}");
    // What only the other mode has is gone, and not left behind empty.
    let table = super::ground::run(server, "nft list table inet nightlatch");
    assert!(table.contains("chain strangers {") && !table.contains("chain rate_limits"), "{table}");
}

/// Changes of accounts and blocks in a quick stream open nothing for anybody else, and close
/// nothing for those they do not concern.
#[test]
fn a_stream_of_changes_opens_and_closes_nothing_else() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let office = stage.host("office").unwrap();
    let (nightlatch, _daemon) = protect(server, "");
    nightlatch.must(&["allow", "office", "203.0.113.0/24", "2001:db8:2::/64", "--services", "sip"]);
    let ears = Ears::on(server);
    let (friend, enemy) = (Prober::on(office), Prober::on(attacker));
    let ended = AtomicBool::new(false);
    let sent = std::sync::atomic::AtomicUsize::new(0);
    let probe = || {
        let mut port = 0;
        while !ended.load(Ordering::Relaxed) {
            port = (port + 1) % 40_000;
            for (place, own) in both(server).into_iter().enumerate() {
                let to = SocketAddr::new(own, 5060);
                // Each packet begins a flow of its own, and has to be judged anew.
                let from = SocketAddr::new(both(attacker)[place], 10_000 + port);
                enemy.send(&Packet::udp(from, to, b"OPTIONS"));
                let from = SocketAddr::new(both(office)[place], 10_000 + port);
                friend.send(&Packet::udp(from, to, b"OPTIONS"));
            }
            sent.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(probe);
        let _end = Ends(&ended);
        for round in 0..6 {
            // Neighbours in the same network: the office's own range is cut anew each time.
            let narrow = format!("203.0.113.{}", 20 + round);
            nightlatch.must(&["allow", "guest", &narrow, "2001:db8:2::77", "--services", "web"]);
            // The office's own address, within its network: a closer account comes and goes.
            let own = both(office).map(|address| address.to_string());
            nightlatch.must(&["allow", "closer", &own[0], &own[1], "--services", "web"]);
            nightlatch.must(&["remove", "closer"]);
            nightlatch.must(&["block", "203.0.113.128/25"]);
            nightlatch.must(&["block", "2001:db8:2:0:8000::/65"]);
            nightlatch.must(&["remove", "guest"]);
            nightlatch.must(&["unblock", "203.0.113.128/25"]);
            nightlatch.must(&["unblock", "2001:db8:2:0:8000::/65"]);
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    let heard = ears.heard();
    assert!(heard.iter().all(|heard| !both(attacker).contains(&heard.from)), "the attacker got in");
    for source in both(office) {
        let count = heard.iter().filter(|heard| heard.from == source).count();
        assert_eq!(count, sent.load(Ordering::Relaxed), "from {source}");
    }
}
