//! Packets of sources that attack, and which of them the server gets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nightlatch_lab::packet::{Packet, Sender};
use nightlatch_lab::stage::Host;

use super::TIMEOUT;
use super::lines::Log;
use super::place;

/// The server's port, of no service.
const PORT: u16 = 4_000;
/// The sources' port.
const FROM: u16 = 4_001;
/// Pause between two packets of a source.
const STEP: Duration = Duration::from_micros(30);
/// A source is refused when so many packets in a row were not received, ...
const IN_A_ROW: u64 = 20;
/// ... and for so long.
const FOR: Duration = Duration::from_millis(4);

/// Sends as sources, and listens on the server.
pub(crate) struct Prober {
    server: IpAddr,
    socket: UdpSocket,
    sender: Sender,
    /// The last packet that the server got: the number of the source, and of the packet.
    heard: Arc<[AtomicU64; 2]>,
    /// How many packets it got.
    count: Arc<AtomicU64>,
}

/// The address of a source, by its number.
pub(crate) fn source(number: usize) -> Ipv4Addr {
    place::address(number)
}

impl Prober {
    pub(crate) fn new(server: &Host, attacker: &Host) -> Prober {
        let socket = server.run(|| UdpSocket::bind(("0.0.0.0", PORT))).unwrap().unwrap();
        let (heard, count) = (Arc::<[AtomicU64; 2]>::default(), Arc::<AtomicU64>::default());
        let (listener, last, all) =
            (socket.try_clone().unwrap(), Arc::clone(&heard), Arc::clone(&count));
        std::thread::spawn(move || {
            let mut buffer = [0; 16];
            loop {
                let Ok((16, _)) = listener.recv_from(&mut buffer) else { continue };
                let (probe, packet) = buffer.split_at(8);
                last[0].store(u64::from_be_bytes(probe.try_into().unwrap()), Ordering::Release);
                last[1].store(u64::from_be_bytes(packet.try_into().unwrap()), Ordering::Release);
                all.fetch_add(1, Ordering::Release);
            }
        });
        Prober {
            server: server.v4(),
            socket,
            sender: Sender::in_host(attacker).unwrap(),
            heard,
            count,
        }
    }

    fn begin_flow(&self, number: usize) {
        let to = SocketAddr::new(source(number).into(), FROM);
        let _ = self.socket.send_to(b"begin", to);
    }

    fn send(&self, number: usize, packet: u64) {
        let from = SocketAddr::new(source(number).into(), FROM);
        let mut payload = [0; 16];
        payload[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
        payload[8..].copy_from_slice(&packet.to_be_bytes());
        let to = SocketAddr::new(self.server, PORT);
        self.sender.send(&Packet::udp(from, to, &payload)).unwrap();
    }

    /// The last packet of a source that the server got.
    fn last(&self, number: usize) -> u64 {
        let probe = self.heard[0].load(Ordering::Acquire);
        if probe == u64::try_from(number).unwrap() {
            self.heard[1].load(Ordering::Acquire)
        } else {
            0
        }
    }

    /// A source attacks: how long it takes until a packet of it is refused. Nothing if that is not so after
    /// two minutes.
    pub(crate) fn refused_after(&self, number: usize, log: &Log) -> Option<Duration> {
        self.begin_flow(number);
        let mut sent: Vec<Instant> = vec![Instant::now()];
        let send = |sent: &mut Vec<Instant>| {
            let packet = u64::try_from(sent.len()).unwrap();
            sent.push(Instant::now());
            self.send(number, packet);
            std::thread::sleep(STEP);
        };
        while self.last(number) < 10 {
            send(&mut sent);
            assert!(sent.len() < 100_000, "no packet of source {number} arrives");
        }
        let lines = log.attack(source(number));
        send(&mut sent);
        let begin = Instant::now();
        log.write(&lines);
        loop {
            send(&mut sent);
            let (last, now) = (self.last(number), u64::try_from(sent.len()).unwrap());
            let refused = sent.get(usize::try_from(last).unwrap() + 1).copied();
            if let Some(refused) = refused
                && now > last + IN_A_ROW
                && refused.elapsed() > FOR
            {
                // The first that was refused may have been sent before the lines were written only if
                // packets are lost for another reason.
                return Some(refused.checked_duration_since(begin).unwrap_or_default());
            }
            if begin.elapsed() > TIMEOUT {
                return None;
            }
        }
    }

    /// Many sources attack at once: how long it takes until all of them are refused.
    pub(crate) fn all_refused_after(&self, sources: usize, log: &Log) -> Option<Duration> {
        (1..=sources).for_each(|number| self.begin_flow(number));
        let lines = log.attacks((1..=sources).map(source));
        let begin = Instant::now();
        log.write(&lines);
        while begin.elapsed() < TIMEOUT {
            let (round, before) = (begin.elapsed(), self.count.load(Ordering::Acquire));
            (1..=sources).for_each(|number| self.send(number, 1));
            std::thread::sleep(Duration::from_millis(5));
            if self.count.load(Ordering::Acquire) == before {
                return Some(round);
            }
        }
        None
    }
}
