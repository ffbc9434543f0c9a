//! Asks the ports of a server whether they answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::Duration;

use nightlatch_parse::spa::{Protocol, Service};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Socket, Type};

use super::super::logic::{Answer, How};
use super::options;
use crate::shell::clock::Stopwatch;

/// Questions to one server from one address of this computer, and what answered so far.
pub(super) struct Asking {
    server: IpAddr,
    source: IpAddr,
    probes: Vec<Probe>,
    answers: Vec<Answer>,
}

/// One question. It is open until it is answered: the way may be long.
struct Probe {
    service: Service,
    socket: Socket,
}

impl Asking {
    pub(super) fn new(server: IpAddr, source: IpAddr) -> Asking {
        Asking { server, source, probes: Vec::new(), answers: Vec::new() }
    }

    /// What answered.
    pub(super) fn answers(&self) -> &[Answer] {
        &self.answers
    }

    /// Asks these services at these times from now on, until `limit` is over or there are `enough` answers
    /// of different services.
    pub(super) fn ask(
        &mut self,
        services: &[Service],
        times: &[Duration],
        limit: Duration,
        enough: usize,
    ) {
        let watch = Stopwatch::start();
        let mut times = times.iter().copied().peekable();
        while self.answers.len() < enough {
            let now = watch.elapsed();
            if times.next_if(|time| *time <= now).is_some() {
                self.begin(services);
                continue;
            }
            if now >= limit {
                return;
            }
            let until = times.peek().copied().unwrap_or(limit).min(limit);
            self.wait(until.saturating_sub(now));
        }
    }

    fn begin(&mut self, services: &[Service]) {
        for service in services {
            if self.has_answered(*service) {
                continue;
            }
            // What this computer itself refuses to send gets no answer either.
            match Probe::begin(*service, self.server, self.source) {
                Ok(probe) => self.probes.push(probe),
                Err(error) => self.note(*service, Err(error)),
            }
        }
    }

    fn has_answered(&self, service: Service) -> bool {
        self.answers.iter().any(|answer| answer.service == service)
    }

    /// Waits for answers; returns with the first ones.
    fn wait(&mut self, limit: Duration) {
        let mut watched: Vec<PollFd<'_>> = self.probes.iter().map(Probe::watched).collect();
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(1),
            tv_nsec: limit.subsec_nanos().into(),
        };
        if poll(&mut watched, Some(&limit)).is_err() {
            return;
        }
        let ready: Vec<bool> = watched.iter().map(|it| !it.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        let (done, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.probes).into_iter().partition(|_| ready.next() == Some(true));
        self.probes = waiting;
        for probe in done {
            self.note(probe.service, probe.result());
        }
    }

    fn note(&mut self, service: Service, result: io::Result<How>) {
        let how = match result {
            Ok(how) => how,
            Err(error) if is_refusal(&error) => How::Refused,
            // E.g. a router on the way says that it knows no route: not an answer of the server.
            Err(_) => return,
        };
        if !self.has_answered(service) {
            self.answers.push(Answer { service, how });
        }
    }
}

impl Probe {
    fn begin(service: Service, server: IpAddr, source: IpAddr) -> io::Result<Probe> {
        let target = SocketAddr::new(server, service.port);
        let kind = match service.protocol {
            Protocol::Tcp => Type::STREAM,
            Protocol::Udp => Type::DGRAM,
        };
        let socket = Socket::new(Domain::for_address(target), kind, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        match socket.connect(&target.into()) {
            Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => return Err(error),
            _ => {}
        }
        if service.protocol == Protocol::Udp {
            let own = socket.local_addr()?.as_socket();
            let own = own.ok_or_else(|| io::Error::other("the socket has no address"))?;
            socket.send(options::request(own, target, super::random()?).as_bytes())?;
        }
        Ok(Probe { service, socket })
    }

    fn watched(&self) -> PollFd<'_> {
        let flags = match self.service.protocol {
            Protocol::Tcp => PollFlags::OUT,
            Protocol::Udp => PollFlags::IN,
        };
        PollFd::from_borrowed_fd(self.socket.as_fd(), flags)
    }

    fn result(&self) -> io::Result<How> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.service.protocol {
            Protocol::Tcp => self.socket.peer_addr().map(|_| How::Accepted),
            Protocol::Udp => {
                // Whatever it says: nobody but the server can write to this socket.
                let mut first = [std::mem::MaybeUninit::uninit(); 1];
                self.socket.recv(&mut first).map(|_| How::Replied)
            }
        }
    }
}

/// `EINPROGRESS`: a connection takes its time.
const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}
