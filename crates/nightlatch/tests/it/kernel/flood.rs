//! A flood of strangers in open mode: connection tracking keeps room for everybody else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nightlatch_core::config::Rate;
use nightlatch_core::ruleset::StrangersShare;
use nightlatch_lab::packet::{Packet, flags};
use nightlatch_lab::stage::{Host, Plan};
use nightlatch_netfilter::Netlink;

use super::ground::{
    Echo, Prober, TIMEOUT, asks_from, both, connect, echoes, protect, run, unspecified,
};
use crate::support::{self, now, wait_until};

const DURATION: Duration = Duration::from_secs(20);
/// Packets a second to signalling, to media, and SYNs: the first is just below the limit for all
/// strangers together.
const SIGNALLING: u32 = 4_900;
const MEDIA: u32 = 4_900;
const SYNS: u32 = 1_000;
/// After how many seconds each source sends again, which makes its flow an assured one that connection
/// tracking does not evict early.
const AGAIN: u32 = 8;

/// Without the limits, this flood left 149,000 entries where 20,000 are allowed, and more until the
/// table was full and blocked all traffic: each source had an entry for minutes, and media ports had no
/// limit.
#[test]
fn strangers_stay_within_their_share_of_connection_tracking() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let [server, office, traveller, attacker, router] =
        ["server", "office", "traveller", "attacker", "router"]
            .map(|name| stage.host(name).unwrap());
    // Packets to forged addresses are lost.
    run(router, "ip route add blackhole 100.64.0.0/10");
    run(router, "ip -6 route add blackhole 2001:db8:f000::/36");
    let _echo = Echo::on(server, &[5060, 10_000], &[5060]);
    let _resolver = Echo::on(traveller, &[53], &[]);
    let (nightlatch, _daemon) = protect(server, "[open]\nservices = [\"sip\"]\n");
    let phone = both(office).map(|address| address.to_string());
    nightlatch.must(&["allow", "office", &phone[0], &phone[1], "--services", "sip"]);
    nightlatch.must(&["mode", "open"]);

    let share = StrangersShare::of(tracked(server, "max").try_into().unwrap());
    let [udp, tcp] = bounds(share);
    let (over, most, asked) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _over = Over(&over);
        let flood = scope.spawn(|| flood(attacker, server, &over));
        for (from, to, port) in [(office, server, 5060), (server, traveller, 53)] {
            for own in both(to) {
                let (to, over, asked) = (SocketAddr::new(own, port), &over, &asked);
                scope.spawn(move || keeps_asking(from, to, over, asked));
            }
        }
        let begin = now();
        while begin.elapsed() < DURATION {
            most.fetch_max(tracked(server, "count"), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Ordering::Relaxed);
        let sent = flood.join().unwrap();
        let wanted = u64::from(SIGNALLING + MEDIA + SYNS) * DURATION.as_secs();
        assert!(sent > wanted * 8 / 10, "only {sent} packets were sent: not a flood");
    });
    // Phones and the host have flows of their own.
    let (most, others) = (most.into_inner(), asked.into_inner());
    let bound = udp + tcp + others;
    assert!(bound < usize::try_from(share.entries).unwrap());
    assert!(most <= bound, "{most} entries, {bound} allowed, {others} of others");
    assert!(most > 2_000, "only {most} entries: the flood did not arrive");
    // Half-open connections time out last.
    let half_open = server.run(half_open).unwrap();
    assert!((100..=tcp).contains(&half_open), "{half_open} half-open, {tcp} allowed");
}

/// How many entries strangers may begin during the flood: UDP and TCP.
fn bounds(share: StrangersShare) -> [usize; 2] {
    let begun = |rate: Rate| {
        let seconds = u32::try_from(DURATION.as_secs()).unwrap() + 1;
        usize::try_from(rate.burst + rate.packets * seconds).unwrap()
    };
    [begun(share.new_streams()) + begun(share.new_udp()), begun(share.new_tcp())]
}

/// Sends until it is `over`; returns the number of packets sent.
fn flood(from: &Host, to: &Host, over: &AtomicBool) -> u64 {
    let prober = Prober::on(from);
    let kinds = [(0, SIGNALLING / 2), (1, MEDIA / 2), (2, SYNS / 2)];
    let (begin, mut sources, mut sent) = (now(), [0_u32; 3], 0);
    while !over.load(Ordering::Relaxed) {
        for (kind, rate) in kinds {
            let due = begin.elapsed().as_millis() * u128::from(rate) / 1_000;
            while u128::from(sources[kind]) < due {
                let source = sources[kind];
                let before = source.checked_sub(AGAIN * rate);
                for source in [Some(source), before].into_iter().flatten() {
                    prober.send(&packet(kind, source, to));
                    sent += 1;
                }
                sources[kind] += 1;
                // At first no source has sent before, so a new one is used.
                if before.is_none() {
                    prober.send(&packet(kind, source | 1 << 20, to));
                    sent += 1;
                }
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    sent
}

/// The packet from a source, of both families in turn.
fn packet(kind: usize, source: u32, to: &Host) -> Packet {
    let (address, own): (IpAddr, IpAddr) = if source & 1 == 0 {
        (Ipv4Addr::from((100 << 24 | 64 << 16) + source).into(), to.v4())
    } else {
        let network = 0x2001_0db8_f000_0000 | u64::from(source);
        (Ipv6Addr::from(u128::from(network) << 64 | 1).into(), to.v6())
    };
    let (from, to) = (SocketAddr::new(address, 5060), |port| SocketAddr::new(own, port));
    match kind {
        0 => Packet::udp(from, to(5060), b"REGISTER sip:192.0.2.1 SIP/2.0\r\n\r\n"),
        1 => Packet::udp(from, to(10_000), &[0x80, 0, 0, 1]),
        _ => Packet::tcp(from, to(5060), flags::SYN),
    }
}

/// Sends requests, each in a new flow, and fails if one is not answered.
fn keeps_asking(from: &Host, to: SocketAddr, over: &AtomicBool, asked: &AtomicUsize) {
    while !over.load(Ordering::Relaxed) {
        let socket = from.run(|| UdpSocket::bind(unspecified(to))).unwrap().unwrap();
        assert!(asks_from(&socket, to, TIMEOUT), "{} is not answered by {to}", from.name());
        asked.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Stops the other threads even if something fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn tracked(host: &Host, what: &str) -> usize {
    let path = format!("/proc/sys/net/netfilter/nf_conntrack_{what}");
    host.run(|| std::fs::read_to_string(path)).unwrap().unwrap().trim().parse().unwrap()
}

/// TCP entries of the server, all of which are half-open here.
fn half_open() -> usize {
    let mut count = 0;
    let mut netlink = Netlink::open().unwrap();
    assert!(netlink.for_each_flow(|flow| count += usize::from(flow.protocol == 6)).unwrap());
    count
}

/// Strangers' flows once had the same timeouts as all others.
#[test]
fn only_strangers_flows_have_short_timeouts() {
    if !support::installed(&["conntrack"]) {
        return;
    }
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let [server, office, stranger] =
        ["server", "office", "attacker"].map(|name| stage.host(name).unwrap());
    let _echo = Echo::on(server, &[5060, 10_000], &[5060]);
    let _far = Echo::on(stranger, &[53, 5060], &[]);
    let (nightlatch, _daemon) = protect(server, "[open]\nservices = [\"sip\"]\n");
    nightlatch.must(&["allow", "office", "203.0.113.0/24", "2001:db8:2::/64", "--services", "sip"]);
    nightlatch.must(&["mode", "open"]);
    let prober = [Prober::on(office), Prober::on(stranger)];
    // Addresses in both networks that no host has, so that nothing rejects the reply to a SYN.
    let absent = [["203.0.113.77", "192.0.2.200"], ["2001:db8:2::77", "2001:db8:66::200"]];
    for (family, absent) in absent.into_iter().enumerate() {
        let own = both(server)[family];
        for (place, from) in [office, stranger].into_iter().enumerate() {
            let long = place == 0;
            for port in [5060, 10_000] {
                let source = both(from)[family];
                asks(from, SocketAddr::new(source, 4_000), SocketAddr::new(own, port));
                check(server, &format!("udp {source} sport=4000 dport={port}"), long, 3);
            }
            let source: IpAddr = absent[place].parse().unwrap();
            let to = SocketAddr::new(own, 5060);
            prober[place].send(&Packet::tcp(SocketAddr::new(source, 4_000), to, flags::SYN));
            check(server, &format!("tcp {source} sport=4000 dport=5060"), long, 10);
        }
        // Flows that the host begins, from any port, keep the long timeouts, and so do strangers' TCP
        // connections that are established.
        let far = both(stranger)[family];
        for (ours, port) in [(4_001, 53), (5061, 5060)] {
            asks(server, SocketAddr::new(own, ours), SocketAddr::new(far, port));
            check(server, &format!("udp {own} sport={ours} dport={port}"), true, 3);
        }
        let mut stream = connect(stranger, SocketAddr::new(own, 5060)).unwrap();
        assert!(echoes(&mut stream, TIMEOUT));
        let port = stream.local_addr().unwrap().port();
        check(server, &format!("tcp {far} sport={port} dport=5060"), true, 10);
    }
}

fn asks(host: &Host, from: SocketAddr, to: SocketAddr) {
    let socket = host.run(|| UdpSocket::bind(from)).unwrap().unwrap();
    assert!(asks_from(&socket, to, TIMEOUT), "{from} to {to}");
}

/// Checks whether the matching flow has more than `short` seconds left, or at most that.
fn check(server: &Host, flow: &str, long: bool, short: u64) {
    let words: Vec<&str> = flow.split(' ').collect();
    let [protocol, source, sport, dport] = words[..] else { panic!("{flow}") };
    let family = if source.contains(':') { "ipv6" } else { "ipv4" };
    let mut left = None;
    wait_until(flow, TIMEOUT, || {
        let all = run(server, &format!("conntrack -L -f {family} -p {protocol} -s {source}"));
        let found = all.lines().find(|line| {
            let mut words = line.split_whitespace();
            words.any(|word| word == sport) && words.next() == Some(dport)
        });
        left = found.and_then(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
        left.is_some()
    });
    assert_eq!(left > Some(short), long, "{flow}: {left:?} s left");
}
