//! A look-up with the socket by which it is sent to one name server after the other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::lookup::{Lookup, Why};
use super::{Budget, Random, tcp};
use crate::shell::clock::Stopwatch;

/// How long a name server has in the first round, and in the second.
const TIMEOUTS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(3)];
/// How long a name server has for what it is asked over TCP, waiting for a thread included.
const TCP_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a look-up may take.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(20);
/// How many packets are read at once.
const MAX_READ: usize = 40;

pub(super) struct Flight {
    pub(super) lookup: Lookup,
    /// The name servers in the order in which they are asked, each with its number.
    servers: Vec<(usize, SocketAddr)>,
    /// How often each is asked.
    rounds: usize,
    /// Which try this is.
    tries: usize,
    pub(super) socket: Option<UdpSocket>,
    since: Stopwatch,
    patience: Duration,
    begun: Stopwatch,
    /// What is to be asked over TCP.
    over_tcp: Vec<usize>,
    /// The name server that has answered.
    pub(super) answered_by: Option<usize>,
}

impl Flight {
    pub(super) fn new(
        lookup: Lookup,
        servers: Vec<SocketAddr>,
        preferred: usize,
        rounds: usize,
    ) -> Flight {
        let mut servers: Vec<(usize, SocketAddr)> = servers.into_iter().enumerate().collect();
        servers.sort_by_key(|(number, _)| *number != preferred);
        Flight {
            lookup,
            servers,
            rounds,
            tries: 0,
            socket: None,
            since: Stopwatch::start(),
            patience: Duration::ZERO,
            begun: Stopwatch::start(),
            over_tcp: Vec::new(),
            answered_by: None,
        }
    }

    /// The number and address of the name server that is asked now.
    fn server(&self) -> Option<(usize, SocketAddr)> {
        let at = self.tries.checked_rem(self.servers.len())?;
        self.servers.get(at).copied()
    }

    /// Asks the first name server. All of these return whether the look-up goes on.
    pub(super) fn begin(&mut self, random: &mut Random, budget: &mut Budget) -> bool {
        self.open();
        self.go_on(random, budget)
    }

    /// Reads what has come.
    pub(super) fn read(&mut self, random: &mut Random, budget: &mut Budget) -> bool {
        let Some((server, _)) = self.server() else { return false };
        let mut buffer = [0; 4096];
        for _ in 0..MAX_READ {
            let Some(socket) = &self.socket else { break };
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    let packet = buffer.get(..length).unwrap_or_default();
                    self.over_tcp.extend(self.lookup.take(packet, server));
                    self.answered_by = Some(server);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // An ICMP error: nobody listens there.
                Err(_) => {
                    self.lookup.fail(server, Why::Unreachable);
                    break;
                }
            }
        }
        if !self.over_tcp.is_empty() {
            self.patience = TCP_TIMEOUT;
        }
        self.go_on(random, budget)
    }

    /// An answer has come over TCP, or not.
    pub(super) fn take_over_tcp(
        &mut self,
        ask: usize,
        answer: Result<&[u8], Why>,
        server: usize,
        random: &mut Random,
        budget: &mut Budget,
    ) -> bool {
        self.lookup.take_over_tcp(ask, answer, server);
        self.go_on(random, budget)
    }

    /// The name server has had its time.
    pub(super) fn is_late(&mut self, random: &mut Random, budget: &mut Budget) -> bool {
        if let Some((server, _)) = self.server() {
            self.lookup.fail(server, Why::Silent);
            self.lookup.give_up_tcp(server);
        }
        self.go_on(random, budget)
    }

    /// How long the name server has left.
    pub(super) fn left(&self) -> Duration {
        self.patience.saturating_sub(self.since.elapsed())
    }

    /// The questions that are to be asked over TCP.
    pub(super) fn over_tcp(&mut self, number: u64) -> Vec<tcp::Question> {
        let asks = std::mem::take(&mut self.over_tcp);
        let Some(server) = self.server() else { return Vec::new() };
        let question = |ask: usize| {
            let packet = self.lookup.over_tcp(ask)?;
            Some(tcp::Question { of: (number, ask), server, packet })
        };
        asks.into_iter().filter_map(question).collect()
    }

    /// Sends what is to be sent, and turns to the next name server where this one has nothing more to
    /// say.
    fn go_on(&mut self, random: &mut Random, budget: &mut Budget) -> bool {
        loop {
            self.send(random, budget);
            if !self.lookup.rests() {
                return true;
            }
            if !self.turn_to_next() && !self.lookup.tries_another_name() {
                return false;
            }
        }
    }

    fn send(&mut self, random: &mut Random, budget: &mut Budget) {
        let questions = self.lookup.questions(|| random.id());
        let Some((server, _)) = self.server() else {
            self.lookup.fail(0, Why::Unreachable);
            return;
        };
        if questions.is_empty() {
            return;
        }
        for question in questions {
            budget.take(1);
            let sent = self.socket.as_ref().map(|socket| socket.send(&question.packet));
            if !matches!(sent, Some(Ok(_))) {
                self.lookup.fail(server, Why::Unreachable);
                return;
            }
        }
        self.since = Stopwatch::start();
    }

    /// Turns to the next name server that may know what is still open.
    fn turn_to_next(&mut self) -> bool {
        let tries = self.servers.len() * self.rounds;
        while self.tries + 1 < tries && self.begun.elapsed() < TOTAL_TIMEOUT {
            self.tries += 1;
            let Some((server, _)) = self.server() else { return false };
            if self.lookup.is_open_for(server) {
                self.lookup.again(server);
                self.open();
                return true;
            }
        }
        false
    }

    /// A new socket for each try: the kernel picks a random port, and takes answers only from the name
    /// server, because the socket is connected.
    fn open(&mut self) {
        let round = self.tries.checked_div(self.servers.len()).unwrap_or(0);
        self.patience = TIMEOUTS.get(round).copied().unwrap_or_default();
        self.since = Stopwatch::start();
        self.socket = self.server().and_then(|(_, server)| connected(server).ok());
    }
}

fn connected(server: SocketAddr) -> std::io::Result<UdpSocket> {
    let own: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((own, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    Ok(socket)
}
