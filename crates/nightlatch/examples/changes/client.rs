//! A client of the control socket, without the start of a process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nightlatch::shell::server::Envelope;
use nightlatch_core::AddrRange;
use nightlatch_core::api::Request;
use nightlatch_core::features::blocks::{self, NewBlock};

/// A connection.
pub(crate) struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> Client {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(super::TIMEOUT)).unwrap();
        Client { reader: BufReader::new(stream) }
    }

    /// Asks, which has to succeed, and tells how long the answer took.
    pub(crate) fn ask(&mut self, request: Request) -> Duration {
        let mut line = serde_json::to_vec(&Envelope::new(request)).unwrap();
        line.push(b'\n');
        let mut reply = String::new();
        let begin = Instant::now();
        self.reader.get_mut().write_all(&line).unwrap();
        self.reader.read_line(&mut reply).unwrap();
        let took = begin.elapsed();
        // Other versions have other replies, but all of them refuse alike.
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        assert!(reply.get("refused").is_none(), "{reply}");
        took
    }
}

/// A block without an end.
pub(crate) fn block(address: Ipv4Addr) -> Request {
    let new = NewBlock { range: range(address), lasts: None, reason: String::new() };
    Request::of(blocks::Request::Set(new))
}

pub(crate) fn unblock(address: Ipv4Addr) -> Request {
    Request::of(blocks::Request::Remove { range: range(address) })
}

/// Some stranger, of two hundred.
pub(crate) fn stranger(number: u8) -> Ipv4Addr {
    assert!(number < 200);
    Ipv4Addr::new(203, 0, 113, 20 + number)
}

fn range(address: Ipv4Addr) -> AddrRange {
    AddrRange::from(std::net::IpAddr::from(address))
}
