//! Providers reach telephony and nothing else, no list denies them, and they end when disabled.
//!
//! The addresses are those of the catalogue; here they belong to a host in a namespace.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nightlatch_core::features::providers::{Provider, catalogue};
use nightlatch_lab::packet::Packet;
use nightlatch_lab::stage::{Host, Plan};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::ground::{Ears, Echo, Prober, TIMEOUT, asks_from, echoes, protect};
use crate::support::{self, wait_until};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Ports of telephony, and of what no provider may use.
const PORTS: [(&str, u8, u16); 8] = [
    ("sip", UDP, 5060),
    ("sip/tcp", TCP, 5060),
    ("tls", TCP, 5061),
    ("rtp", UDP, 10_000),
    ("iax", UDP, 4569),
    ("ssh", TCP, 22),
    ("web", TCP, 443),
    ("other", UDP, 9999),
];

fn provider() -> &'static Provider {
    catalogue::find(&"twilio".parse().unwrap()).unwrap()
}

/// An address of its signalling, one of its media, and one beside the signalling.
fn addresses() -> [IpAddr; 3] {
    let (network, media) = (provider().networks[0], provider().media[0]);
    let [IpAddr::V4(signalling), media] = [network, media].map(|it| it.first_address()) else {
        panic!("the catalogue has other networks");
    };
    let beside = signalling.to_bits() - 1;
    [signalling.into(), media, IpAddr::V4(beside.into())]
}

/// The usual stage; all networks of the provider belong to the attacker's host.
fn plan() -> Plan {
    let owned: Vec<String> =
        provider().networks.iter().chain(&provider().media).map(ToString::to_string).collect();
    let owned: Vec<&str> = owned.iter().map(String::as_str).collect();
    Plan::standard().change("attacker", |host| host.owning(&owned))
}

/// To which ports packets of an address come through.
fn reached(prober: &Prober, ears: &Ears, server: &Host, source: IpAddr) -> String {
    let passes = |protocol: u8, port: u16| {
        let (from, to) =
            (SocketAddr::new(source, 4000 + port % 1000), SocketAddr::new(server.v4(), port));
        let packet = match protocol {
            TCP => Packet::tcp(from, to, 2),
            _ => Packet::udp(from, to, b"hello"),
        };
        ears.heard();
        let mut came = false;
        for _ in 0..4 {
            prober.send(&packet);
            std::thread::sleep(Duration::from_millis(40));
            came |= ears.count(source, protocol) > 0;
        }
        came
    };
    let passing = PORTS.iter().filter(|(_, protocol, port)| passes(*protocol, *port));
    passing.map(|(name, ..)| *name).collect::<Vec<&str>>().join(" ")
}

#[test]
fn signalling_reaches_sip_and_media_only_rtp() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (nightlatch, daemon) = protect(server, "");
    let (prober, ears) = (Prober::on(attacker), Ears::on(server));
    let [signalling, media, beside] = addresses();
    let reach = || [signalling, media, beside].map(|it| reached(&prober, &ears, server, it));
    assert_eq!(reach(), ["", "", ""]);
    let told = nightlatch.must(&["provider", "enable", "twilio"]);
    assert!(told.contains("8 networks for sip, sip-tls, 1 media network for rtp"), "{told}");
    let telephony = "sip sip/tcp tls rtp";
    assert_eq!(reach(), [telephony, "rtp", ""]);
    assert!(nightlatch.must(&["why", &media.to_string()]).contains("provider \"twilio\""));
    // The kernel has it without the daemon, and a new daemon has the record.
    drop(daemon);
    assert_eq!(reach(), [telephony, "rtp", ""]);
    let _daemon = nightlatch.daemon();
    assert_eq!(reach(), [telephony, "rtp", ""]);
    nightlatch.must(&["provider", "disable", "twilio"]);
    assert_eq!(reach(), ["", "", ""]);
}

#[test]
fn no_feed_denies_a_provider() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (nightlatch, _daemon) = protect(server, "");
    nightlatch.must(&["mode", "open"]);
    let (prober, ears) = (Prober::on(attacker), Ears::on(server));
    let [signalling, media, beside] = addresses();
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("bad.txt");
    let networks = provider().networks.iter().chain(&provider().media);
    let mut text: String = networks.map(|network| format!("{network}\n")).collect();
    text += &format!("{beside}\n");
    std::fs::write(&list, text).unwrap();
    nightlatch.must(&["feed", "add", "bad", list.to_str().unwrap()]);
    let reach = || [signalling, media, beside].map(|it| reached(&prober, &ears, server, it));
    assert_eq!(reach(), ["", "", ""], "listed");
    nightlatch.must(&["provider", "enable", "twilio"]);
    let [of_signalling, of_media, of_beside] = reach();
    assert!(of_signalling.starts_with("sip ") && !of_signalling.contains("ssh"), "{of_signalling}");
    assert!(of_media.contains("rtp"), "{of_media}");
    assert_eq!(of_beside, "", "still listed");
    // A block of the administrator's own decides over the provider.
    nightlatch.must(&["block", &signalling.to_string()]);
    assert_eq!(reach()[0], "");
    let who = nightlatch.must(&["who", &signalling.to_string(), "--no-dns"]);
    for words in ["provider  twilio:", "block     ", "feed \"bad\""] {
        assert!(who.contains(words), "{words}: {who}");
    }
}

/// A TCP connection from an address of the host's own.
fn connected(host: &Host, source: IpAddr, target: SocketAddr) -> TcpStream {
    let open = || {
        let socket: OwnedFd =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddr::new(source, 0))?;
        connect(&socket, &target)?;
        Ok::<TcpStream, rustix::io::Errno>(TcpStream::from(socket))
    };
    host.run(open).unwrap().unwrap()
}

#[test]
fn disabling_ends_running_connections() {
    let Some(stage) = support::stage(&plan()) else {
        return;
    };
    let (server, carrier) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let _echo = Echo::on(server, &[5060, 10_000], &[5061]);
    let (nightlatch, _daemon) = protect(server, "");
    nightlatch.must(&["provider", "enable", "twilio"]);
    let [signalling, media, _] = addresses();
    let udp =
        |source: IpAddr| carrier.run(|| std::net::UdpSocket::bind((source, 0))).unwrap().unwrap();
    let (sip, rtp) = (udp(signalling), udp(media));
    let at = |port| SocketAddr::new(server.v4(), port);
    let mut tls = connected(carrier, signalling, at(5061));
    assert!(asks_from(&sip, at(5060), TIMEOUT), "signalling");
    assert!(asks_from(&rtp, at(10_000), TIMEOUT), "media");
    assert!(echoes(&mut tls, TIMEOUT), "TLS");
    nightlatch.must(&["provider", "disable", "twilio"]);
    let short = Duration::from_millis(300);
    wait_until("the flows end", TIMEOUT, || {
        !asks_from(&sip, at(5060), short) && !asks_from(&rtp, at(10_000), short)
    });
    assert!(!echoes(&mut tls, Duration::from_secs(1)), "the TLS connection goes on");
    nightlatch.must(&["provider", "enable", "twilio"]);
    assert!(asks_from(&sip, at(5060), TIMEOUT), "signalling again");
    assert!(asks_from(&rtp, at(10_000), TIMEOUT), "media again");
}
