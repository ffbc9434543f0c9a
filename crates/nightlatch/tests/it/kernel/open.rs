//! Open mode: the listed services answer strangers, under limits; everything else is silent.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nightlatch_lab::packet::{Packet, flags};
use nightlatch_lab::stage::{Host, Plan};

use super::ground::{
    Ears, Echo, Prober, SILENCE, TIMEOUT, answers_udp, both, connect, echoes, ignores_tcp,
    ignores_udp, protect,
};
use crate::support::{self, Daemon, Installation, now};

fn open<'a>(server: &'a Host, configuration: &str) -> (Installation<'a>, Daemon) {
    let (nightlatch, daemon) = protect(server, configuration);
    nightlatch.must(&["mode", "open"]);
    (nightlatch, daemon)
}

#[test]
fn only_the_listed_services_answer_strangers() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let _echo = Echo::on(server, &[5060, 10_000, 4569, 69], &[80, 5060, 22, 3306]);
    let ears = Ears::on(server);
    let (_nightlatch, _daemon) = open(server, "[open]\nservices = [\"sip\", \"web\"]\n");
    for (source, own) in both(stranger).into_iter().zip(both(server)) {
        let to = |port| SocketAddr::new(own, port);
        assert!(answers_udp(stranger, to(5060)));
        // The media of its calls.
        assert!(answers_udp(stranger, to(10_000)));
        for port in [5060, 80] {
            assert!(echoes(&mut connect(stranger, to(port)).unwrap(), TIMEOUT));
        }
        for port in [4569, 69, 9] {
            assert!(ignores_udp(stranger, to(port)), "udp/{port}");
        }
        for port in [22, 3306, 81] {
            assert!(ignores_tcp(stranger, to(port)), "tcp/{port}");
        }
        let mut prober = Prober::on(stranger);
        ears.heard();
        prober.send(&Packet::echo(source, own, 1, b"ping"));
        for number in [132, 47, 50, 4, 253] {
            prober.send(&Packet::other(source, own, number, &[0x13, 0xc4, 0x13, 0xc4, 0, 0, 0, 0]));
        }
        for flag in [flags::ACK, flags::FIN, 0, flags::XMAS, flags::SYN | flags::ACK] {
            prober.send(&Packet::tcp(SocketAddr::new(source, 53), to(22), flag));
        }
        prober.send(&Packet::udp(SocketAddr::new(source, 53), to(4569), b"from port 53"));
        assert_eq!(prober.answers(SILENCE), []);
        assert_eq!(ears.heard(), []);
    }
}

/// Slow enough that the time of a test hardly counts.
const SLOW: &str = "[open]\n\
    per-source = { packets = 1, burst = 20 }\n\
    total = { packets = 1000000, burst = 1000000 }\n";

/// Sends so many SIP packets from each source, one after the other, and counts what gets through.
fn through(
    prober: &Prober,
    ears: &Ears,
    sources: &[IpAddr],
    server: &Host,
    each: u16,
) -> Vec<usize> {
    ears.heard();
    for port in 0..each {
        for source in sources {
            let own = if source.is_ipv4() { server.v4() } else { server.v6() };
            let from = SocketAddr::new(*source, 20_000 + port);
            prober.send(&Packet::udp(from, SocketAddr::new(own, 5060), b"REGISTER"));
        }
    }
    std::thread::sleep(Duration::from_millis(300));
    let heard = ears.heard();
    let of = |source| heard.iter().filter(|h| h.from == source && h.protocol == 17).count();
    sources.iter().map(|source| of(*source)).collect()
}

#[test]
fn each_source_has_its_limit() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (nightlatch, _daemon) = open(server, SLOW);
    let (prober, ears) = (Prober::on(stranger), Ears::on(server));
    let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    let start = now();
    let v4 = parse(&["203.0.113.21", "203.0.113.22"]);
    let counts = through(&prober, &ears, &v4, server, 100);
    // The burst, and one for each second that has passed.
    let most =
        |bursts: usize| bursts * 20 + 2 + usize::try_from(start.elapsed().as_secs()).unwrap();
    for count in &counts {
        assert!((20..=most(1)).contains(count), "{counts:?}");
    }
    // Two addresses of one /64 share one limit; another /64 has its own.
    let v6 = parse(&["2001:db8:7:1::1", "2001:db8:7:1:ffff::2", "2001:db8:7:2::1"]);
    let counts = through(&prober, &ears, &v6, server, 100);
    let [first, second, other] = counts[..] else { panic!("{counts:?}") };
    assert!((20..=most(1)).contains(&(first + second)), "{counts:?}");
    assert!((20..=most(1)).contains(&other), "{counts:?}");
    // Accounts have no limit.
    nightlatch.must(&["allow", "office", "203.0.113.21", "2001:db8:7:1::/64"]);
    let counts = through(&prober, &ears, &[v4[0], v6[0]], server, 100);
    assert_eq!(counts, [100, 100]);
}

#[test]
fn the_limit_holds_within_one_running_flow() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (_nightlatch, _daemon) = open(server, SLOW);
    let _echo = Echo::on(server, &[5060, 10_000], &[5060]);
    let ears = Ears::on(server);
    for (source, own) in both(stranger).into_iter().zip(both(server)) {
        let guesser = stranger.run(|| std::net::UdpSocket::bind(SocketAddr::new(source, 5070)));
        let guesser = guesser.unwrap().unwrap();
        guesser.connect(SocketAddr::new(own, 5060)).unwrap();
        guesser.set_read_timeout(Some(TIMEOUT)).unwrap();
        // An answer comes: the flow runs.
        guesser.send(b"REGISTER").unwrap();
        guesser.recv(&mut [0; 100]).unwrap();
        ears.heard();
        let start = now();
        for _ in 0..200 {
            guesser.send(b"REGISTER").unwrap();
        }
        std::thread::sleep(SILENCE);
        let count = ears.count(source, 17);
        let most = 21 + usize::try_from(start.elapsed().as_secs()).unwrap();
        assert!((10..=most).contains(&count), "{count} of 200");
        // The media of a call are not limited.
        let phone = stranger.run(|| std::net::UdpSocket::bind(SocketAddr::new(source, 4000)));
        let phone = phone.unwrap().unwrap();
        phone.connect(SocketAddr::new(own, 10_000)).unwrap();
        for _ in 0..200 {
            phone.send(b"voice").unwrap();
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(SILENCE);
        assert_eq!(ears.count(source, 17), 200);
    }
}

#[test]
fn behind_the_limits_of_each_stands_that_of_all() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let limits = "[open]\n\
        per-source = { packets = 1000, burst = 1000 }\n\
        total = { packets = 1, burst = 50 }\n";
    let (_nightlatch, _daemon) = open(server, limits);
    let (prober, ears) = (Prober::on(stranger), Ears::on(server));
    let v4 = (1..=100).map(|host| IpAddr::from([203, 0, 113, host]));
    let v6 = (1..=100).map(|net| IpAddr::from([0x2001, 0xdb8, 7, net, 0, 0, 0, 1]));
    let sources: Vec<IpAddr> = v4.chain(v6).collect();
    let start = now();
    let all: usize = through(&prober, &ears, &sources, server, 2).iter().sum();
    let most = 52 + usize::try_from(start.elapsed().as_secs()).unwrap();
    assert!((50..=most).contains(&all), "{all}");
}
