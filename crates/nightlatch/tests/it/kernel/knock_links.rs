//! Knocking where the server's interface gets another name, is replaced, and becomes part of a bridge.

use std::net::SocketAddr;

use nightlatch::features::demo::stage::{Host, Plan};

use super::ground::{Echo, SILENCE, both, connect, ignores_tcp, protect, shell};
use super::knock::knocker;
use crate::support::{self, wait_until};

/// How long a link may take to carry packets on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Gives the interface the addresses and routes of the server.
fn configure(server: &Host, interface: &str) {
    shell(
        server,
        &format!(
            "ip link set {interface} up
             ip address replace 198.51.100.1/24 dev {interface}
             ip address replace 2001:db8:1::1/64 dev {interface} nodad
             ip route replace default via 198.51.100.254
             ip -6 route replace default via 2001:db8:1::fe"
        ),
    );
}

#[test]
fn other_interfaces_change_nothing() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["knock"]) {
        return;
    }
    let host = |name| stage.host(name).unwrap();
    let (server, router, phone) = (host("server"), host("router"), host("traveller"));
    let (nightlatch, _daemon) = protect(server, "");
    let _echo = Echo::on(server, &[], &[443]);
    let [a, b, c] = knocker(&nightlatch, "anna", "web");
    let opens_at_once = |web: &SocketAddr| {
        let asked = phone.run(|| std::net::TcpStream::connect_timeout(web, SILENCE)).unwrap();
        asked.is_ok()
    };
    let opens = |change: &str| {
        for (own, from) in both(server).into_iter().zip(both(phone)) {
            let web = SocketAddr::new(own, 443);
            assert!(ignores_tcp(phone, web), "{change}: {own} is open");
            let family = if own.is_ipv4() { "-4" } else { "-6" };
            wait_until(&format!("{change}: it opens {own}"), PATIENCE, || {
                shell(phone, &format!("knock {family} -d 50 {own} {a} {b} {c}"));
                opens_at_once(&web)
            });
            let listed = nightlatch.json(&["leases"]).to_string();
            assert!(listed.contains(&from.to_string()), "{change}: {listed}");
        }
    };
    // What is open stays so, and what was closed opens.
    let stays_and_opens = |change: &str| {
        for own in both(server) {
            let web = SocketAddr::new(own, 443);
            wait_until(&format!("{change}: {own} stays open"), PATIENCE, || opens_at_once(&web));
        }
        for from in both(phone) {
            nightlatch.must(&["close", &from.to_string()]);
        }
        opens(change);
    };
    opens("as it was");

    shell(server, "ip link set eth0 down; ip link set eth0 name uplink");
    configure(server, "uplink");
    stays_and_opens("renamed");

    let holder = server.holder();
    shell(
        router,
        &format!(
            "ip link delete lan-server
             ip link add lan-server type veth peer name wan0 netns {holder}
             ip address add 198.51.100.254/24 dev lan-server
             ip address add 2001:db8:1::fe/64 dev lan-server nodad
             ip link set lan-server up"
        ),
    );
    assert!(!shell(server, "ip -o link").contains("uplink"));
    configure(server, "wan0");
    stays_and_opens("made anew");

    shell(
        server,
        "ip link add br0 type bridge mcast_snooping 0 forward_delay 0
         ip address flush dev wan0
         ip link set wan0 master br0",
    );
    configure(server, "br0");
    stays_and_opens("bridged");
    // The daemon has seen all of it, and it is the same one.
    assert!(connect(phone, SocketAddr::new(server.v4(), 443)).is_ok());
}
