//! Connections of this host's own sockets, as the kernel shows them.
//!
//! Connection tracking knows who began a connection only if it was active at that time. It picks up
//! older connections in the middle, so the next packet that the host sends looks like the first. For
//! these, the listening ports of the sockets show who began them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use nightlatch_core::began::{Began, PortRoles};
use nightlatch_core::cut::LiveFlow;
use nightlatch_core::service::Catalogue;

/// The states of `/proc/net/tcp` (`net/tcp_states.h`).
const LISTEN: &str = "0A";
/// Not established: no longer (`TCP_TIME_WAIT`, `TCP_CLOSE`) or not yet (`TCP_SYN_RECV`, which a
/// single packet with a forged source address can cause).
const NOT_RUNNING: [&str; 3] = ["06", "07", "03"];

/// The default of `net.ipv4.ip_local_port_range`, from which the kernel picks ports for outbound
/// connections, if it cannot be read.
const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;

/// The user of a line without one (`(uid_t) -1`).
const NO_USER: u32 = u32::MAX;

/// The TCP connections of this host's sockets, and the ports on which they listen.
#[derive(Debug)]
pub struct Connections {
    roles: PortRoles,
    listened: BTreeSet<u16>,
    /// The listening ports, each with the user who owns the socket.
    listeners: BTreeSet<(u16, u32)>,
    /// By peer and local port.
    running: BTreeMap<(SocketAddr, u16), Running>,
}

/// A running connection.
#[derive(Clone, Copy, Debug)]
struct Running {
    began: Began,
    user: u32,
}

impl Connections {
    /// Reads the kernel's tables. The catalogue lists the services of this host.
    pub fn read(catalogue: &Catalogue) -> Connections {
        let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
        // A host without IPv6 has no table of it.
        let text = tables.map(|path| fs::read_to_string(path).unwrap_or_default()).concat();
        Connections::of(&text, PortRoles::new(catalogue, ephemeral()))
    }

    /// Who began a TCP connection. If it has no socket here, e.g. a container's, only the listening
    /// ports can show it.
    pub fn began(&self, peer: SocketAddr, local_port: u16) -> Began {
        match self.running.get(&(peer, local_port)) {
            Some(running) => running.began,
            None if self.listened.contains(&local_port) => {
                self.roles.began(true, local_port, peer.port())
            }
            None => Began::Unknown,
        }
    }

    /// Corrects who began a UDP flow by its port: from an ephemeral port, this host may have begun it, if
    /// connection tracking saw only the reply and took it for the first packet.
    pub fn settle_udp(&self, flow: LiveFlow) -> LiveFlow {
        let by_host = self.roles.is_ephemeral(flow.local_port) && flow.began == Began::Peer;
        LiveFlow { began: if by_host { Began::Unknown } else { flow.began }, ..flow }
    }

    /// Whether a socket has this connection.
    pub fn contains(&self, peer: SocketAddr, local_port: u16) -> bool {
        self.running.contains_key(&(peer, local_port))
    }

    /// The connections to other hosts.
    pub fn flows(&self) -> impl Iterator<Item = LiveFlow> {
        let outside = self.running.iter().filter(|((peer, _), _)| !peer.ip().is_loopback());
        outside.map(|(&(peer, local_port), it)| LiveFlow::tcp(peer, local_port, it.began))
    }

    /// The connections to other hosts that belong to the user who listens on some ports. None if
    /// nobody listens there, or several users do: one of them may be an impostor.
    pub fn flows_of_listener(&self, port: impl Fn(u16) -> bool) -> Vec<LiveFlow> {
        let mut users = self.listeners.iter().filter(|(it, _)| port(*it)).map(|(_, user)| *user);
        let Some(user) = users.next().filter(|first| users.all(|user| user == *first)) else {
            return Vec::new();
        };
        let of_user = self.running.iter().filter(|(_, it)| it.user == user);
        let outside = of_user.filter(|((peer, _), _)| !peer.ip().is_loopback());
        outside.map(|(&(peer, port), it)| LiveFlow::tcp(peer, port, it.began)).collect()
    }

    /// From the text of `/proc/net/tcp` and `tcp6`.
    pub(super) fn of(text: &str, roles: PortRoles) -> Connections {
        let sockets: Vec<SocketLine<'_>> = text.lines().filter_map(SocketLine::read).collect();
        let (listening, others): (Vec<_>, Vec<_>) =
            sockets.iter().partition(|socket| socket.state == LISTEN);
        let listeners: BTreeSet<_> =
            listening.iter().filter_map(|it| Some((it.local.port(), it.user?))).collect();
        let listened: BTreeSet<u16> = listening.iter().map(|it| it.local.port()).collect();
        let running =
            others.iter().filter(|socket| !NOT_RUNNING.contains(&socket.state)).map(|socket| {
                let (peer, local_port) = (socket.remote, socket.local.port());
                let began = roles.began(listened.contains(&local_port), local_port, peer.port());
                ((peer, local_port), Running { began, user: socket.user.unwrap_or(NO_USER) })
            });
        Connections { running: running.collect(), listened, listeners, roles }
    }
}

/// The range from which the kernel picks ports for this host's outbound connections.
fn ephemeral() -> RangeInclusive<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = text.split_whitespace().map_while(|port| port.parse().ok());
    match (ports.next(), ports.next()) {
        (Some(first), Some(last)) => first..=last,
        _ => EPHEMERAL,
    }
}

/// One line of `/proc/net/{tcp,tcp6,udp,udp6}`.
#[derive(Clone, Debug)]
pub struct SocketLine<'a> {
    /// The local address and port.
    pub local: SocketAddr,
    /// The remote address and port; unspecified if there is none.
    pub remote: SocketAddr,
    /// The state, as the kernel's number (`net/tcp_states.h`).
    pub state: &'a str,
    /// The user who owns the socket.
    pub user: Option<u32>,
    /// The inode to which a process's file descriptors refer; 0 if no process has it open.
    pub inode: Option<u64>,
}

impl SocketLine<'_> {
    /// Reads a line: number, local address, remote address, state, three columns, the user, a
    /// timeout, the inode. `None` for an invalid line, e.g. the heading. Linear.
    pub fn read(line: &str) -> Option<SocketLine<'_>> {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, remote) = (place(words.next()?)?, place(words.next()?)?);
        let state = words.next()?;
        let user = words.nth(3).and_then(|user| user.parse().ok());
        let inode = words.nth(1).and_then(|inode| inode.parse().ok());
        Some(SocketLine { local, remote, state, user, inode })
    }
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
   7: 016433C6:13C4 A60200C0:13C5 01 00000000:00000000 00:00000000 00000000     0
   8: 016433C6:13C4 A60200C0:9C44 06 00000000:00000000 00:00000000 00000000     0
";
        let catalogue = nightlatch_core::product::Product::Asterisk.catalogue();
        let connections = Connections::of(table, PortRoles::new(&catalogue, EPHEMERAL));
        let found: Vec<String> = connections
            .flows()
            .map(|flow| {
                format!("{} {} {} {:?}", flow.peer, flow.peer_port, flow.local_port, flow.began)
            })
            .collect();
        assert_eq!(
            found,
            [
                "192.0.2.166 443 50000 Host",
                "192.0.2.166 5061 5060 Unknown",
                "192.0.2.166 40000 5060 Peer",
                "192.0.2.166 40002 5060 Peer",
                // Possibly a connection whose listening socket was closed.
                "192.0.2.166 40003 4444 Unknown",
                "2001:db8:66::66 40001 5060 Peer",
            ]
        );
        let began = |peer: &str, local_port| connections.began(peer.parse().unwrap(), local_port);
        assert_eq!(began("192.0.2.166:443", 50_000), Began::Host);
        // Without a socket: a container's.
        assert_eq!(began("192.0.2.166:444", 50_000), Began::Unknown);
        assert_eq!(began("192.0.2.166:40009", 5060), Began::Peer);
        assert_eq!(began("192.0.2.166:5061", 5060), Began::Unknown);
    }

    /// Any local user could connect to the SIP port of another host to have it inferred as a
    /// registrar.
    #[test]
    #[cfg(target_endian = "little")]
    fn only_the_connections_of_the_one_listener_count() {
        let line = |local: &str, remote: &str, state: &str, user: u32| {
            format!(
                "0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {user} 0 7\n"
            )
        };
        let listens = line("00000000:13C4", "00000000:0000", "0A", 112);
        let trunk = line("016433C6:C350", "467100CB:13C5", "01", 112);
        let other = line("016433C6:C351", "A60200C0:13C5", "01", 65_534);
        let check = |lines: &[&String], expected: &[&str]| {
            let text: String = lines.iter().map(|line| line.as_str()).collect();
            let catalogue = nightlatch_core::product::Product::Asterisk.catalogue();
            let connections = Connections::of(&text, PortRoles::new(&catalogue, EPHEMERAL));
            let flows = connections.flows_of_listener(|port| port == 5060);
            let peers: Vec<String> = flows.iter().map(|flow| flow.peer.to_string()).collect();
            assert_eq!(peers, expected);
        };
        check(&[&listens, &trunk, &other], &["203.0.113.70"]);
        check(&[&trunk, &other], &[]);
        let deceives = line("026433C6:13C4", "00000000:0000", "0A", 65_534);
        check(&[&listens, &deceives, &trunk, &other], &[]);
    }
}
