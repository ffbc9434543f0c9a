//! Who runs the command, and from which address.

use std::net::IpAddr;

use super::super::{Caller, CallerSource, LiveFlow, Protocol};

/// The value of `SSH_CONNECTION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SshConnection {
    /// The client.
    pub peer: (IpAddr, u16),
    /// The server's own port.
    pub own_port: u16,
}

impl SshConnection {
    /// Reads `203.0.113.9 50022 192.0.2.5 22`; a zone (`fe80::1%eth0`) is cut off.
    pub fn read(text: &str) -> Option<SshConnection> {
        let mut words = text.split_ascii_whitespace();
        let peer = read_address(words.next()?)?;
        let peer_port = words.next()?.parse().ok()?;
        let _own = read_address(words.next()?)?;
        let own_port = words.next()?.parse().ok()?;
        Some(SshConnection {
            peer: (peer, peer_port),
            own_port,
        })
    }
}

/// Reads an address, without its zone; IPv4 written as IPv6 becomes IPv4.
pub fn read_address(text: &str) -> Option<IpAddr> {
    let bare = text.split_once('%').map_or(text, |(address, _)| address);
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// What is known of the caller's way in.
#[derive(Clone, Debug, Default)]
pub struct CallerHints {
    /// `SSH_CONNECTION` of the own environment.
    pub environment: Option<SshConnection>,
    /// `SSH_CONNECTION` of the parent processes, the nearest first.
    pub parents: Vec<SshConnection>,
}

/// Puts the caller's address together.
///
/// A connection that is established in the kernel is believed first: the environment of an old
/// `tmux` names an address from which the caller may have gone long ago. Then the only address
/// with an SSH connection; then what the environment says, marked as not live.
pub fn find_caller(
    hints: &CallerHints,
    flows: &[LiveFlow],
    ssh_ports: &[u16],
    caller: &mut Caller,
) {
    let mut candidates: Vec<IpAddr> = flows
        .iter()
        .filter(|flow| flow.protocol == Protocol::Tcp && flow.began_by_peer)
        .filter(|flow| ssh_ports.contains(&flow.local_port))
        .map(|flow| flow.peer)
        .collect();
    candidates.sort_unstable();
    candidates.dedup();

    let claims = || {
        let own = hints.environment.iter();
        own.map(|claim| (claim, CallerSource::Environment)).chain(
            hints
                .parents
                .iter()
                .map(|claim| (claim, CallerSource::ParentProcess)),
        )
    };
    let is_live = |claim: &SshConnection| {
        flows.iter().any(|flow| {
            (flow.peer, flow.peer_port, flow.local_port)
                == (claim.peer.0, claim.peer.1, claim.own_port)
        })
    };
    let chosen = claims()
        .find(|(claim, _)| is_live(claim))
        .map(|found| (found, true));
    let only = match candidates.as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    if let Some(((claim, source), live)) = chosen.or_else(|| {
        claims()
            .next()
            .filter(|_| only.is_none())
            .map(|found| (found, false))
    }) {
        caller.address = Some(claim.peer.0);
        caller.port = Some(claim.peer.1);
        caller.ssh_port = Some(claim.own_port);
        caller.found = source;
        // Another connection from the same address is as good a sign of life.
        caller.live = live || candidates.contains(&claim.peer.0);
    } else if let Some(only) = only {
        caller.address = Some(only);
        caller.found = CallerSource::OnlySshPeer;
        caller.live = true;
    }
    caller.candidates = candidates;
}

/// The value of one variable in a process's environment (`NAME=value`, ended by zero bytes).
pub fn variable<'a>(environ: &'a [u8], name: &str) -> Option<&'a str> {
    environ
        .split(|byte| *byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok())
        .find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

/// The parent's process number and the controlling terminal's device number of
/// `/proc/PID/stat`. The name in it may hold anything, so the last `)` is looked for.
pub fn read_stat(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut words = rest.split_ascii_whitespace().skip(1);
    let parent = words.next()?.parse().ok()?;
    let terminal: i64 = words.nth(2)?.parse().ok()?;
    Some((parent, u32::try_from(terminal).unwrap_or(0)))
}

/// Whether a terminal's device number is a console: a screen and keyboard, a serial line, or a
/// hypervisor's console, which no firewall can cut.
pub fn is_console(device: u32) -> bool {
    let major = (device >> 8) & 0xfff;
    // 4: tty1.. and ttyS; 5: console; 204: ttyAMA and others; 229: hvc (Documentation/admin-guide/
    // devices.txt of Linux). Pseudo terminals, 136 to 143, are not among them.
    matches!(major, 4 | 5 | 204 | 229)
}

/// The name of a user in `/etc/passwd`.
pub fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == uid && !name.is_empty()).then(|| name.to_owned())
    })
}

/// The login user of `/proc/PID/loginuid`; all ones means nobody logged in.
pub fn read_login_uid(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}
