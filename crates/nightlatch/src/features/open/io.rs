//! Reads the card, finds the server, sends the packets and asks for the effect.

mod options;
mod probe;

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use nightlatch_core::secret::Secret;
use nightlatch_parse::spa::{Address, Card, Message, Service};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::logic::{self, Action, Family, State, Tried};
use crate::shell::clock;
use probe::Asking;

/// No card is longer, in bytes.
const MAX_CARD: u64 = 64 * 1024;
/// How long the name servers may take.
const NAME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long what is open already may take to answer, before the packet is sent.
const BEFORE: Duration = Duration::from_millis(400);
/// When the ports are asked after a packet. The server has to write it down first.
const ASKED_AFTER: [Duration; 3] =
    [Duration::from_millis(30), Duration::from_millis(250), Duration::from_millis(700)];
/// How long an answer may take before another packet is sent.
const PER_PACKET: Duration = Duration::from_millis(1500);
/// The most packets to one address.
const MAX_PACKETS: u32 = 3;
/// A client asks for so many seconds, and the server closes what is open.
const CLOSE_NOW: u32 = 1;
/// How long the server may take to close.
const TO_CLOSE: Duration = Duration::from_millis(300);
/// When the ports are asked whether they are closed, and for how long.
const ASKED_CLOSED: [Duration; 2] = [Duration::ZERO, Duration::from_millis(300)];
const CLOSED_AFTER: Duration = Duration::from_millis(900);

/// What is to be done at every address of the server.
pub(super) struct Work {
    pub(super) card: Card,
    pub(super) action: Action,
    /// The addresses to name, at most one for each family.
    pub(super) given: Vec<IpAddr>,
}

/// The text of a card.
pub(super) struct CardText {
    pub(super) text: Secret<Vec<u8>>,
    /// Whether others than its owner may read or write it.
    pub(super) is_public: bool,
}

/// Reads the file of a card.
///
/// # Errors
/// There is none, it cannot be read, or it is a folder or a device.
pub(super) fn read_card(path: &Path) -> io::Result<CardText> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    let kind = found.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = Vec::with_capacity(usize::try_from(MAX_CARD + 1).unwrap_or_default());
    let read = file.take(MAX_CARD + 1).read_to_end(&mut text);
    // From here on its memory is overwritten, also after an error.
    let text = Secret::new(text);
    read?;
    Ok(CardText { text, is_public: kind.is_file() && found.mode() & 0o077 != 0 })
}

/// The addresses of a host, as the system finds them.
///
/// # Errors
/// It has none, or the name servers do not answer in time.
pub(super) fn resolve(host: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let (tell, told) = mpsc::channel();
    let name = host.to_owned();
    // The system's resolver cannot be stopped; it ends with this process.
    std::thread::spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        let _ = tell.send(found.map(|found| found.map(|it| it.ip()).collect::<Vec<_>>()));
    });
    let timeout = || {
        let seconds = NAME_TIMEOUT.as_secs();
        io::Error::other(format!("the name servers did not answer within {seconds} s"))
    };
    told.recv_timeout(NAME_TIMEOUT).map_err(|_| timeout())?
}

/// From which address of this computer packets to a server would go.
///
/// # Errors
/// There is no route.
pub(super) fn source_towards(server: IpAddr, port: u16) -> io::Result<IpAddr> {
    let any: IpAddr = match server {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    // This sends nothing.
    socket.connect((server, port))?;
    Ok(socket.local_addr()?.ip())
}

/// Random bits from the kernel.
fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match getrandom(rest, GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(u128::from_be_bytes(bytes))
}

/// Waits.
pub(super) fn pause(span: Duration) {
    std::thread::sleep(span);
}

/// Does the work at all addresses of the server at the same time.
pub(super) fn everywhere(work: &Work, servers: &[IpAddr]) -> Vec<Tried> {
    std::thread::scope(|scope| {
        let begin = |server: &IpAddr| {
            (
                *server,
                scope.spawn({
                    let server = *server;
                    move || attempt(work, server)
                }),
            )
        };
        let running: Vec<_> = servers.iter().map(begin).collect();
        let ended = running.into_iter().map(|(server, thread)| {
            thread.join().unwrap_or_else(|_| {
                let mut tried = Tried::new(Family::of(&server), Some(server), State::NotSent);
                tried.error = Some("the attempt ended with a panic".to_owned());
                tried
            })
        });
        ended.collect()
    })
}

/// Whether a service answers, within a second and a half.
pub(super) fn answers(server: IpAddr, source: IpAddr, service: Service) -> bool {
    let mut asking = Asking::new(server, source);
    let times = [Duration::ZERO, ASKED_AFTER[1], ASKED_AFTER[2]];
    asking.ask(&[service], &times, PER_PACKET, 1);
    !asking.answers().is_empty()
}

fn attempt(work: &Work, server: IpAddr) -> Tried {
    let mut tried = Tried::new(Family::of(&server), Some(server), State::NotSent);
    let source = match source_towards(server, work.card.port) {
        Ok(source) => source,
        Err(error) => {
            tried.state = State::NoRoute;
            tried.error = Some(error.to_string());
            return tried;
        }
    };
    tried.source = Some(source);
    let Some(address) = logic::named(work.card.names, &work.given, source) else {
        tried.state = State::AddressNeeded;
        return tried;
    };
    if let Address::Given(address) = address {
        tried.named = Some(address);
    }
    let asked = logic::asked(&work.card.access);
    let mut before = Asking::new(server, source);
    before.ask(&asked, &[Duration::ZERO], BEFORE, asked.len());
    tried.answered_before = before.answers().iter().map(|answer| answer.service).collect();
    // Late answers to these must not count as answers to what is asked after the packet.
    drop(before);
    let way = Way { server, source, address };
    let done = match work.action {
        Action::Open => open(work, way, &asked, &mut tried),
        Action::Close => close(work, way, &asked, &mut tried),
    };
    if let Err(error) = done {
        tried.error = Some(error);
    }
    tried
}

/// Between which addresses packets are sent, and which address they name.
#[derive(Clone, Copy)]
struct Way {
    server: IpAddr,
    source: IpAddr,
    address: Address,
}

/// Sends packets until something answers that did not before.
fn open(work: &Work, way: Way, asked: &[Service], tried: &mut Tried) -> Result<(), String> {
    let answered = |it: &Service| tried.answered_before.contains(it);
    let silent: Vec<Service> = asked.iter().copied().filter(|it| !answered(it)).collect();
    // If nothing can show the effect, one packet has to do.
    let most = if silent.is_empty() { 1 } else { MAX_PACKETS };
    let mut after = Asking::new(way.server, way.source);
    while after.answers().is_empty() && tried.packets < most {
        send(work, way, tried)?;
        if !silent.is_empty() {
            after.ask(&silent, &ASKED_AFTER, PER_PACKET, 1);
        }
    }
    tried.answers = after.answers().to_vec();
    tried.state = logic::judge(Action::Open, asked, &tried.answered_before, &tried.answers);
    if tried.answers.is_empty() {
        tried.silent = silent;
    }
    Ok(())
}

/// Sends packets until nothing answers.
fn close(work: &Work, way: Way, asked: &[Service], tried: &mut Tried) -> Result<(), String> {
    loop {
        send(work, way, tried)?;
        pause(TO_CLOSE);
        let mut after = Asking::new(way.server, way.source);
        after.ask(asked, &ASKED_CLOSED, CLOSED_AFTER, asked.len().max(1));
        tried.answers = after.answers().to_vec();
        tried.state = logic::judge(Action::Close, asked, &tried.answered_before, &tried.answers);
        if tried.state != State::StillOpen || tried.packets >= MAX_PACKETS {
            break;
        }
    }
    let has_answered = |it: &Service| tried.answers.iter().any(|answer| answer.service == *it);
    tried.silent = asked.iter().copied().filter(|it| !has_answered(it)).collect();
    Ok(())
}

/// Sends one packet, which differs from all others.
fn send(work: &Work, way: Way, tried: &mut Tried) -> Result<(), String> {
    let Work { card, action, .. } = work;
    let message = Message {
        user: card.user.clone(),
        time: u64::try_from(clock::now().millis() / 1000).unwrap_or_default(),
        address: way.address,
        services: card.access.clone(),
        client_timeout: (*action == Action::Close).then_some(CLOSE_NOW),
    };
    let send = || -> io::Result<()> {
        let payload = message.write(&card.keys, random()?).map_err(io::Error::other)?;
        let socket = UdpSocket::bind((way.source, 0))?;
        socket.send_to(payload.as_bytes(), SocketAddr::new(way.server, card.port)).map(|_| ())
    };
    send().map_err(|error| error.to_string())?;
    tried.packets += 1;
    Ok(())
}
