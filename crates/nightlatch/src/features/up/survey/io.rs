//! The only file of the survey (with `io/`) that reads files and `/proc` and runs programs.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::logic::addresses::{
    connected_networks, gateways, is_public, read_interfaces, read_routes, resolvers, time_servers,
    uses_stub,
};
use super::logic::caller::{
    CallerHints, SshConnection, find_caller, has_logged_in, is_console, read_login_uid, user_name,
};
use super::logic::hosting::{HostFacts, cloud};
use super::logic::sockets::{
    SocketEntry, SocketState, SshHints, connections_of, from_sockets, open_sockets,
    read_socket_unit, read_sshd_config, read_table, ssh_ports,
};
use super::{Caller, Protocol, Survey, Unread};
use crate::shell::programs;

mod firewalls;
mod processes;
mod published;
mod telephony;

use processes::Process;
pub use published::published_in_background;

/// The most of a configuration file that is read.
const MAX_FILE_BYTES: usize = 4 << 20;
/// The most of a socket table that is read: about 100,000 connections.
const MAX_TABLE_BYTES: usize = 16 << 20;
/// The most of a program's answer that is read.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// How long `ip`, `nft` and `iptables-save` may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The most names of one folder that are looked at.
const MAX_NAMES: usize = 10_000;

/// Where files and processes are looked for.
#[derive(Clone, Debug)]
pub struct Root {
    files: PathBuf,
    proc: PathBuf,
    /// Whether the own environment and the parent processes are asked where the caller is.
    ask_session: bool,
}

impl Root {
    /// This machine.
    pub fn system() -> Root {
        Root { ask_session: true, ..Root::at("/") }
    }

    /// Files below another folder, as in a test; the processes and sockets of this machine. The
    /// caller's own session is not looked at.
    pub fn at(files: impl Into<PathBuf>) -> Root {
        Root { files: files.into(), proc: PathBuf::from("/proc"), ask_session: false }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.files.join(file.trim_start_matches('/'))
    }

    fn exists(&self, file: &str) -> bool {
        self.path(file).exists()
    }

    /// The names in a folder, sorted; none where it cannot be read.
    fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(folder))
            .into_iter()
            .flatten()
            .flatten()
            .take(MAX_NAMES)
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names
    }

    /// The files that a pattern names: one `*` may stand in its last part.
    fn matching(&self, pattern: &str) -> Vec<String> {
        let (folder, last) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        match last.split_once('*') {
            None => self.exists(pattern).then(|| pattern.to_owned()).into_iter().collect(),
            Some((begin, end)) => self
                .names(folder)
                .into_iter()
                .filter(|name| {
                    name.len() >= begin.len() + end.len()
                        && name.starts_with(begin)
                        && name.ends_with(end)
                })
                .map(|name| format!("{folder}/{name}"))
                .collect(),
        }
    }
}

impl Default for Root {
    fn default() -> Root {
        Root::system()
    }
}

/// Surveys the machine, in the network namespace of the calling thread.
///
/// It only reads, takes a second or so, and never fails as a whole: see [`Survey::unread`].
pub fn take(root: &Root) -> Survey {
    let mut reader = Reader { root, unread: Vec::new() };
    let mut survey = Survey::default();
    reader.addresses(&mut survey);
    reader.hosting(&mut survey);
    let processes = processes::processes(&root.proc);
    let entries = reader.socket_entries();
    reader.sockets(&mut survey, &entries, &processes);
    reader.telephony(&mut survey, &processes);
    reader.firewalls(&mut survey, &processes);
    survey.unread = reader.unread;
    survey
}

/// At most `most` bytes of a file.
fn read_bytes(path: &Path, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads, and keeps account of what could not be read.
struct Reader<'a> {
    root: &'a Root,
    unread: Vec<Unread>,
}

impl Reader<'_> {
    fn miss(&mut self, what: &str, reason: impl std::fmt::Display) {
        self.unread.push(Unread { what: what.to_owned(), reason: reason.to_string() });
    }

    /// A file's text; none where it is not there. Another failure is noted.
    fn file(&mut self, name: &str) -> Option<String> {
        let path = self.root.path(name);
        // Only plain files: a pipe or device would block or never end.
        if !fs::metadata(&path).is_ok_and(|meta| meta.is_file()) {
            return None;
        }
        match read_bytes(&path, MAX_FILE_BYTES) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => {
                self.miss(name, error);
                None
            }
        }
    }

    fn program(&mut self, name: &str, args: &[&str]) -> Option<String> {
        match programs::run(name, args, MAX_ANSWER_BYTES, TIMEOUT) {
            Ok(text) => Some(text),
            Err(reason) => {
                self.miss(&format!("{name} {}", args.join(" ")), reason);
                None
            }
        }
    }

    fn addresses(&mut self, survey: &mut Survey) {
        let mut routes = Vec::new();
        for args in [&["-j", "route"][..], &["-6", "-j", "route"]] {
            let text = self.program("ip", args).unwrap_or_default();
            // With no route at all, some versions write nothing.
            routes.extend(read_routes(&text).unwrap_or_default());
        }
        if let Some(text) = self.program("ip", &["-j", "-d", "addr"]) {
            match read_interfaces(&text) {
                Some(interfaces) => survey.interfaces = interfaces,
                None => self.miss("ip -j -d addr", "its output is not a list of interfaces"),
            }
        }
        survey.gateways = gateways(&routes);
        survey.networks = connected_networks(&survey.interfaces, &routes);

        let resolv_conf = self.file("/etc/resolv.conf").unwrap_or_default();
        let behind = uses_stub(&resolv_conf)
            .then(|| self.file("/run/systemd/resolve/resolv.conf"))
            .flatten();
        survey.resolvers = resolvers(&resolv_conf, behind.as_deref());
        for pattern in [
            "/etc/chrony/chrony.conf",
            "/etc/chrony.conf",
            "/etc/chrony/conf.d/*.conf",
            "/etc/chrony/sources.d/*.sources",
            "/etc/ntp.conf",
            "/etc/ntpsec/ntp.conf",
            "/etc/systemd/timesyncd.conf",
            "/etc/systemd/timesyncd.conf.d/*.conf",
        ] {
            for name in self.root.matching(pattern) {
                let text = self.file(&name).unwrap_or_default();
                survey.time_servers.extend(time_servers(&text));
            }
        }
        survey.time_servers.sort_unstable();
        survey.time_servers.dedup();
    }

    fn hosting(&mut self, survey: &mut Survey) {
        let dmi = ["sys_vendor", "product_name", "chassis_asset_tag", "bios_vendor"]
            .iter()
            .filter_map(|name| self.file(&format!("/sys/class/dmi/id/{name}")))
            .collect();
        let facts = HostFacts {
            dmi,
            hypervisor_uuid: self.file("/sys/hypervisor/uuid").unwrap_or_default(),
            cloud_id: self.file("/run/cloud-init/cloud-id").unwrap_or_default(),
            cloud_init: self.root.exists("/run/cloud-init"),
            public_address: survey.own_addresses().any(is_public),
        };
        survey.cloud = cloud(&facts);
    }

    fn socket_entries(&mut self) -> Vec<SocketEntry> {
        let mut entries = Vec::new();
        for (protocol, table) in [
            (Protocol::Tcp, "tcp"),
            (Protocol::Tcp, "tcp6"),
            (Protocol::Udp, "udp"),
            (Protocol::Udp, "udp6"),
        ] {
            let path = self.root.proc.join("thread-self/net").join(table);
            match read_bytes(&path, MAX_TABLE_BYTES) {
                Ok(bytes) => {
                    if bytes.len() >= MAX_TABLE_BYTES {
                        self.miss(table, "too many connections: only the first were read");
                    }
                    entries.extend(read_table(protocol, &String::from_utf8_lossy(&bytes)));
                }
                // Without IPv6 in the kernel there is no table for it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => self.miss(table, error),
            }
        }
        entries
    }

    fn sockets(&mut self, survey: &mut Survey, entries: &[SocketEntry], processes: &[Process]) {
        let wanted: HashSet<u64> = entries
            .iter()
            .filter(|entry| entry.state == SocketState::Open)
            .map(|entry| entry.inode)
            .collect();
        let owners = processes::owners(&self.root.proc, processes, &wanted);
        if !wanted.is_empty() && owners.is_empty() {
            self.miss("the programs behind the sockets", "not allowed: run as root");
        }
        survey.sockets = open_sockets(entries, &owners);
        survey.flows = from_sockets(entries);

        let above = if self.root.ask_session {
            processes::above(&self.root.proc)
        } else {
            processes::Above::default()
        };
        let environment = (self.root.ask_session)
            .then(|| std::env::var("SSH_CONNECTION").ok())
            .flatten()
            .and_then(|text| SshConnection::read(&text));
        let claim = environment.or(above.environments.first().copied());
        let hints = SshHints {
            configured: self.sshd_config_ports(),
            socket_unit: self.socket_unit_ports(),
            connection: claim.map(|connection| connection.own_port),
        };
        survey.ssh = ssh_ports(entries, &owners, &hints);

        let sessions: Vec<u64> = processes
            .iter()
            .filter(|process| has_logged_in(&process.program, &process.command_line))
            .flat_map(|process| processes::sockets_of(&self.root.proc, process.pid))
            .collect();
        let mut caller = self.who();
        caller.console = above.terminal.is_some_and(is_console);
        let hints = CallerHints {
            above: connections_of(&above.ssh_sockets, entries, &survey.ssh.ports),
            environment,
            parents: above.environments,
            sessions: connections_of(&sessions, entries, &survey.ssh.ports),
        };
        find_caller(&hints, &mut caller);
        survey.caller = caller;
    }

    fn who(&mut self) -> Caller {
        let uid = rustix::process::getuid().as_raw();
        let login = read_bytes(&self.root.proc.join("self/loginuid"), 64).unwrap_or_default();
        let login_uid = read_login_uid(&String::from_utf8_lossy(&login));
        let passwd = self.file("/etc/passwd").unwrap_or_default();
        Caller {
            uid,
            login_uid,
            name: user_name(&passwd, login_uid.unwrap_or(uid)),
            ..Caller::default()
        }
    }

    fn sshd_config_ports(&mut self) -> Vec<u16> {
        let mut ports = Vec::new();
        let text = self.file("/etc/ssh/sshd_config").unwrap_or_default();
        let config = read_sshd_config(&text);
        let mut read: BTreeSet<String> = BTreeSet::new();
        for pattern in config.includes.iter().take(32) {
            let pattern = if pattern.starts_with('/') {
                pattern.clone()
            } else {
                format!("/etc/ssh/{pattern}")
            };
            for name in self.root.matching(&pattern).into_iter().take(256) {
                if read.insert(name.clone()) {
                    let text = self.file(&name).unwrap_or_default();
                    ports.extend(read_sshd_config(&text).ports);
                }
            }
        }
        ports.extend(config.ports);
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    fn socket_unit_ports(&mut self) -> Vec<u16> {
        let mut ports = Vec::new();
        // The administrator's whole unit replaces the packaged one; drop-ins add to either.
        let unit = ["/etc", "/run", "/lib", "/usr/lib"].iter().find_map(|place| {
            ["ssh", "sshd"]
                .iter()
                .find_map(|name| self.file(&format!("{place}/systemd/system/{name}.socket")))
        });
        read_socket_unit(&unit.unwrap_or_default(), &mut ports);
        for pattern in [
            "/run/systemd/generator/ssh.socket.d/*.conf",
            "/etc/systemd/system/ssh.socket.d/*.conf",
            "/etc/systemd/system/sshd.socket.d/*.conf",
        ] {
            for name in self.root.matching(pattern) {
                let text = self.file(&name).unwrap_or_default();
                read_socket_unit(&text, &mut ports);
            }
        }
        ports
    }
}
