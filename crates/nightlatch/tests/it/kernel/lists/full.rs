//! Long lists: 60,000 networks of IPv4 and 20,000 of IPv6, overlapping, in any order; ten times as
//! many with `NIGHTLATCH_TEST_FULL_SIZE` set, as `./test.sh` does once all other tests are done (the
//! kernel keeps gigabytes for whoever listens to changes of rulesets, in any namespace).
//!
//! Says how long everything took and how much memory; whether that is fast enough is asked only
//! of an optimised build (`cargo test --release`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nightlatch_lab::packet::{Packet, Sender};
use nightlatch_lab::stage::{Host, Plan};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::restart::in_force;
use super::web::Web;
use super::{SIP, feed, open};
use crate::kernel::ground::{any, run};
use crate::support::{self, Installation, now, wait_until};

/// How many networks of IPv4 and of IPv6.
fn sizes() -> (usize, usize) {
    let full = std::env::var_os("NIGHTLATCH_TEST_FULL_SIZE").is_some();
    if full { (600_000, 200_000) } else { (60_000, 20_000) }
}

/// In the same folder of numbers as the random networks, but never one of them.
const MEMBERS: [&str; 4] = ["192.0.2.166", "203.0.113.130", "2001:db8:66::66", "2001:db8:77::5"];
const OTHERS: [&str; 4] = ["192.0.2.20", "203.0.113.140", "2001:db8:3::20", "2001:db8:78::5"];
/// Lets all probes through: the rate limits are not what is tested here.
const UNLIMITED: &str = "[open]\nper-source = { packets = 1000000, burst = 1000000 }\ntotal = { packets = 1000000, burst = 1000000 }\n";

/// Random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// So many networks of IPv4 away from all that the stage uses: mostly single addresses, one in
/// ten within another one.
fn four(count: usize) -> Vec<String> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut all: Vec<String> = Vec::with_capacity(count);
    while all.len() < count {
        let bits = random.next();
        let first = (bits >> 32) as u32;
        if matches!(first >> 24, 0 | 10 | 100 | 127 | 169 | 172 | 192 | 198 | 203 | 224..) {
            continue;
        }
        let prefix = [32, 32, 32, 32, 32, 32, 31, 30, 29, 24][(bits % 10) as usize];
        let network = first & (u32::MAX << (32 - prefix));
        all.push(format!("{}/{prefix}", std::net::Ipv4Addr::from(network)));
        if bits % 10 == 9 && all.len() < count {
            all.push(std::net::Ipv4Addr::from(first).to_string());
        }
    }
    all
}

fn six(count: usize) -> Vec<String> {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    (0..count)
        .map(|_| {
            let bits = random.next();
            let prefix = [64, 64, 64, 64, 56, 48, 48, 128][(bits % 8) as usize];
            // 2400::/8 to 2a00::/8, none of them near 2001:db8::.
            let high = 0x2400_0000_0000_0000 | bits >> 8 & 0x0eff_ffff_ffff_ffff;
            let network = (u128::from(high) << 64) & (u128::MAX << (128 - prefix));
            format!("{}/{prefix}", std::net::Ipv6Addr::from(network))
        })
        .collect()
}

/// The members stay, but the networks that hold them are others each time.
fn members(version: usize) -> [&'static str; 4] {
    [
        ["192.0.2.160/29", "203.0.113.128/29", "2001:db8:66::/48", "2001:db8:77::/64"],
        ["192.0.2.164/30", "203.0.113.130", "2001:db8:66::/64", "2001:db8:77::/48"],
        [
            "192.0.2.128-192.0.2.200",
            "203.0.113.120-203.0.113.135",
            "2001:db8:66::60/122",
            "2001:db8:77::5",
        ],
    ][version % 3]
}

fn text(version: usize, family: usize, networks: &[String]) -> String {
    let mut text = String::with_capacity(networks.len() * 20);
    for member in &members(version)[family * 2..family * 2 + 2] {
        let _ = writeln!(text, "{member}");
    }
    networks.iter().for_each(|network| text.extend([network, "\n"]));
    text
}

/// One in a hundred other networks than before.
fn changed(networks: &[String], more: &[String]) -> Vec<String> {
    let mut changed = networks.to_vec();
    for (at, new) in (0..changed.len()).step_by(100).zip(more) {
        changed[at].clone_from(new);
    }
    changed
}

/// Packets of members and others, all the time, each with its number.
struct Traffic {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    heard_all: AtomicBool,
    sent: Mutex<BTreeMap<IpAddr, Vec<u32>>>,
    heard: Mutex<BTreeMap<IpAddr, Vec<u32>>>,
}

impl Traffic {
    fn between(attacker: &Host, server: &Host) -> Traffic {
        let shared = Arc::<Shared>::default();
        let socket = server.run(|| UdpSocket::bind(any(SIP))).unwrap().unwrap();
        set_socket_recv_buffer_size_force(&socket, 64 << 20).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let sender = Sender::in_host(attacker).unwrap();
        let (to_v4, to_v6) = (server.v4(), server.v6());
        let (for_sender, for_listener) = (Arc::clone(&shared), Arc::clone(&shared));
        let send = move || {
            let sources: Vec<IpAddr> =
                MEMBERS.iter().chain(&OTHERS).map(|text| text.parse().unwrap()).collect();
            for number in 0_u32.. {
                if for_sender.ended.load(Ordering::Relaxed) {
                    return;
                }
                for &source in &sources {
                    let to = SocketAddr::new(if source.is_ipv4() { to_v4 } else { to_v6 }, SIP);
                    let from = SocketAddr::new(source, 4000);
                    let packet = Packet::udp(from, to, &number.to_be_bytes());
                    // A full queue on the way is no verdict.
                    if sender.send(&packet).is_ok() {
                        for_sender.sent.lock().unwrap().entry(source).or_default().push(number);
                    }
                }
                // Strangers' share of connection tracking allows this many packets.
                std::thread::sleep(Duration::from_millis(4));
            }
        };
        let listen = move || {
            let mut buffer = [0; 100];
            loop {
                match socket.recv_from(&mut buffer) {
                    Ok((4, from)) => {
                        let number = u32::from_be_bytes(*buffer.first_chunk().unwrap());
                        let mut heard = for_listener.heard.lock().unwrap();
                        heard.entry(from.ip().to_canonical()).or_default().push(number);
                    }
                    Err(_) if for_listener.heard_all.load(Ordering::Relaxed) => return,
                    _ => {}
                }
            }
        };
        Traffic { shared, workers: vec![std::thread::spawn(send), std::thread::spawn(listen)] }
    }

    /// Ends it; gives for each address the numbers sent and heard.
    fn end(mut self) -> BTreeMap<&'static str, (Vec<u32>, Vec<u32>)> {
        std::thread::sleep(Duration::from_millis(100));
        self.shared.ended.store(true, Ordering::Relaxed);
        self.workers.remove(0).join().unwrap();
        self.shared.heard_all.store(true, Ordering::Relaxed);
        self.workers.remove(0).join().unwrap();
        let (sent, heard) = (self.shared.sent.lock().unwrap(), self.shared.heard.lock().unwrap());
        let of = |text: &&'static str| {
            let address: IpAddr = text.parse().unwrap();
            let get =
                |map: &BTreeMap<IpAddr, Vec<u32>>| map.get(&address).cloned().unwrap_or_default();
            (*text, (get(&sent), get(&heard)))
        };
        MEMBERS.iter().chain(&OTHERS).map(of).collect()
    }

    /// Not one packet was judged wrongly.
    fn must_be_right(self, what: &str) {
        let all = self.end();
        for member in MEMBERS {
            let (sent, heard) = &all[member];
            assert!(sent.len() > 20, "{what}: {member} sent {}", sent.len());
            assert!(
                heard.is_empty(),
                "{what}: {} of {} of {member} passed",
                heard.len(),
                sent.len()
            );
        }
        for other in OTHERS {
            let (sent, heard) = &all[other];
            assert_eq!(sent.len(), heard.len(), "{what}: packets of {other} were lost");
        }
    }
}

/// Runs something, and says how long it took.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (T, Duration) {
    let start = now();
    let result = work();
    let took = start.elapsed();
    eprintln!("{what}: {:.2} s", took.as_secs_f64());
    (result, took)
}

/// In megabytes.
fn peak_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Aims are for optimised builds.
fn aim(what: &str, met: bool) {
    assert!(cfg!(debug_assertions) || met, "{what}");
}

#[test]
fn long_lists() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let (nightlatch, daemon) = open(server, office, UNLIMITED);
    let web = Web::on(server);
    let (fours, sixes) = sizes();
    let (four_all, six_all) = (four(fours + fours / 100), six(sixes + sixes / 100));
    let (four_old, four_more) = four_all.split_at(fours);
    let (six_old, six_more) = six_all.split_at(sixes);

    // A small list holds the members before the long ones come, so that they are members all along.
    web.put("/small", members(0).join("\n") + "\n");
    nightlatch.must(&["feed", "add", "small", &web.url("/small")]);
    web.put("/four", text(0, 0, four_old));
    web.put("/six", text(0, 1, six_old));

    let traffic = Traffic::between(attacker, server);
    let patience = Questions::to(&nightlatch);
    let (told, _) = timed("the networks of IPv4 added", || {
        nightlatch.must(&["feed", "add", "four", &web.url("/four")])
    });
    assert!(told.contains("entries"), "{told}");
    timed("the networks of IPv6 added", || {
        nightlatch.must(&["feed", "add", "six", &web.url("/six")]);
    });
    patience.end("first load");
    traffic.must_be_right("first load");
    nightlatch.must(&["feed", "remove", "small"]);
    let peak = peak_of(daemon.id());
    eprintln!("peak memory of the daemon: {peak} MB");
    aim("under 80 MB", peak < 80);

    for version in 1..=3 {
        let traffic = Traffic::between(attacker, server);
        let patience = Questions::to(&nightlatch);
        // One in a hundred others, and back.
        let part = version % 2;
        web.put(
            "/four",
            text(version, 0, &changed(four_old, &four_more[..four_more.len() * part])),
        );
        web.put("/six", text(version, 1, &changed(six_old, &six_more[..six_more.len() * part])));
        timed("1 % changed, fetched and taken over", || nightlatch.must(&["feed", "refresh"]));
        patience.end("1 % change");
        traffic.must_be_right("1 % change");
    }
    eprintln!("peak memory of the daemon: {} MB", peak_of(daemon.id()));

    let traffic = Traffic::between(attacker, server);
    timed("to mode allowlist", || nightlatch.must(&["mode", "allowlist"]));
    let (_, switch) = timed("to mode open", || nightlatch.must(&["mode", "open"]));
    aim("a switch of modes does not load lists", switch < Duration::from_secs(1));
    for (address, (_, heard)) in traffic.end() {
        assert!(!MEMBERS.contains(&address) || heard.is_empty(), "{address} passed");
    }

    restart_and_boot(&stage, &nightlatch, daemon, web);
}

/// Everything again from the disk, without network.
fn restart_and_boot(
    stage: &nightlatch_lab::stage::Stage,
    nightlatch: &Installation<'_>,
    daemon: support::Daemon,
    web: Web,
) {
    let host = |name| stage.host(name).unwrap();
    let (server, attacker) = (host("server"), host("attacker"));
    drop(web);
    let traffic = Traffic::between(attacker, server);
    daemon.kill();
    let (daemon, ready) = timed("restart, nothing changed meanwhile", || nightlatch.daemon());
    traffic.must_be_right("restart");
    aim("complete at once", ready < Duration::from_secs(2));
    // Somebody has changed a ruleset: then nothing is certain, and all is replaced.
    daemon.kill();
    run(server, "nft add table inet foreign");
    run(server, &in_force(server, "nft add element inet nightlatch LIST4 { 192.0.2.20 }"));
    let (daemon, ready) = timed("restart, everything replaced", || nightlatch.daemon());
    let traffic = {
        let traffic = Traffic::between(attacker, server);
        std::thread::sleep(Duration::from_millis(500));
        traffic
    };
    traffic.must_be_right("after a restart with everything replaced");
    aim("complete within seconds", ready < Duration::from_secs(5));
    let traffic = Traffic::between(attacker, server);
    daemon.kill();
    run(server, "nft delete table inet foreign");
    let daemon = nightlatch.daemon();
    traffic.must_be_right("whole replacement at restart");
    eprintln!("peak memory after a restart: {} MB", peak_of(daemon.id()));
    let entries = feed(nightlatch, "four")["state"]["entries_v4"].as_u64().unwrap();
    assert!(entries > sizes().0 as u64 * 5 / 6, "{entries}");

    // At boot there is no table: what comes first is closed, and opens when the lists are there.
    daemon.kill();
    run(server, "nft delete table inet nightlatch");
    let traffic = Traffic::between(attacker, server);
    std::thread::sleep(Duration::from_millis(50));
    timed("boot", || nightlatch.must(&["boot"]));
    for (address, (_, heard)) in traffic.end() {
        let gaps = heard.windows(2).filter(|pair| pair[1] - pair[0] > 1).count();
        let member = MEMBERS.contains(&address);
        // Members pass until the table is there, others again when it is complete.
        assert_eq!(gaps, usize::from(!member), "{address}: {gaps} gaps");
    }

    let daemon = nightlatch.daemon();
    let traffic = Traffic::between(attacker, server);
    run(server, "nft flush ruleset");
    let restored = || nightlatch.json(&["status"])["restored"].as_u64().unwrap() > 0;
    timed("restored after nft flush ruleset", || {
        wait_until("it is restored", Duration::from_secs(60), restored);
    });
    std::thread::sleep(Duration::from_millis(300));
    for (address, (sent, heard)) in traffic.end() {
        let last = heard.last() == sent.last();
        assert_eq!(last, OTHERS.contains(&address), "{address}");
    }
    drop(daemon);
}

/// Somebody who asks the daemon all the time.
struct Questions {
    ended: Arc<AtomicBool>,
    worker: JoinHandle<(usize, Duration)>,
}

impl Questions {
    fn to(nightlatch: &Installation<'_>) -> Questions {
        let ended = Arc::<AtomicBool>::default();
        let until = Arc::clone(&ended);
        let socket = nightlatch.run().join("status.sock");
        let worker = std::thread::spawn(move || {
            let (mut count, mut longest) = (0, Duration::ZERO);
            while !until.load(Ordering::Relaxed) {
                let start = now();
                let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
                let mut answer = String::new();
                std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
                assert!(answer.contains("\"listed\""), "{answer}");
                (count, longest) = (count + 1, longest.max(start.elapsed()));
                std::thread::sleep(Duration::from_millis(10));
            }
            (count, longest)
        });
        Questions { ended, worker }
    }

    fn end(self, what: &str) {
        self.ended.store(true, Ordering::Relaxed);
        let (count, longest) = self.worker.join().unwrap();
        eprintln!(
            "{what}: {count} questions answered, the slowest after {:.2} s",
            longest.as_secs_f64()
        );
        aim("answers come within seconds", longest < Duration::from_secs(5));
    }
}
