//! A stranger gets nothing back, whatever it sends, and nothing it sends reaches a socket.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use nightlatch_lab::packet::{Caught, Extension, Packet, flags, protocol};
use nightlatch_lab::stage::{Host, Plan};

use super::ground::{Ears, Echo, Heard, Prober, SILENCE, any, both, protect, run, settle, shell};
use crate::support;

const FLAGS: [u8; 9] = [
    flags::SYN,
    flags::ACK,
    flags::FIN,
    0,
    flags::XMAS,
    flags::SYN | flags::FIN,
    flags::SYN | flags::ACK,
    flags::RST,
    flags::ACK | flags::PSH,
];

/// Sends everything a stranger may think of, from `source` to `target`.
fn send_everything(prober: &Prober, source: IpAddr, target: IpAddr) {
    let mut port = 30_000;
    let mut from = || {
        port += 1;
        SocketAddr::new(source, port)
    };
    let well_known = |port| SocketAddr::new(source, port);
    let to = |port| SocketAddr::new(target, port);
    for open_or_not in [22, 443, 5060, 7] {
        for flags in FLAGS {
            prober.send(&Packet::tcp(from(), to(open_or_not), flags));
        }
        prober.send(&Packet::tcp(well_known(53), to(open_or_not), flags::SYN));
        prober.send_pieces(&Packet::tcp(from(), to(open_or_not), flags::SYN), 8);
    }
    for open_or_not in [5060, 4569, 10_000, 68, 9] {
        for source in [from(), well_known(53), well_known(67), well_known(123), well_known(547)] {
            prober.send(&Packet::udp(source, to(open_or_not), b"anyone there?"));
        }
        let large = Packet::udp(from(), to(open_or_not), &[0x4e; 600]);
        prober.send_pieces(&large.with_identification(u32::from(open_or_not)), 200);
    }
    prober.send(&Packet::echo(source, target, 1, b"ping"));
    prober.send_pieces(&Packet::echo(source, target, 2, &[0; 900]), 400);
    if source.is_ipv4() {
        // Timestamp and address mask requests, and errors about nothing.
        for kind in [13, 17, 3, 11, 12] {
            prober.send(&Packet::other(
                source,
                target,
                protocol::ICMP,
                &[kind, 0, 0, 0, 0, 0, 0, 0],
            ));
        }
    } else {
        // Node information, an informational type nobody knows, and errors about nothing.
        for kind in [139, 200, 1, 3, 4] {
            let body = [kind, 0, 0, 0, 0, 0, 0, 0];
            prober.send(&Packet::other(source, target, protocol::ICMPV6, &body));
        }
    }
    for number in [protocol::SCTP, protocol::GRE, 50, 4, 253] {
        let body = [0x13, 0xc4, 0x13, 0xc4, 0, 0, 0, 0, 1, 0, 0, 20, 0, 0, 0, 0];
        prober.send(&Packet::other(source, target, number, &body));
    }
    if source.is_ipv6() {
        send_extended(prober, source, target);
    }
}

fn send_extended(prober: &Prober, source: IpAddr, target: IpAddr) {
    let headers: [&[Extension]; 7] = [
        &[Extension::HopByHop],
        &[Extension::DestinationOptions],
        &[Extension::Routing(0)],
        &[Extension::Routing(4)],
        &[Extension::HopByHop, Extension::DestinationOptions, Extension::DestinationOptions],
        &[Extension::UnknownDestinationOption],
        &[Extension::Fragment { offset: 0, more: false }],
    ];
    for (place, headers) in (0..).zip(headers) {
        let from = SocketAddr::new(source, 31_000 + place);
        let to = SocketAddr::new(target, 5060);
        for packet in [Packet::tcp(from, to, flags::SYN), Packet::udp(from, to, b"hello")] {
            let extended =
                headers.iter().fold(packet, |packet, header| packet.with_extension(*header));
            prober.send(&extended);
        }
    }
}

fn open_ports(server: &Host) -> Echo {
    Echo::on(server, &[5060, 4569, 10_000], &[22, 443, 5060])
}

/// The kinds of answers, for messages and to see that without a firewall there are many.
fn kinds(answers: &[Caught]) -> BTreeSet<String> {
    let kind = |caught: &Caught| match (caught.tcp_flags(), caught.icmp()) {
        (Some(flags), _) => format!("TCP flags {flags:#x}"),
        (_, Some((kind, code))) => format!("ICMP {kind} {code}"),
        _ => format!("protocol {}", caught.protocol),
    };
    answers.iter().map(kind).collect()
}

#[test]
fn to_a_stranger_nothing_answers() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let _echo = open_ports(server);
    let ears = Ears::on(server);
    let mut prober = Prober::on(attacker);
    // First without a firewall: the same packets draw answers of all kinds, and are heard.
    for (source, target) in both(attacker).into_iter().zip(both(server)) {
        send_everything(&prober, source, target);
        let answers = prober.answers(SILENCE);
        assert!(kinds(&answers).len() >= 6, "{:?}", kinds(&answers));
        let heard: BTreeSet<Heard> = ears.heard().into_iter().collect();
        assert!(heard.len() >= 10, "{heard:?}");
    }
    settle(&ears);
    prober.answers(SILENCE);
    let (nightlatch, _daemon) = protect(server, "");
    // Behind a running flow of somebody else nothing changes either.
    nightlatch.must(&["allow", "office", "203.0.113.0/24", "2001:db8:2::/64"]);
    for (source, target) in both(attacker).into_iter().zip(both(server)) {
        send_everything(&prober, source, target);
    }
    assert_eq!(prober.answers(SILENCE), []);
    // Errors "too big" are the one thing that everybody may say; an error speaks for nothing.
    assert_eq!(ears.heard(), []);
}

#[test]
fn to_a_neighbour_on_the_link_nothing_answers_but_its_neighbour_discovery() {
    let Some(stage) = support::stage(&Plan::standard().with_resolver()) else {
        return;
    };
    let (server, neighbour) = (stage.host("server").unwrap(), stage.host("resolver").unwrap());
    let _echo = open_ports(server);
    server.set_kernel("ipv4/icmp_echo_ignore_broadcasts", "0").unwrap();
    let ears = Ears::on(server);
    let mut prober = Prober::on(neighbour);
    let everybody = |prober: &Prober| {
        let groups: [IpAddr; 3] = [
            Ipv4Addr::new(198, 51, 100, 255).into(),
            Ipv4Addr::new(224, 0, 0, 1).into(),
            "ff02::1".parse().unwrap(),
        ];
        for group in groups {
            let source = if group.is_ipv4() { neighbour.v4() } else { neighbour.v6() };
            prober.send(&Packet::echo(source, group, 3, b"who is there?"));
            let (from, to) = (SocketAddr::new(source, 5353), SocketAddr::new(group, 5060));
            prober.send(&Packet::udp(from, to, b"who is there?"));
        }
        let hello = neighbour.run(|| UdpSocket::bind(any(0))).unwrap().unwrap();
        hello.send_to(b"hello", on_the_link(server, neighbour, 5060)).unwrap();
        let (source, target) = (neighbour.v6(), server.v6());
        let unknown = Packet::udp(SocketAddr::new(source, 7), SocketAddr::new(target, 5060), b"");
        prober.send(&unknown.with_extension(Extension::UnknownHopByHop));
    };
    everybody(&prober);
    let from_server = |answers: Vec<Caught>| -> Vec<Caught> {
        let own = |caught: &Caught| both(server).contains(&caught.source) || is_of_the_link(caught);
        answers.into_iter().filter(own).collect()
    };
    let answers = from_server(prober.answers(SILENCE));
    assert!(kinds(&answers).len() >= 4, "{:?}", kinds(&answers));
    settle(&ears);
    let (_nightlatch, _daemon) = protect(server, "");
    prober.answers(Duration::ZERO);
    everybody(&prober);
    for (source, target) in both(neighbour).into_iter().zip(both(server)) {
        send_everything(&prober, source, target);
    }
    assert_eq!(from_server(prober.answers(SILENCE)), []);
    let heard: Vec<_> = ears.heard().into_iter().filter(|heard| !is_discovery(*heard)).collect();
    assert_eq!(heard, []);
}

fn is_of_the_link(caught: &Caught) -> bool {
    matches!(caught.source, IpAddr::V6(source) if source.is_unicast_link_local())
}

/// A host's address of the link, as its neighbour has to write it.
pub(super) fn on_the_link(host: &Host, neighbour: &Host, port: u16) -> SocketAddr {
    let text = shell(host, "ip -6 -o address show dev eth0 scope link");
    let address = text.split_whitespace().find(|word| word.starts_with("fe80::")).unwrap();
    let address = address.split('/').next().unwrap().parse().unwrap();
    let interface = shell(neighbour, "ip -o link show dev eth0");
    let index = interface.split(':').next().unwrap().parse().unwrap();
    SocketAddrV6::new(address, port, 0, index).into()
}

fn is_discovery(heard: Heard) -> bool {
    heard.protocol == 58 && matches!(heard.kind, 133..=137 | 130..=132 | 143)
}

/// Of a packet in pieces that stays incomplete the kernel says so, when it gives up waiting.
#[test]
fn a_packet_that_stays_incomplete_draws_no_error() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let mut prober = Prober::on(attacker);
    let send = |prober: &Prober| {
        for (source, target) in both(attacker).into_iter().zip(both(server)) {
            let (from, to) = (SocketAddr::new(source, 7), SocketAddr::new(target, 5060));
            let first = Extension::Fragment { offset: 0, more: true };
            prober.send(&Packet::udp(from, to, &[0; 64]).with_extension(first));
        }
    };
    let shorten = |parameters: &[&str]| {
        for parameter in parameters {
            server.set_kernel(parameter, "1").unwrap();
        }
    };
    shorten(&["ipv4/ipfrag_time", "ipv6/ip6frag_time"]);
    send(&prober);
    let answers = prober.answers(Duration::from_millis(2500));
    assert_eq!(kinds(&answers), ["ICMP 11 1", "ICMP 3 1"].map(String::from).into());
    let (_nightlatch, _daemon) = protect(server, "");
    shorten(&["netfilter/nf_conntrack_frag6_timeout"]);
    send(&prober);
    assert_eq!(prober.answers(Duration::from_millis(2500)), []);
}

#[test]
fn nmap_sees_nothing() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["nmap"]) {
        return;
    }
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let _echo = open_ports(server);
    let (_nightlatch, _daemon) = protect(server, "");
    let scans = ["-sS", "-sA", "-sN", "-sX", "-sF", "-sU", "-sO"];
    let mut running = Vec::new();
    for (family, target) in [("-4", server.v4()), ("-6", server.v6())] {
        for scan in scans {
            // -sO scans protocols, the others ports.
            let what =
                if scan == "-sO" { "-p1,6,17,47,132" } else { "-p22,53,443,4569,5060,10000" };
            let mut nmap = attacker.command("nmap");
            nmap.args(["-n", "-Pn", "-T5", "--max-retries=1", "--reason", what, scan]);
            if family == "-6" {
                nmap.arg(family);
            }
            nmap.arg(target.to_string()).stdin(std::process::Stdio::null());
            running.push((
                scan,
                target,
                nmap.stdout(std::process::Stdio::piped()).spawn().unwrap(),
            ));
        }
    }
    for (scan, target, nmap) in running {
        let output = nmap.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 host up"), "{scan}: {text}");
        for word in [" open ", "closed", "unfiltered", "reset", "-unreach", "response"] {
            // "no-responses" is what there should be.
            let text = text.replace("no-response", "silence");
            assert!(!text.contains(word), "nmap {scan} {target}: {text}");
        }
    }
    // Pinged, the server is not there at all.
    for target in both(server) {
        let family = if target.is_ipv4() { "-4" } else { "-6" };
        let family = if family == "-6" { "-6 " } else { "" };
        let line = format!("nmap {family}-n -sn -PE -PS443,5060 -PA80 -PU5060 -T5 {target}");
        let text = run(attacker, &line);
        assert!(text.contains("0 hosts up"), "{text}");
    }
}
