//! Media streams that are running when the firewall comes up: those to which the host sends continue,
//! and the plan says what happens to each.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan};

use super::ground::{TIMEOUT, both, plan_lines, protect};
use crate::support::{self, Installation, wait_until};

/// Media are sent every 20 ms.
const INTERVAL: Duration = Duration::from_millis(20);
/// During silence some codecs send less often: only one in this many packets.
const SELDOM: u32 = 40;

/// A stream of datagrams like RTP between the server and a carrier.
struct Rtp {
    ended: Arc<AtomicBool>,
    /// The packets received by the server, and by the carrier.
    heard: Arc<[AtomicUsize; 2]>,
    workers: Vec<JoinHandle<()>>,
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sends {
    Both,
    /// The host sends rarely, since its side of the call is silent.
    HostSeldom,
    Host,
    Peer,
}

impl Rtp {
    fn between(ends: [(&Host, SocketAddr); 2], sends: Sends) -> Rtp {
        let (ended, heard) = (Arc::new(AtomicBool::new(false)), Arc::<[AtomicUsize; 2]>::default());
        let targets = [ends[1].1, ends[0].1];
        let workers = ends.into_iter().zip(targets).enumerate().map(|(number, (end, target))| {
            let socket = end.0.run(|| UdpSocket::bind(end.1)).unwrap().unwrap();
            socket.set_nonblocking(true).unwrap();
            let (ended, heard) = (Arc::clone(&ended), Arc::clone(&heard));
            let silent = if number == 0 { Sends::Peer } else { Sends::Host };
            std::thread::spawn(move || {
                let seldom = sends == Sends::HostSeldom && number == 0;
                for turn in 0_u32.. {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    if sends != silent && (!seldom || turn % SELDOM == 0) {
                        // Fails if a firewall drops it.
                        let _ = socket.send_to(&[0x80, 0, 0, 1, 0, 0, 0, 160, 7, 7, 7, 7], target);
                    }
                    while socket.recv_from(&mut [0; 100]).is_ok() {
                        heard[number].fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(INTERVAL);
                }
            })
        });
        Rtp { workers: workers.collect(), ended, heard }
    }

    fn counts(&self) -> [usize; 2] {
        [0, 1].map(|end: usize| self.heard[end].load(Ordering::Relaxed))
    }
}

/// For each stream, whether packets arrive now: at the server, and at the carrier.
fn heard(streams: &[Rtp]) -> Vec<[bool; 2]> {
    let before: Vec<_> = streams.iter().map(Rtp::counts).collect();
    std::thread::sleep(INTERVAL * 2 * SELDOM);
    let after = streams.iter().map(Rtp::counts);
    after.zip(before).map(|(after, before)| [0, 1].map(|end| after[end] > before[end])).collect()
}

/// How many streams continue in both directions.
fn go_on(streams: &[Rtp]) -> usize {
    heard(streams).iter().filter(|heard| **heard == [true, true]).count()
}

impl Drop for Rtp {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// Streams of both families: the server's port 10000 + `port` and the carrier's 4000 + `port`.
fn streams(server: &Host, carrier: &Host, port: u16, sends: Sends) -> [Rtp; 2] {
    let (own, theirs) = (both(server), both(carrier));
    [0, 1].map(|family: usize| {
        let ours = (own[family], 10_000 + port).into();
        Rtp::between([(server, ours), (carrier, (theirs[family], 4000 + port).into())], sends)
    })
}

#[test]
fn the_plan_names_running_streams_and_which_continue() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, carrier) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let nightlatch = Installation::on(server).with_asterisk();
    let none = nightlatch.json(&["up", "--plan"]);
    assert_eq!(none["running_media"]["streams"], serde_json::json!([]));
    assert!(!nightlatch.must(&["up", "--plan"]).contains("Running media streams"));
    let running = [(0, Sends::Both), (2, Sends::Host), (4, Sends::Peer)]
        .map(|(port, sends)| streams(server, carrier, port, sends));
    wait_until("the streams run", TIMEOUT, || go_on(&running[0]) == 2);
    let plan = nightlatch.json(&["up", "--plan"]);
    assert!(plan["running_media"]["unread"].is_null(), "{plan}");
    let found: Vec<_> = plan["running_media"]["streams"].as_array().unwrap().iter().collect();
    assert_eq!(found.len(), 6, "{plan}");
    let shown = nightlatch.must(&["up", "--plan"]);
    for theirs in both(carrier).map(|address| address.to_string()) {
        for (port, sent, came, outcome, text) in [
            (0, true, true, "continues-host-sends", "continues: this host sends"),
            (2, true, false, "continues-host-sends", "continues: this host sends"),
            (4, false, true, "ends", "ends: only the other side sends and no account allows it"),
        ] {
            let stream = found.iter().find(|stream| {
                stream["peer"] == theirs.as_str()
                    && stream["peer_port"] == 4000 + port
                    && stream["local_port"] == 10_000 + port
            });
            let stream = stream.unwrap_or_else(|| panic!("{theirs} {port}: {plan}"));
            assert_eq!(stream["outcome"], outcome, "{stream}");
            // Within a second, each side sends about fifty packets.
            for (side, sends) in [("to_peer", sent), ("from_peer", came)] {
                let count = stream[side].as_u64().unwrap();
                assert_eq!(count > 0, sends, "{side}: {stream}");
                assert!(!sends || count > 10, "{side}: {stream}");
            }
            let (peer_port, local_port) = (4000 + port, 10_000 + port);
            let line = format!("  {theirs} port {peer_port}, local port {local_port}: {text}\n");
            assert!(shown.contains(&line), "{line}{shown}");
        }
    }
    // Only streams to which the host does not send are cut.
    let ends = both(carrier).map(|theirs| format!("1 media stream of calls with {theirs}"));
    assert_eq!(plan_lines(&plan, "would_cut"), ends, "{plan}");
    // An account for the media of the carrier.
    let daemon = nightlatch.daemon();
    for (name, theirs) in ["v4", "v6"].into_iter().zip(both(carrier)) {
        nightlatch.must(&["allow", name, &theirs.to_string(), "--services", "rtp"]);
    }
    let plan = nightlatch.json(&["up", "--plan"]);
    let streams = plan["running_media"]["streams"].as_array().unwrap();
    let allowed = streams.iter().filter(|it| it["outcome"] == "continues-allowed").count();
    assert_eq!((streams.len(), allowed), (6, 2), "{plan}");
    assert_eq!(plan["would_cut"], serde_json::json!([]));
    drop((daemon, running));
}

/// Without permission to capture packets, the plan says so and is otherwise complete.
#[test]
fn without_permission_streams_are_unknown() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["setpriv"]) {
        return;
    }
    let (server, carrier) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let nightlatch = Installation::on(server).with_asterisk();
    let _running = streams(server, carrier, 0, Sends::Both);
    let program = env!("CARGO_BIN_EXE_nightlatch");
    let without = ["--bounding-set=-net_raw", program, "up", "--plan"];
    let output = nightlatch.command_called("setpriv", &without).output().unwrap();
    let said = support::told(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("unknown: packets could not be captured: Operation not permitted"),
        "{said}"
    );
    assert!(said.contains("Strangers can no longer reach:"), "{said}");
}

/// The order in which the first packets are seen is random, hence many streams of both families.
#[test]
fn streams_to_which_the_host_sends_survive_a_trial() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["script"]) {
        return;
    }
    let (server, carrier) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let nightlatch = Installation::on(server).with_asterisk();
    let _daemon = nightlatch.daemon();
    let mut calls = Vec::new();
    for port in (0..40).step_by(2) {
        calls.extend(streams(server, carrier, port, Sends::Both));
        std::thread::sleep(Duration::from_millis(3));
    }
    for port in (40..60).step_by(2) {
        calls.extend(streams(server, carrier, port, Sends::HostSeldom));
    }
    let others = streams(server, carrier, 100, Sends::Peer);
    let program = env!("CARGO_BIN_EXE_nightlatch");
    let line = format!("{program} up --trial 20s");
    let mut terminal = nightlatch.command_called("script", &["-qec", &line, "/dev/null"]);
    terminal.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut up = terminal.spawn().unwrap();
    up.stdin.as_mut().unwrap().write_all(b"y\n").unwrap();
    wait_until("streams to which the host sends nothing end", TIMEOUT, || {
        heard(&others).iter().all(|heard| !heard[0])
    });
    assert_eq!(go_on(&calls), calls.len(), "on trial");
    nightlatch.must(&["confirm"]);
    assert_eq!(go_on(&calls), calls.len(), "confirmed");
    up.wait().unwrap();
}

/// The same without a trial, and when the table is removed and restored.
#[test]
fn streams_to_which_the_host_sends_survive_a_flush() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, carrier) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let mut calls = Vec::new();
    for port in (0..20).step_by(2) {
        calls.extend(streams(server, carrier, port, Sends::Both));
        std::thread::sleep(Duration::from_millis(3));
    }
    let (_nightlatch, _daemon) = protect(server, "");
    assert_eq!(go_on(&calls), calls.len(), "the firewall is up");
    let there = || {
        let listed = server.command("nft").args(["list", "table", "inet", "nightlatch"]).output();
        listed.unwrap().status.success()
    };
    for commands in ["flush ruleset", "flush ruleset; conntrack -F"] {
        if commands.contains("conntrack") && !support::installed(&["conntrack"]) {
            continue;
        }
        super::ground::shell(server, &format!("nft {commands}"));
        wait_until("it is restored", TIMEOUT, there);
        // Longer than the second check takes.
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(go_on(&calls), calls.len(), "{commands}");
    }
}
