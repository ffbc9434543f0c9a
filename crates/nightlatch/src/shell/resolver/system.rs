//! The files that say whom to ask: `/etc/resolv.conf` and `/etc/hosts`. Read again when they change.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use nightlatch_parse::dns::{Resolving, hosts, resolv_conf};

use crate::shell::clock::Stopwatch;

/// How often it is looked whether they have changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The most that is read of one, in bytes.
const MAX_SIZE: u64 = 4_000_000;

/// By what a changed file is told: time of change, inode, size.
type Mark = Option<(i64, i64, u64, u64)>;

/// What these files say.
#[derive(Debug)]
pub(super) struct System {
    resolv_conf: (PathBuf, Mark),
    hosts: (PathBuf, Mark),
    pub(super) resolving: Resolving,
    names: BTreeMap<String, Vec<IpAddr>>,
    looked: Option<Stopwatch>,
}

impl System {
    pub(super) fn new() -> System {
        System::of("/etc/resolv.conf".into(), "/etc/hosts".into())
    }

    fn of(resolv_conf: PathBuf, hosts: PathBuf) -> System {
        System {
            resolv_conf: (resolv_conf, None),
            hosts: (hosts, None),
            resolving: Resolving::default(),
            names: BTreeMap::new(),
            looked: None,
        }
    }

    /// These name servers, whatever the files say.
    #[cfg(test)]
    pub(super) fn fixed(servers: Vec<SocketAddr>) -> System {
        let mut system = System::of("/nonexistent/resolv.conf".into(), "/nonexistent/hosts".into());
        system.looked = Some(Stopwatch::start());
        system.resolving.servers = servers;
        system
    }

    /// Reads again what has changed. Returns whether other name servers are to be asked.
    pub(super) fn renew(&mut self) -> bool {
        let is_first = self.looked.is_none();
        if self.looked.as_ref().is_some_and(|looked| looked.elapsed() < LOOK_INTERVAL) {
            return false;
        }
        self.looked = Some(Stopwatch::start());
        if let Some(text) = changed(&mut self.hosts, is_first) {
            self.names = hosts(&text);
        }
        let Some(text) = changed(&mut self.resolv_conf, is_first) else { return false };
        let mut resolving = resolv_conf(&text);
        if resolving.servers.is_empty() {
            // As the C library does.
            resolving.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
        }
        let is_other = self.resolving.servers != resolving.servers;
        self.resolving = resolving;
        is_other
    }

    /// The addresses of a name in `/etc/hosts`.
    pub(super) fn in_hosts(&self, name: &str) -> Option<&Vec<IpAddr>> {
        self.names.get(name)
    }
}

/// The text of a file if it has changed; what cannot be read is empty.
fn changed((path, mark): &mut (PathBuf, Mark), is_first: bool) -> Option<String> {
    let found = fs::metadata(&*path).ok();
    let now = found.map(|it| (it.mtime(), it.mtime_nsec(), it.ino(), it.size()));
    if now == *mark && !is_first {
        return None;
    }
    *mark = now;
    let mut text = Vec::new();
    let _ = File::open(&*path).and_then(|file| file.take(MAX_SIZE).read_to_end(&mut text));
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let mut system = System::of(place("resolv.conf"), place("hosts"));
        assert!(system.renew());
        assert_eq!(system.resolving.servers, ["127.0.0.1:53".parse().unwrap()]);
        let mut write = |name: &str, text: &str| {
            fs::write(place(name), text).unwrap();
            std::thread::sleep(LOOK_INTERVAL);
            (system.renew(), system.resolving.servers.clone(), system.in_hosts("a").cloned())
        };
        let server = vec!["192.0.2.53:53".parse().unwrap()];
        assert_eq!(write("resolv.conf", "nameserver 192.0.2.53\n"), (true, server.clone(), None));
        let address = Some(vec!["192.0.2.1".parse().unwrap()]);
        assert_eq!(write("hosts", "192.0.2.1 A\n"), (false, server, address));
    }
}
