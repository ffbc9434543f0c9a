//! Who asks: from the kernel's word on the socket's other end, never from what the other end says.

use std::fs;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;

use nightlatch_core::api::Caller;

use super::outcome::{Code, Failure};

/// The longest chain of parents that is followed to find an SSH session.
const MAX_PARENTS: usize = 32;

/// Only root may change the firewall.
///
/// # Errors
/// Somebody else asks.
pub fn require_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::new(Code::NotAllowed, "only root may do this: run the command with sudo"))
}

/// Who is at the other end of a socket.
///
/// # Errors
/// The kernel does not say.
pub fn of(stream: &UnixStream) -> std::io::Result<Caller> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    let process = peer.pid.as_raw_nonzero().get();
    let uid = peer.uid.as_raw();
    Ok(Caller { uid, user: login_name(process, uid), origin: ssh_origin(process) })
}

/// The person who logged in, also behind `sudo` and `su`: the kernel keeps the login's user id.
fn login_name(process: i32, uid: u32) -> String {
    let login = fs::read_to_string(format!("/proc/{process}/loginuid")).ok();
    // The kernel's word for "nobody logged in" is the highest number.
    let login = login.and_then(|text| text.trim().parse().ok()).filter(|login| *login != u32::MAX);
    name_of(login.unwrap_or(uid)).unwrap_or_else(|| format!("uid {uid}"))
}

fn name_of(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Where the SSH session comes from that the process runs in: `SSH_CONNECTION` in its
/// environment or in that of a parent, since `sudo` takes it away.
fn ssh_origin(process: i32) -> Option<IpAddr> {
    let mut process = process;
    for _ in 0..MAX_PARENTS {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let found = environment
            .split(|byte| *byte == 0)
            .find_map(|entry| entry.strip_prefix(b"SSH_CONNECTION="))
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|value| value.split(' ').next())
            // A link-local address may carry its interface.
            .and_then(|address| address.split('%').next())
            .and_then(|address| address.parse::<IpAddr>().ok());
        if let Some(address) = found {
            return Some(address.to_canonical());
        }
        process = parent_of(process).filter(|parent| *parent > 1)?;
    }
    None
}

fn parent_of(process: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}
