//! Detects running media streams from packet headers.
//!
//! Media sockets are not connected to a peer, and without a firewall the kernel tracks no connections:
//! only the packets show who talks to whom. Their payload is not read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::time::Duration;

use nightlatch_core::service::{Ports, Protocol};
use nightlatch_parse::packet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use serde::Serialize;
use socket2::{Domain, SockFilter, Socket, Type};

use super::addresses;
use super::clock::Stopwatch;

/// How long packets are captured: media packets come every 20 to 60 ms.
const CAPTURE_TIME: Duration = Duration::from_secs(1);
/// The most packets that are captured.
const MAX_PACKETS: usize = 1_000_000;
/// The most streams that are recorded; those to which this host sends have priority.
const MAX_STREAMS: usize = 4096;
/// How many bytes of a packet are read: the headers.
const HEADERS: u32 = 128;
/// The receive buffer of the socket, in bytes of kernel memory.
const RECEIVE_BUFFER: usize = 16 << 20;
/// `ETH_P_ALL` (`linux/if_ether.h`): outbound packets are delivered only to sockets of this protocol.
const EVERY_PROTOCOL: u16 = 0x0003;
/// Media never come from lower ports: such packets are replies to this host's requests, e.g. DNS.
const FIRST_UNPRIVILEGED: u16 = 1024;

/// A media stream between this host and a peer, as far as its packets were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Stream {
    /// The other side.
    pub peer: IpAddr,
    /// The other side's port.
    pub peer_port: u16,
    /// This host's port.
    pub local_port: u16,
    /// How many packets this host sent. A packet that passes several interfaces counts once for each.
    pub to_peer: u32,
    /// How many packets arrived, likewise; counted before any firewall.
    pub from_peer: u32,
}

/// Captures the UDP packets of all interfaces for one second, and returns the streams at the media
/// ports, sorted. Packets forwarded to a container are included where they have an address of this
/// host, i.e. for published ports.
///
/// # Errors
/// The kernel refuses to deliver packets, e.g. without `CAP_NET_RAW`.
pub fn running(media: &[Ports]) -> io::Result<Vec<Stream>> {
    let udp = media.iter().filter(|ports| ports.protocol == Protocol::Udp);
    let first = udp.clone().map(|ports| ports.first).min();
    let (Some(first), Some(last)) = (first, udp.map(|ports| ports.last).max()) else {
        return Ok(Vec::new());
    };
    let watch = Stopwatch::start();
    let mut socket = open(first, last)?;
    let mut streams = Streams { own: addresses::own(), media, seen: BTreeMap::new() };
    let mut buffer = [0; HEADERS as usize];
    let mut packets = 0;
    while packets < MAX_PACKETS {
        let left = CAPTURE_TIME.saturating_sub(watch.elapsed());
        if left.is_zero() {
            break;
        }
        match socket.read(&mut buffer) {
            Ok(length) => {
                packets += 1;
                streams.see(buffer.get(..length).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(&socket, left)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // An interface went down.
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => {}
            Err(error) => return Err(error),
        }
    }
    Ok(streams.sorted())
}

/// A socket that receives the packets of all interfaces, inbound and outbound, from the IP header on, if
/// the filter accepts them.
fn open(first: u16, last: u16) -> io::Result<Socket> {
    let every = i32::from(EVERY_PROTOCOL.to_be());
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(every.into()))?;
    socket.attach_filter(&filter(first, last))?;
    socket.set_nonblocking(true)?;
    if set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
        // Without privileges, the system-wide limit applies.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    Ok(socket)
}

fn wait(socket: &Socket, left: Duration) -> io::Result<()> {
    let mut watched = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    let left = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(1),
        tv_nsec: left.subsec_nanos().into(),
    };
    match poll(&mut watched, Some(&left)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Accepts UDP packets that are not fragments and have a port in the range, and IPv6 packets with
/// extension headers (`linux/bpf_common.h`). Only an optimisation: [`Streams::see`] decides.
fn filter(first: u16, last: u16) -> [SockFilter; 24] {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_HALF_BEHIND_X: u16 = 0x48;
    const X_TO_HEADER_LENGTH: u16 = 0xb1;
    const X_TO_NUMBER: u16 = 0x01;
    const AND: u16 = 0x54;
    const JUMP: u16 = 0x05;
    const IF_EQUAL: u16 = 0x15;
    const IF_GREATER: u16 = 0x25;
    const IF_NOT_LESS: u16 = 0x35;
    const IF_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let (first, last) = (u32::from(first), u32::from(last));
    let op = |code, number| SockFilter::new(code, 0, 0, number);
    // How many instructions to skip if the condition is true, and if it is false.
    let jump = |code, number, yes, no| SockFilter::new(code, yes, no, number);
    [
        op(LOAD_BYTE, 0),
        op(AND, 0xf0),
        jump(IF_EQUAL, 0x40, 8, 0),
        jump(IF_EQUAL, 0x60, 0, 19),
        // IPv6: the next header.
        op(LOAD_BYTE, 6),
        jump(IF_EQUAL, 17, 3, 0),
        jump(IF_EQUAL, 0, 15, 0),
        jump(IF_EQUAL, 43, 14, 0),
        jump(IF_EQUAL, 60, 13, 14),
        op(X_TO_NUMBER, 40),
        op(JUMP, 5),
        // IPv4: protocol and fragments.
        op(LOAD_BYTE, 9),
        jump(IF_EQUAL, 17, 0, 10),
        op(LOAD_HALF, 6),
        jump(IF_ANY_BIT, 0x3fff, 8, 0),
        op(X_TO_HEADER_LENGTH, 0),
        // The ports.
        op(LOAD_HALF_BEHIND_X, 0),
        jump(IF_NOT_LESS, first, 0, 1),
        jump(IF_GREATER, last, 0, 3),
        op(LOAD_HALF_BEHIND_X, 2),
        jump(IF_NOT_LESS, first, 0, 2),
        jump(IF_GREATER, last, 1, 0),
        op(RETURN, HEADERS),
        op(RETURN, 0),
    ]
}

/// The peer, its port and this host's port.
type Ends = (IpAddr, u16, u16);

/// The streams seen so far.
struct Streams<'a> {
    own: BTreeSet<IpAddr>,
    media: &'a [Ports],
    /// The number of packets to the peer, and from it.
    seen: BTreeMap<Ends, (u32, u32)>,
}

impl Streams<'_> {
    fn see(&mut self, packet: &[u8]) {
        let Some(datagram) = packet::udp(packet) else { return };
        let (source, destination) = (datagram.source, datagram.destination);
        let own = |address: IpAddr| address.is_loopback() || self.own.contains(&address);
        let (peer, local, sent) = match (own(source.ip()), own(destination.ip())) {
            (true, false) => (destination, source, true),
            (false, true) => (source, destination, false),
            _ => return,
        };
        let media = self.media.iter().any(|ports| ports.contains(Protocol::Udp, local.port()));
        if !media || peer.port() < FIRST_UNPRIVILEGED {
            return;
        }
        let ends = (peer.ip(), peer.port(), local.port());
        if self.seen.len() >= MAX_STREAMS && !self.seen.contains_key(&ends) {
            // A flood at the media ports must not hide calls.
            if !sent {
                return;
            }
            let unanswered = self.seen.iter().find(|(_, (to_peer, _))| *to_peer == 0);
            let Some(unanswered) = unanswered.map(|(ends, _)| *ends) else { return };
            self.seen.remove(&unanswered);
        }
        let (to_peer, from_peer) = self.seen.entry(ends).or_default();
        let count = if sent { to_peer } else { from_peer };
        *count = count.saturating_add(1);
    }

    fn sorted(self) -> Vec<Stream> {
        let seen = self.seen.into_iter();
        seen.map(|((peer, peer_port, local_port), (to_peer, from_peer))| Stream {
            peer,
            peer_port,
            local_port,
            to_peer,
            from_peer,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// A datagram without content.
    fn datagram(source: &str, destination: &str) -> Vec<u8> {
        let ends: [SocketAddr; 2] = [source, destination].map(|end| end.parse().unwrap());
        let mut packet = match ends[0] {
            SocketAddr::V4(_) => vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0],
            SocketAddr::V6(_) => vec![0x60, 0, 0, 0, 0, 8, 17, 64],
        };
        for end in ends {
            match end.ip() {
                IpAddr::V4(address) => packet.extend(address.octets()),
                IpAddr::V6(address) => packet.extend(address.octets()),
            }
        }
        packet.extend(ends.iter().flat_map(|end| end.port().to_be_bytes()));
        packet
    }

    fn streams(media: &[Ports]) -> Streams<'_> {
        let own = ["198.51.100.10", "2001:db8::10"].map(|address| address.parse().unwrap());
        Streams { own: own.into(), media, seen: BTreeMap::new() }
    }

    #[test]
    fn streams_are_those_of_this_host_at_media_ports() {
        let media = [Ports::new(Protocol::Udp, 10_000, 20_000)];
        let mut streams = streams(&media);
        for (source, destination) in [
            ("203.0.113.75:40408", "198.51.100.10:17090"),
            ("198.51.100.10:17090", "203.0.113.75:40408"),
            ("198.51.100.10:17090", "203.0.113.75:40408"),
            ("[2001:db8::75]:4000", "[2001:db8::10]:10000"),
            ("198.51.100.10:20000", "203.0.113.75:9999"),
            // No media.
            ("203.0.113.75:40408", "198.51.100.10:20001"),
            ("203.0.113.75:12000", "198.51.100.10:9999"),
            ("203.0.113.53:53", "198.51.100.10:17090"),
            // Between others, and with itself.
            ("203.0.113.75:40408", "203.0.113.76:17090"),
            ("198.51.100.10:17090", "198.51.100.10:17092"),
            ("127.0.0.1:17090", "198.51.100.10:17092"),
        ] {
            streams.see(&datagram(source, destination));
        }
        streams.see(b"nonsense");
        let found: Vec<String> = streams
            .sorted()
            .iter()
            .map(|it| {
                let Stream { peer, peer_port, local_port, to_peer, from_peer } = it;
                format!("{peer} {peer_port} {local_port}: {to_peer} to it, {from_peer} from it")
            })
            .collect();
        assert_eq!(
            found,
            [
                "203.0.113.75 9999 20000: 1 to it, 0 from it",
                "203.0.113.75 40408 17090: 2 to it, 1 from it",
                "2001:db8::75 4000 10000: 0 to it, 1 from it",
            ]
        );
    }

    #[test]
    fn a_flood_hides_no_call() {
        let media = [Ports::new(Protocol::Udp, 10_000, 20_000)];
        let mut streams = streams(&media);
        for port in 0..5000_u16 {
            let from = format!("203.0.113.75:{}", 2000 + port);
            streams.see(&datagram(&from, "198.51.100.10:10000"));
        }
        streams.see(&datagram("198.51.100.10:10002", "203.0.113.9:4000"));
        let found = streams.sorted();
        assert_eq!(found.len(), MAX_STREAMS);
        assert!(found.iter().any(|stream| stream.to_peer == 1));
    }
}
