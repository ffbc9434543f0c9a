//! The kernel's socket tables: who listens, who is connected, where SSH is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use nightlatch_core::began::PortRoles;

use super::super::{LiveFlow, Protocol, Socket, SshPorts};
use super::caller::SshConnection;
use crate::shell::sockets::SocketLine;

/// One line of `/proc/net/{tcp,tcp6,udp,udp6}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketEntry {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The own address and port.
    pub local: (IpAddr, u16),
    /// The other side's, unspecified where there is none.
    pub peer: (IpAddr, u16),
    /// What it does.
    pub state: SocketState,
    /// The number by which a process's descriptors name it; 0 where no process holds it.
    pub inode: u64,
}

/// The states that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// Connected.
    Established,
    /// A TCP listener, or a UDP socket without a peer.
    Open,
    /// Opening, closing, waiting.
    Other,
}

/// The program that holds a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The process.
    pub pid: u32,
    /// The short name (`/proc/PID/comm`).
    pub program: String,
    /// The command line, its arguments separated by blanks, cut short.
    pub command_line: String,
}

/// Reads one socket table. Lines that make no sense are left out. Linear.
pub fn read_table(protocol: Protocol, text: &str) -> Vec<SocketEntry> {
    text.lines().filter_map(|line| read_line(protocol, line)).collect()
}

fn read_line(protocol: Protocol, line: &str) -> Option<SocketEntry> {
    let SocketLine { local, remote, state, inode, .. } = SocketLine::read(line)?;
    let state = match (state, protocol) {
        ("01", _) => SocketState::Established,
        ("0A", Protocol::Tcp) | ("07", Protocol::Udp) => SocketState::Open,
        _ => SocketState::Other,
    };
    let [local, peer] = [local, remote].map(|end| (end.ip(), end.port()));
    Some(SocketEntry { protocol, local, peer, state, inode: inode? })
}

/// The listening and bound sockets with their programs, sorted, each once.
pub fn open_sockets(entries: &[SocketEntry], owners: &BTreeMap<u64, Owner>) -> Vec<Socket> {
    let mut sockets: Vec<Socket> = entries
        .iter()
        .filter(|entry| entry.state == SocketState::Open)
        .map(|entry| {
            let owner = owners.get(&entry.inode);
            Socket {
                protocol: entry.protocol,
                address: entry.local.0,
                port: entry.local.1,
                program: owner.map(|owner| owner.program.clone()),
                pid: owner.map(|owner| owner.pid),
                only_loopback: entry.local.0.is_loopback(),
            }
        })
        .collect();
    sockets.sort_by(|a, b| {
        (a.protocol, a.port, a.address, &a.program)
            .cmp(&(b.protocol, b.port, b.address, &b.program))
    });
    // Programs open one port many times (SO_REUSEPORT): one line is enough.
    sockets.dedup_by(|a, b| {
        (a.protocol, a.port, a.address, &a.program) == (b.protocol, b.port, b.address, &b.program)
    });
    sockets
}

/// The live connections of the socket tables, without those of the machine with itself.
///
/// Who began each one is derived from its ports, as far as possible.
pub fn from_sockets(entries: &[SocketEntry]) -> Vec<LiveFlow> {
    let roles = PortRoles::default();
    let open: BTreeSet<(Protocol, u16)> = entries
        .iter()
        .filter(|entry| entry.state == SocketState::Open)
        .map(|entry| (entry.protocol, entry.local.1))
        .collect();
    let mut flows: Vec<LiveFlow> = entries
        .iter()
        .filter(|entry| entry.state == SocketState::Established)
        .filter(|entry| !entry.peer.0.is_loopback() && entry.peer.0 != entry.local.0)
        .map(|entry| LiveFlow {
            protocol: entry.protocol,
            peer: entry.peer.0,
            peer_port: entry.peer.1,
            local_port: entry.local.1,
            began: roles.began(
                open.contains(&(entry.protocol, entry.local.1)),
                entry.local.1,
                entry.peer.1,
            ),
            // A UDP socket with a peer may only receive.
            host_sends: entry.protocol == Protocol::Tcp,
        })
        .collect();
    flows.sort_unstable();
    flows.dedup();
    flows
}

/// The established connections behind the given sockets that came in on an SSH port, in the order
/// of the sockets.
pub fn connections_of(
    sockets: &[u64],
    entries: &[SocketEntry],
    ssh_ports: &[u16],
) -> Vec<SshConnection> {
    let established: BTreeMap<u64, &SocketEntry> = entries
        .iter()
        .filter(|entry| entry.protocol == Protocol::Tcp && entry.state == SocketState::Established)
        // A session also holds the connections it forwards: those have other ports.
        .filter(|entry| ssh_ports.contains(&entry.local.1))
        .map(|entry| (entry.inode, entry))
        .collect();
    sockets
        .iter()
        .filter_map(|inode| established.get(inode))
        .map(|entry| SshConnection { peer: entry.peer, own_port: entry.local.1 })
        .collect()
}

/// What is known of the SSH server besides its sockets.
#[derive(Clone, Debug, Default)]
pub struct SshHints {
    /// Ports of `sshd_config` and the files it includes.
    pub configured: Vec<u16>,
    /// Ports of systemd's `ssh.socket`.
    pub socket_unit: Vec<u16>,
    /// The own port of the caller's `SSH_CONNECTION`.
    pub connection: Option<u16>,
}

/// The ports on which SSH is really reached.
///
/// What listens beats what is configured; a port of `ssh.socket` counts where something listens
/// there. The configuration alone is used only where no listener was found.
pub fn ssh_ports(
    entries: &[SocketEntry],
    owners: &BTreeMap<u64, Owner>,
    hints: &SshHints,
) -> SshPorts {
    let listeners = || {
        entries
            .iter()
            .filter(|entry| entry.protocol == Protocol::Tcp && entry.state == SocketState::Open)
    };
    let mut found = SshPorts::default();
    let mut add = |ports: Vec<u16>, how: &str| {
        if !ports.is_empty() {
            found.ports.extend(ports);
            found.found.push(how.to_owned());
        }
    };
    add(
        listeners()
            .filter(|entry| owners.get(&entry.inode).is_some_and(is_ssh_server))
            // A forwarded port (`ssh -R`, X11) of an older server looks the same, but is local.
            .filter(|entry| !entry.local.0.is_loopback())
            .map(|entry| entry.local.1)
            .collect(),
        "listening",
    );
    add(
        hints
            .socket_unit
            .iter()
            .copied()
            .filter(|port| listeners().any(|entry| entry.local.1 == *port))
            .collect(),
        "ssh.socket",
    );
    let nothing_listens = found.ports.is_empty();
    let mut add = |ports: Vec<u16>, how: &str| {
        if !ports.is_empty() {
            found.ports.extend(ports);
            found.found.push(how.to_owned());
        }
    };
    // An old environment may name a port that is no more; without a listener it is all there is.
    let connection = hints
        .connection
        .filter(|port| nothing_listens || listeners().any(|entry| entry.local.1 == *port));
    add(connection.into_iter().collect(), "SSH_CONNECTION");
    if nothing_listens {
        add(hints.configured.clone(), "sshd_config");
    }
    found.ports.sort_unstable();
    found.ports.dedup();
    found
}

/// Whether a process is the SSH server itself and not one session of it: a session holds
/// forwarded ports, which are no SSH ports.
fn is_ssh_server(owner: &Owner) -> bool {
    match owner.program.as_str() {
        "sshd" => {
            !owner.command_line.starts_with("sshd: ") || owner.command_line.contains("[listener]")
        }
        "dropbear" => true,
        _ => false,
    }
}

/// What `sshd_config` says: its `Port` and `ListenAddress` ports, and the files it includes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshdConfig {
    /// The ports.
    pub ports: Vec<u16>,
    /// The patterns behind `Include`.
    pub includes: Vec<String>,
}

/// Reads `sshd_config`. `Match` blocks cannot change ports and are read over.
pub fn read_sshd_config(text: &str) -> SshdConfig {
    let mut config = SshdConfig::default();
    for line in text.lines() {
        let line = line.trim_start();
        let (word, rest) = match line.split_once(|c: char| c.is_ascii_whitespace() || c == '=') {
            Some((word, rest)) => (word.to_ascii_lowercase(), rest.trim().trim_matches('"')),
            None => continue,
        };
        match word.as_str() {
            "port" => config.ports.extend(rest.parse::<u16>()),
            "listenaddress" => config.ports.extend(port_of_endpoint(rest)),
            "include" => config.includes.extend(rest.split_ascii_whitespace().map(str::to_owned)),
            _ => {}
        }
    }
    config
}

/// The ports of `ListenStream=` lines of a systemd socket unit and its drop-ins, in their order.
/// An empty `ListenStream=` takes back what came before.
pub fn read_socket_unit(text: &str, ports: &mut Vec<u16>) {
    for line in text.lines() {
        let Some(value) = line.trim().strip_prefix("ListenStream=") else {
            continue;
        };
        let value = value.trim();
        if value.is_empty() {
            ports.clear();
        } else if let Ok(port) = value.parse() {
            ports.push(port);
        } else {
            ports.extend(port_of_endpoint(value));
        }
    }
}

/// The port of `192.0.2.1:22`, `[2001:db8::1]:22` or `name:22`; none of a bare address.
pub fn port_of_endpoint(text: &str) -> Option<u16> {
    let text = text.split_ascii_whitespace().next()?;
    if text.parse::<Ipv6Addr>().is_ok() {
        return None;
    }
    text.rsplit_once(':')?.1.parse().ok()
}
