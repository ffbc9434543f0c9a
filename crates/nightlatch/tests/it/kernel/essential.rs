//! What IPv4 and IPv6 cannot live without goes on working under the firewall.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nightlatch_lab::packet::{Packet, protocol};
use nightlatch_lab::stage::{Host, Plan};

use super::ground::{Echo, ignores_udp};
use super::ground::{Prober, SILENCE, TIMEOUT, answers_udp, any, both, protect, run, shell};
use crate::support::{self, wait_until};

#[test]
fn neighbours_are_found_in_both_directions() {
    let Some(stage) = support::stage(&Plan::standard().with_resolver()) else {
        return;
    };
    let (server, neighbour) = (stage.host("server").unwrap(), stage.host("resolver").unwrap());
    let (_nightlatch, _daemon) = protect(server, "");
    let _echo = Echo::on(neighbour, &[53], &[]);
    for (own, other) in both(server).into_iter().zip(both(neighbour)) {
        // The server looks for its neighbour, who answers.
        run(server, "ip neigh flush dev eth0");
        run(neighbour, "ip neigh flush dev eth0");
        assert!(answers_udp(server, SocketAddr::new(other, 53)));
        // The neighbour, knowing nothing, looks for the server, whose firewall drops the rest.
        run(server, "ip neigh flush dev eth0");
        run(neighbour, "ip neigh flush dev eth0");
        assert!(ignores_udp(neighbour, SocketAddr::new(own, 5060)));
        let known = run(neighbour, &format!("ip neigh show {own} dev eth0"));
        assert!(known.contains("lladdr"), "{own} is not found: {known}");
    }
}

/// A router advertisement (RFC 4861 section 4.2) with a prefix to make addresses of.
fn advertisement(router: IpAddr) -> Packet {
    let mut body = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    body.extend([3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    body.extend("2001:db8:aaaa::".parse::<Ipv6Addr>().unwrap().octets());
    let everybody = "ff02::1".parse().unwrap();
    Packet::other(router, everybody, protocol::ICMPV6, &body).with_hop_limit(255)
}

#[test]
fn router_advertisements_arrive_but_none_from_beyond_the_link() {
    let Some(stage) = support::stage(&Plan::standard().with_resolver()) else {
        return;
    };
    let (server, neighbour) = (stage.host("server").unwrap(), stage.host("resolver").unwrap());
    let (_nightlatch, _daemon) = protect(server, "");
    run(server, "ip -6 route del default");
    server.set_kernel("ipv6/conf/eth0/accept_ra", "2").unwrap();
    let text = shell(neighbour, "ip -6 -o address show dev eth0 scope link");
    let link = text.split_whitespace().find(|word| word.starts_with("fe80::")).unwrap();
    let link: IpAddr = link.split('/').next().unwrap().parse().unwrap();
    let prober = Prober::on(neighbour);
    let has_address = || shell(server, "ip -6 address show dev eth0").contains("2001:db8:aaaa:");
    // A hop limit below 255 shows that a router passed it on: the kernel would refuse it too.
    prober.send(&advertisement(link).with_hop_limit(254));
    std::thread::sleep(SILENCE);
    assert!(!has_address());
    prober.send(&advertisement(link));
    wait_until("an address of the advertised prefix", TIMEOUT, has_address);
    wait_until("the advertised default route", TIMEOUT, || {
        shell(server, "ip -6 route show default").contains(&format!("via {link}"))
    });
}

#[test]
fn paths_with_a_small_packet_size_are_learned() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let (_nightlatch, _daemon) = protect(server, "");
    // The path to a stranger: answers to what the server itself sends.
    run(stage.host("router").unwrap(), "ip link set lan-office mtu 1300");
    for target in both(office) {
        let port = SocketAddr::new(target, 9);
        let socket = server.run(|| UdpSocket::bind(super::ground::unspecified(port))).unwrap();
        let socket = socket.unwrap();
        wait_until("the path's packet size", TIMEOUT, || {
            // Too large: an error the second time.
            let _ = socket.send_to(&[0; 1400], port);
            size_of_path(server, target) == Some(1300)
        });
    }
}

/// Errors "too big" get through even where connection tracking has forgotten the flow.
#[test]
fn too_big_needs_no_running_flow() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["conntrack"]) {
        return;
    }
    let (server, router) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (_nightlatch, _daemon) = protect(server, "");
    let office = stage.host("office").unwrap();
    let prober = Prober::on(router);
    for (place, target) in both(office).into_iter().enumerate() {
        let own = both(server)[place];
        let socket = server.run(|| UdpSocket::bind(SocketAddr::new(own, 0))).unwrap().unwrap();
        let port = SocketAddr::new(target, 9);
        socket.connect(port).unwrap();
        socket.send(b"begins a flow").unwrap();
        let family = if target.is_ipv4() { "ipv4" } else { "ipv6" };
        shell(server, &format!("conntrack -D -f {family} >/dev/null 2>&1 || true"));
        let sent = Packet::udp(socket.local_addr().unwrap(), port, &[0; 1400]).bytes();
        let quoted = &sent[..sent.len().min(500)];
        let error = match target {
            IpAddr::V4(_) => (protocol::ICMP, [&[3, 4, 0, 0, 0, 0, 0x05, 0x14], quoted].concat()),
            IpAddr::V6(_) => (protocol::ICMPV6, [&[2, 0, 0, 0, 0, 0, 0x05, 0x14], quoted].concat()),
        };
        let error = Packet::other(both(router)[place], own, error.0, &error.1);
        wait_until("the path's packet size", TIMEOUT, || {
            prober.send(&error);
            std::thread::sleep(SILENCE / 10);
            size_of_path(server, target) == Some(1300)
        });
    }
}

fn size_of_path(host: &Host, target: IpAddr) -> Option<u32> {
    let route = run(host, &format!("ip route get {target}"));
    let mut words = route.split_whitespace().skip_while(|word| *word != "mtu");
    words.nth(1)?.parse().ok()
}

#[test]
fn dhcp_gets_through_as_far_as_it_must() {
    let Some(stage) = support::stage(&Plan::standard().with_resolver()) else {
        return;
    };
    let (server, neighbour) = (stage.host("server").unwrap(), stage.host("resolver").unwrap());
    let (_nightlatch, _daemon) = protect(server, "");
    let heard = |socket: &UdpSocket| {
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        let mut buffer = [0; 100];
        let mut all = Vec::new();
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        all
    };
    let prober = Prober::on(neighbour);
    let client = server.run(|| UdpSocket::bind(any(68))).unwrap().unwrap();
    let send = |from: u16, to: u16, target: IpAddr, text: &str| {
        let source = SocketAddr::new(neighbour.v4(), from);
        prober.send(&Packet::udp(source, SocketAddr::new(target, to), text.as_bytes()));
    };
    send(67, 68, Ipv4Addr::BROADCAST.into(), "an offer to everybody");
    send(67, 68, Ipv4Addr::new(198, 51, 100, 255).into(), "an offer to the network");
    send(67, 68, server.v4(), "an offer nobody asked for");
    send(53, 68, Ipv4Addr::BROADCAST.into(), "no offer");
    send(67, 69, Ipv4Addr::BROADCAST.into(), "no port of DHCP");
    assert_eq!(heard(&client), ["an offer to everybody", "an offer to the network"]);
    // A lease is renewed with its server alone: that is an answer.
    let dhcp = neighbour.run(|| UdpSocket::bind(any(67))).unwrap().unwrap();
    client.send_to(b"request", SocketAddr::new(neighbour.v4(), 67)).unwrap();
    dhcp.set_read_timeout(Some(TIMEOUT)).unwrap();
    let (_, asker) = dhcp.recv_from(&mut [0; 100]).unwrap();
    dhcp.send_to(b"lease", asker).unwrap();
    assert_eq!(heard(&client), ["lease"]);
    // IPv6: from the link only.
    let client = server.run(|| UdpSocket::bind(any(546))).unwrap().unwrap();
    let dhcp = neighbour.run(|| UdpSocket::bind(any(547))).unwrap().unwrap();
    let link = super::silence::on_the_link(server, neighbour, 546);
    dhcp.send_to(b"advertise", link).unwrap();
    dhcp.send_to(b"from no address of the link", SocketAddr::new(server.v6(), 546)).unwrap();
    assert_eq!(heard(&client), ["advertise"]);
}
