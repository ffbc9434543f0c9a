//! A connection to the manager interface of an Asterisk: logs in and receives security events.
//!
//! Nothing here blocks. The secret is not sent, only the answer to a challenge, and nothing at all is sent to
//! whatever does not greet like Asterisk: any program may listen at a port.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use nightlatch_parse::log::asterisk::ami::{self, Packet, Stream};
use nightlatch_parse::log::{MAX_LINE, Outcome, Reading, Service};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use crate::features::watch::intake::{Intake, LineReader, Onlooker, Written};
use crate::features::watch::manager::User;
use crate::features::watch::seen::shown;
use crate::shell::clock::Stopwatch;

/// The longest time from the start of a connection until the login has succeeded.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Asterisk reports our own login at once if the user receives security events. After this time it does not.
const REPORTS_LOGIN: Duration = Duration::from_secs(10);
/// How many bytes are read in a row.
const MAX_AT_ONCE: usize = 256 * 1024;
/// After this time without traffic, the kernel sends keepalive probes.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    /// Connected; the greeting has not come yet.
    Greeting,
    /// It has asked for a challenge.
    Challenge,
    /// It has answered the challenge.
    Login,
    LoggedIn,
}

/// Why a connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The network, or the other side.
    Lost(String),
    /// The login is refused: as whom, and what the server says.
    Refused { user: String, error: String },
}

/// What an event needs to be taken in.
pub(super) struct Taking<'a, O> {
    pub(super) lines: &'a mut LineReader,
    pub(super) intake: &'a mut Intake,
    pub(super) onlooker: &'a mut O,
    pub(super) written: Written,
    /// As whom to log in.
    pub(super) user: &'a dyn Fn() -> Result<User, String>,
}

/// A connection.
pub(super) struct Connection {
    socket: TcpStream,
    stream: Stream,
    talk: Talk,
    /// Measures how long the current phase lasts.
    began: Stopwatch,
}

/// What was said.
struct Talk {
    phase: Phase,
    own: Option<SocketAddr>,
    user: String,
    to_send: Vec<u8>,
    /// Whether a security event came.
    has_heard: bool,
}

impl Connection {
    /// Begins to connect.
    pub(super) fn begin(server: SocketAddr) -> Result<Connection, End> {
        let failed = |errno: Errno| End::Lost(std::io::Error::from(errno).to_string());
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(failed)?;
        match connect(&socket, &server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let phase = Phase::Connecting;
        let user = String::new();
        let talk = Talk { phase, own: None, user, to_send: vec![], has_heard: false };
        let socket = TcpStream::from(socket);
        Ok(Connection { socket, stream: Stream::new(), talk, began: Stopwatch::start() })
    }

    pub(super) fn is_logged_in(&self) -> bool {
        self.talk.phase == Phase::LoggedIn
    }

    /// How long the current phase has lasted.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// This end of it and the other one, once it is greeted: then a program has accepted it.
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let is_greeted = !matches!(self.talk.phase, Phase::Connecting | Phase::Greeting);
        self.talk.own.filter(|_| is_greeted).zip(self.socket.peer_addr().ok())
    }

    /// The user, if the program is logged in but receives no security events.
    pub(super) fn deaf(&self) -> Option<&str> {
        let is_deaf =
            self.is_logged_in() && !self.talk.has_heard && self.began.elapsed() >= REPORTS_LOGIN;
        is_deaf.then_some(self.talk.user.as_str())
    }

    /// The time until the next deadline; `None` if there is none.
    pub(super) fn due(&self) -> Option<Duration> {
        match self.talk.phase {
            Phase::LoggedIn if self.talk.has_heard || self.deaf().is_some() => None,
            Phase::LoggedIn => Some(REPORTS_LOGIN.saturating_sub(self.began.elapsed())),
            _ => Some(TIMEOUT.saturating_sub(self.began.elapsed())),
        }
    }

    /// The socket, and the events to poll it for.
    pub(super) fn waits_for(&self) -> (BorrowedFd<'_>, PollFlags) {
        let flags = match self.talk.phase {
            Phase::Connecting => PollFlags::OUT,
            _ if self.talk.to_send.is_empty() => PollFlags::IN,
            _ => PollFlags::IN | PollFlags::OUT,
        };
        (self.socket.as_fd(), flags)
    }

    /// Reads and writes without blocking. Returns whether there may be more to read.
    pub(super) fn go_on(
        &mut self,
        buffer: &mut [u8],
        taking: &mut Taking<'_, impl Onlooker>,
    ) -> Result<bool, End> {
        if !self.is_logged_in() && self.began.elapsed() >= TIMEOUT {
            return Err(End::Lost(self.talk.too_slow().to_owned()));
        }
        if self.talk.phase == Phase::Connecting && !self.connected()? {
            return Ok(false);
        }
        let more = self.receive(buffer, taking)?;
        self.send()?;
        Ok(more)
    }

    /// Whether it is connected by now.
    fn connected(&mut self) -> Result<bool, End> {
        let mut ready = [PollFd::new(&self.socket, PollFlags::OUT)];
        if !matches!(poll(&mut ready, Some(&Timespec::default())), Ok(1)) {
            return Ok(false);
        }
        let error = self.socket.take_error().unwrap_or_else(Some);
        let own = error.map_or_else(|| self.socket.local_addr(), Err).map_err(lost)?;
        // Where nobody listens, a connection may find itself.
        if self.socket.peer_addr().is_ok_and(|peer| peer == own) {
            return Err(End::Lost("nobody listens there".to_owned()));
        }
        let _ = sockopt::set_socket_keepalive(&self.socket, true);
        let _ = sockopt::set_tcp_keepidle(&self.socket, KEEPALIVE);
        self.talk.own = Some(own);
        self.talk.phase = Phase::Greeting;
        Ok(true)
    }

    fn receive(
        &mut self,
        buffer: &mut [u8],
        taking: &mut Taking<'_, impl Onlooker>,
    ) -> Result<bool, End> {
        let phase = self.talk.phase;
        let mut total = 0;
        while total < MAX_AT_ONCE {
            let read = match self.socket.read(buffer) {
                Ok(0) => return Err(End::Lost("it has ended the connection".to_owned())),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(lost(error)),
            };
            total += read;
            let mut result = Ok(());
            let talk = &mut self.talk;
            self.stream.push(buffer.get(..read).unwrap_or_default(), |packet| {
                if result.is_ok() {
                    result = talk.take(packet, taking);
                }
            });
            result?;
        }
        if phase != Phase::LoggedIn && self.is_logged_in() {
            self.began = Stopwatch::start();
        }
        Ok(total >= MAX_AT_ONCE)
    }

    fn send(&mut self) -> Result<(), End> {
        while !self.talk.to_send.is_empty() {
            match self.socket.write(&self.talk.to_send) {
                Ok(sent) => drop(self.talk.to_send.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(lost(error)),
            }
        }
        Ok(())
    }
}

impl Talk {
    fn take(
        &mut self,
        packet: Packet<'_>,
        taking: &mut Taking<'_, impl Onlooker>,
    ) -> Result<(), End> {
        match (self.phase, packet) {
            (Phase::Greeting, Packet::Greeting(line)) if ami::is_greeting(line) => {
                self.to_send.extend_from_slice(ami::CHALLENGE);
                self.phase = Phase::Challenge;
            }
            (Phase::Challenge, Packet::Response(response)) => {
                let challenge = response.challenge.filter(|_| response.is_success);
                let challenge = challenge.ok_or_else(|| no_manager("gives no challenge"))?;
                let user = (taking.user)().map_err(End::Lost)?;
                let login = ami::login(&user.name, user.secret.reveal(), challenge);
                let login = login.ok_or_else(|| End::Lost("invalid name of a user".to_owned()))?;
                self.to_send.extend_from_slice(&login);
                self.user = user.name;
                self.phase = Phase::Login;
            }
            (Phase::Login, Packet::Response(response)) if response.is_success => {
                self.phase = Phase::LoggedIn;
            }
            (Phase::Login, Packet::Response(response)) => {
                let error = shown(response.message.unwrap_or_default());
                return Err(End::Refused { user: self.user.clone(), error });
            }
            (Phase::LoggedIn, Packet::Event(reading, text)) => self.event(reading, text, taking),
            (Phase::LoggedIn, Packet::TooLong) => taking.lines.counts.too_long += 1,
            // A client may write into events what looks like a response.
            (Phase::LoggedIn, _) | (_, Packet::Event(..)) => {}
            (_, _) => return Err(no_manager("does not answer like one")),
        }
        Ok(())
    }

    fn event(&mut self, reading: Reading<'_>, text: &[u8], taking: &mut Taking<'_, impl Onlooker>) {
        self.has_heard = true;
        if let Reading::Attempt(attempt) = &reading
            && (attempt.service, attempt.outcome) == (Service::Ami, Outcome::Succeeded)
            && self
                .own
                .is_some_and(|own| (own.ip(), Some(own.port())) == (attempt.source, attempt.port))
        {
            // The own login.
            return;
        }
        taking.lines.counts.lines += 1;
        taking.lines.counts.last_line = Some(taking.written.latest());
        let line = one_line(text);
        taking.lines.take_reading(
            Some(reading),
            &line,
            taking.written,
            taking.intake,
            taking.onlooker,
        );
    }

    /// The error for a timeout in this phase.
    fn too_slow(&self) -> &'static str {
        match self.phase {
            Phase::Connecting => "it does not answer",
            Phase::Greeting => "it does not greet like a manager interface",
            _ => "it does not answer the login",
        }
    }
}

/// An event as a line, for whoever wants to see it.
fn one_line(text: &[u8]) -> Vec<u8> {
    let text = text.get(..MAX_LINE).unwrap_or(text);
    text.split(|byte| *byte == b'\r').map(|line| line.strip_prefix(b"\n").unwrap_or(line)).fold(
        Vec::with_capacity(text.len()),
        |mut whole, line| {
            if !whole.is_empty() {
                whole.extend_from_slice(b", ");
            }
            whole.extend_from_slice(line);
            whole
        },
    )
}

fn no_manager(what: &str) -> End {
    End::Lost(format!("what listens there is not a manager interface: it {what}"))
}

fn lost(error: std::io::Error) -> End {
    End::Lost(error.to_string())
}
