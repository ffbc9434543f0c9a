//! So many forged addresses begin to knock that the kernel takes no more.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nightlatch_core::knock::MAX_BEGUN;
use nightlatch_lab::packet::{Packet, Sender, flags};
use nightlatch_lab::stage::{Host, Plan};

use super::ground::{Echo, SILENCE, TIMEOUT, both, connect, echoes, ignores_tcp, protect, shell};
use super::knock::knocker;
use crate::support::{self, wait_until};

/// How many addresses begin: more than there is room for.
const FORGED: u32 = MAX_BEGUN + 16_384;
/// How long on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Someone who sends a first port from all the addresses, again and again.
struct Flood {
    ended: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Flood {
    fn from(host: &Host, target: SocketAddr) -> Flood {
        let sender = Sender::in_host(host).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let first = u32::from(Ipv4Addr::new(198, 18, 0, 0));
        let forged = (first..first + FORGED).map(|it| {
            let from = SocketAddr::new(IpAddr::V4(it.into()), 40_000);
            Packet::tcp(from, target, flags::SYN).bytes()
        });
        let packets: Vec<Vec<u8>> = forged.collect();
        let worker = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                for some in packets.chunks(200) {
                    for packet in some {
                        // What finds no room in a queue comes with the next round.
                        let _ = sender.send_bytes(target.ip(), packet);
                    }
                    std::thread::sleep(Duration::from_millis(5));
                    if until.load(Ordering::Relaxed) {
                        return;
                    }
                }
            }
        });
        Flood { ended, worker: Some(worker) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

#[test]
fn a_full_set_keeps_others_from_knocking_and_closes_nothing() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["knock", "nft"]) {
        return;
    }
    let host = |name| stage.host(name).unwrap();
    let (server, phone) = (host("server"), host("traveller"));
    let (office, attacker) = (host("office"), host("attacker"));
    let (nightlatch, _daemon) = protect(server, "");
    let _echo = Echo::on(server, &[], &[443]);
    let [a, b, c] = knocker(&nightlatch, "anna", "web");
    let [web, web6] = both(server).map(|own| SocketAddr::new(own, 443));
    let knock = |from: &Host, web: SocketAddr| {
        let (family, own) = (if web.is_ipv4() { "-4" } else { "-6" }, web.ip());
        shell(from, &format!("knock {family} -d 50 {own} {a} {b} {c}"));
        from.run(|| TcpStream::connect_timeout(&web, SILENCE)).unwrap().is_ok()
    };
    wait_until("it opens", LONG, || knock(phone, web));
    let mut stream = connect(phone, web).unwrap();

    let flood = Flood::from(attacker, SocketAddr::new(web.ip(), a.parse().unwrap()));
    let refused = || nightlatch.json(&["status"])["dropped"]["knock_full"].as_u64().unwrap();
    wait_until("the set is full", LONG, || refused() > 10_000);
    let count = "nft list set inet nightlatch knock_begun4 | grep -o expires | wc -l";
    let begun = || shell(server, count).trim().parse::<u32>().unwrap();
    // The listing leaves out those that have expired since.
    wait_until("it has all it can take", LONG, || begun() > MAX_BEGUN - MAX_BEGUN / 64);
    wait_until("a knock finds no room", LONG, || {
        let opened = knock(office, web);
        if opened {
            // It came just when another one expired.
            nightlatch.run_it(&["close", &both(office)[0].to_string()]);
        }
        !opened && ignores_tcp(office, web)
    });
    // What is open stays so, and the other family has room.
    assert!(echoes(&mut stream, TIMEOUT));
    assert!(connect(phone, web).is_ok());
    wait_until("it opens over IPv6", LONG, || knock(office, web6));

    let status = || nightlatch.json(&["status"]);
    wait_until("it is told", LONG, || status()["knocks_full_at"].is_number());
    let told = "addresses have begun to knock within";
    assert_eq!(status()["users"], 1);
    let warnings = status()["warnings"].to_string();
    assert!(warnings.contains(told), "{warnings}");
    wait_until("the notice is written", TIMEOUT, || nightlatch.log().contains(told));
    assert_eq!(nightlatch.log().matches(told).count(), 1, "once");

    drop(flood);
    assert!(connect(phone, web).is_ok());
    wait_until("knocking works again", LONG, || knock(office, web));
    assert!(echoes(&mut stream, TIMEOUT));
}
