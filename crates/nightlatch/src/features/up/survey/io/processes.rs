//! The processes of `/proc`: names, parents, and who holds which socket.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::super::logic::caller::{SshConnection, is_ssh_process, read_stat, variable};
use super::super::logic::sockets::Owner;
use super::read_bytes;

/// The most processes that are looked at.
const MAX_PROCESSES: usize = 65_536;
/// The most descriptors of one process that are looked at.
const MAX_DESCRIPTORS: usize = 65_536;
/// The most parents that are walked.
const MAX_PARENTS: usize = 64;

/// A process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) program: String,
    pub(super) command_line: String,
    /// Whether it lives in the network namespace of the survey.
    pub(super) near: bool,
}

/// All processes.
pub(super) fn processes(proc: &Path) -> Vec<Process> {
    let own_namespace = fs::read_link(proc.join("thread-self/ns/net")).ok();
    let Ok(entries) = fs::read_dir(proc) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .take(MAX_PROCESSES)
        .filter_map(|pid| read_process(proc, pid, own_namespace.as_ref()))
        .collect()
}

fn read_process(proc: &Path, pid: u32, own_namespace: Option<&PathBuf>) -> Option<Process> {
    let folder = proc.join(pid.to_string());
    let program = read_bytes(&folder.join("comm"), 64).ok()?;
    let command_line = read_bytes(&folder.join("cmdline"), 512).unwrap_or_default();
    let namespace = fs::read_link(folder.join("ns/net")).ok();
    Some(Process {
        pid,
        program: String::from_utf8_lossy(&program).trim_end().to_owned(),
        command_line: String::from_utf8_lossy(&command_line)
            .replace('\0', " ")
            .trim_end()
            .to_owned(),
        // What may not be read is taken for near: an unprivileged user sees only that.
        near: namespace.is_none() || own_namespace.is_none() || namespace.as_ref() == own_namespace,
    })
}

/// The holders of the sockets asked for. Where several processes hold one, systemd comes last: it
/// only keeps the socket for its service.
pub(super) fn owners(
    proc: &Path,
    processes: &[Process],
    wanted: &HashSet<u64>,
) -> BTreeMap<u64, Owner> {
    let mut owners: BTreeMap<u64, Owner> = BTreeMap::new();
    for process in processes {
        for inode in sockets_of(proc, process.pid) {
            let better = owners
                .get(&inode)
                .is_none_or(|other| other.program == "systemd" || other.program == "init");
            if wanted.contains(&inode) && better {
                owners.insert(
                    inode,
                    Owner {
                        pid: process.pid,
                        program: process.program.clone(),
                        command_line: process.command_line.clone(),
                    },
                );
            }
        }
    }
    owners
}

/// The number in `socket:[12345]`.
fn socket_number(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// What the processes above this one tell of the caller.
#[derive(Default)]
pub(super) struct Above {
    /// `SSH_CONNECTION` of the parents, the nearest first, each value once.
    pub(super) environments: Vec<SshConnection>,
    /// The sockets of the SSH server processes among them.
    pub(super) ssh_sockets: Vec<u64>,
    /// The device number of the own terminal.
    pub(super) terminal: Option<u32>,
}

/// Walks up the parents.
pub(super) fn above(proc: &Path) -> Above {
    let mut found = Above::default();
    let read = |folder: &Path| {
        let stat = read_bytes(&folder.join("stat"), 4096).ok()?;
        read_stat(&String::from_utf8_lossy(&stat))
    };
    let Some((mut parent, terminal)) = read(&proc.join("self")) else {
        return found;
    };
    found.terminal = Some(terminal);
    for _ in 0..MAX_PARENTS {
        if parent <= 1 {
            break;
        }
        let folder = proc.join(parent.to_string());
        let connection = read_bytes(&folder.join("environ"), 1 << 20)
            .ok()
            .and_then(|environ| SshConnection::read(variable(&environ, "SSH_CONNECTION")?));
        let new = connection.filter(|connection| !found.environments.contains(connection));
        found.environments.extend(new);
        let program = read_bytes(&folder.join("comm"), 64).unwrap_or_default();
        if is_ssh_process(String::from_utf8_lossy(&program).trim_end()) {
            found.ssh_sockets.extend(sockets_of(proc, parent));
        }
        match read(&folder) {
            Some((next, _)) => parent = next,
            None => break,
        }
    }
    found
}

/// The sockets that a process holds.
pub(super) fn sockets_of(proc: &Path, pid: u32) -> Vec<u64> {
    fs::read_dir(proc.join(pid.to_string()).join("fd"))
        .into_iter()
        .flatten()
        .flatten()
        .take(MAX_DESCRIPTORS)
        .filter_map(|descriptor| {
            let target = fs::read_link(descriptor.path()).ok()?;
            socket_number(target.to_str()?)
        })
        .collect()
}
