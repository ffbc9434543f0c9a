//! Crafted packets arrive exactly as crafted, and what comes back is caught.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nightlatch_lab::packet::{Caught, Extension, Listener, Packet, Sender, flags, protocol};
use nightlatch_lab::stage::{Plan, Stage};

use crate::support;

const SOON: Duration = Duration::from_secs(2);

/// The packets of a hostile afternoon, to an address of either family.
fn packets(source: IpAddr, destination: IpAddr) -> Vec<Packet> {
    let from = SocketAddr::new(source, 53);
    let to = SocketAddr::new(destination, 5060);
    let mut packets = vec![
        Packet::tcp(from, to, flags::SYN),
        Packet::tcp(from, to, flags::ACK),
        Packet::tcp(from, to, flags::FIN),
        Packet::tcp(from, to, 0),
        Packet::tcp(from, to, flags::XMAS).with_data(b"odd"),
        Packet::udp(from, to, b""),
        Packet::udp(from, to, b"OPTIONS").with_hop_limit(9),
        Packet::echo(source, destination, 7, b"ping"),
        Packet::other(source, destination, protocol::GRE, &[0, 0, 8, 0]),
        Packet::other(source, destination, protocol::SCTP, &[0x13, 0xc4, 0x13, 0xc4, 0, 0, 0, 0]),
        Packet::other(source, destination, 253, b"experiment"),
        Packet::udp(from, to, b"alone")
            .with_extension(Extension::Fragment { offset: 0, more: false }),
        Packet::udp(from, to, b"first")
            .with_extension(Extension::Fragment { offset: 0, more: true }),
    ];
    if destination.is_ipv6() {
        for extension in [
            Extension::HopByHop,
            Extension::DestinationOptions,
            Extension::Routing(0),
            Extension::Routing(4),
        ] {
            packets.push(Packet::tcp(from, to, flags::SYN).with_extension(extension));
        }
        packets.push(
            Packet::udp(from, to, b"many")
                .with_extension(Extension::HopByHop)
                .with_extension(Extension::DestinationOptions)
                .with_extension(Extension::DestinationOptions),
        );
    }
    packets
}

/// What a packet looks like behind one router.
fn one_hop_later(bytes: &[u8]) -> Caught {
    let mut caught = Caught::parse(bytes).unwrap();
    caught.hop_limit -= 1;
    let (place, v4) = if caught.source.is_ipv4() { (8, true) } else { (7, false) };
    caught.bytes[place] -= 1;
    if v4 {
        caught.bytes[10] = 0;
        caught.bytes[11] = 0;
    }
    caught
}

fn without_header_checksum(mut caught: Caught) -> Caught {
    if caught.source.is_ipv4() {
        caught.bytes[10] = 0;
        caught.bytes[11] = 0;
    }
    caught
}

fn arrive_as_crafted(stage: &Stage, spoofed: [IpAddr; 2]) {
    let attacker = stage.host("attacker").unwrap();
    let server = stage.host("server").unwrap();
    let sender = Sender::in_host(attacker).unwrap();
    let mut listener = Listener::in_host(server).unwrap();
    for (source, destination) in spoofed.into_iter().zip([server.v4(), server.v6()]) {
        for packet in packets(source, destination) {
            sender.send(&packet).unwrap();
            let expected = one_hop_later(&packet.bytes());
            let caught = listener.find(SOON, |caught| caught.source == source).unwrap();
            let caught = caught.unwrap_or_else(|| panic!("did not arrive: {packet:?}"));
            let whole = packet.bytes() == packet.fragments(60_000)[0];
            if !whole && caught.checksum_is_right().is_some() {
                assert_eq!(caught.checksum_is_right(), Some(true), "{packet:?}");
            }
            assert_eq!(without_header_checksum(caught), expected, "{packet:?}");
        }
    }
}

#[test]
fn packets_arrive_as_crafted() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let attacker = stage.host("attacker").unwrap();
    arrive_as_crafted(&stage, [attacker.v4(), attacker.v6()]);
}

#[test]
fn packets_with_a_false_source_arrive_as_crafted() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let office = stage.host("office").unwrap();
    arrive_as_crafted(&stage, [office.v4(), office.v6()]);
}

#[test]
fn fragments_are_put_together_by_the_receiver() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let attacker = stage.host("attacker").unwrap();
    let server = stage.host("server").unwrap();
    let sender = Sender::in_host(attacker).unwrap();
    for (source, destination) in [(attacker.v4(), server.v4()), (attacker.v6(), server.v6())] {
        let inbox = server
            .run(|| std::net::UdpSocket::bind(SocketAddr::new(destination, 5060)))
            .unwrap()
            .unwrap();
        inbox.set_read_timeout(Some(SOON)).unwrap();
        let data = [b'x'; 1000];
        let from = SocketAddr::new(source, 4000);
        let packet = Packet::udp(from, SocketAddr::new(destination, 5060), &data);
        let fragments = packet.fragments(200);
        assert_eq!(fragments.len(), 6);
        for fragment in &fragments {
            sender.send_bytes(destination, fragment).unwrap();
        }
        let mut buffer = [0; 2000];
        let (length, peer) = inbox.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], peer), (&data[..], from));
    }
}

#[test]
fn answers_of_a_real_kernel_are_caught() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let attacker = stage.host("attacker").unwrap();
    let server = stage.host("server").unwrap();
    let sender = Sender::in_host(attacker).unwrap();
    let mut listener = Listener::in_host(attacker).unwrap();
    for (source, destination) in [(attacker.v4(), server.v4()), (attacker.v6(), server.v6())] {
        let to = |port| SocketAddr::new(destination, port);
        let from = SocketAddr::new(source, 40_000);
        let _open = server.run(|| std::net::TcpListener::bind(to(443))).unwrap().unwrap();
        let mut ask = |packet: Packet| {
            sender.send(&packet).unwrap();
            let answer = listener.find(SOON, |caught| caught.source == destination).unwrap();
            let answer = answer.unwrap_or_else(|| panic!("no answer to {packet:?}"));
            assert_eq!(answer.checksum_is_right(), Some(true), "{answer:?}");
            answer
        };

        let answer = ask(Packet::tcp(from, to(443), flags::SYN));
        assert_eq!(answer.tcp_flags(), Some(flags::SYN | flags::ACK));
        assert_eq!((answer.origin(), answer.target()), (Some(to(443)), Some(from)));
        let answer = ask(Packet::tcp(from, to(81), flags::SYN));
        assert_eq!(answer.tcp_flags(), Some(flags::RST | flags::ACK));
        let answer = ask(Packet::tcp(from, to(81), flags::ACK));
        assert_eq!(answer.tcp_flags(), Some(flags::RST));
        let answer = ask(Packet::echo(source, destination, 1, b"hello"));
        assert!(answer.is_echo_reply());
        let answer = ask(Packet::udp(from, to(5060), b"hello"));
        assert_eq!(answer.icmp(), Some(if source.is_ipv4() { (3, 3) } else { (1, 4) }));
        assert_eq!(answer.quoted().unwrap().target(), Some(to(5060)));
        let answer = ask(Packet::other(source, destination, 253, b"what"));
        assert_eq!(answer.icmp(), Some(if source.is_ipv4() { (3, 2) } else { (4, 1) }));
    }
}

#[test]
fn nothing_is_made_of_hostile_bytes() {
    let good = Packet::tcp(
        "[2001:db8::1]:1".parse().unwrap(),
        "[2001:db8::2]:2".parse().unwrap(),
        flags::SYN,
    )
    .with_extension(Extension::HopByHop)
    .with_extension(Extension::Routing(0))
    .bytes();
    for length in 0..good.len() {
        if let Some(caught) = Caught::parse(&good[..length]) {
            let _ = (caught.data(), caught.quoted(), caught.origin(), caught.tcp_flags());
        }
    }
    // Extension headers that claim more than there is.
    let mut endless = vec![0x60, 0, 0, 0, 0xff, 0xff, 0, 1];
    endless.extend(vec![0; 60_000]);
    assert_eq!(Caught::parse(&endless), None);
}
