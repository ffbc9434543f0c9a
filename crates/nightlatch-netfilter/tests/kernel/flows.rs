//! Tracked connections.

use std::io::Write;
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};

use nightlatch_netfilter::Netlink;
use nightlatch_netfilter::conntrack::Flow;

use crate::namespace::{has, in_namespace, load, run};

fn flows(netlink: &mut Netlink) -> Vec<Flow> {
    let mut flows = Vec::new();
    assert!(netlink.for_each_flow(|flow| flows.push(flow)).unwrap());
    flows
}

#[test]
fn flows_of_both_families() {
    in_namespace("flows::flows_of_both_families", || {
        // A rule that asks for the state switches tracking on.
        load(
            "table inet t {
                  chain input { type filter hook input priority 0; ct state established accept; }
                  chain output { type filter hook output priority 0; ct state new ct mark set 7; }
              }",
        );
        let mut netlink = Netlink::open().unwrap();
        assert_eq!(flows(&mut netlink), []);

        let listener = TcpListener::bind("127.0.0.1:5061").unwrap();
        let mut phone = TcpStream::connect("127.0.0.1:5061").unwrap();
        let _server = listener.accept().unwrap();
        phone.write_all(b"x").unwrap();
        let server = UdpSocket::bind("[::1]:5060").unwrap();
        let client = UdpSocket::bind("[::1]:0").unwrap();
        client.send_to(b"x", "[::1]:5060").unwrap();

        let mut found = flows(&mut netlink);
        found.sort_by_key(|flow| flow.protocol);
        let [tcp, udp] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((tcp.protocol, udp.protocol), (6, 17));
        assert_eq!(tcp.original.destination, IpAddr::from([127, 0, 0, 1]));
        assert_eq!(tcp.original.destination_port, 5061);
        assert_eq!(tcp.original.source_port, phone.local_addr().unwrap().port());
        assert_eq!(tcp.reply.source_port, 5061);
        assert!(tcp.seen_reply && tcp.assured && tcp.confirmed);
        assert!(tcp.timeout_seconds > 1000);
        assert_eq!(tcp.mark, 7);
        assert_eq!(udp.original.source, client.local_addr().unwrap().ip());
        assert_eq!(udp.original.destination_port, 5060);
        assert!(!udp.seen_reply && !udp.assured && udp.timeout_seconds <= 30);
        server.send_to(b"y", client.local_addr().unwrap()).unwrap();
        assert!(flows(&mut netlink).iter().all(|flow| flow.seen_reply));

        if has("flows::flows_of_both_families (comparison)", "conntrack") {
            let list = run("conntrack -L");
            assert_eq!(list.lines().count(), 2, "{list}");
            for flow in [tcp, udp] {
                let ports = format!(
                    "sport={} dport={}",
                    flow.original.source_port, flow.original.destination_port
                );
                assert!(list.contains(&ports), "{ports} is missing in {list}");
            }
        }
    });
}

/// Whoever sends first after the kernel has forgotten a connection appears to have begun it.
#[test]
fn a_connection_taken_up_in_the_middle_is_told_apart() {
    in_namespace("flows::a_connection_taken_up_in_the_middle_is_told_apart", || {
        load(
            "table inet t { chain output { type filter hook output priority 0; ct state new accept; } }",
        );
        let mut netlink = Netlink::open().unwrap();
        for (address, port) in [("127.0.0.1", 5061), ("::1", 5062)] {
            let listener = TcpListener::bind((address, port)).unwrap();
            let mut phone = TcpStream::connect((address, port)).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            phone.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let mut look = || {
                let ours = |flow: &Flow| {
                    [flow.original.source_port, flow.original.destination_port].contains(&port)
                };
                let found: Vec<Flow> = flows(&mut netlink).into_iter().filter(ours).collect();
                let [flow] = found.as_slice() else { panic!("{found:?}") };
                (flow.picked_up, flow.original.destination_port == port)
            };
            assert_eq!(look(), (false, true), "its beginning was seen");
            phone.write_all(b"x").unwrap();
            assert_eq!(look(), (false, true));
            if !has("flows::a_connection_taken_up_in_the_middle_is_told_apart", "conntrack") {
                return;
            }
            run("conntrack -F");
            server.write_all(b"y").unwrap();
            assert_eq!(look(), (true, false), "the server sent first");
            phone.write_all(b"z").unwrap();
            assert_eq!(look(), (true, false), "also when answers were seen");
            run("conntrack -F");
            phone.write_all(b"x").unwrap();
            assert_eq!(look(), (true, true));
        }
    });
}

#[test]
fn many_flows_are_all_shown() {
    in_namespace("flows::many_flows_are_all_shown", || {
        load(
            "table inet t { chain output { type filter hook output priority 0; ct state new accept; } }",
        );
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _server = UdpSocket::bind("127.0.0.1:9").unwrap();
        for port in 10_000..15_000_u16 {
            // Nobody listens there; the answer is an ICMP error that the next call reports.
            let _ = client.send_to(b"x", ("127.0.0.1", port));
        }
        let found = flows(&mut Netlink::open().unwrap());
        let mut ports: Vec<u16> = found
            .iter()
            .filter(|flow| flow.protocol == 17)
            .map(|flow| flow.original.destination_port)
            .collect();
        ports.sort_unstable();
        ports.dedup();
        assert!(ports.len() > 4900, "{}", ports.len());
    });
}
