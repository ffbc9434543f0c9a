//! Who runs the command, and from which address.

use std::net::IpAddr;

use super::super::{Caller, CallerSource};

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
        Some(SshConnection { peer: (peer, peer_port), own_port })
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
    /// The connections of the SSH server processes above the command, the nearest first.
    pub above: Vec<SshConnection>,
    /// `SSH_CONNECTION` of the own environment.
    pub environment: Option<SshConnection>,
    /// `SSH_CONNECTION` of the parent processes, the nearest first.
    pub parents: Vec<SshConnection>,
    /// The connections of all SSH sessions that have logged in.
    pub sessions: Vec<SshConnection>,
}

/// Puts the caller's address together.
///
/// What the kernel shows is believed first: the connection of the SSH server process above the
/// command, then an `SSH_CONNECTION` that is a live session. The environment of an old `tmux`
/// names an address from which the caller may have gone long ago: it is used, marked as not live,
/// only where no single other session could be meant.
pub fn find_caller(hints: &CallerHints, caller: &mut Caller) {
    let mut candidates: Vec<IpAddr> = hints.sessions.iter().map(|s| s.peer.0).collect();
    candidates.sort_unstable();
    candidates.dedup();

    let claims: Vec<(&SshConnection, CallerSource)> = hints
        .environment
        .iter()
        .map(|claim| (claim, CallerSource::Environment))
        .chain(hints.parents.iter().map(|claim| (claim, CallerSource::ParentProcess)))
        .collect();
    let above = hints.above.first().map(|session| (session, CallerSource::SshProcess));
    let live = claims.iter().copied().find(|(claim, _)| hints.sessions.contains(claim));
    let only = match candidates.as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    // Another session from the address that was claimed is as good a sign of life.
    let claimed =
        claims.first().copied().filter(|(claim, _)| only.is_none_or(|only| only == claim.peer.0));
    if let Some((session, source)) = above.or(live).or(claimed) {
        caller.address = Some(session.peer.0);
        caller.port = Some(session.peer.1);
        caller.ssh_port = Some(session.own_port);
        caller.found = source;
        caller.live = source == CallerSource::SshProcess || candidates.contains(&session.peer.0);
    } else if let Some(only) = only {
        caller.address = Some(only);
        caller.found = CallerSource::OnlySshPeer;
        caller.live = true;
    }
    caller.candidates = candidates;
}

/// Whether a process belongs to an SSH session, as far as its name tells.
pub fn is_ssh_process(program: &str) -> bool {
    matches!(program, "sshd" | "sshd-session" | "dropbear")
}

/// Whether a process is an SSH session that has logged in. OpenSSH writes `sshd: alice@pts/0`
/// into its command line only then; before, it says `sshd: alice [priv]` or `[net]`.
pub fn has_logged_in(program: &str, command_line: &str) -> bool {
    is_ssh_process(program)
        && command_line
            .split_once(": ")
            .is_some_and(|(_, title)| title.contains('@') && !title.contains('['))
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
