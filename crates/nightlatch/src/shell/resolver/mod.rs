//! Looks host names up: a thread that asks the name servers of `/etc/resolv.conf`, many names at once.
//!
//! Nothing is cached: whoever asks knows from the lifetime of an answer when to ask again. The C library is
//! not used, because it tells no lifetimes and waits in a thread for each name.

mod flight;
mod lookup;
mod system;
mod tcp;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

use nightlatch_core::entry::HostName;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::shell::clock::Stopwatch;
use crate::shell::wake::Waker;
use flight::Flight;
use lookup::Lookup;
pub(crate) use lookup::{Half, Looked, Why};
use system::System;

/// How many names are looked up at the same time.
const MAX_FLYING: usize = 128;
/// How many wait at most before there is room for further ones.
const MAX_WAITING: usize = 32;
/// How many packets a second are sent on average, and at once.
const MAX_PACKETS_A_SECOND: f64 = 200.0;
const MAX_PACKETS_AT_ONCE: f64 = 64.0;
/// How long answers are collected before they are told together.
const COLLECTED_FOR: Duration = Duration::from_millis(20);
/// How many are told together at most.
const MAX_COLLECTED: usize = 64;
/// For how long `/etc/hosts` is believed.
const HOSTS_LIFETIME: Duration = Duration::from_secs(60);
/// After so many look-ups in a row without any answer, each name server is asked only once.
const DEAD_AFTER: u32 = 8;

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct Resolver {
    names: Sender<Batch>,
    waker: Waker,
}

/// Names to be looked up, and what is done as soon as there is room for others.
struct Batch {
    names: Vec<HostName>,
    room: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Batch").field(&self.names).finish()
    }
}

impl Resolver {
    /// Begins the thread. What comes of look-ups is told in any order.
    ///
    /// # Errors
    /// There is no thread or descriptor left.
    pub(crate) fn begin(tell: impl Fn(Vec<Looked>) + Send + 'static) -> std::io::Result<Resolver> {
        Resolver::with(System::new(), tell)
    }

    fn with(
        system: System,
        tell: impl Fn(Vec<Looked>) + Send + 'static,
    ) -> std::io::Result<Resolver> {
        let waker = Waker::new()?;
        let (names, batches) = channel();
        let (tcp, tcp_answers) = channel();
        let thread = Thread {
            batches,
            waker: waker.clone(),
            system,
            waiting: VecDeque::new(),
            rooms: Vec::new(),
            flying: BTreeMap::new(),
            next_number: 0,
            done: Vec::new(),
            collecting: None,
            budget: Budget { left: MAX_PACKETS_AT_ONCE, at: Stopwatch::start() },
            random: Random { state: RandomState::new(), count: 0 },
            preferred: 0,
            unanswered: 0,
            tcp_waiting: VecDeque::new(),
            tcp_running: 0,
            tcp,
            tcp_answers,
            tell: Box::new(tell),
        };
        std::thread::Builder::new().name("resolver".to_owned()).spawn(move || thread.run())?;
        Ok(Resolver { names, waker })
    }

    /// Looks names up. `room` is called as soon as there is room for others.
    pub(crate) fn look_up(&self, names: Vec<HostName>, room: impl FnOnce() + Send + 'static) {
        // The thread ends only with this handle.
        let _ = self.names.send(Batch { names, room: Box::new(room) });
        self.waker.wake();
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        // The thread sees that nobody can ask any more.
        let (names, _) = channel();
        self.names = names;
        self.waker.wake();
    }
}

/// The thread.
struct Thread {
    batches: Receiver<Batch>,
    waker: Waker,
    system: System,
    waiting: VecDeque<HostName>,
    rooms: Vec<Box<dyn FnOnce() + Send>>,
    flying: BTreeMap<u64, Flight>,
    next_number: u64,
    done: Vec<Looked>,
    /// Since when answers are collected.
    collecting: Option<Stopwatch>,
    budget: Budget,
    random: Random,
    /// The name server that is asked first: the one that answered last.
    preferred: usize,
    /// How many look-ups in a row got no answer at all.
    unanswered: u32,
    tcp_waiting: VecDeque<tcp::Question>,
    tcp_running: usize,
    tcp: Sender<tcp::Answer>,
    tcp_answers: Receiver<tcp::Answer>,
    tell: Box<dyn Fn(Vec<Looked>) + Send>,
}

impl Thread {
    fn run(mut self) {
        loop {
            match self.batches.try_recv() {
                Ok(batch) => {
                    self.waiting.extend(batch.names);
                    self.rooms.push(batch.room);
                    continue;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return,
            }
            self.begin_look_ups();
            self.tell_what_is_done();
            if self.waiting.len() < MAX_WAITING {
                self.rooms.drain(..).for_each(|room| room());
            }
            self.wait();
            self.read_tcp();
            self.give_up_what_is_late();
        }
    }

    fn begin_look_ups(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if self.system.renew() {
            self.preferred = 0;
            self.unanswered = 0;
        }
        while self.flying.len() < MAX_FLYING && self.budget.has() {
            let Some(name) = self.waiting.pop_front() else { return };
            if let Some(addresses) = self.system.in_hosts(name.as_str()) {
                let looked = from_hosts(name, addresses);
                self.finish(looked);
                continue;
            }
            let servers = self.system.resolving.servers.clone();
            let lookup = Lookup::new(name, &self.system.resolving.domains);
            let rounds = if self.unanswered >= DEAD_AFTER { 1 } else { 2 };
            let mut flight = Flight::new(lookup, servers, self.preferred, rounds);
            let is_flying = flight.begin(&mut self.random, &mut self.budget);
            self.keep(self.next_number, flight, is_flying);
            self.next_number += 1;
        }
    }

    /// A look-up flies on, or has landed.
    fn keep(&mut self, number: u64, mut flight: Flight, is_flying: bool) {
        for question in flight.over_tcp(number) {
            self.tcp_waiting.push_back(question);
        }
        if is_flying {
            self.flying.insert(number, flight);
            self.begin_tcp();
            return;
        }
        match flight.answered_by {
            Some(server) => (self.preferred, self.unanswered) = (server, 0),
            None => self.unanswered = self.unanswered.saturating_add(1),
        }
        self.finish(flight.lookup.looked());
    }

    fn begin_tcp(&mut self) {
        while self.tcp_running < tcp::MAX_THREADS {
            let Some(question) = self.tcp_waiting.pop_front() else { return };
            self.tcp_running += 1;
            self.budget.take(1);
            tcp::begin(question, self.tcp.clone(), self.waker.clone());
        }
    }

    fn finish(&mut self, looked: Looked) {
        self.done.push(looked);
        self.collecting.get_or_insert_with(Stopwatch::start);
    }

    fn tell_what_is_done(&mut self) {
        let is_time = self.collecting.is_some_and(|since| since.elapsed() >= COLLECTED_FOR);
        let is_all = self.flying.is_empty() && self.waiting.is_empty();
        if !self.done.is_empty() && (is_time || is_all || self.done.len() >= MAX_COLLECTED) {
            self.collecting = None;
            (self.tell)(std::mem::take(&mut self.done));
        }
    }

    /// Waits for the first packet, name or moment at which something is to be done, and reads packets.
    fn wait(&mut self) {
        let timeout = self.patience().map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut ready = Vec::new();
        {
            let sockets = self.flying.iter();
            let sockets: Vec<_> = sockets
                .filter_map(|(number, flight)| Some((*number, flight.socket.as_ref()?)))
                .collect();
            let mut watched = vec![PollFd::new(&self.waker, PollFlags::IN)];
            watched.extend(sockets.iter().map(|(_, socket)| PollFd::new(*socket, PollFlags::IN)));
            if poll(&mut watched, timeout.as_ref()).is_err() {
                return;
            }
            let mut events = watched.iter().map(|it| !it.revents().is_empty());
            if events.next() == Some(true) {
                self.waker.clear();
            }
            let found = events.zip(&sockets).filter(|(is_ready, _)| *is_ready);
            ready.extend(found.map(|(_, (number, _))| *number));
        }
        for number in ready {
            self.continue_with(number, Flight::read);
        }
    }

    fn continue_with(
        &mut self,
        number: u64,
        what: impl FnOnce(&mut Flight, &mut Random, &mut Budget) -> bool,
    ) {
        let Some(mut flight) = self.flying.remove(&number) else { return };
        let is_flying = what(&mut flight, &mut self.random, &mut self.budget);
        self.keep(number, flight, is_flying);
    }

    /// How long nothing is to be done unless something comes; for ever if nothing is under way.
    fn patience(&self) -> Option<Duration> {
        let late = self.flying.values().map(Flight::left).min();
        let collected = self.collecting.map(|since| COLLECTED_FOR.saturating_sub(since.elapsed()));
        let can_begin = !self.waiting.is_empty() && self.flying.len() < MAX_FLYING;
        let budget = can_begin.then(|| self.budget.wait());
        [late, collected, budget].into_iter().flatten().min()
    }

    fn read_tcp(&mut self) {
        while let Ok(tcp::Answer { of: (number, ask), server, result }) =
            self.tcp_answers.try_recv()
        {
            self.tcp_running = self.tcp_running.saturating_sub(1);
            self.continue_with(number, |flight, random, budget| {
                let answer = result.as_deref().map_err(|why| *why);
                flight.take_over_tcp(ask, answer, server, random, budget)
            });
        }
        self.begin_tcp();
    }

    fn give_up_what_is_late(&mut self) {
        let late = self.flying.iter().filter(|(_, flight)| flight.left().is_zero());
        let late: Vec<u64> = late.map(|(number, _)| *number).collect();
        for number in late {
            self.continue_with(number, Flight::is_late);
        }
    }
}

fn from_hosts(name: HostName, addresses: &[IpAddr]) -> Looked {
    let half = |is_v4: bool| {
        let own = addresses.iter().copied().filter(|address| address.is_ipv4() == is_v4);
        let addresses: Vec<IpAddr> = own.collect();
        match addresses.is_empty() {
            true => Half::Nothing,
            false => Half::Addresses { addresses, is_partial: false, lifetime: HOSTS_LIFETIME },
        }
    };
    Looked { name, v4: half(true), v6: half(false) }
}

/// How many packets may be sent. What was begun goes on whatever is left; nothing is begun then.
struct Budget {
    left: f64,
    at: Stopwatch,
}

impl Budget {
    fn has(&mut self) -> bool {
        let earned = self.at.elapsed().as_secs_f64() * MAX_PACKETS_A_SECOND;
        self.at = Stopwatch::start();
        self.left = (self.left + earned).min(MAX_PACKETS_AT_ONCE);
        self.left >= 2.0
    }

    fn take(&mut self, packets: u32) {
        self.left -= f64::from(packets);
    }

    /// How long until there is room for the packets of one name.
    fn wait(&self) -> Duration {
        let seconds = (2.0 - self.left) / MAX_PACKETS_A_SECOND - self.at.elapsed().as_secs_f64();
        Duration::try_from_secs_f64(seconds.max(0.001)).unwrap_or_default()
    }
}

/// Numbers that nobody can guess: keyed hashes of a count, with a key from the kernel.
struct Random {
    state: RandomState,
    count: u64,
}

impl Random {
    fn id(&mut self) -> u16 {
        self.count = self.count.wrapping_add(1);
        let [low, high, ..] = self.state.hash_one(self.count).to_le_bytes();
        u16::from_le_bytes([low, high])
    }
}
