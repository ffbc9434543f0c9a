//! The reverse name of an address, asked of the name servers of this machine, for a short time.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use nightlatch_parse::dns::ptr::{ptr_answer, ptr_question};
use nightlatch_parse::dns::{DnsError, MAX_ANSWER, resolvers};
use serde::Serialize;

use crate::shell::clock::Stopwatch;

/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long one name server may take, so that a dead one leaves time for the next.
const PER_SERVER: Duration = Duration::from_millis(900);
/// The most names that are shown.
const MAX_NAMES: usize = 4;
/// The most addresses of a name that are compared.
const MAX_ADDRESSES: usize = 64;

/// What the DNS says of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reverse {
    /// The names that it claims to have.
    pub names: Vec<ReverseName>,
    /// Why there is no usable answer.
    pub failure: Option<String>,
}

/// A name that an address claims to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReverseName {
    /// The name: letters, digits, `-`, `_` and dots, at most 253 characters.
    pub name: String,
    /// Whether the name has this address; unknown if that could not be found out in time.
    pub leads_back: Option<bool>,
}

/// Asks for the names of an address, for two seconds at most.
pub fn reverse(address: IpAddr) -> Reverse {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    reverse_with(address, &resolvers(&text))
}

/// Asks these name servers, one after the other.
pub fn reverse_with(address: IpAddr, resolvers: &[SocketAddr]) -> Reverse {
    let watch = Stopwatch::start();
    let mut failure = "no name server is configured".to_owned();
    for resolver in resolvers {
        let left = PER_SERVER.min(TIMEOUT.saturating_sub(watch.elapsed()));
        match question(address, *resolver, left) {
            Ok(names) => {
                let names = names.into_iter().take(MAX_NAMES).map(|name| {
                    let leads_back = leads_to(&name, address, &watch);
                    ReverseName { name, leads_back }
                });
                return Reverse { names: names.collect(), failure: None };
            }
            Err(Failure::Answer(DnsError::NoSuchName)) => return Reverse::default(),
            Err(Failure::Answer(error)) => failure = format!("{resolver}: {error}"),
            Err(Failure::Socket(error)) => failure = format!("{resolver}: {error}"),
        }
    }
    Reverse { names: Vec::new(), failure: Some(failure) }
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

/// Asks one name server over UDP, from a port that the kernel chose, with a random number.
fn question(
    address: IpAddr,
    resolver: SocketAddr,
    limit: Duration,
) -> Result<Vec<String>, Failure> {
    let watch = Stopwatch::start();
    let id = random();
    let own: IpAddr = match resolver {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((own, 0))?;
    socket.connect(resolver)?;
    socket.send(&ptr_question(id, address))?;
    let mut buffer = [0; MAX_ANSWER as usize];
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
        match ptr_answer(buffer.get(..length).unwrap_or_default(), id, address) {
            Err(DnsError::NotOurs) => {}
            answer => return answer.map_err(Failure::Answer),
        }
    }
}

/// Whether a name has an address. The C library has no timeout: a thread that takes longer is abandoned,
/// and ends with the command.
fn leads_to(name: &str, address: IpAddr, watch: &Stopwatch) -> Option<bool> {
    let left = TIMEOUT.saturating_sub(watch.elapsed());
    let (sender, receiver) = mpsc::sync_channel(1);
    // With a final dot no search domain is tried.
    let name = format!("{name}.");
    let asked = std::thread::Builder::new().name("who".to_owned()).spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs().map(|found| {
            found.take(MAX_ADDRESSES).any(|socket| socket.ip().to_canonical() == address)
        });
        // The receiver may have timed out.
        let _ = sender.send(found.unwrap_or(false));
    });
    asked.ok()?;
    receiver.recv_timeout(left).ok()
}

/// The standard library seeds its hash maps from the kernel's random numbers.
fn random() -> u16 {
    let [low, high, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    u16::from_le_bytes([low, high])
}
