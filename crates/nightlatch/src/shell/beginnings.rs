//! Records who began TCP connections, for when connection tracking has forgotten it and the ports do
//! not show it.
//!
//! Connection tracking sees who begins a connection. If its entries are deleted (`conntrack -F`), it
//! picks up running connections in the middle, and their direction no longer means anything. So its
//! entries are read regularly, and the beginner is saved if the ports alone would suggest otherwise,
//! e.g. for a proxy that connects from the port on which it listens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nightlatch_core::cut::{Began, LiveFlow};
use nightlatch_core::service::{Catalogue, Protocol};

use super::clock::Stopwatch;
use super::flows::TrackedFlows;
use super::sockets::Connections;

/// The most connections that are saved; those that this host began have priority.
const MAX_SAVED: usize = 65_536;
/// The most bytes of the file that are read: a line has at most 60 bytes.
const MAX_BYTES: u64 = 60 * MAX_SAVED as u64;
/// The shortest time between two readings of connection tracking.
const MIN_INTERVAL: Duration = Duration::from_secs(15);
/// How many times as long as a reading the pause after it is at least.
const MIN_PAUSE_FACTOR: u32 = 50;
/// How many times in a row a connection may be missing from both connection tracking and the sockets
/// before it is forgotten: after `conntrack -F`, an idle connection has no entry.
const MAX_MISSED: u8 = 20;

/// A TCP connection: the peer and this host's port.
type Connection = (SocketAddr, u16);

/// Who began connections, as recorded.
#[derive(Debug)]
pub struct Beginnings {
    file: Option<PathBuf>,
    saved: BTreeMap<Connection, Saved>,
    asked: Option<(Stopwatch, Duration)>,
    /// The last error: the same error is not reported twice in a row.
    failed: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Saved {
    began: Began,
    missed: u8,
}

impl Beginnings {
    /// Loads what the file has, as far as it can be read; nothing from before a reboot.
    pub fn load(file: PathBuf) -> Beginnings {
        let mut text = Vec::new();
        // If there is no file, nothing was saved yet, and the ports decide.
        let _ = fs::File::open(&file).and_then(|it| it.take(MAX_BYTES).read_to_end(&mut text));
        let saved = read(&String::from_utf8_lossy(&text), &boot());
        Beginnings { file: Some(file), saved, asked: None, failed: None }
    }

    /// Whether it is time to [`remember`](Beginnings::remember).
    pub fn is_due(&self) -> bool {
        self.asked.is_none_or(|(since, pause)| since.elapsed() >= pause)
    }

    /// Reads from connection tracking who began the connections, and saves it if it has changed.
    ///
    /// # Errors
    /// The kernel's error, or that the file cannot be written; only if it differs from the previous
    /// error. What was known stays known.
    pub fn remember(
        &mut self,
        tracked: &mut TrackedFlows,
        catalogue: &Catalogue,
    ) -> Result<(), String> {
        let asking = Stopwatch::start();
        let sockets = Connections::read(catalogue);
        let mut looked = Look::of(self, &sockets);
        let whole = tracked.for_each(|flow| looked.at(&flow));
        let changed = looked.end(whole.is_ok());
        self.asked = Some((asking, MIN_INTERVAL.max(asking.elapsed() * MIN_PAUSE_FACTOR)));
        let saved = if changed { self.save() } else { Ok(()) };
        let saved = saved.map_err(|error| format!("cannot write the file: {error}"));
        let failed = whole.and(saved).err();
        let again = self.failed == failed;
        self.failed.clone_from(&failed);
        failed.filter(|_| !again).map_or(Ok(()), Err)
    }

    /// Completes a flow with who began it: according to connection tracking if that saw the beginning,
    /// else to what was saved, else to the sockets.
    pub fn settle(&self, sockets: &Connections, flow: LiveFlow) -> LiveFlow {
        if flow.protocol == Protocol::Udp {
            return sockets.settle_udp(flow);
        }
        if flow.began != Began::Unknown {
            return flow;
        }
        let (peer, port) = connection(&flow);
        let saved = self.saved.get(&(peer, port)).map(|saved| saved.began);
        LiveFlow { began: saved.unwrap_or_else(|| sockets.began(peer, port)), ..flow }
    }

    /// Calls `on_flow` for every flow of this host, tracked or known from its socket, each completed
    /// with who began it. May be called several times for one flow.
    ///
    /// # Errors
    /// As [`TrackedFlows::for_each`]; `on_flow` is called for the sockets' connections anyway.
    pub fn for_each_flow(
        &self,
        tracked: &mut TrackedFlows,
        catalogue: &Catalogue,
        mut on_flow: impl FnMut(LiveFlow),
    ) -> Result<(), String> {
        let sockets = Connections::read(catalogue);
        let mut with_entry = BTreeSet::new();
        let shown = tracked.for_each(|flow| {
            let connection = connection(&flow);
            if flow.protocol == Protocol::Tcp && sockets.contains(connection.0, connection.1) {
                with_entry.insert(connection);
            }
            on_flow(self.settle(&sockets, flow));
        });
        let untracked = sockets.flows().filter(|flow| !with_entry.contains(&connection(flow)));
        untracked.for_each(|flow| {
            let unknown = LiveFlow { began: Began::Unknown, ..flow };
            on_flow(self.settle(&sockets, unknown));
        });
        shown
    }

    fn save(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut text = format!("# {}\n", boot());
        for ((peer, port), saved) in &self.saved {
            let began = if saved.began == Began::Host { "host" } else { "peer" };
            text += &format!("{} {} {port} {began}\n", peer.ip(), peer.port());
        }
        // It need not survive a power cut, but must never be partial.
        let beside = file.with_extension("new");
        fs::write(&beside, text)?;
        fs::rename(&beside, file)
    }
}

/// One pass over the connections.
struct Look<'a> {
    beginnings: &'a mut Beginnings,
    sockets: &'a Connections,
    changed: bool,
}

impl<'a> Look<'a> {
    fn of(beginnings: &'a mut Beginnings, sockets: &'a Connections) -> Look<'a> {
        for saved in beginnings.saved.values_mut() {
            saved.missed = saved.missed.saturating_add(1);
        }
        Look { beginnings, sockets, changed: false }
    }

    fn at(&mut self, flow: &LiveFlow) {
        if flow.protocol != Protocol::Tcp {
            return;
        }
        let connection = connection(flow);
        let saved = &mut self.beginnings.saved;
        // Need not be saved if the ports show it correctly.
        let told = self.sockets.began(connection.0, connection.1);
        if flow.began == Began::Unknown || flow.began == told {
            let of_another_time =
                |known: &Saved| flow.began != Began::Unknown && known.began != flow.began;
            if saved.get(&connection).is_some_and(of_another_time) {
                self.changed = saved.remove(&connection).is_some();
            } else if let Some(known) = saved.get_mut(&connection) {
                known.missed = 0;
            }
            return;
        }
        if saved.len() >= MAX_SAVED && !saved.contains_key(&connection) {
            if flow.began != Began::Host {
                return;
            }
            let other = saved.iter().find(|(_, known)| known.began == Began::Peer);
            let Some(other) = other.map(|(other, _)| *other) else { return };
            saved.remove(&other);
        }
        let known = saved.insert(connection, Saved { began: flow.began, missed: 0 });
        self.changed |= known.is_none_or(|known| known.began != flow.began);
    }

    /// Whether something has changed. Only a complete pass shows which connections are gone.
    fn end(self, whole: bool) -> bool {
        let (saved, sockets) = (&mut self.beginnings.saved, self.sockets);
        let before = saved.len();
        for (connection, known) in saved.iter_mut() {
            if !whole || sockets.contains(connection.0, connection.1) {
                known.missed = 0;
            }
        }
        saved.retain(|_, known| known.missed < MAX_MISSED);
        self.changed || saved.len() < before
    }
}

fn connection(flow: &LiveFlow) -> Connection {
    (SocketAddr::new(flow.peer.to_canonical(), flow.peer_port), flow.local_port)
}

/// Parses what was saved; invalid lines are skipped.
fn read(text: &str, boot: &str) -> BTreeMap<Connection, Saved> {
    let mut lines = text.lines();
    let of_this_boot = lines.next().and_then(|line| line.strip_prefix("# ")) == Some(boot);
    let lines = lines.take(if of_this_boot { MAX_SAVED } else { 0 });
    lines.filter_map(read_line).collect()
}

fn read_line(line: &str) -> Option<(Connection, Saved)> {
    let mut words = line.split(' ');
    let (peer, peer_port): (IpAddr, u16) =
        (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let port = words.next()?.parse().ok()?;
    let began = match words.next()? {
        "host" => Began::Host,
        "peer" => Began::Peer,
        _ => return None,
    };
    Some(((SocketAddr::new(peer, peer_port), port), Saved { began, missed: 0 }))
}

/// The kernel's identifier of this boot: a reboot ends all connections.
fn boot() -> String {
    let id = fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id"));
    id.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use nightlatch_core::began::PortRoles;
    use nightlatch_core::product::Product;

    use super::*;

    fn flow(peer: &str, local_port: u16, began: Began) -> LiveFlow {
        LiveFlow::tcp(peer.parse().unwrap(), local_port, began)
    }

    /// A host that listens at 5061, with connections to 203.0.113.70.
    fn sockets() -> Connections {
        let roles = PortRoles::new(&Product::Asterisk.catalogue(), 32_768..=60_999);
        let table = "\
   0: 00000000:13C5 00000000:0000 0A
   1: 016433C6:13C5 467100CB:13C5 01
   2: 016433C6:13C5 467100CB:9C40 01
   3: 016433C6:C350 467100CB:13C5 01
";
        Connections::of(table, roles)
    }

    fn look(beginnings: &mut Beginnings, sockets: &Connections, flows: &[LiveFlow]) -> bool {
        let mut look = Look::of(beginnings, sockets);
        flows.iter().for_each(|flow| look.at(flow));
        look.end(true)
    }

    fn new() -> Beginnings {
        Beginnings { file: None, saved: BTreeMap::new(), asked: None, failed: None }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn only_what_the_ports_do_not_show_is_saved() {
        let (mut beginnings, sockets) = (new(), sockets());
        let proxy = flow("203.0.113.70:5061", 5061, Began::Host);
        let phone = flow("203.0.113.70:40000", 5061, Began::Peer);
        let own = flow("203.0.113.70:5061", 50_000, Began::Host);
        let datagrams = LiveFlow { protocol: Protocol::Udp, ..proxy };
        assert!(look(&mut beginnings, &sockets, &[proxy, phone, own, datagrams]));
        assert_eq!(beginnings.saved.len(), 1);
        assert!(!look(&mut beginnings, &sockets, &[proxy, phone, own]));
        // Connection tracking has forgotten.
        let unknown = |flow: LiveFlow| LiveFlow { began: Began::Unknown, ..flow };
        for flow in [proxy, phone, own] {
            assert_eq!(beginnings.settle(&sockets, unknown(flow)), flow);
        }
        assert_eq!(new().settle(&sockets, unknown(proxy)).began, Began::Unknown);
        // Another connection with the same ports, begun by the other side.
        let other = LiveFlow { began: Began::Peer, ..proxy };
        assert_eq!(beginnings.settle(&sockets, other), other);
        assert!(look(&mut beginnings, &sockets, &[other]));
        assert_eq!(beginnings.settle(&sockets, unknown(proxy)), other);
        // A reply may be the first packet seen of a flow that this host began.
        let answer = flow("203.0.113.70:53", 50_000, Began::Peer);
        for (port, expected) in [(50_000, Began::Unknown), (5060, Began::Peer)] {
            let answer = LiveFlow { protocol: Protocol::Udp, local_port: port, ..answer };
            assert_eq!(beginnings.settle(&sockets, answer).began, expected);
        }
        assert_eq!(beginnings.settle(&sockets, datagrams), datagrams);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn closed_connections_are_forgotten_after_some_passes() {
        let (mut beginnings, sockets) = (new(), sockets());
        let proxy = flow("203.0.113.70:5061", 5061, Began::Host);
        let container = flow("203.0.113.71:40000", 8080, Began::Peer);
        look(&mut beginnings, &sockets, &[proxy, container]);
        for missed in 1..MAX_MISSED {
            assert!(!look(&mut beginnings, &sockets, &[]), "{missed}");
        }
        // One still has a socket.
        assert!(look(&mut beginnings, &sockets, &[]));
        assert_eq!(beginnings.saved.keys().collect::<Vec<_>>(), [&connection(&proxy)]);
    }

    #[test]
    fn it_is_bounded_and_connections_of_the_host_have_priority() {
        let (mut beginnings, sockets) = (new(), Connections::of("", PortRoles::default()));
        let peers: Vec<_> = (0..MAX_SAVED)
            .map(|n| {
                let peer = format!("203.0.{}.{}:40000", n / 256, n % 256);
                flow(&peer, 8080, Began::Peer)
            })
            .collect();
        look(&mut beginnings, &sockets, &peers);
        let more = flow("198.51.100.1:40000", 8080, Began::Peer);
        let own = flow("198.51.100.2:5061", 5061, Began::Host);
        look(&mut beginnings, &sockets, &[more, own]);
        assert_eq!(beginnings.saved.len(), MAX_SAVED);
        assert!(beginnings.saved.contains_key(&connection(&own)));
        assert!(!beginnings.saved.contains_key(&connection(&more)));
    }

    #[test]
    fn it_survives_a_restart_and_damage() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("beginnings");
        let mut beginnings = Beginnings::load(file.clone());
        assert!(beginnings.saved.is_empty());
        let sockets = Connections::of("", PortRoles::default());
        let flows = [
            flow("203.0.113.70:5061", 5061, Began::Host),
            flow("[2001:db8::7]:5060", 5060, Began::Peer),
        ];
        look(&mut beginnings, &sockets, &flows);
        beginnings.save().unwrap();
        assert_eq!(Beginnings::load(file.clone()).saved, beginnings.saved);
        let whole = fs::read_to_string(&file).unwrap();
        for (damaged, left) in [
            (whole.replace("host", "nobody"), 1),
            (whole.replace("5061 5061", "5061"), 1),
            (whole.replace("2001", "\u{fffd}"), 1),
            (format!("{whole}nonsense\n\0\0\n"), 2),
            (whole.replacen("# ", "# another boot", 1), 0),
            (String::new(), 0),
        ] {
            fs::write(&file, &damaged).unwrap();
            assert_eq!(Beginnings::load(file.clone()).saved.len(), left, "{damaged:?}");
        }
        fs::write(&file, [0xff; 100]).unwrap();
        assert!(Beginnings::load(file).saved.is_empty());
    }
}
