//! The stream of the manager interface (AMI): its greeting, responses, and the events of the security
//! channel.
//!
//! Headers end in CR LF, an event ends in an empty line. chan_pjsip lets a client write a CR LF into an
//! account, so an event may hold a header of the client's: one that names several sources is doubtful. An
//! account of chan_sip has no limit and may hold whole events, so those of chan_sip prove nothing, see
//! [`Proof::Claimed`](crate::log::Proof::Claimed).

use std::net::IpAddr;

use md5::{Digest as _, Md5};
use memchr::memmem;

use super::events::{Event, Facts, Origin, Remote, Tail};
use super::prefix::stamp;
use super::text::{between, from};
use crate::log::{Doubt, Reading};

/// The longest event or response that is read, in bytes.
pub const MAX_EVENT: usize = 65_536;
/// The longest greeting.
const MAX_GREETING: usize = 1_024;
/// The most sources that a doubt lists.
const MAX_SOURCES: usize = 8;
const END: &[u8] = b"\r\n\r\n";

/// What a stream consists of, as far as it is of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The first line: `Asterisk Call Manager/9.0.0`.
    Greeting(&'a [u8]),
    /// What follows an action, such as the login.
    Response(Response<'a>),
    /// An event of the security channel: what it says, and all of its headers.
    Event(Reading<'a>, &'a [u8]),
    /// Something was longer than [`MAX_EVENT`] and is dropped, or the greeting does not end.
    TooLong,
}

/// What follows an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Whether it succeeded.
    pub is_success: bool,
    /// What the server says, in its own words.
    pub message: Option<&'a [u8]>,
    /// The identifier of the action, where it had one.
    pub action: Option<&'a [u8]>,
    /// The challenge, where one was asked for.
    pub challenge: Option<&'a [u8]>,
}

/// Splits the bytes of a connection into packets; keeps at most [`MAX_EVENT`] bytes and one block.
#[derive(Debug, Default)]
pub struct Stream {
    kept: Vec<u8>,
    is_greeted: bool,
    is_skipping: bool,
}

impl Stream {
    /// A stream at its beginning.
    pub fn new() -> Stream {
        Stream::default()
    }

    /// Hands each packet that ends within `bytes` to `each`.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Packet<'_>)) {
        for block in bytes.chunks(MAX_EVENT) {
            // The end may have begun in what came before.
            let seen = self.kept.len().saturating_sub(END.len() - 1);
            self.kept.extend_from_slice(block);
            let used = self.packets(seen, &mut each);
            self.kept.drain(..used);
            self.bound(&mut each);
        }
    }

    /// Reads all packets that are whole; the number of bytes that are done with.
    fn packets(&mut self, seen: usize, each: &mut impl FnMut(Packet<'_>)) -> usize {
        let (mut start, mut seen) = (0, seen);
        if !self.is_greeted {
            let Some(end) = memmem::find(&self.kept, b"\r\n") else {
                return 0;
            };
            each(Packet::Greeting(between(&self.kept, 0, end)));
            self.is_greeted = true;
            (start, seen) = (end + 2, end + 2);
        }
        while let Some(place) = memmem::find(from(&self.kept, seen), END) {
            let packet = between(&self.kept, start, seen + place);
            if !std::mem::take(&mut self.is_skipping) {
                match packet.len() {
                    0..=MAX_EVENT => read(packet).into_iter().for_each(&mut *each),
                    _ => each(Packet::TooLong),
                }
            }
            seen += place + END.len();
            start = seen;
        }
        start
    }

    /// Drops what is too long to be kept.
    fn bound(&mut self, each: &mut impl FnMut(Packet<'_>)) {
        let limit = if self.is_greeted { MAX_EVENT } else { MAX_GREETING };
        if self.kept.len() <= limit {
            return;
        }
        if !self.is_skipping {
            each(Packet::TooLong);
        }
        self.is_skipping = true;
        self.is_greeted = true;
        self.kept.drain(..self.kept.len() - (END.len() - 1));
    }
}

/// Whether this is the first line of a manager interface. Nothing is sent to whatever begins otherwise.
pub fn is_greeting(line: &[u8]) -> bool {
    line.starts_with(b"Asterisk Call Manager/")
}

/// The action that asks for a challenge, so that the secret need not be sent.
pub const CHALLENGE: &[u8] = b"Action: Challenge\r\nAuthType: MD5\r\n\r\n";

/// The action that logs in by a challenge and asks for the events of the security channel; `None` if the name
/// holds a line end. What is sent of the secret is the MD5 of challenge and secret, as Asterisk defines it.
pub fn login(user: &str, secret: &str, challenge: &[u8]) -> Option<Vec<u8>> {
    let key = Md5::new().chain_update(challenge).chain_update(secret).finalize();
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    (!user.contains(['\r', '\n'])).then(|| {
        let action = "Action: Login\r\nAuthType: MD5\r\nEvents: security";
        format!("{action}\r\nUsername: {user}\r\nKey: {key}\r\n\r\n").into_bytes()
    })
}

/// A header: its name and its value.
struct Header<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

/// The headers of a packet. A line without a colon has no name.
fn headers(packet: &[u8]) -> impl Iterator<Item = Header<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = packet.get(start..)?;
        let length = memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        let line = between(rest, 0, length);
        let colon = memchr::memchr(b':', line);
        let skipped = colon.map_or(0, |colon| colon + 1);
        let value = from(line, skipped);
        start += length + 2;
        let value = value.strip_prefix(b" ").unwrap_or(value);
        Some(Header { name: between(line, 0, colon.unwrap_or(0)), value })
    })
}

/// Reads a packet; `None` if it is of no interest.
fn read(packet: &[u8]) -> Option<Packet<'_>> {
    let packet = packet.strip_prefix(b"\r\n").unwrap_or(packet);
    let first = headers(packet).next()?;
    match first.name {
        b"Response" => Some(Packet::Response(response(packet, first.value))),
        b"Event" => event(packet, first.value).map(|reading| Packet::Event(reading, packet)),
        _ => None,
    }
}

fn response<'a>(packet: &'a [u8], result: &[u8]) -> Response<'a> {
    let value = |name: &[u8]| headers(packet).find(|header| header.name == name);
    Response {
        is_success: result == b"Success",
        message: value(b"Message").map(|header| header.value),
        action: value(b"ActionID").map(|header| header.value),
        challenge: value(b"Challenge").map(|header| header.value),
    }
}

/// Reads an event of the security channel.
fn event<'a>(packet: &'a [u8], name: &[u8]) -> Option<Reading<'a>> {
    let event = Event::named(name)?;
    let mut seen = Seen::default();
    let privilege = headers(packet).nth(1)?;
    if privilege.name != b"Privilege" || !privilege.value.starts_with(b"security") {
        return None;
    }
    headers(packet).skip(2).for_each(|header| seen.take(&header));
    let origin = Origin::named(seen.service?);
    let stamp = seen.time.and_then(stamp);
    let first = *seen.sources.first()?;
    if seen.sources.iter().any(|other| other.address != first.address) {
        let sources = seen.sources.iter().map(|remote| remote.address).collect::<Vec<IpAddr>>();
        let service = origin.service();
        return Some(Reading::Doubtful(Doubt { stamp, service, sources, text: packet }));
    }
    let facts = Facts {
        stamp,
        event,
        origin,
        account: seen.account.unwrap_or_default(),
        session: seen.session?,
        remote_text: seen.remote,
        remote: first,
        tail: seen.tail,
        is_framed: false,
    };
    facts.reading()
}

/// The headers of an event. Of those that occur twice the last one counts, except the account.
#[derive(Default)]
struct Seen<'a> {
    time: Option<&'a [u8]>,
    service: Option<&'a [u8]>,
    account: Option<&'a [u8]>,
    session: Option<&'a [u8]>,
    sources: Vec<Remote>,
    remote: &'a [u8],
    tail: Tail<'a>,
}

impl<'a> Seen<'a> {
    fn take(&mut self, header: &Header<'a>) {
        match header.name {
            b"EventTV" if self.time.is_none() => self.time = Some(header.value),
            b"Service" if self.service.is_none() => self.service = Some(header.value),
            b"AccountID" if self.account.is_none() => self.account = Some(header.value),
            b"SessionID" => self.session = Some(header.value),
            b"RemoteAddress" => {
                if self.sources.is_empty() {
                    self.remote = header.value;
                }
                let remote = Remote::read(header.value);
                if let Some(remote) = remote.filter(|_| self.sources.len() < MAX_SOURCES) {
                    self.sources.push(remote);
                }
            }
            name => self.tail.take(name, header.value),
        }
    }
}
