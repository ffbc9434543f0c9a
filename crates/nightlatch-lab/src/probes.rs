//! The single packets that are tried beside the port scans: the usual ways around a firewall.

use std::net::SocketAddr;

use crate::packet::{Caught, Extension, Packet, flags, protocol};
use crate::sip;
use crate::stage::Host;

/// The UDP ports worth a try on a telephone server.
pub(crate) const UDP_PORTS: &[u16] = &[
    53, 67, 68, 69, 123, 161, 500, 514, 1194, 1900, 3478, 4500, 4569, 5060, 5061, 5062, 5080, 5090,
    5160, 5353, 8089, 10000, 10001, 10002, 10003, 10004, 10005, 10006, 10007, 10008, 10009, 10010,
    16384, 20000, 30000, 51820,
];

/// The first source port of the single packets; each has its own, by which its answer is known.
const FIRST_PORT: u16 = 42_000;

/// A packet (or its fragments) and what names its answer.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) name: String,
    pub(crate) packets: Vec<Vec<u8>>,
    key: Key,
}

/// What of a packet comes back in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    /// Its protocol and the port it came from.
    Port(u8, u16),
    /// The identifier of an ICMP request.
    Identifier(u16),
    /// Its protocol, for protocols without ports.
    Protocol(u8),
}

impl Attempt {
    /// Whether `caught`, which came from the server, is the answer.
    pub(crate) fn is_answered_by(&self, caught: &Caught) -> bool {
        if let Some(quoted) = caught.quoted() {
            return match self.key {
                Key::Port(protocol, port) => {
                    quoted.protocol == protocol
                        && quoted.origin().is_some_and(|origin| origin.port() == port)
                }
                Key::Identifier(identifier) => identifier_of(&quoted) == Some(identifier),
                Key::Protocol(protocol) => quoted.protocol == protocol,
            };
        }
        match self.key {
            Key::Port(protocol, port) => {
                caught.protocol == protocol
                    && caught.target().is_some_and(|target| target.port() == port)
            }
            Key::Identifier(identifier) => identifier_of(caught) == Some(identifier),
            Key::Protocol(protocol) => caught.protocol == protocol,
        }
    }
}

/// All attempts of `from` on the server's address, of one family.
pub(crate) fn attempts(from: &Host, v6: bool, target: std::net::IpAddr) -> Vec<Attempt> {
    let source = if v6 { from.v6() } else { from.v4() };
    let mut list = List { source, target, attempts: Vec::new() };
    list.tcp("ACK", 5060, flags::ACK);
    list.tcp("SYN and ACK", 7, flags::SYN | flags::ACK);
    list.tcp("FIN", 7, flags::FIN);
    list.tcp("no flags at all", 7, 0);
    list.tcp("XMAS", 7, flags::XMAS);
    list.out_of_port("SYN from port 53", 53, |from, to| Packet::tcp(from, to(22), flags::SYN));
    list.out_of_port("SIP from UDP port 53", 53, |from, to| options(from, to(5060)));
    list.out_of_port("SIP from UDP port 5060", 5060, |from, to| options(from, to(5060)));
    list.udp("UDP to a closed port", |from, to| Packet::udp(from, to(9), b"anyone there?"));
    list.pieces("SIP in fragments", 64, |from, to| options(from, to(5060)));
    list.pieces("SYN in fragments of 8 bytes", 8, |from, to| {
        Packet::tcp(from, to(5060), flags::SYN)
    });
    list.pieces("SYN to a closed port in one fragment", 64, |from, to| {
        Packet::tcp(from, to(7), flags::SYN)
    });
    list.ping("ping", b"nightlatch");
    list.ping("large ping", &[0x4e; 1200]);
    list.other("GRE", protocol::GRE, &[0, 0, 8, 0]);
    list.other("SCTP", protocol::SCTP, &[0x0b, 0x59, 0x0b, 0x59, 0, 0, 0, 0, 0, 0, 0, 0]);
    list.other("an unknown protocol", 253, b"nightlatch");
    if v6 {
        list.extended("SYN behind hop-by-hop options", &[Extension::HopByHop]);
        list.extended("SYN behind destination options", &[Extension::DestinationOptions]);
        list.extended("SYN behind a routing header", &[Extension::Routing(0)]);
        let all =
            [Extension::HopByHop, Extension::DestinationOptions, Extension::DestinationOptions];
        list.extended("SYN behind many headers", &all);
        list.extended("an unknown destination option", &[Extension::UnknownDestinationOption]);
    } else {
        list.timestamp("ICMP timestamp request");
    }
    list.attempts
}

/// What to say to a UDP port, in the language spoken there.
pub(crate) fn greeting(source: SocketAddr, target: SocketAddr) -> Packet {
    match target.port() {
        5060..=5090 | 5160 => options(source, target),
        // An IAX2 full frame: POKE (RFC 5456 section 8.4).
        4569 => Packet::udp(source, target, &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 30]),
        // An RTP header: version 2, payload type 0.
        10_000..=30_000 => {
            Packet::udp(source, target, &[0x80, 0, 0, 1, 0, 0, 0, 0, 0x4e, 0x4c, 0, 0])
        }
        _ => Packet::udp(source, target, b"anyone there?"),
    }
}

struct List {
    source: std::net::IpAddr,
    target: std::net::IpAddr,
    attempts: Vec<Attempt>,
}

impl List {
    fn tcp(&mut self, name: &str, port: u16, flags: u8) {
        let name = format!("TCP packet: {name}");
        self.udp(&name, |from, to| Packet::tcp(from, to(port), flags));
    }

    fn udp(&mut self, name: &str, make: impl Fn(SocketAddr, &dyn Fn(u16) -> SocketAddr) -> Packet) {
        let port = self.next_port();
        self.out_of_port(name, port, make);
    }

    fn out_of_port(
        &mut self,
        name: &str,
        port: u16,
        make: impl Fn(SocketAddr, &dyn Fn(u16) -> SocketAddr) -> Packet,
    ) {
        let packet = self.make(port, make);
        self.add(name, vec![packet.bytes()], Key::Port(packet.protocol(), port));
    }

    fn pieces(
        &mut self,
        name: &str,
        piece: usize,
        make: impl Fn(SocketAddr, &dyn Fn(u16) -> SocketAddr) -> Packet,
    ) {
        let port = self.next_port();
        let packet = self.make(port, make).with_identification(port.into());
        self.add(name, packet.fragments(piece), Key::Port(packet.protocol(), port));
    }

    fn extended(&mut self, name: &str, extensions: &[Extension]) {
        let port = self.next_port();
        let mut packet = self.make(port, |from, to| Packet::tcp(from, to(5060), flags::SYN));
        for &extension in extensions {
            packet = packet.with_extension(extension);
        }
        self.add(name, vec![packet.bytes()], Key::Port(packet.protocol(), port));
    }

    fn ping(&mut self, name: &str, data: &[u8]) {
        let identifier = self.next_port();
        let packet = Packet::echo(self.source, self.target, identifier, data);
        self.add(name, vec![packet.bytes()], Key::Identifier(identifier));
    }

    fn timestamp(&mut self, name: &str) {
        let identifier = self.next_port();
        let mut body = vec![13, 0, 0, 0];
        body.extend(identifier.to_be_bytes());
        body.extend([0; 14]);
        let packet = Packet::other(self.source, self.target, protocol::ICMP, &body);
        self.add(name, vec![packet.bytes()], Key::Identifier(identifier));
    }

    fn other(&mut self, name: &str, protocol: u8, body: &[u8]) {
        let packet = Packet::other(self.source, self.target, protocol, body);
        self.add(name, vec![packet.bytes()], Key::Protocol(protocol));
    }

    fn make(
        &self,
        port: u16,
        make: impl Fn(SocketAddr, &dyn Fn(u16) -> SocketAddr) -> Packet,
    ) -> Packet {
        make(SocketAddr::new(self.source, port), &|port| SocketAddr::new(self.target, port))
    }

    fn next_port(&self) -> u16 {
        FIRST_PORT + u16::try_from(self.attempts.len()).unwrap_or(0)
    }

    fn add(&mut self, name: &str, packets: Vec<Vec<u8>>, key: Key) {
        self.attempts.push(Attempt { name: name.to_owned(), packets, key });
    }
}

fn options(source: SocketAddr, target: SocketAddr) -> Packet {
    Packet::udp(source, target, sip::request("OPTIONS", source, target).as_bytes())
}

/// The identifier of an ICMP request or its reply.
fn identifier_of(caught: &Caught) -> Option<u16> {
    caught.icmp()?;
    let body = caught.body();
    Some(u16::from_be_bytes([*body.get(4)?, *body.get(5)?]))
}
