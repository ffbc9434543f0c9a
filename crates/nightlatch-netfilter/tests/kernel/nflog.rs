//! Packets that rules copy to a group.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use nightlatch_netfilter::{Batch, Hook, NetlinkError, Nflog, NflogError};
use nightlatch_parse::ip_packet::{self, Transport};

use crate::frames::{Tunnel, Wire, syn, udp};
use crate::namespace::{give_up_privileges, in_namespace, load, run};

const GROUP: u16 = 4711;
const COPIED: u16 = 2048;
const SOON: Duration = Duration::from_secs(10);

/// More packets than there is room for while nobody reads.
const SENT: u32 = 120_000;

/// Drops everything that arrives, and shows it to the group.
const STRUCTURE: &str = "
table inet t {
    chain guard {
        type filter hook prerouting priority -300; policy drop;
        tcp flags syn / syn,ack,fin,rst log prefix \"knock\" group 4711
        meta l4proto udp log prefix \"spa\" group 4711
    }
}";

/// What was read: prefix, hook, source, destination and payload of each packet.
type Seen = (String, Hook, SocketAddr, SocketAddr, String);

/// Reads until there are so many packets, and returns how many were lost too.
fn read(nflog: &mut Nflog, packets: usize) -> (Vec<Seen>, u32) {
    let (mut seen, mut lost) = (Vec::new(), 0);
    while seen.len() < packets {
        assert!(nflog.wait(SOON).unwrap(), "{} of {packets} packets came", seen.len());
        let batch = nflog.read(|logged| {
            let packet = ip_packet::read(logged.bytes).unwrap();
            assert!(logged.arrived.is_some());
            let payload = match packet.transport {
                Transport::Udp { payload, is_truncated: false } => payload,
                Transport::Udp { .. } => b"cut short",
                Transport::Tcp(flags) if flags.is_request() => b"syn",
                Transport::Tcp(_) => b"tcp",
            };
            let payload = String::from_utf8_lossy(payload).into_owned();
            let (from, to) = (packet.source, packet.destination);
            seen.push((logged.prefix.to_owned(), logged.hook, from, to, payload));
        });
        lost += batch.unwrap().lost;
    }
    (seen, lost)
}

fn ends(number: usize) -> (SocketAddr, SocketAddr) {
    let pairs = [
        ("203.0.113.75:40408", "192.0.2.1:62201"),
        ("[2001:db8:1::75]:40408", "[2001:db8::1]:62201"),
    ];
    let (from, to) = pairs[number % 2];
    (from.parse().unwrap(), to.parse().unwrap())
}

/// Sends packets of both families and protocols, and checks that they are read in this order.
fn check(nflog: &mut Nflog, mut send: impl FnMut(&[u8]), what: &str) {
    let mut expected = Vec::new();
    for number in 0..40 {
        let (from, to) = ends(number);
        let payload = format!("{what} {number}");
        let (packet, prefix, payload) = if number % 4 < 2 {
            (udp(from, to, payload.as_bytes()), "spa", payload.as_str())
        } else {
            (syn(from, to), "knock", "syn")
        };
        send(&packet);
        expected.push((prefix.to_owned(), Hook::Prerouting, from, to, payload.to_owned()));
    }
    let (seen, lost) = read(nflog, expected.len());
    assert_eq!(seen, expected, "{what}");
    assert_eq!(lost, 0);
}

#[test]
fn packets_of_every_kind_of_interface() {
    in_namespace("nflog::packets_of_every_kind_of_interface", || {
        load(STRUCTURE);
        let mut nflog = Nflog::open(GROUP, COPIED).unwrap();
        // Without an Ethernet header.
        let Some(tunnel) = Tunnel::open("tun0") else { return };
        run("ip link set tun0 up");
        check(&mut nflog, |packet| tunnel.send(packet), "tunnel");
        // With one. The sending side comes up last: it drops packets for a moment after the other side
        // has come up.
        run("ip link add veth0 type veth peer name veth1");
        run("ip link set veth1 up");
        run("ip link set veth0 up");
        let wire = Wire::to("veth0", "veth1");
        check(&mut nflog, |packet| wire.send(packet), "veth");
        // Renamed, and replaced by another.
        run("ip link set veth0 down");
        run("ip link set veth1 down");
        run("ip link set veth1 name wan0");
        run("ip link set wan0 up");
        run("ip link set veth0 up");
        check(&mut nflog, |packet| wire.send(packet), "renamed");
        run("ip link del wan0");
        drop(tunnel);
        run("ip link add veth0 type veth peer name wan0");
        run("ip link set wan0 up");
        run("ip link set veth0 up");
        let wire = Wire::to("veth0", "wan0");
        check(&mut nflog, |packet| wire.send(packet), "replaced");
        let Some(tunnel) = Tunnel::open("wan1") else { return };
        run("ip link set wan1 up");
        check(&mut nflog, |packet| tunnel.send(packet), "another tunnel");
    });
}

/// Packets of all hooks and sizes, as far as they are to be copied.
#[test]
fn only_so_much_is_copied() {
    in_namespace("nflog::only_so_much_is_copied", || {
        load(
            "table inet t { chain out { type filter hook output priority 0; policy accept;
                udp dport 1000 log prefix \"whole\" group 4711
                udp dport 1000 log prefix \"little\" snaplen 40 group 4711
                udp dport 1000 log group 4711 queue-threshold 20
            } }",
        );
        let mut nflog = Nflog::open(GROUP, 600).unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for length in [0, 12, 13, 572, 573, 9000] {
            client.send_to(&vec![b'x'; length], "127.0.0.1:1000").unwrap();
            let mut found = Vec::new();
            while found.len() < 3 {
                assert!(nflog.wait(SOON).unwrap());
                let batch = nflog.read(|logged| {
                    let packet = ip_packet::read(logged.bytes).unwrap();
                    let Transport::Udp { payload, is_truncated } = packet.transport else {
                        panic!("{packet:?}")
                    };
                    assert_eq!((logged.hook, logged.arrived), (Hook::Output, None));
                    let prefix = logged.prefix.to_owned();
                    found.push((prefix, payload.len(), is_truncated));
                });
                assert_eq!(batch.unwrap().lost, 0);
            }
            let expected = [("whole", 572), ("little", 12), ("", 572)]
                .map(|(prefix, most)| (prefix.to_owned(), length.min(most), length > most));
            assert_eq!(found, expected, "{length} bytes");
        }
    });
}

#[test]
fn a_group_has_one_reader() {
    in_namespace("nflog::a_group_has_one_reader", || {
        let first = Nflog::open(GROUP, COPIED).unwrap();
        let another = Nflog::open(GROUP + 1, COPIED).unwrap();
        for _ in 0..3 {
            match Nflog::open(GROUP, COPIED) {
                Err(error @ NflogError::Taken { group: GROUP, port: Some(port) }) => {
                    let said = error.to_string();
                    assert!(said.contains(&format!("port {port}")), "{said}");
                    assert!(said.contains("NFLOG group 4711"), "{said}");
                }
                other => panic!("{other:?}"),
            }
        }
        // Who had it before is not disturbed, and free is what is closed.
        load(STRUCTURE);
        let Some(tunnel) = Tunnel::open("tun0") else { return };
        run("ip link set tun0 up");
        let mut first = first;
        check(&mut first, |packet| tunnel.send(packet), "first");
        drop(first);
        let mut second = Nflog::open(GROUP, COPIED).unwrap();
        check(&mut second, |packet| tunnel.send(packet), "second");
        drop(another);
    });
}

#[test]
fn without_privileges_nothing_is_said_about_others() {
    in_namespace("nflog::without_privileges_nothing_is_said_about_others", || {
        let _first = Nflog::open(GROUP, COPIED).unwrap();
        give_up_privileges();
        for group in [GROUP, GROUP + 1] {
            match Nflog::open(group, COPIED) {
                Err(NflogError::Netlink(NetlinkError::Refused { what, errno, .. })) => {
                    assert_eq!(errno.raw_os_error(), Some(libc::EPERM));
                    assert!(what.contains(&group.to_string()), "{what}");
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn losses_are_counted_and_reading_goes_on() {
    in_namespace("nflog::losses_are_counted_and_reading_goes_on", || {
        load(STRUCTURE);
        let mut nflog = Nflog::open(GROUP, COPIED).unwrap();
        let Some(tunnel) = Tunnel::open("tun0") else { return };
        run("ip link set tun0 up");
        let (from, to) = ends(0);
        let packet = udp(from, to, &[b'x'; 200]);
        for _ in 0..SENT {
            tunnel.send(&packet);
        }
        let mut total = Batch::default();
        let mut last = String::new();
        let mut drain = |nflog: &mut Nflog, total: &mut Batch| {
            loop {
                let batch = nflog.read(|logged| {
                    let packet = ip_packet::read(logged.bytes).unwrap();
                    let Transport::Udp { payload, .. } = packet.transport else { return };
                    last = String::from_utf8_lossy(payload).into_owned();
                });
                let batch = batch.unwrap();
                total.packets += batch.packets;
                total.lost += batch.lost;
                if batch == Batch::default() {
                    return last.clone();
                }
            }
        };
        drain(&mut nflog, &mut total);
        assert!(total.packets > 1000, "{total:?}");
        // The next one that gets through shows how many did not.
        tunnel.send(&udp(from, to, b"next"));
        assert!(nflog.wait(SOON).unwrap());
        assert_eq!(drain(&mut nflog, &mut total), "next");
        println!("{total:?}");
        assert!(total.lost > 0, "{total:?}");
        assert_eq!(u32::try_from(total.packets).unwrap() + total.lost, SENT + 1, "{total:?}");
        check(&mut nflog, |packet| tunnel.send(packet), "later");
    });
}

/// A reader that begins while packets keep arriving gets all of them from some moment on, in order.
#[test]
fn a_reader_begins_among_packets() {
    in_namespace("nflog::a_reader_begins_among_packets", || {
        load(STRUCTURE);
        let Some(tunnel) = Tunnel::open("tun0") else { return };
        run("ip link set tun0 up");
        let (from, to) = ends(0);
        thread::scope(|scope| {
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            let tunnel = &tunnel;
            scope.spawn(move || {
                let mut number = 0;
                while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    tunnel.send(&udp(from, to, format!("{number}").as_bytes()));
                    number += 1;
                    // Never more than fits into the buffer while the reader does not run.
                    thread::sleep(Duration::from_micros(20));
                }
            });
            for _ in 0..200 {
                let mut nflog = Nflog::open(GROUP, COPIED).unwrap();
                let (seen, lost) = read(&mut nflog, 20);
                assert_eq!(lost, 0);
                let numbers: Vec<u64> = seen.iter().map(|it| it.4.parse().unwrap()).collect();
                let first = numbers[0];
                assert!(numbers.iter().zip(first..).all(|(found, expected)| *found == expected));
            }
            drop(stop);
        });
    });
}

/// Prints what reading costs and how long a packet takes: `--release` and `--nocapture` show it.
#[test]
fn a_steady_flood_is_read_without_losses() {
    in_namespace("nflog::a_steady_flood_is_read_without_losses", || {
        load(STRUCTURE);
        let Some(tunnel) = Tunnel::open("tun0") else { return };
        run("ip link set tun0 up");
        let mut nflog = Nflog::open(GROUP, COPIED).unwrap();
        let (from, to) = ends(0);
        let packet = udp(from, to, &[b'x'; 225]);

        // The reader waits in a thread of its own while packets come one by one.
        let mut delays = Vec::new();
        thread::scope(|scope| {
            let (told, hear) = std::sync::mpsc::channel();
            let nflog = &mut nflog;
            scope.spawn(move || {
                for _ in 0..200 {
                    while nflog.read(|_| told.send(now()).unwrap()).unwrap().packets == 0 {
                        assert!(nflog.wait(SOON).unwrap());
                    }
                }
            });
            for _ in 0..200 {
                thread::sleep(Duration::from_millis(2));
                let sent = now();
                tunnel.send(&packet);
                delays.push(hear.recv_timeout(SOON).unwrap().saturating_duration_since(sent));
            }
        });
        delays.sort_unstable();
        println!("from sending to reading: median {:?}, p99 {:?}", delays[100], delays[197]);

        // A million packets a minute, for a second. All would fit into the buffer.
        let rate = 16_700_u32;
        thread::scope(|scope| {
            let nflog = &mut nflog;
            let reader = scope.spawn(move || {
                let (mut total, mut payload) = (Batch::default(), 0);
                let before = processor_time();
                while total.packets < usize::try_from(rate).unwrap() {
                    assert!(nflog.wait(SOON).unwrap(), "{total:?}");
                    let batch = nflog.read(|logged| {
                        let packet = ip_packet::read(logged.bytes).unwrap();
                        if let Transport::Udp { payload: bytes, .. } = packet.transport {
                            payload += bytes.len();
                        }
                    });
                    let batch = batch.unwrap();
                    total.packets += batch.packets;
                    total.lost += batch.lost;
                }
                assert_eq!(payload, total.packets * 225);
                assert_eq!(total.lost, 0);
                processor_time().saturating_sub(before)
            });
            let start = now();
            for number in 0..rate {
                let due = Duration::from_secs(1).saturating_mul(number) / rate;
                thread::sleep(due.saturating_sub(start.elapsed()));
                tunnel.send(&packet);
            }
            let took = start.elapsed();
            let time = reader.join().unwrap();
            let share = time.as_secs_f64() / took.as_secs_f64() * 100.0;
            println!(
                "{rate} packets in {took:?}: {time:?} of processor time, {share:.1} % of a core"
            );
        });
    });
}

#[expect(clippy::disallowed_methods, reason = "measures time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// For how long this thread has been running on a processor.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}
