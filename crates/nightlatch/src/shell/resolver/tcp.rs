//! Questions over TCP: each in a thread of its own, few at a time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::lookup::Why;
use crate::shell::clock::Stopwatch;
use crate::shell::wake::Waker;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How many are asked at a time.
pub(super) const MAX_THREADS: usize = 8;

/// A question for a name server.
pub(super) struct Question {
    /// Which look-up, and which of its questions.
    pub(super) of: (u64, usize),
    /// Which name server, by its number and its address.
    pub(super) server: (usize, SocketAddr),
    pub(super) packet: Vec<u8>,
}

/// What has come of it.
pub(super) struct Answer {
    pub(super) of: (u64, usize),
    pub(super) server: usize,
    pub(super) result: Result<Vec<u8>, Why>,
}

/// Asks, and sends the answer.
pub(super) fn begin(question: Question, answers: Sender<Answer>, waker: Waker) {
    let Question { of, server, packet } = question;
    let failed = answers.clone();
    let thread = std::thread::Builder::new().name("dns-tcp".to_owned()).spawn(move || {
        let result = ask(server.1, &packet).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => Why::Silent,
            _ => Why::Unreachable,
        });
        let _ = answers.send(Answer { of, server: server.0, result });
        waker.wake();
    });
    if thread.is_err() {
        let _ = failed.send(Answer { of, server: server.0, result: Err(Why::Unreachable) });
    }
}

/// Each message has its length in front (RFC 1035, section 4.2.2).
fn ask(server: SocketAddr, packet: &[u8]) -> std::io::Result<Vec<u8>> {
    let watch = Stopwatch::start();
    let left = || match TIMEOUT.saturating_sub(watch.elapsed()) {
        Duration::ZERO => Err(std::io::Error::from(std::io::ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&server, left()?)?;
    let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    stream.set_write_timeout(Some(left()?))?;
    stream.write_all(&[&length.to_be_bytes(), packet].concat())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let is_whole = answer
            .first_chunk::<2>()
            .is_some_and(|length| answer.len() >= usize::from(u16::from_be_bytes(*length)) + 2);
        if is_whole {
            return Ok(answer.split_off(2));
        }
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend(buffer.iter().take(count)),
        }
    }
}
