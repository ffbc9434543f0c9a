//! Who began a connection: by connection tracking, by what was saved, by the listening ports.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan};
use socket2::{Domain, Socket, Type};

use super::ground::{TIMEOUT, any, both, connect, plan_lines, run};
use crate::support::{self, Installation, wait_until};

/// Connection tracking is read every 15 seconds.
const SAVED_WITHIN: Duration = Duration::from_secs(25);

/// A SIP proxy: it listens at a port and connects from there.
struct Proxy<'a> {
    host: &'a Host,
    port: u16,
    listener: TcpListener,
}

impl Proxy<'_> {
    fn on(host: &Host, port: u16) -> Proxy<'_> {
        let open = || {
            let socket = shared(any(port));
            socket.listen(8).unwrap();
            TcpListener::from(socket)
        };
        Proxy { host, port, listener: host.run(open).unwrap() }
    }

    fn connect(&self, from: IpAddr, target: SocketAddr) -> TcpStream {
        let open = || {
            let socket = shared((from, self.port).into());
            socket.connect_timeout(&target.into(), TIMEOUT).unwrap();
            TcpStream::from(socket)
        };
        self.host.run(open).unwrap()
    }
}

fn shared(own: SocketAddr) -> Socket {
    let domain = if own.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&own.into()).unwrap();
    socket
}

fn track(host: &Host) {
    run(host, "nft add table inet other");
    run(host, "nft add chain inet other c { type filter hook input priority 0; }");
    run(host, "nft add rule inet other c ct state new accept");
}

/// Nothing has tracked the connections: the ports of a proxy's trunk do not show who began it. Those of
/// telephones and of a client on the host do.
#[test]
fn the_plan_lists_connections_that_either_side_may_have_begun() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let proxy = Proxy::on(server, 5061);
    let carrier = Proxy::on(attacker, 5061);
    let mut open = Vec::new();
    for (own, theirs) in both(server).into_iter().zip(both(attacker)) {
        open.push(proxy.connect(own, (theirs, 5061).into()));
        open.push(connect(attacker, (own, 5061).into()).unwrap());
        open.push(connect(server, (theirs, 5061).into()).unwrap());
    }
    let nightlatch = Installation::on(server).with_asterisk();
    let plan = nightlatch.json(&["up", "--plan"]);
    let named = |text: &str| both(attacker).map(|theirs| format!("{text} {theirs}"));
    assert_eq!(plan_lines(&plan, "unknown_continue"), named("1 SIP peer at"), "{plan}");
    assert_eq!(plan_lines(&plan, "would_cut"), named("1 SIP peer at"), "{plan}");
    let shown = nightlatch.must(&["up", "--plan"]);
    let section = shown
        .split_once("Connections that continue because this machine may have initiated them:")
        .map(|(_, rest)| rest);
    let section = section.unwrap_or_else(|| panic!("{shown}"));
    assert!(named("1 SIP peer at").iter().all(|line| section.contains(line)), "{shown}");
    drop((open, carrier));
}

/// What connection tracking saw is still known after it was flushed and the daemon was killed.
#[test]
fn who_began_is_saved() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    track(server);
    let nightlatch = Installation::on(server).with_asterisk();
    let daemon = nightlatch.daemon();
    let proxy = Proxy::on(server, 5061);
    let carrier = Proxy::on(attacker, 5061);
    let other = Proxy::on(attacker, 5062);
    let (own, theirs) = (server.v4(), attacker.v4());
    // One trunk that the server began, one that the other side began.
    let mut trunk = proxy.connect(own, (theirs, 5061).into());
    let guest = other.connect(theirs, (own, 5061).into());
    let (mut answers, _) = carrier.listener.accept().unwrap();
    let file = nightlatch.state().join("beginnings");
    wait_until("both are saved", SAVED_WITHIN, || {
        let saved = std::fs::read_to_string(&file).unwrap_or_default();
        let line = |port, who| saved.contains(&format!("{theirs} {port} 5061 {who}\n"));
        line(5061, "host") && line(5062, "peer")
    });
    daemon.kill();
    if !support::installed(&["conntrack"]) {
        return;
    }
    run(server, "conntrack -F");
    // The carrier sends first: it appears to have begun the connection.
    answers.write_all(b"x").unwrap();
    trunk.read_exact(&mut [0]).unwrap();
    let plan = nightlatch.json(&["up", "--plan"]);
    assert_eq!(plan_lines(&plan, "unknown_continue"), [""; 0], "{plan}");
    assert_eq!(plan_lines(&plan, "would_cut"), [format!("1 SIP peer at {theirs}")], "{plan}");
    drop(guest);
}
