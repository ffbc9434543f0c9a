//! Flows that were cut stay cut: for as long as their peer goes on sending, and on every way in.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nightlatch::shell::firewall::Firewall;
use nightlatch_core::cut::{Began, LiveFlow};
use nightlatch_core::service::Protocol;
use nightlatch_lab::stage::{Host, Plan};
use socket2::{Domain, Socket, Type};

use super::ground::{Prober, TIMEOUT, Talk, both, ignores_udp, protect, run};
use crate::support::{self, wait_until};
use nightlatch_lab::packet::Packet;

const QUIET: Duration = Duration::from_millis(500);

/// The cut flows by the peer's port, and in how many seconds each runs out.
fn cuts(server: &Host) -> Vec<(u16, u64)> {
    let mut cuts = Vec::new();
    for set in ["cut4", "cut6"] {
        let listed = run(server, &format!("nft -j list set inet nightlatch {set}"));
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let objects = listed["nftables"].as_array().unwrap().iter();
        for element in objects.filter_map(|object| object["set"]["elem"].as_array()).flatten() {
            let port = element["elem"]["val"]["concat"][2].as_u64().unwrap();
            let expires = element["elem"]["expires"].as_u64().unwrap();
            cuts.push((u16::try_from(port).unwrap(), expires));
        }
    }
    cuts.sort_unstable();
    cuts
}

#[test]
fn a_cut_lasts_as_long_as_the_peer_sends_and_nobody_else_is_in_it() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let attacker = stage.host("attacker").unwrap();
    let (nightlatch, _daemon) = protect(server, "");
    nightlatch.must(&["allow", "office", "203.0.113.0/24", "2001:db8:2::/64"]);
    let talks = |port| both(server).map(|own| Talk::between(office, server, (own, port).into()));
    let (going_on, ended) = (talks(4000), talks(4001));
    nightlatch.must(&["remove", "office"]);
    wait_until("the flows end", TIMEOUT, || {
        going_on.iter().chain(&ended).all(|talk| talk.silent_for() > QUIET)
    });
    drop(ended);
    let before = cuts(server);
    assert_eq!(before.len(), 4, "{before:?}");
    // Strangers send all the while, from many ports.
    let enemy = Prober::on(attacker);
    for port in 10_000..10_300 {
        for (from, to) in both(attacker).into_iter().zip(both(server)) {
            let (from, to) = (SocketAddr::new(from, port), SocketAddr::new(to, 4000));
            enemy.send(&Packet::udp(from, to, b"OPTIONS"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let after = cuts(server);
    let ports = |cuts: &[(u16, u64)]| cuts.iter().map(|(port, _)| *port).collect::<Vec<_>>();
    assert_eq!(ports(&after), ports(&before), "only what was cut is in the list");
    let renewed = after.iter().filter(|(_, expires)| *expires >= 7199).count();
    assert_eq!(renewed, 2, "of those whose peer goes on, the time begins anew: {after:?}");
    assert!(going_on.iter().all(|talk| talk.silent_for() > QUIET));
}

/// A transparent proxy's address, which is local by a rule of routing alone: what is sent there is
/// judged only when it is delivered.
#[test]
fn a_flow_to_an_address_of_a_rule_of_routing_is_cut_too() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let address = Ipv4Addr::new(198, 51, 100, 77);
    run(server, &format!("ip rule add pref 5 to {address} lookup 100"));
    run(server, &format!("ip route add local {address} dev lo table 100"));
    let router = stage.host("router").unwrap();
    run(router, &format!("ip route add {address}/32 via {}", server.v4()));
    let target = SocketAddr::from((address, 4000));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = Ends(&ended);
        scope.spawn(|| echo_transparently(server, target, &ended));
        assert!(!ignores_udp(office, target), "it is reached without a firewall");
        let (nightlatch, _daemon) = protect(server, "");
        nightlatch.must(&["allow", "office", &office.v4().to_string()]);
        let socket = office.run(|| std::net::UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
        let asks = || super::ground::asks_from(&socket, target, Duration::from_secs(1));
        assert!(asks() && asks(), "the account comes in");
        nightlatch.must(&["remove", "office"]);
        wait_until("the flow is cut", TIMEOUT, || !asks());
        assert_eq!(cuts(server).len(), 1);
        nightlatch.must(&["allow", "office", &office.v4().to_string()]);
        wait_until("let in again it goes on", TIMEOUT, asks);
    });
}

/// A server that takes one guest and no longer listens then, as a back door does: its guest is no
/// peer of the host's own choice.
#[test]
fn the_last_guest_of_a_server_that_is_gone_is_put_out() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    // Connections are tracked before the firewall comes up.
    run(server, "nft add table inet other");
    run(server, "nft add chain inet other c { type filter hook input priority 0; }");
    run(server, "nft add rule inet other c ct state new accept");
    let door = SocketAddr::new(server.v4(), 4444);
    let listener = server.run(|| TcpListener::bind(door)).unwrap().unwrap();
    let mut guest = attacker.run(|| TcpStream::connect(door)).unwrap().unwrap();
    let (mut host, _) = listener.accept().unwrap();
    drop(listener);
    host.set_read_timeout(Some(QUIET)).unwrap();
    let mut hears = || {
        guest.write_all(b"x").unwrap();
        host.read(&mut [0]).is_ok_and(|read| read == 1)
    };
    assert!(hears(), "before the firewall is up");
    let (_nightlatch, _daemon) = protect(server, "");
    assert!(!hears());
}

/// The kernel's set has room for 262,144 flows of a family: that many are cut, and the error says how
/// many remain active.
#[test]
fn more_flows_than_the_set_holds_are_cut_as_far_as_it_goes() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let (_nightlatch, _daemon) = protect(server, "");
    let flow = |number: u32| LiveFlow {
        protocol: Protocol::Udp,
        peer: Ipv4Addr::from(0xc612_0000 | number >> 2).into(),
        peer_port: 5060 + u16::try_from(number & 3).unwrap(),
        local_port: 5060,
        began: Began::Peer,
        host_sends: true,
    };
    let mut flows: Vec<LiveFlow> = (0..262_145).map(flow).collect();
    // A listing that was restarted shows flows several times.
    flows.extend_from_within(..100);
    flows.push(LiveFlow { peer: both(server)[1], ..flow(0) });
    let mut firewall = server.run(Firewall::open).unwrap().unwrap();
    let said = firewall.cut(&flows).unwrap_err();
    assert!(said.starts_with("1 of 262146 flows remain active: "), "{said}");
    let cut = |set: &str| {
        let listed = run(server, &format!("nft list set inet nightlatch {set}"));
        listed.matches("expires").count()
    };
    assert_eq!((cut("cut4"), cut("cut6")), (262_144, 1));
}

/// Sends back whatever comes for an address that is none of the host's own.
fn echo_transparently(server: &Host, target: SocketAddr, ended: &AtomicBool) {
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        socket.set_ip_transparent_v4(true)?;
        socket.bind(&target.into())?;
        std::io::Result::Ok(std::net::UdpSocket::from(socket))
    };
    let socket = server.run(open).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 100];
    while !ended.load(Ordering::Relaxed) {
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], peer);
        }
    }
}

/// Ends the echo also where the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
