//! Real packets: the ends of ranges are exact.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use nightlatch_netfilter::{Element, FlowKey, Kind, Netlink, Set};
use nightlatch_parse::address::{AddrRange, Family, from_number};

use crate::namespace::{in_namespace, load, run};

const STRUCTURE: &str = "
table inet t {
    set ranges4 { type ipv4_addr; flags interval; }
    set ranges6 { type ipv6_addr; flags interval; }
    map accounts4 { type ipv4_addr : verdict; flags interval; }
    map accounts6 { type ipv6_addr : verdict; flags interval; }
    set flows4 { type ipv4_addr . inet_proto . inet_service . inet_service; flags dynamic,timeout; size 100; }
    set flows6 { type ipv6_addr . inet_proto . inet_service . inet_service; flags dynamic,timeout; size 100; }
    chain office { accept; }
    chain enemy { drop; }
    chain input {
        type filter hook input priority 0; policy drop;
        udp dport 9000 accept
        udp dport 1000 ip saddr @ranges4 accept
        udp dport 1000 ip6 saddr @ranges6 accept
        udp dport 2000 ip saddr vmap @accounts4
        udp dport 2000 ip6 saddr vmap @accounts6
        udp dport 3000 ip saddr . meta l4proto . udp sport . udp dport @flows4 accept
        udp dport 3000 ip6 saddr . meta l4proto . udp sport . udp dport @flows6 accept
    }
}";

const MARKER: u16 = 9000;

/// The server's address of a family and the peers' network, all on `lo`.
fn addresses(family: Family) -> (IpAddr, u128) {
    match family {
        Family::V4 => ("127.0.0.1".parse().unwrap(), 0xc000_0200),
        Family::V6 => ("::1".parse().unwrap(), 0x2001_0db8 << 96),
    }
}

fn assign(family: Family, number: u128) -> IpAddr {
    let address = from_number(family, number);
    let (bits, more) = if family == Family::V4 { (32, "") } else { (128, "nodad") };
    run(&format!("ip address replace {address}/{bits} dev lo {more}"));
    address
}

/// Whether a packet from an address comes through.
fn passes(family: Family, from: IpAddr, from_port: u16, port: u16) -> bool {
    let (address, _) = addresses(family);
    let server = bind(address, port);
    let marker = bind(address, MARKER);
    let client = bind(from, from_port);
    client.send_to(b"x", (address, port)).unwrap();
    // What always comes through says when the first has arrived, or never will.
    client.send_to(b"x", (address, MARKER)).unwrap();
    let wait = |socket: &UdpSocket, time| {
        socket.set_read_timeout(Some(time)).unwrap();
        socket.recv(&mut [0; 8]).is_ok()
    };
    assert!(wait(&marker, Duration::from_secs(10)));
    wait(&server, Duration::from_millis(30))
}

/// A process that another test is just starting may still hold a socket of the last round.
fn bind(address: IpAddr, port: u16) -> UdpSocket {
    for _ in 0..200 {
        match UdpSocket::bind((address, port)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                thread::sleep(Duration::from_millis(10));
            }
            socket => return socket.unwrap(),
        }
    }
    panic!("{address} port {port} stays in use");
}

#[test]
fn ends_of_ranges_are_exact() {
    in_namespace("packets::ends_of_ranges_are_exact", || {
        load(STRUCTURE);
        let mut netlink = Netlink::open().unwrap();
        for (family, ranges, accounts) in
            [(Family::V4, "ranges4", "accounts4"), (Family::V6, "ranges6", "accounts6")]
        {
            let base = addresses(family).1;
            let range = |first, last| AddrRange::new(family, base + first, base + last).unwrap();
            let mut transaction = netlink.transaction();
            let set = Set::new("t", ranges, Kind::Ranges(family));
            transaction.add(&set, [range(10, 20), range(22, 22), range(30, 31)]);
            let set = Set::new("t", accounts, Kind::Ranges(family));
            // Three that touch, the middle one with another verdict.
            transaction.add(
                &set,
                [
                    Element::jump(range(10, 14), "office"),
                    Element::jump(range(15, 15), "enemy"),
                    Element::jump(range(16, 20), "office"),
                ],
            );
            transaction.commit().unwrap();
            for number in [0, 9, 10, 11, 14, 15, 16, 20, 21, 22, 23, 29, 30, 31, 32, 255] {
                let from = assign(family, base + number);
                let listed = matches!(number, 10..=20 | 22 | 30..=31);
                assert_eq!(passes(family, from, 0, 1000), listed, "{from} by the set");
                let allowed = matches!(number, 10..=14 | 16..=20);
                assert_eq!(passes(family, from, 0, 2000), allowed, "{from} by the map");
            }
        }
    });
}

#[test]
fn a_flow_key_is_that_of_the_packet() {
    in_namespace("packets::a_flow_key_is_that_of_the_packet", || {
        load(STRUCTURE);
        let mut netlink = Netlink::open().unwrap();
        for (family, name) in [(Family::V4, "flows4"), (Family::V6, "flows6")] {
            let base = addresses(family).1;
            let peer = assign(family, base + 7);
            let other = assign(family, base + 8);
            let set = Set::new("t", name, Kind::Flows(family));
            let flow = FlowKey { peer, protocol: 17, peer_port: 5062, local_port: 3000 };
            assert!(!passes(family, peer, 5062, 3000));
            let mut transaction = netlink.transaction();
            transaction.add(&set, [Element::from(flow).lasting(Duration::from_mins(1))]);
            transaction.commit().unwrap();
            assert!(passes(family, peer, 5062, 3000));
            assert!(!passes(family, peer, 5063, 3000));
            assert!(!passes(family, other, 5062, 3000));
        }
    });
}

const COUNTING: &str = "
table inet t {
    set hit4 { type ipv4_addr; size 10; flags dynamic,timeout; timeout 1h; }
    set hit6 { type ipv6_addr; size 10; flags dynamic,timeout; timeout 1h; }
    chain input {
        type filter hook input priority 0; policy accept;
        udp dport 1000 update @hit4 { ip saddr counter } drop
        udp dport 1000 update @hit6 { ip6 saddr counter } drop
    }
}";

/// Elements that packets make count those packets, each for itself.
#[test]
fn counters_of_elements() {
    in_namespace("packets::counters_of_elements", || {
        run("ip link set lo up");
        load(COUNTING);
        let mut netlink = Netlink::open().unwrap();
        for (family, name) in [(Family::V4, "hit4"), (Family::V6, "hit6")] {
            let set = Set::new("t", name, Kind::Addresses(family));
            assert_eq!(netlink.read_counters(&set).unwrap(), []);
            let (server, first) = addresses(family);
            let mut expected = Vec::new();
            for (number, packets) in [(1, 1), (2, 3), (3, 70)] {
                let from = assign(family, first + number);
                let client = bind(from, 4000);
                for _ in 0..packets {
                    client.send_to(b"12345678", (server, 1000)).unwrap();
                }
                expected.push((from, packets));
            }
            let mut found = netlink.read_counters(&set).unwrap();
            found.sort_unstable_by_key(|(address, _)| *address);
            let packets: Vec<_> =
                found.iter().map(|(from, count)| (*from, count.packets)).collect();
            assert_eq!(packets, expected);
            let header = if family == Family::V4 { 28 } else { 48 };
            assert!(found.iter().all(|(_, count)| count.bytes == count.packets * (header + 8)));
        }
        let missing = Set::new("t", "none", Kind::Addresses(Family::V4));
        assert!(netlink.read_counters(&missing).unwrap_err().is_missing());
    });
}
