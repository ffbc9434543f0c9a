//! The addresses of a server: its own, those of its host name, and those of its SRV records.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use nightlatch_core::service::Protocol;
use nightlatch_parse::dns::{self, DnsError, Srv, resolvers, srv_answer, srv_question};
use nightlatch_parse::pbx::{Transport, address};

use super::{Driver, Server, Unread, protocol, usual_port};
use crate::shell::clock::Stopwatch;

/// How long one query may take.
const DNS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long all queries for one server may take.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(8);
/// The most servers of one SRV answer that are looked up.
const MAX_SERVERS: usize = 16;
/// The most addresses of one name.
const MAX_ADDRESSES: usize = 64;

/// Where a server can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// TCP (and TLS) or UDP.
    pub protocol: Protocol,
    /// The address and port.
    pub address: SocketAddr,
}

/// What [`resolve`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// All places, each once.
    pub places: Vec<Place>,
    /// The lookups that failed, so that places may be missing.
    pub unread: Vec<Unread>,
}

/// All places of a server. If its host is a name, these are the A and AAAA records of that name and,
/// without a configured port, those of its SRV records (RFC 3263), for all transports unless one is
/// configured. A PBX may use only some of them.
///
/// It waits for the network for up to 8 seconds, so do not call it in the daemon's main loop.
pub fn resolve(server: &Server, driver: Driver) -> Resolved {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    resolve_with(server, driver, &resolvers(&text))
}

pub(super) fn resolve_with(server: &Server, driver: Driver, resolvers: &[SocketAddr]) -> Resolved {
    let usual = if driver == Driver::Iax2 { 4569 } else { usual_port(server.transport) };
    let port = server.port.unwrap_or(usual);
    if let Some(address) = address(&server.host) {
        let address = SocketAddr::new(address, port);
        let place = Place { protocol: server.protocol(), address };
        return Resolved { places: vec![place], unread: Vec::new() };
    }
    let watch = Stopwatch::start();
    let mut places = BTreeSet::new();
    let mut unread = Vec::new();
    let mut wanted = vec![(server.host.clone(), port, server.protocol())];
    if server.port.is_none() && driver != Driver::Iax2 {
        for transport in services(server.transport) {
            let name = service_name(transport, &server.host);
            match servers(&name, resolvers, &watch) {
                Ok((found, is_partial)) => {
                    if is_partial || found.len() > MAX_SERVERS {
                        unread.push(Unread::new(name, "too many servers"));
                    }
                    wanted.extend(
                        found
                            .into_iter()
                            .take(MAX_SERVERS)
                            .map(|srv| (srv.target, srv.port, protocol(Some(transport)))),
                    );
                }
                // Most carriers have no SRV records.
                Err(reason) => unread.push(Unread::new(name, reason)),
            }
        }
    }
    let mut known: Vec<(String, Vec<IpAddr>)> = Vec::new();
    for (host, port, protocol) in wanted {
        if !known.iter().any(|(name, _)| *name == host) {
            let addresses = addresses(&host, &watch).unwrap_or_else(|reason| {
                unread.push(Unread::new(host.clone(), reason));
                Vec::new()
            });
            known.push((host.clone(), addresses));
        }
        let found = known.iter().find(|(name, _)| *name == host);
        for address in found.map(|(_, addresses)| addresses.as_slice()).unwrap_or_default() {
            places.insert(Place { protocol, address: SocketAddr::new(*address, port) });
        }
    }
    Resolved { places: places.into_iter().collect(), unread }
}

fn services(transport: Option<Transport>) -> Vec<Transport> {
    match transport {
        Some(transport) => vec![transport],
        None => vec![Transport::Udp, Transport::Tcp, Transport::Tls],
    }
}

fn service_name(transport: Transport, host: &str) -> String {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    };
    format!("{service}.{host}")
}

/// The addresses of a name, from the system's resolver (`/etc/hosts`, `nsswitch.conf`).
fn addresses(host: &str, watch: &Stopwatch) -> Result<Vec<IpAddr>, String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let name = host.to_owned();
    // The C library has no timeout. A thread that takes longer is abandoned and ends on its own.
    std::thread::Builder::new()
        .name("resolve".to_owned())
        .spawn(move || {
            let found = (name.as_str(), 0).to_socket_addrs().map(|found| {
                found.map(|socket| socket.ip().to_canonical()).take(MAX_ADDRESSES).collect()
            });
            // The receiver may have timed out.
            let _ = sender.send(found);
        })
        .map_err(|error| error.to_string())?;
    let left = TOTAL_TIMEOUT.saturating_sub(watch.elapsed());
    match receiver.recv_timeout(DNS_TIMEOUT.min(left)) {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(_) => Err("the resolver did not answer in time".to_owned()),
    }
}

/// The SRV records of a name, from the first name server that answers.
fn servers(
    name: &str,
    resolvers: &[SocketAddr],
    watch: &Stopwatch,
) -> Result<(Vec<Srv>, bool), String> {
    let mut failure = "no name server is configured".to_owned();
    for resolver in resolvers {
        let left = DNS_TIMEOUT.min(TOTAL_TIMEOUT.saturating_sub(watch.elapsed()));
        match question(name, *resolver, left) {
            Ok(answer) => return Ok((answer.servers, answer.is_partial)),
            Err(Failure::Answer(DnsError::NoSuchName)) => return Ok((Vec::new(), false)),
            Err(Failure::Answer(error)) => failure = format!("{resolver}: {error}"),
            Err(Failure::Socket(error)) => failure = format!("{resolver}: {error}"),
        }
    }
    Err(failure)
}

/// Why a name server returned no usable answer.
enum Failure {
    Answer(DnsError),
    Socket(std::io::Error),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::Socket(error)
    }
}

/// Asks one name server over UDP. The kernel picks a random port and accepts answers only from the
/// server, since the socket is connected. The query's ID is random, too.
fn question(name: &str, resolver: SocketAddr, limit: Duration) -> Result<dns::Answer, Failure> {
    let watch = Stopwatch::start();
    let id = random();
    let Some(packet) = srv_question(id, name) else {
        return Err(Failure::Answer(DnsError::NoSuchName));
    };
    let own: IpAddr = match resolver {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((own, 0))?;
    socket.connect(resolver)?;
    socket.send(&packet)?;
    let mut buffer = [0; dns::MAX_ANSWER as usize];
    loop {
        let left = limit.saturating_sub(watch.elapsed());
        if left.is_zero() {
            return Err(Failure::Socket(std::io::ErrorKind::TimedOut.into()));
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        };
        match srv_answer(buffer.get(..length).unwrap_or_default(), id, name) {
            Err(DnsError::NotOurs) => {}
            answer => return answer.map_err(Failure::Answer),
        }
    }
}

/// The standard library seeds its hash maps from the kernel's random numbers.
fn random() -> u16 {
    let [low, high, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    u16::from_le_bytes([low, high])
}
