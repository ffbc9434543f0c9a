//! The program is replaced by one whose chains have other names, while calls run and an attacker tries
//! all the time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nightlatch_core::ruleset::RENAMED_CHAINS;
use nightlatch_lab::packet::{Packet, flags};
use nightlatch_lab::stage::Plan;

use super::ground::{Ears, Ends, Prober, TIMEOUT, Talk, both, protect, run};
use crate::support::{self, wait_until};

/// The longest pause of a call that nobody would call dropped, on a busy machine.
const MAX_PAUSE: Duration = Duration::from_millis(400);

#[test]
fn an_upgrade_from_the_old_names_opens_nothing_and_drops_no_call() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let office = stage.host("office").unwrap();
    let (nightlatch, mut daemon) = protect(server, "");
    nightlatch.must(&["allow", "office", "203.0.113.0/24", "2001:db8:2::/64", "--services", "sip"]);
    // Media, and signalling, of which each packet is judged anew.
    let talks: Vec<Talk> = both(server)
        .into_iter()
        .flat_map(|own| [10_000, 5060].map(|port| SocketAddr::new(own, port)))
        .map(|target| Talk::between(office, server, target))
        .collect();
    let (ears, prober) = (Ears::on(server), Prober::on(attacker));
    let ended = AtomicBool::new(false);
    let probe = || {
        let mut port = 0;
        while !ended.load(Ordering::Relaxed) {
            port = (port + 1) % 20_000;
            for (source, own) in both(attacker).into_iter().zip(both(server)) {
                let from = SocketAddr::new(source, 20_000 + port);
                prober.send(&Packet::tcp(from, SocketAddr::new(own, 22), flags::SYN));
                prober.send(&Packet::udp(from, SocketAddr::new(own, 5060), b"OPTIONS sip:"));
                prober.send(&Packet::echo(source, own, port, b"ping"));
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    };
    let table = || run(server, "nft list table inet nightlatch");
    let has = |table: &str, chain: &str| table.contains(&format!("\tchain {chain} {{"));
    std::thread::scope(|scope| {
        scope.spawn(probe);
        let _end = Ends(&ended);
        for _ in 0..3 {
            daemon.kill();
            // As an older version leaves it.
            let before = table();
            let made = RENAMED_CHAINS.iter().filter(|(_, new)| has(&before, new));
            let renaming =
                made.map(|(old, new)| format!("rename chain inet nightlatch {new} {old}\n"));
            let file = nightlatch.directory().join("old.nft");
            std::fs::write(&file, renaming.collect::<String>()).unwrap();
            run(server, &format!("nft -f {}", file.display()));
            assert!(has(&table(), "guard") && !has(&table(), "prerouting"), "{}", table());
            daemon = nightlatch.daemon();
            wait_until("the chains have their names", TIMEOUT, || {
                let longest = talks.iter().map(Talk::silent_for).max();
                assert!(longest < Some(MAX_PAUSE), "a call paused for {longest:?}");
                has(&table(), "prerouting")
            });
            nightlatch.must(&["status"]);
        }
        let after = table();
        for (old, _) in RENAMED_CHAINS {
            assert!(!has(&after, old), "{old} is left: {after}");
        }
    });
    for talk in &talks {
        wait_until("calls go on", TIMEOUT, || talk.silent_for() < Duration::from_millis(50));
    }
    let heard = ears.heard();
    let got_in = heard.iter().find(|heard| both(attacker).contains(&heard.from));
    assert!(got_in.is_none(), "the attacker got in: {got_in:?}");
}
