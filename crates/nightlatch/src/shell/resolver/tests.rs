//! Look-ups against name servers on loopback.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::*;

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a name server does with a query.
type Behaviour = fn(&[u8]) -> Option<Vec<u8>>;

/// A name server on a port of its own; it lives as long as the test.
fn server(behaviour: Behaviour) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = behaviour(&buffer[..length]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

/// A resolver that asks these.
fn asking(servers: Vec<SocketAddr>) -> (Resolver, Receiver<Vec<Looked>>) {
    let (tell, told) = channel();
    let resolver = Resolver::with(System::fixed(servers), move |looked| {
        let _ = tell.send(looked);
    });
    (resolver.unwrap(), told)
}

fn look_up(servers: Vec<SocketAddr>, name: &str) -> Looked {
    let (resolver, told) = asking(servers);
    resolver.look_up(vec![name.parse().unwrap()], || {});
    told.recv_timeout(PATIENCE).unwrap().remove(0)
}

/// 192.0.2.1 for IPv4, nothing for IPv6.
#[expect(clippy::unnecessary_wraps, reason = "a behaviour may be silence")]
fn knows(query: &[u8]) -> Option<Vec<u8>> {
    let mut packet = query.to_vec();
    (packet[2], packet[3]) = (0x81, 0x80);
    if query[query.len() - 3] == 1 {
        packet[7] = 1;
        packet.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    }
    Some(packet)
}

#[expect(clippy::unnecessary_wraps, reason = "a behaviour may be silence")]
fn fails(query: &[u8]) -> Option<Vec<u8>> {
    let mut packet = query.to_vec();
    (packet[2], packet[3]) = (0x81, 0x82);
    Some(packet)
}

fn one() -> Half {
    let addresses = vec!["192.0.2.1".parse().unwrap()];
    Half::Addresses { addresses, is_partial: false, lifetime: Duration::from_secs(60) }
}

#[test]
fn another_name_server_is_asked_where_one_does_not_know() {
    let nobody = SocketAddr::new("127.0.0.1".parse().unwrap(), 9);
    for first in [server(fails), server(|_| None), nobody] {
        let looked = look_up(vec![first, server(knows)], "a.example.net");
        assert_eq!((looked.v4, looked.v6), (one(), Half::Nothing), "{first}");
    }
}

#[test]
fn why_nothing_was_found() {
    for (behaviour, why) in [
        (fails as Behaviour, Why::Server(2)),
        (|_| None, Why::Silent),
        (
            |query| knows(query).map(|packet| [&packet[..4], &[0, 1, 0, 9], &packet[8..]].concat()),
            Why::Malformed,
        ),
    ] {
        let looked = look_up(vec![server(behaviour)], "a.example.net");
        assert_eq!((looked.v4, looked.v6), (Half::Failed(why), Half::Failed(why)));
    }
    assert_eq!(look_up(Vec::new(), "a.example.net").v4, Half::Failed(Why::Unreachable));
}

#[test]
fn there_is_room_again_when_few_wait() {
    let (resolver, told) = asking(vec![server(knows)]);
    let (room, has_room) = channel();
    let names: Vec<HostName> =
        (0..150).map(|at| format!("h{at}.example.net").parse().unwrap()).collect();
    let watch = Stopwatch::start();
    resolver.look_up(names, move || room.send(()).unwrap());
    has_room.recv_timeout(PATIENCE).unwrap();
    let mut found = 0;
    while found < 150 {
        let all = told.recv_timeout(PATIENCE).unwrap();
        assert!(all.iter().all(|looked| looked.v4 == one()));
        found += all.len();
    }
    // Three hundred packets: no more than two hundred a second after the first ones.
    assert!(watch.elapsed() > Duration::from_secs(1), "{:?}", watch.elapsed());
}
