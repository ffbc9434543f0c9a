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

/// The TCP connections that peers have begun: those to ports on which somebody listens.
pub fn begun_by_peers() -> Vec<LiveFlow> {
    let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
    // A host without IPv6 has no table of it.
    let text: String = tables.map(|path| fs::read_to_string(path).unwrap_or_default()).concat();
    connections(&text)
}

fn connections(text: &str) -> Vec<LiveFlow> {
    let sockets: Vec<Socket<'_>> = text.lines().filter_map(read).collect();
    let listening = sockets.iter().filter(|socket| socket.state == LISTEN);
    let ports: BTreeSet<u16> = listening.map(|socket| socket.local.port()).collect();
    let begun = sockets.iter().filter(|socket| {
        socket.state != LISTEN
            && ports.contains(&socket.local.port())
            && !socket.remote.ip().is_loopback()
    });
    let flow = |socket: &Socket<'_>| LiveFlow {
        protocol: Protocol::Tcp,
        peer: socket.remote.ip(),
        peer_port: socket.remote.port(),
        local_port: socket.local.port(),
        began_by_peer: true,
    };
    begun.map(flow).collect()
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
    fn only_connections_to_listened_ports() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000:13C4 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 016433C6:13C4 A60200C0:9C40 01 00000000:00000000 00:00000000 00000000     0
   2: 016433C6:C350 A60200C0:01BB 01 00000000:00000000 00:00000000 00000000     0
   3: 0100007F:13C4 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0
   4: B80D0120000001000000000001000000:13C4 B80D0120000066000000000066000000:9C41 01 0
   5: 0000000000000000FFFF0000016433C6:13C4 0000000000000000FFFF0000A60200C0:9C42 01 0
";
        let found: Vec<String> = connections(table)
            .iter()
            .map(|flow| format!("{} {} {}", flow.peer, flow.peer_port, flow.local_port))
            .collect();
        assert_eq!(
            found,
            ["192.0.2.166 40000 5060", "2001:db8:66::66 40001 5060", "192.0.2.166 40002 5060",]
        );
    }
}
