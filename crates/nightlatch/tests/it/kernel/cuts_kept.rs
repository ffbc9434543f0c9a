//! Cut flows stay cut across a flush, a restart of the daemon and a load, while their peer goes on
//! sending; and no longer than the peer is not allowed.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nightlatch_lab::packet::Packet;
use nightlatch_lab::stage::{Host, Plan};
use socket2::{Domain, Socket, Type};

use super::ground::{Prober, TIMEOUT, both, patiently, protect, shell};
use crate::support::{self, wait_until};

const PORT: u16 = 4000;
/// The port from which the peer sends.
const FROM: u16 = 4444;

/// Two packets are sent at each step and for each family: one that begins a flow, which the table drops
/// from the moment at which it has chains, and after it one of a flow that was cut.
struct Steps {
    ended: AtomicBool,
    /// Whether the flows were cut. Before, nothing else is sent, and they are answered.
    is_cut: AtomicBool,
    /// The last step that was sent.
    sent: AtomicU64,
    /// The last step that the server heard, by family and by whether it was of the flow that was cut.
    heard: Mutex<BTreeMap<(bool, bool), u64>>,
}

impl Steps {
    fn new() -> Steps {
        let (ended, is_cut) = (AtomicBool::new(false), AtomicBool::new(false));
        Steps { ended, is_cut, sent: AtomicU64::new(0), heard: Mutex::default() }
    }

    fn go_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn last(&self, is_v4: bool, is_cut: bool) -> u64 {
        self.heard.lock().unwrap().get(&(is_v4, is_cut)).copied().unwrap_or_default()
    }

    /// Sends until the end. The sockets are those of the flows.
    fn send(&self, peer: &Host, flows: &[(UdpSocket, SocketAddr)]) {
        let prober = Prober::on(peer);
        while self.go_on() {
            let step = self.now() + 1;
            let is_cut = self.is_cut.load(Ordering::Relaxed);
            for (socket, target) in flows {
                let port = u16::try_from(10_000 + step % 50_000).unwrap();
                let from = both(peer)[usize::from(target.is_ipv6())];
                if is_cut {
                    prober.send(&Packet::udp((from, port).into(), *target, &step.to_be_bytes()));
                }
                // An error that came back for an earlier one does not matter.
                let _ = socket.send_to(&step.to_be_bytes(), target);
            }
            self.sent.store(step, Ordering::Relaxed);
            std::thread::sleep(Duration::from_micros(if is_cut { 300 } else { 50_000 }));
        }
    }

    /// Notes what the server hears. It answers in the flow that is to be cut.
    fn hear(&self, socket: &UdpSocket) {
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut step = [0; 8];
        while self.go_on() {
            let Ok((8, peer)) = socket.recv_from(&mut step) else { continue };
            if !self.is_cut.load(Ordering::Relaxed) {
                let _ = socket.send_to(b"answer", peer);
            }
            let mut heard = self.heard.lock().unwrap();
            heard.insert((peer.is_ipv4(), peer.port() == FROM), u64::from_be_bytes(step));
        }
    }

    /// Whatever happens: no packet of a cut flow arrives where one that begins a flow does not.
    fn none_slips_through(&self, what: &str, act: impl FnOnce()) -> [u64; 2] {
        let before = self.now();
        act();
        std::thread::sleep(Duration::from_millis(300));
        [true, false].map(|is_v4| {
            let [new, cut] = [false, true].map(|is_cut| self.last(is_v4, is_cut).max(before));
            assert!(cut <= new + 1, "{what}: {} packets, IPv4: {is_v4}", cut - new);
            new - before
        })
    }
}

/// Ends the sending also where the test fails.
struct Ends<'a>(&'a Steps);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

/// How many of the peer's flows are cut, of both families. Others that begin while there is no table are
/// cut, too.
fn cuts(server: &Host) -> usize {
    let listed =
        |set| shell(server, &format!("nft list set inet nightlatch {set} 2> /dev/null || true"));
    let ours = format!(" . {FROM} . {PORT} ");
    ["cut4", "cut6"].map(|set| listed(set).matches(&ours).count()).iter().sum()
}

fn stands(server: &Host) -> bool {
    shell(server, "nft list chain inet nightlatch postrouting 2> /dev/null || true")
        .contains("hook")
}

/// Before, the set of cut flows was lost in a flush, and only found again by listing all flows.
#[test]
fn a_flush_and_a_restart_let_no_packet_of_a_cut_flow_through() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, peer) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let open = format!("[services]\necho = [\"udp/{PORT}\"]\n[open]\nservices = [\"echo\"]\n");
    let (nightlatch, daemon) = protect(server, &open);
    nightlatch.must(&["mode", "open"]);
    let targets = both(server).map(|address| SocketAddr::new(address, PORT));
    let ears = targets.map(|target| patiently(server, || UdpSocket::bind(target)));
    let flows = targets.map(|target| {
        let from = SocketAddr::new(both(peer)[usize::from(target.is_ipv6())], FROM);
        (peer.run(|| UdpSocket::bind(from)).unwrap().unwrap(), target)
    });
    let steps = Steps::new();
    std::thread::scope(|scope| {
        let _ends = Ends(&steps);
        for socket in &ears {
            scope.spawn(|| steps.hear(socket));
        }
        scope.spawn(|| steps.send(peer, &flows));
        wait_until("both flows run", TIMEOUT, || {
            steps.last(true, true) > 0 && steps.last(false, true) > 0
        });
        nightlatch.must(&["mode", "allowlist"]);
        wait_until("both flows are cut", TIMEOUT, || cuts(server) == 2);
        steps.is_cut.store(true, Ordering::Relaxed);
        // Without a table, both kinds of packets arrive.
        let mut open = 0;
        let mut flush = |command: &str| {
            let steps = steps.none_slips_through(command, || {
                shell(server, command);
                wait_until("it stands again", TIMEOUT, || stands(server) && cuts(server) == 2);
            });
            open += steps.iter().sum::<u64>();
        };
        for _ in 0..3 {
            flush("nft flush ruleset");
            flush("nft delete table inet nightlatch");
        }
        let closed = steps.none_slips_through("changes", || {
            nightlatch.must(&["allow", "office", "203.0.113.0/24"]);
            nightlatch.must(&["reload"]);
            nightlatch.must(&["remove", "office"]);
            shell(server, "nft add rule inet nightlatch raw_prerouting accept");
        });
        assert_eq!(closed, [0, 0], "it was closed all the time");
        let mut next = None;
        let closed = steps.none_slips_through("a restart", || {
            daemon.kill();
            next = Some(nightlatch.daemon());
        });
        assert_eq!((closed, cuts(server)), ([0, 0], 2));
        flush("nft flush ruleset");
        assert!(open > 0, "there was no gap in which packets arrived");
        // Allowed again, it is cut no longer, nor after another flush.
        for address in both(peer) {
            nightlatch.must(&["allow", &format!("p{}", address.is_ipv4()), &address.to_string()]);
        }
        wait_until("they are no longer cut", TIMEOUT, || cuts(server) == 0);
        shell(server, "nft flush ruleset");
        wait_until("it stands again", TIMEOUT, || stands(server));
        let now = steps.now();
        wait_until("both flows go on", TIMEOUT, || {
            steps.last(true, true) > now && steps.last(false, true) > now
        });
        assert_eq!(cuts(server), 0);
    });
}

/// Before, what the server answered to such a handshake was dropped for up to two hours.
#[test]
fn a_peer_that_is_allowed_again_connects_from_the_same_port() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let (nightlatch, _daemon) = protect(server, "");
    let target = SocketAddr::new(server.v4(), PORT);
    let listener = patiently(server, || TcpListener::bind(target));
    let allow = || nightlatch.must(&["allow", "office", &office.v4().to_string()]);
    let connect = || {
        let socket = office.run(|| Socket::new(Domain::IPV4, Type::STREAM, None)).unwrap()?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from(([0, 0, 0, 0], FROM)).into())?;
        socket.connect_timeout(&target.into(), TIMEOUT)?;
        std::io::Result::Ok(TcpStream::from(socket))
    };
    allow();
    let theirs = connect().unwrap();
    let (ours, _) = listener.accept().unwrap();
    nightlatch.must(&["remove", "office"]);
    wait_until("the connection is cut", TIMEOUT, || cuts(server) == 1);
    // Neither side says goodbye.
    for stream in [ours, theirs] {
        Socket::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    allow();
    connect().unwrap();
    assert_eq!(cuts(server), 0);
}
