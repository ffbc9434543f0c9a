//! Bans while the daemon is killed at random moments, and while the disk is full.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nightlatch_lab::stage::Plan;

use super::ground::{Echo, answers_udp, both, ignores_udp, protect, shell};
use crate::support::{self, Installation, now, told};

/// How often the daemon is killed.
const KILLS: u32 = 8;
const SIGNALLING: u16 = 5060;
const OPEN: &str = "[open]\nservices = [\"sip\"]\n";

/// What the daemon says is banned.
fn listed(nightlatch: &Installation<'_>) -> BTreeSet<String> {
    let bans = nightlatch.json(&["bans"]);
    let bans = bans["bans"].as_array().unwrap().iter();
    bans.map(|ban| ban["range"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn kill_minus_nine_loses_no_ban_and_revives_none() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (nightlatch, mut daemon) = protect(server, OPEN);
    nightlatch.must(&["mode", "open"]);
    let _echo = Echo::on(server, &[SIGNALLING], &[]);
    let own = both(attacker)[0];
    let others = (1..40_u8).map(|number| IpAddr::from([192, 0, 2, number]));
    let addresses: Vec<IpAddr> = std::iter::once(own).chain(others).collect();
    let (mut banned, mut turn, mut acknowledged) = (BTreeSet::<String>::new(), 0_usize, 0);
    for kill in 0..KILLS {
        let pause = Duration::from_millis(100 + u64::from(kill * 97 % 500));
        let doubt = std::thread::scope(|scope| {
            let killer = scope.spawn(move || {
                std::thread::sleep(pause);
                daemon.kill();
            });
            let doubt = loop {
                let address = addresses[turn * 7 % addresses.len()].to_string();
                turn += 1;
                let bans = !banned.contains(&address);
                let output = match bans {
                    true => nightlatch.run_it(&["ban", &address, "--for", "1h"]),
                    false => nightlatch.run_it(&["unban", &address]),
                };
                if !output.status.success() {
                    // Nothing is refused: the daemon was killed.
                    assert!(![1, 2].map(Some).contains(&output.status.code()), "{}", told(&output));
                    break address;
                }
                acknowledged += 1;
                if bans {
                    banned.insert(address)
                } else {
                    banned.remove(&address)
                };
            };
            killer.join().unwrap();
            doubt
        });
        // Killed right after the answer, the kernel has it.
        let target = SocketAddr::new(server.v4(), SIGNALLING);
        if doubt != own.to_string() {
            assert_eq!(ignores_udp(attacker, target), banned.contains(&own.to_string()));
        }
        daemon = nightlatch.daemon();
        let found = listed(&nightlatch);
        // Only the last one is in doubt.
        let differing: Vec<&String> = found.symmetric_difference(&banned).collect();
        assert!(differing.iter().all(|address| **address == doubt), "{differing:?}, {doubt}");
        banned = found;
        let is_banned = banned.contains(&own.to_string());
        assert_eq!(ignores_udp(attacker, target), is_banned, "{banned:?}");
    }
    println!("{acknowledged} acknowledged");
    assert!(acknowledged > KILLS);
    nightlatch.must(&["unban", "--all"]);
    daemon.kill();
    let _daemon = nightlatch.daemon();
    assert!(listed(&nightlatch).is_empty());
    assert!(answers_udp(attacker, SocketAddr::new(server.v4(), SIGNALLING)));
    assert!(nightlatch.must(&["log", "--verify"]).contains("intact"));
}

#[test]
fn a_full_disk_hinders_no_ban() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let nightlatch = Installation::on(server);
    nightlatch.configure(&format!("{OPEN}{}", support::ASTERISK));
    let folder = nightlatch.state();
    let folder = folder.display();
    shell(server, &format!("mount -t tmpfs -o size=2m tmpfs {folder}"));
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    nightlatch.must(&["mode", "open"]);
    let _echo = Echo::on(server, &[SIGNALLING], &[]);
    let target = SocketAddr::new(server.v4(), SIGNALLING);
    assert!(answers_udp(attacker, target));
    shell(server, &format!("dd if=/dev/zero of={folder}/filler bs=4k 2> /dev/null || true"));
    // A few pages may still be free in what SQLite has already.
    let long = "x".repeat(900);
    let begin = now();
    while nightlatch.run_it(&["block", "203.0.113.99", "--reason", &long]).status.success() {
        assert!(begin.elapsed() < Duration::from_secs(20), "the disk does not become full");
    }
    let address = attacker.v4().to_string();
    let ban = nightlatch.run_it(&["ban", &address, "--reason", &long]);
    assert_eq!(ban.status.code(), Some(74), "{}", told(&ban));
    assert!(told(&ban).contains("the change is in effect"), "{}", told(&ban));
    assert!(ignores_udp(attacker, target));
    assert_eq!(listed(&nightlatch), BTreeSet::from([address.clone()]));
    shell(server, &format!("rm {folder}/filler"));
    // It is written down as soon as that is possible, and survives.
    support::wait_until("it is in the audit log", Duration::from_secs(30), || {
        nightlatch.must(&["log"]).lines().any(|line| line.contains(&format!("ban {address}")))
    });
    daemon.kill();
    let _daemon = nightlatch.daemon();
    assert!(ignores_udp(attacker, target));
    assert_eq!(listed(&nightlatch), BTreeSet::from([address]));
}
