//! Look-ups against name servers on loopback.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::*;

/// How long an answer may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

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
    told.recv_timeout(TIMEOUT).unwrap().remove(0)
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
    has_room.recv_timeout(TIMEOUT).unwrap();
    let mut found = 0;
    while found < 150 {
        let all = told.recv_timeout(TIMEOUT).unwrap();
        assert!(all.iter().all(|looked| looked.v4 == one()));
        found += all.len();
    }
    // Three hundred packets: no more than two hundred a second after the first ones.
    assert!(watch.elapsed() > Duration::from_secs(1), "{:?}", watch.elapsed());
}

/// The type that is asked for, and where the question ends.
fn asked(query: &[u8]) -> (u8, usize) {
    let mut at = 12;
    while query[at] != 0 {
        at += 1 + usize::from(query[at]);
    }
    (query[at + 2], at + 5)
}

/// An answer with records of the type that is asked for.
#[expect(clippy::unnecessary_wraps, reason = "a behaviour may be silence")]
fn answer(query: &[u8], data: &[Vec<u8>]) -> Option<Vec<u8>> {
    let (kind, end) = asked(query);
    let mut packet = query[..end].to_vec();
    (packet[2], packet[3]) = (0x81, 0x80);
    (packet[7], packet[11]) = (u8::try_from(data.len()).unwrap(), 0);
    for data in data {
        packet.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
        packet.extend(data);
    }
    Some(packet)
}

/// What a NAPTR record says of SIP over UDP, with the name `_sip._udp.<number>` below the question.
fn naptr(number: u8) -> Vec<u8> {
    let name = format!("\x04_sip\x04_udp\x03n{number:02}");
    [b"\0\x01\0\x01\x01s\x07SIP+D2U\0", name.as_bytes(), &[0xc0, 12]].concat()
}

/// What an SRV record says of a server below the question.
fn srv(number: u8) -> Vec<u8> {
    let name = format!("\x03h{number:02}");
    [&[0, 1, 0, 1, 0x13, 0xc4], name.as_bytes(), &[0xc0, 12]].concat()
}

const A: u8 = 1;
const SRV: u8 = 33;
const NAPTR: u8 = 35;

#[test]
fn what_is_not_known_of_a_sip_domain_is_not_taken_for_nothing() {
    let no_naptr: Behaviour = |query| match asked(query).0 {
        NAPTR => fails(query),
        _ => knows(query),
    };
    let no_srv: Behaviour = |query| match asked(query).0 {
        // One of three is not answered well; none of the others has a server.
        SRV if query[18..].starts_with(b"_tcp") => fails(query),
        NAPTR | SRV => answer(query, &[]),
        _ => knows(query),
    };
    for behaviour in [no_naptr, no_srv] {
        let looked = look_up(vec![server(behaviour)], "_sip.example.net");
        let failed = Half::Failed(Why::Server(2));
        assert_eq!((looked.v4, looked.v6), (failed.clone(), failed));
    }
    let neither: Behaviour = |query| match asked(query).0 {
        NAPTR | SRV => answer(query, &[]),
        _ => knows(query),
    };
    let looked = look_up(vec![server(neither)], "_sip.example.net");
    assert_eq!((looked.v4, looked.v6), (one(), Half::Nothing));
    // What is too long for the names of its services is its own server all the same.
    let long = format!("_sip.{}net", "abcdefghi.".repeat(24));
    let looked = look_up(vec![server(neither)], &long);
    assert_eq!((looked.v4, looked.v6), (one(), Half::Nothing));
}

#[test]
fn a_sip_domain_with_ever_more_names_is_looked_up_in_bounds() {
    static QUERIES: AtomicU32 = AtomicU32::new(0);
    let endless: Behaviour = |query| {
        QUERIES.fetch_add(1, Ordering::Relaxed);
        match asked(query).0 {
            NAPTR => answer(query, &(0..60).map(naptr).collect::<Vec<_>>()),
            SRV => answer(query, &(0..60).map(srv).collect::<Vec<_>>()),
            A => answer(query, &[vec![192, 0, 2, 1]]),
            _ => answer(query, &[]),
        }
    };
    let looked = look_up(vec![server(endless)], "_sip.example.net");
    let Half::Addresses { addresses, is_partial, .. } = looked.v4 else { panic!("{looked:?}") };
    assert!(is_partial && addresses == ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    // One domain, eight names of services, sixteen servers.
    let queries = QUERIES.load(Ordering::Relaxed);
    assert_eq!(queries, 1 + 8 + 2 * 16);
}
