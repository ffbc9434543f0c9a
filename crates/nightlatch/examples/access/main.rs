//! How long it takes from an SPA packet or a knock to the first accepted packet.
//!
//! `access [USERS] [PROBES] [spa|knock]`: USERS users (default 100), of whom 100 at most send; PROBES openings
//! (default 1,000; of one user by SPA 25 at most).
//!
//! - `spa`: for each, an SPA packet is sent, then every 100 microseconds a packet that is dropped until the
//!   address is open; then it is closed by a message at once, and packets follow until one is dropped. The same 200 times while a million packets a minute, of
//!   the right length and beginning for the right port, come from sources that are all different.
//! - `knock`: for each, three SYNs are sent without delay, then packets as above, always from another address.
//!   Nothing is closed: of a user's addresses, the oldest ends by itself.
//!
//! The program measured is the `nightlatch` beside this one's folder. `bench/run.sh` builds both.
//! Needs root, nft.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a measuring program, which stops at any error"
)]

#[path = "../reaction/place.rs"]
#[expect(dead_code, reason = "some of it is only for the benchmark of reaction")]
mod place;

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nightlatch::shell::clock;
use nightlatch_lab::packet::{Packet, Sender, flags};
use nightlatch_lab::stage::{Host, SERVER, Stage};
use nightlatch_parse::spa::{Address, Keys, Message, Protocol, Service};
use rusqlite::Connection;

use place::Place;

/// How long something may take before it is taken for broken.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How often it is tried whether the address is open.
const STEP: Duration = Duration::from_micros(100);
/// How many users send: the messages of each are limited.
const MAX_SENDERS: usize = 100;
/// How many openings of a user there are: more messages than 64 in two minutes are refused.
const MAX_OF_A_USER: usize = 25;
/// Between two openings, until the address is closed again.
const PAUSE: Duration = Duration::from_millis(60);
/// Between two openings of one user: the message that closes is one for a lease of a second, and the kernel passes
/// on five messages a second of a source.
const PAUSE_OF_A_USER: Duration = Duration::from_millis(1_500);
/// Garbage: packets a second.
const FLOOD: u32 = 16_700;

/// For how long garbage comes without openings.
const GARBAGE_ALONE: Duration = Duration::from_secs(10);
/// After how long a packet that has not arrived was dropped.
const DROPPED: Duration = Duration::from_millis(20);

/// What a user opens an address with.
enum User {
    /// A message to a port of the user.
    Spa { source: IpAddr, port: u16, keys: Keys },
    /// SYNs to three ports.
    Knock([u16; 3]),
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, default: usize| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let (count, probes) = (number(0, 100), number(1, 1_000));
    let way = arguments.get(2).map_or("spa", String::as_str);
    assert!(["spa", "knock"].contains(&way), "spa or knock, not {way}");
    let program = std::env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap().join("nightlatch");
    let stage = Stage::standard().unwrap();
    let (server, attacker) = (stage.host(SERVER).unwrap(), stage.host("attacker").unwrap());
    let place = Place::new(&program, server);
    let daemon = place.daemon();
    place.must(&["up", "--yes"]);
    for number in 0..count {
        place.must(&["user", "add", &name(number), "--services", "sip", "--keys", way]);
    }
    let users: Vec<User> =
        (0..count.min(MAX_SENDERS)).map(|number| user(&place, number, way)).collect();
    std::thread::sleep(Duration::from_secs(2));
    let arrivals = Arrivals::of(server);
    let sender = Sender::in_host(attacker).unwrap();
    let lab = Lab { users: &users, sender: &sender, server: server.v4(), arrivals: &arrivals };
    let most = if way == "spa" { users.len() * MAX_OF_A_USER } else { usize::MAX };
    let alone = lab.open(probes.min(most));
    let disk = fsyncs(place.folder());
    let flooded = (way == "spa").then(|| lab.open_in_flood(probes, attacker, daemon.id()));
    println!("\n{count} users, {} of whom send:\n", users.len());
    println!("| | openings | median | 99 of 100 | most |\n|---|---:|---:|---:|---:|");
    let closed = alone.iter().filter_map(|probe| probe.closed).collect::<Vec<_>>();
    let alone = opened(alone);
    let what = if way == "spa" { "an SPA packet" } else { "the first SYN of a knock" };
    row(&format!("from {what} to the first accepted packet"), alone);
    if !closed.is_empty() {
        row("from a message that closes, sent at once, to the first dropped packet", closed);
    }
    if let Some(Flooded { opened, garbage, .. }) = &flooded {
        let what = format!("the same while {garbage:.0} garbage packets a second come");
        row(&what, opened.clone());
    }
    row("one `fdatasync` of 4 kB on this disk, for comparison", disk);
    if let Some(Flooded { busy, .. }) = flooded {
        println!("\nCPU time of the daemon while garbage alone comes: {busy:.0} % of a core.");
    }
}

fn name(number: usize) -> String {
    format!("user-{number}")
}

/// What a user sends, from the database.
fn user(place: &Place<'_>, number: usize, way: &str) -> User {
    let database = Connection::open(place.folder().join("state/nightlatch.db")).unwrap();
    let query = "SELECT body FROM secrets WHERE key = ?1";
    let key = format!("secrets/{}", name(number));
    let body: String = database.query_row(query, [key], |row| row.get(0)).unwrap();
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let port = |value: &serde_json::Value| u16::try_from(value.as_u64().unwrap()).unwrap();
    if way == "knock" {
        return User::Knock([0, 1, 2].map(|at| port(&body["knock"][at])));
    }
    let text = |field: &str| body["spa"][field].as_str().unwrap().to_owned();
    User::Spa {
        source: address(number),
        port: port(&body["spa"]["port"]),
        keys: Keys::new(text("key").as_bytes(), text("hmac_key").as_bytes()).unwrap(),
    }
}

fn address(number: usize) -> IpAddr {
    IpAddr::V4(place::address(number))
}

/// When the first packet of the last probe has arrived.
struct Arrivals {
    begin: Instant,
    /// The probe that is waited for.
    probe: Arc<AtomicU64>,
    /// When its first packet came, in nanoseconds since the beginning.
    at: Arc<AtomicU64>,
}

impl Arrivals {
    fn of(server: &Host) -> Arrivals {
        let socket = server.run(|| UdpSocket::bind("0.0.0.0:5060")).unwrap().unwrap();
        let arrivals =
            Arrivals { begin: Instant::now(), probe: Arc::default(), at: Arc::default() };
        let (begin, probe) = (arrivals.begin, Arc::clone(&arrivals.probe));
        let at = Arc::clone(&arrivals.at);
        std::thread::spawn(move || {
            let mut buffer = [0; 8];
            loop {
                let Ok((8, _)) = socket.recv_from(&mut buffer) else { continue };
                let is_awaited = u64::from_be_bytes(buffer) == probe.load(Ordering::Acquire);
                if is_awaited && at.load(Ordering::Acquire) == 0 {
                    let nanos = u64::try_from(begin.elapsed().as_nanos()).unwrap();
                    at.store(nanos, Ordering::Release);
                }
            }
        });
        arrivals
    }

    /// Waits for another probe from now on.
    fn next(&self) -> u64 {
        let probe = self.probe.load(Ordering::Acquire) + 1;
        self.at.store(0, Ordering::Release);
        self.probe.store(probe, Ordering::Release);
        probe
    }
}

/// What one probe took.
struct Probe {
    opened: Duration,
    /// Until the address was closed again, where a message closes it.
    closed: Option<Duration>,
}

fn opened(probes: Vec<Probe>) -> Vec<Duration> {
    probes.into_iter().map(|probe| probe.opened).collect()
}

struct Lab<'a> {
    users: &'a [User],
    sender: &'a Sender,
    server: IpAddr,
    arrivals: &'a Arrivals,
}

/// What was measured while garbage came.
struct Flooded {
    opened: Vec<Duration>,
    /// Packets a second.
    garbage: f64,
    /// CPU time of the daemon while nothing else came, in per cent of a core.
    busy: f64,
}

impl Lab<'_> {
    fn open(&self, probes: usize) -> Vec<Probe> {
        (0..probes).map(|probe| self.open_one(&self.users[probe % self.users.len()])).collect()
    }

    /// The same, fewer times, while garbage comes for the first user's port.
    fn open_in_flood(&self, probes: usize, attacker: &Host, daemon: u32) -> Flooded {
        let User::Spa { port, keys, .. } = &self.users[0] else { panic!("no SPA") };
        let to = SocketAddr::new(self.server, *port);
        // What begins as a message does and is as long needs an HMAC.
        let mut payload = vec![b'A'; self.message(keys, None).len()];
        payload[0] = b'8';
        let sender = Sender::in_host(attacker).unwrap();
        let over = AtomicBool::new(false);
        let begin = Instant::now();
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| flood(&sender, to, &payload, &over));
            std::thread::sleep(Duration::from_secs(1));
            // Garbage alone: an opening and its end cost more.
            let rest = cpu(daemon);
            std::thread::sleep(GARBAGE_ALONE);
            let busy = (cpu(daemon) - rest) / GARBAGE_ALONE.as_secs_f64() * 100.0;
            let opened = opened(self.open(probes.min(200).min(self.users.len() * 5)));
            over.store(true, Ordering::Relaxed);
            let sent = f64::from(worker.join().unwrap());
            Flooded { opened, garbage: sent / begin.elapsed().as_secs_f64(), busy }
        })
    }

    fn open_one(&self, user: &User) -> Probe {
        let probe = self.arrivals.next();
        let source = match user {
            User::Spa { source, .. } => *source,
            User::Knock(_) => address(usize::try_from(probe).unwrap()),
        };
        let target = SocketAddr::new(self.server, 5060);
        let packet = Packet::udp(SocketAddr::new(source, 5060), target, &probe.to_be_bytes());
        // Closed before.
        self.sender.send(&packet).unwrap();
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(self.arrivals.at.load(Ordering::Acquire), 0, "{source} is open");
        let begin = self.arrivals.begin.elapsed();
        match user {
            User::Spa { .. } => self.send(user, None),
            User::Knock(ports) => self.knock(source, *ports),
        }
        let mut next = begin;
        let arrived = loop {
            let at = self.arrivals.at.load(Ordering::Acquire);
            if at != 0 {
                break Duration::from_nanos(at);
            }
            let now = self.arrivals.begin.elapsed();
            let waits = now.saturating_sub(begin);
            assert!(waits < Duration::from_secs(10), "{source} was not opened");
            if now >= next {
                self.sender.send(&packet).unwrap();
                next = now + STEP;
            }
            std::thread::sleep(Duration::from_micros(20));
        };
        let closed = matches!(user, User::Spa { .. }).then(|| self.close(user, source, target));
        let users = u32::try_from(self.users.len()).unwrap();
        std::thread::sleep(PAUSE.max(PAUSE_OF_A_USER / users));
        Probe { opened: arrived.saturating_sub(begin), closed }
    }

    /// Closes an address that has just been opened, and tells how long that took.
    fn close(&self, user: &User, source: IpAddr, target: SocketAddr) -> Duration {
        let begin = Instant::now();
        self.send(user, Some(1));
        loop {
            let probe = self.arrivals.next();
            let packet = Packet::udp(SocketAddr::new(source, 5060), target, &probe.to_be_bytes());
            let took = begin.elapsed();
            self.sender.send(&packet).unwrap();
            let sent = Instant::now();
            while self.arrivals.at.load(Ordering::Acquire) == 0 {
                if sent.elapsed() > DROPPED {
                    return took;
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            assert!(took < Duration::from_secs(10), "{source} was not closed");
        }
    }

    fn knock(&self, source: IpAddr, ports: [u16; 3]) {
        for (from, port) in (40_000..).zip(ports) {
            let (from, to) = (SocketAddr::new(source, from), SocketAddr::new(self.server, port));
            self.sender.send(&Packet::tcp(from, to, flags::SYN)).unwrap();
        }
    }

    /// The message of a user who sends any.
    fn send(&self, user: &User, lasts: Option<u32>) {
        let User::Spa { source, port, keys } = user else { return };
        let text = self.message(keys, lasts);
        let (from, to) = (SocketAddr::new(*source, 40_000), SocketAddr::new(self.server, *port));
        self.sender.send(&Packet::udp(from, to, text.as_bytes())).unwrap();
    }

    fn message(&self, keys: &Keys, lasts: Option<u32>) -> String {
        let now = clock::now();
        let message = Message {
            user: "user".to_owned(),
            time: u64::try_from(now.millis() / 1000).unwrap(),
            address: Address::Source,
            services: vec![Service { protocol: Protocol::Udp, port: 5060 }],
            client_timeout: lasts,
        };
        let random = self.arrivals.begin.elapsed().as_nanos();
        message.write(keys, random << 64 | random).unwrap()
    }
}

/// Sends garbage until it is over; tells how many packets.
fn flood(sender: &Sender, to: SocketAddr, payload: &[u8], over: &AtomicBool) -> u32 {
    let (begin, mut sent) = (Instant::now(), 0_u32);
    while !over.load(Ordering::Relaxed) {
        let due = begin.elapsed().as_secs_f64() * f64::from(FLOOD);
        while f64::from(sent) < due {
            let source = IpAddr::V4(Ipv4Addr::from((30 << 24) + sent % (1 << 24)));
            let source = SocketAddr::new(source, 1_024);
            sender.send(&Packet::udp(source, to, payload)).unwrap();
            sent += 1;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    sent
}

fn fsyncs(folder: &std::path::Path) -> Vec<Duration> {
    let mut file = std::fs::File::create(folder.join("fsync")).unwrap();
    let one = |_| {
        let begin = Instant::now();
        file.write_all(&[1; 4096]).unwrap();
        file.sync_data().unwrap();
        begin.elapsed()
    };
    (0..200).map(one).collect()
}

fn row(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |part: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few")]
        let place = (part * f64::from(u32::try_from(took.len()).unwrap())) as usize;
        format!("{:.2} ms", took[place.min(took.len() - 1)].as_secs_f64() * 1000.0)
    };
    println!("| {what} | {} | {} | {} | {} |", took.len(), at(0.5), at(0.99), at(1.0));
}

/// The CPU time of a process, of all its threads, in seconds.
fn cpu(process: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let all = threads.map(|thread| {
        let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat"));
        let text = text.unwrap_or_default();
        text.split(' ').next().unwrap_or_default().parse::<u64>().unwrap_or(0)
    });
    Duration::from_nanos(all.sum()).as_secs_f64()
}
