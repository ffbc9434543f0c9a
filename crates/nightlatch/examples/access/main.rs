//! How long it takes from an SPA packet to the first accepted packet, alone and during a flood of garbage.
//!
//! `access [USERS] [PROBES]`: USERS users (default 100), of whom 100 at most send; PROBES openings (default
//! 1,000). For each, an SPA packet is sent, then every 100 microseconds a packet that is dropped until the
//! address is open; then it is closed by a message. The same 200 times while a million packets a minute, of
//! the right length for the right port, come from sources that are all different.
//!
//! The program measured is the `nightlatch` beside this one's folder. `bench/run.sh` builds both.
//! Needs root, nft.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
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

use nightlatch::features::demo::packet::{Packet, Sender};
use nightlatch::features::demo::stage::{Host, SERVER, Stage};
use nightlatch::shell::clock;
use nightlatch_parse::spa::{Address, Keys, MIN_PAYLOAD, Message, Protocol, Service};
use rusqlite::Connection;

use place::Place;

/// How long something may take before it is taken for broken.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is tried whether the address is open.
const STEP: Duration = Duration::from_micros(100);
/// How many users send: the messages of each are limited.
const MAX_SENDERS: usize = 100;
/// How many openings of a user there are: more messages than 64 in two minutes are refused.
const MAX_OF_A_USER: usize = 25;
/// Between two openings, until the address is closed again.
const PAUSE: Duration = Duration::from_millis(60);
/// Garbage: packets a second.
const FLOOD: u32 = 16_700;

/// For how long garbage comes without openings.
const GARBAGE_ALONE: Duration = Duration::from_secs(10);

struct User {
    source: IpAddr,
    port: u16,
    keys: Keys,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: usize| arguments.next().map_or(default, |text| text.parse().unwrap());
    let (count, probes) = (number(100), number(1_000));
    let program = std::env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap().join("nightlatch");
    let stage = Stage::standard().unwrap();
    let (server, attacker) = (stage.host(SERVER).unwrap(), stage.host("attacker").unwrap());
    let place = Place::new(&program, server);
    let daemon = place.daemon();
    place.must(&["up", "--yes"]);
    for number in 0..count {
        place.must(&["user", "add", &name(number), "--services", "sip", "--keys", "spa"]);
    }
    let users: Vec<User> = (0..count.min(MAX_SENDERS)).map(|at| user(&place, at)).collect();
    std::thread::sleep(Duration::from_secs(2));
    let arrivals = Arrivals::of(server);
    let sender = Sender::in_host(attacker).unwrap();
    let lab = Lab { users: &users, sender: &sender, server: server.v4(), arrivals: &arrivals };
    let probes = probes.min(users.len() * MAX_OF_A_USER);
    let alone = lab.open(probes);
    let disk = fsyncs(place.folder());
    let over = Arc::new(AtomicBool::new(false));
    let (begin, port) = (Instant::now(), users[0].port);
    let flood = std::thread::scope(|scope| {
        let (over, sender) = (Arc::clone(&over), Sender::in_host(attacker).unwrap());
        let to = SocketAddr::new(server.v4(), port);
        let worker = scope.spawn({
            let over = Arc::clone(&over);
            move || flood(&sender, to, &over)
        });
        std::thread::sleep(Duration::from_secs(1));
        // Garbage alone: an opening and its end cost more.
        let rest = cpu(daemon.id());
        std::thread::sleep(GARBAGE_ALONE);
        let busy = (cpu(daemon.id()) - rest) / GARBAGE_ALONE.as_secs_f64() * 100.0;
        let opened = lab.open(probes.min(200).min(users.len() * 5));
        over.store(true, Ordering::Relaxed);
        (opened, worker.join().unwrap(), busy)
    });
    let took = begin.elapsed().as_secs_f64();
    let busy = flood.2;
    println!("\n{count} users, {} of whom send:\n", users.len());
    println!("| | openings | median | 99 of 100 | most |\n|---|---:|---:|---:|---:|");
    row("from an SPA packet to the first accepted packet", alone);
    let garbage = f64::from(u32::try_from(flood.1).unwrap()) / took;
    row(&format!("the same while {garbage:.0} garbage packets a second come"), flood.0);
    row("one `fdatasync` of 4 kB on this disk, for comparison", disk);
    println!("\nCPU time of the daemon while garbage alone comes: {busy:.0} % of a core.");
}

fn name(number: usize) -> String {
    format!("user-{number}")
}

/// The keys of a user, from the database.
fn user(place: &Place<'_>, number: usize) -> User {
    let database = Connection::open(place.folder().join("state/nightlatch.db")).unwrap();
    let query = "SELECT body FROM secrets WHERE key = ?1";
    let key = format!("secrets/{}", name(number));
    let body: String = database.query_row(query, [key], |row| row.get(0)).unwrap();
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let text = |field: &str| body["spa"][field].as_str().unwrap().to_owned();
    User {
        source: IpAddr::V4(Ipv4Addr::from((20 << 24) + u32::try_from(number).unwrap() * 64 + 1)),
        port: u16::try_from(body["spa"]["port"].as_u64().unwrap()).unwrap(),
        keys: Keys::new(text("key").as_bytes(), text("hmac_key").as_bytes()).unwrap(),
    }
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
}

struct Lab<'a> {
    users: &'a [User],
    sender: &'a Sender,
    server: IpAddr,
    arrivals: &'a Arrivals,
}

impl Lab<'_> {
    fn open(&self, probes: usize) -> Vec<Duration> {
        (0..probes).map(|probe| self.open_one(&self.users[probe % self.users.len()])).collect()
    }

    fn open_one(&self, user: &User) -> Duration {
        let probe = self.arrivals.probe.load(Ordering::Acquire) + 1;
        self.arrivals.at.store(0, Ordering::Release);
        self.arrivals.probe.store(probe, Ordering::Release);
        let target = SocketAddr::new(self.server, 5060);
        let packet = Packet::udp(SocketAddr::new(user.source, 5060), target, &probe.to_be_bytes());
        // Closed before.
        self.sender.send(&packet).unwrap();
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(self.arrivals.at.load(Ordering::Acquire), 0, "{} is open", user.source);
        let begin = self.arrivals.begin.elapsed();
        self.send(user, None);
        let mut next = begin;
        let arrived = loop {
            let at = self.arrivals.at.load(Ordering::Acquire);
            if at != 0 {
                break Duration::from_nanos(at);
            }
            let now = self.arrivals.begin.elapsed();
            assert!(
                now.saturating_sub(begin) < Duration::from_secs(10),
                "{} was not opened",
                user.source
            );
            if now >= next {
                self.sender.send(&packet).unwrap();
                next = now + STEP;
            }
            std::thread::sleep(Duration::from_micros(20));
        };
        self.send(user, Some(1));
        std::thread::sleep(PAUSE);
        arrived.saturating_sub(begin)
    }

    fn send(&self, user: &User, lasts: Option<u32>) {
        let now = clock::now();
        let message = Message {
            user: "user".to_owned(),
            time: u64::try_from(now.millis() / 1000).unwrap(),
            address: Address::Source,
            services: vec![Service { protocol: Protocol::Udp, port: 5060 }],
            client_timeout: lasts,
        };
        let random = self.arrivals.begin.elapsed().as_nanos();
        let text = message.write(&user.keys, random << 64 | random).unwrap();
        let (source, target) = (SocketAddr::new(user.source, 40_000), user.port);
        let target = SocketAddr::new(self.server, target);
        self.sender.send(&Packet::udp(source, target, text.as_bytes())).unwrap();
    }
}

/// Sends garbage until it is over; tells how many packets.
fn flood(sender: &Sender, to: SocketAddr, over: &AtomicBool) -> u64 {
    let (begin, mut sent) = (Instant::now(), 0_u32);
    let payload = vec![b'A'; MIN_PAYLOAD + 20];
    while !over.load(Ordering::Relaxed) {
        let due = begin.elapsed().as_secs_f64() * f64::from(FLOOD);
        while f64::from(sent) < due {
            let source = IpAddr::V4(Ipv4Addr::from((30 << 24) + sent % (1 << 24)));
            let source = SocketAddr::new(source, 1_024);
            sender.send(&Packet::udp(source, to, &payload)).unwrap();
            sent += 1;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    sent.into()
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
        format!("{:.1} ms", took[place.min(took.len() - 1)].as_secs_f64() * 1000.0)
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
