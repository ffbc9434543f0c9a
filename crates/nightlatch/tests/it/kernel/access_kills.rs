//! `kill -9` between an SPA packet and its lease: the message is recorded and the address opened, or
//! neither.

use std::time::Duration;

use nightlatch_lab::stage::Plan;

use super::access::Client;
use super::ground::{both, protect, shell};
use crate::support::{self, Installation};

/// How often the daemon is killed.
const KILLS: u64 = 24;

/// Whether the database has a row of a feature with a key.
fn has(nightlatch: &Installation<'_>, feature: &str, key: &str) -> bool {
    let database = rusqlite::Connection::open(nightlatch.state().join("nightlatch.db")).unwrap();
    let query = "SELECT count(*) FROM records WHERE feature = ?1 AND key = ?2";
    database.query_row(query, [feature, key], |row| row.get::<_, u32>(0)).unwrap() > 0
}

#[test]
fn after_kill_minus_nine_no_message_counts_again_and_no_lease_is_without_record() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone) = (stage.host("server").unwrap(), stage.host("traveller").unwrap());
    let (nightlatch, daemon) = protect(server, "");
    let name = |kill: u64| format!("u{kill}");
    let clients: Vec<Client> =
        (0..KILLS).map(|kill| Client::of(&nightlatch, &name(kill), "sip", &[])).collect();
    let (own, address) = (both(server)[0], both(phone)[0]);
    let mut daemon = Some(daemon);
    let mut recorded = 0;
    for (kill, client) in (0..KILLS).zip(&clients) {
        let running = daemon.take().unwrap_or_else(|| nightlatch.daemon());
        let (user, message) = (name(kill), client.message(None, None));
        client.send(phone, own, &message);
        // From before the packet is read to after the kernel has the lease.
        std::thread::sleep(Duration::from_micros(kill * kill * 60));
        running.kill();
        let is_recorded = has(&nightlatch, "users", &format!("replays/{user}"));
        let has_lease = has(&nightlatch, "leases", &format!("{user} {address}"));
        assert_eq!(is_recorded, has_lease, "kill {kill}");
        let elements = shell(server, "nft list set inet nightlatch lease4");
        let is_open = elements.contains(&address.to_string());
        assert!(!is_open || recorded > 0 || has_lease, "kill {kill}: {elements}");
        recorded += u32::from(is_recorded);
        if is_recorded {
            // The same message once more: the next daemon refuses it.
            let running = nightlatch.daemon();
            nightlatch.must(&["close", &address.to_string()]);
            client.send(phone, own, &message);
            support::wait_until("it is told", Duration::from_secs(10), || {
                nightlatch.log().contains("was used before")
            });
            assert!(!has(&nightlatch, "leases", &format!("{user} {address}")), "kill {kill}");
            daemon = Some(running);
            recorded = 0;
        }
    }
}
