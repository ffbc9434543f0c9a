//! Packets that the kernel dropped reach the daemon's thread, and nothing answers.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use nightlatch::shell::packets::{Content, Counts, Packet as Read, Packets};
use nightlatch_lab::packet::{Extension, Listener, Packet, Sender, flags};
use nightlatch_lab::stage::{Host, Plan};
use nightlatch_netfilter::NflogError;

use crate::support;

const GROUP: u16 = 4711;
const SOON: Duration = Duration::from_secs(10);

const RULES: &str = "
table inet t {
    chain raw_prerouting {
        type filter hook prerouting priority -300; policy accept;
        tcp dport 1000-2000 tcp flags syn log prefix \"knock\" group 4711 drop
        udp dport 62201 log prefix \"spa\" group 4711 drop
        udp dport 62202 log prefix \"another program\" group 4711 drop
        icmp type echo-request log prefix \"spa\" group 4711
        icmpv6 type echo-request log prefix \"spa\" group 4711
    }
}
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Knock,
    Spa,
}

fn kind_of(prefix: &str) -> Option<Kind> {
    match prefix {
        "knock" => Some(Kind::Knock),
        "spa" => Some(Kind::Spa),
        _ => None,
    }
}

fn load(server: &Host) {
    let mut command = server.command("nft");
    let mut nft = command.args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(RULES.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success());
}

fn read(server: &Host, room: usize) -> (Packets, Receiver<Read<Kind>>) {
    server.run(|| Packets::read(GROUP, 2048, room, kind_of)).unwrap().unwrap()
}

fn wait_for(packets: &Packets, what: &str, done: impl Fn(Counts) -> bool) {
    support::wait_until(what, SOON, || done(packets.counts()));
}

#[test]
fn dropped_packets_are_handed_over_in_order() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (attacker, server) = (stage.host("attacker").unwrap(), stage.host("server").unwrap());
    load(server);
    let (packets, received) = read(server, 1000);
    let mut answers = Listener::in_host(attacker).unwrap();
    let sender = Sender::in_host(attacker).unwrap();
    let mut expected = Vec::new();
    let ends = [(attacker.v4(), server.v4()), (attacker.v6(), server.v6())];
    for (number, (source, destination)) in (0_u16..25).flat_map(|n| ends.map(|ends| (n, ends))) {
        let source = SocketAddr::new(source, 40_000 + number);
        let to = |port| SocketAddr::new(destination, port);
        let payload = format!("packet {number}").into_bytes();
        let knock = Packet::tcp(source, to(1000 + number), flags::SYN);
        let knock = if destination.is_ipv6() && number % 2 == 0 {
            knock.with_extension(Extension::DestinationOptions)
        } else {
            knock
        };
        let spa = Packet::udp(source, to(62_201), &payload);
        for packet in [knock, spa, Packet::udp(source, to(62_202), b"not ours")] {
            sender.send(&packet).unwrap();
        }
        let knock = (Kind::Knock, source, to(1000 + number), b"a request".to_vec());
        expected.extend([knock, (Kind::Spa, source, to(62_201), payload)]);
    }
    for expected in expected {
        let packet = received.recv_timeout(SOON).unwrap();
        let content = match packet.content {
            Content::Udp { payload, is_truncated: false } => payload,
            Content::Tcp(flags) if flags.is_request() => b"a request".to_vec(),
            other => panic!("{other:?}"),
        };
        assert!(packet.arrived.is_some());
        assert_eq!((packet.kind, packet.source, packet.destination, content), expected);
    }
    // What is neither TCP nor UDP is only counted.
    for (source, destination) in ends {
        sender.send(&Packet::echo(source, destination, 7, b"ping")).unwrap();
    }
    wait_for(&packets, "all are counted", |counts| (counts.foreign, counts.unreadable) == (50, 2));
    let counts = packets.counts();
    assert_eq!((counts.accepted, counts.dropped, counts.lost), (100, 0, 0), "{counts:?}");
    let silent = |source: IpAddr| source == server.v4() || source == server.v6();
    let answer = answers.find(Duration::from_millis(200), |caught| {
        silent(caught.source) && !caught.is_echo_reply()
    });
    assert_eq!(answer.unwrap(), None);
}

#[test]
fn a_slow_taker_loses_packets_and_delays_none() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (attacker, server) = (stage.host("attacker").unwrap(), stage.host("server").unwrap());
    load(server);
    let (packets, received) = read(server, 10);
    let sender = Sender::in_host(attacker).unwrap();
    let (from, to) = (SocketAddr::new(attacker.v4(), 40_000), SocketAddr::new(server.v4(), 62_201));
    let send = |payload: &str| sender.send(&Packet::udp(from, to, payload.as_bytes())).unwrap();
    for number in 0..50 {
        send(&format!("{number}"));
    }
    wait_for(&packets, "all are counted", |counts| counts.accepted + counts.dropped == 50);
    assert_eq!(packets.counts().accepted, 10);
    let payload = |packet: Read<Kind>| match packet.content {
        Content::Udp { payload, .. } => String::from_utf8(payload).unwrap(),
        Content::Tcp(_) => panic!("{packet:?}"),
    };
    let waiting: Vec<String> = received.try_iter().map(payload).collect();
    assert_eq!(waiting, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    send("later");
    assert_eq!(payload(received.recv_timeout(SOON).unwrap()), "later");
}

#[test]
fn the_group_is_free_when_reading_has_ended() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (attacker, server) = (stage.host("attacker").unwrap(), stage.host("server").unwrap());
    load(server);
    let sender = Sender::in_host(attacker).unwrap();
    let (from, to) = (SocketAddr::new(attacker.v6(), 40_000), SocketAddr::new(server.v6(), 62_201));
    for _ in 0..20 {
        let (packets, received) = read(server, 10);
        let another = server.run(|| Packets::read(GROUP, 2048, 10, kind_of)).unwrap();
        assert!(matches!(another, Err(NflogError::Taken { group: GROUP, .. })), "{another:?}");
        sender.send(&Packet::udp(from, to, b"x")).unwrap();
        received.recv_timeout(SOON).unwrap();
        drop(packets);
        assert!(received.recv_timeout(SOON).is_err(), "the thread has ended");
    }
    // It ends also where nobody takes the packets.
    let (packets, received) = read(server, 10);
    drop(received);
    sender.send(&Packet::udp(from, to, b"x")).unwrap();
    support::wait_until("the group is free", SOON, || {
        server.run(|| Packets::read(GROUP, 2048, 10, kind_of)).unwrap().is_ok()
    });
    drop(packets);
}
