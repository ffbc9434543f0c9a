//! Connections of this host's own sockets, as the kernel shows them.
//!
//! Connection tracking knows only what began while somebody asked for it. What began before, it
//! takes up in the middle, and the next packet the host sends then looks like the first.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use nightlatch_core::cut::LiveFlow;
use nightlatch_core::service::Protocol;

/// The states of `/proc/net/tcp` (`net/tcp_states.h`).
const LISTEN: &str = "0A";

/// From this port on the kernel takes the ports of connections that the host begins, where it does
/// not tell (`net.ipv4.ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;

/// The TCP connections of this host's own sockets.
#[derive(Debug, Default)]
pub struct Connections {
    /// Those to ports on which somebody listens: peers have begun them.
    pub begun_by_peers: Vec<LiveFlow>,
    begun_here: BTreeSet<(SocketAddr, u16)>,
}

impl Connections {
    /// Reads the kernel's tables.
    pub fn read() -> Connections {
        let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
        // A host without IPv6 has no table of it.
        let text = tables.map(|path| fs::read_to_string(path).unwrap_or_default()).concat();
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
        let first = range.and_then(|range| range.split_whitespace().next()?.parse().ok());
        Connections::of(&text, first.unwrap_or(EPHEMERAL))
    }

    /// Whether this host has begun a flow, whatever connection tracking thinks: where it took the
    /// flow up in the middle, the first packet it saw may have been the peer's.
    pub fn has_begun(&self, flow: &LiveFlow) -> bool {
        let peer = SocketAddr::new(flow.peer.to_canonical(), flow.peer_port);
        flow.protocol == Protocol::Tcp && self.begun_here.contains(&(peer, flow.local_port))
    }

    /// `ephemeral` is the first of the ports that the host takes itself. On a lower one where nobody
    /// listens any more, a server has ended or took but one guest: who began is not known then.
    fn of(text: &str, ephemeral: u16) -> Connections {
        let sockets: Vec<Socket<'_>> = text.lines().filter_map(read).collect();
        let listening = sockets.iter().filter(|socket| socket.state == LISTEN);
        let ports: BTreeSet<u16> = listening.map(|socket| socket.local.port()).collect();
        let mut connections = Connections::default();
        for socket in sockets.iter().filter(|socket| socket.state != LISTEN) {
            let (peer, local_port) = (socket.remote, socket.local.port());
            if !ports.contains(&local_port) {
                if local_port >= ephemeral {
                    connections.begun_here.insert((peer, local_port));
                }
            } else if !peer.ip().is_loopback() {
                connections.begun_by_peers.push(LiveFlow {
                    protocol: Protocol::Tcp,
                    peer: peer.ip(),
                    peer_port: peer.port(),
                    local_port,
                    began_by_peer: true,
                });
            }
        }
        connections
    }
}

struct Socket<'a> {
    local: SocketAddr,
    remote: SocketAddr,
    state: &'a str,
}

/// One line a socket: number, local address, remote address, state, and what is of no use here.
fn read(line: &str) -> Option<Socket<'_>> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote) = (words.next()?, words.next()?);
    Some(Socket { local: place(local)?, remote: place(remote)?, state: words.next()? })
}

/// `0100007F:1F90`: each 32 bits of the address in the machine's own order, then the port.
fn place(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |place: usize| -> Option<[u8; 4]> {
        let digits = address.get(place * 8..place * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = bytes.as_flattened().try_into().ok()?;
            IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn who_began_is_told_by_who_listens() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000:13C4 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 016433C6:13C4 A60200C0:9C40 01 00000000:00000000 00:00000000 00000000     0
   2: 016433C6:C350 A60200C0:01BB 01 00000000:00000000 00:00000000 00000000     0
   3: 0100007F:13C4 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0
   4: B80D0120000001000000000001000000:13C4 B80D0120000066000000000066000000:9C41 01 0
   5: 0000000000000000FFFF0000016433C6:13C4 0000000000000000FFFF0000A60200C0:9C42 01 0
   6: 016433C6:115C A60200C0:9C43 01 00000000:00000000 00:00000000 00000000     0
";
        let connections = Connections::of(table, EPHEMERAL);
        let found: Vec<String> = connections
            .begun_by_peers
            .iter()
            .map(|flow| format!("{} {} {}", flow.peer, flow.peer_port, flow.local_port))
            .collect();
        assert_eq!(
            found,
            ["192.0.2.166 40000 5060", "2001:db8:66::66 40001 5060", "192.0.2.166 40002 5060",]
        );
        let flow = |peer_port, local_port| LiveFlow {
            protocol: Protocol::Tcp,
            peer: "192.0.2.166".parse().unwrap(),
            peer_port,
            local_port,
            began_by_peer: true,
        };
        assert!(connections.has_begun(&flow(443, 50_000)));
        assert!(!connections.has_begun(&flow(444, 50_000)));
        assert!(!connections.has_begun(&flow(40_000, 5060)));
        // The last guest of a server that is gone.
        assert!(!connections.has_begun(&flow(40_003, 4444)));
        let datagrams = LiveFlow { protocol: Protocol::Udp, ..flow(443, 50_000) };
        assert!(!connections.has_begun(&datagrams));
    }
}
