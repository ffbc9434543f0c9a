//! A name server that knows `h0.example.net`, `h1.example.net` and so on.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use nightlatch_lab::stage::Host;

use crate::address;

#[derive(Clone)]
pub(crate) struct NameServer(Arc<State>);

struct State {
    changed: AtomicBool,
    begun: Instant,
    /// When it first told the new address of a name.
    told: Mutex<BTreeMap<usize, Instant>>,
    /// How many queries came, by second.
    queries: Mutex<BTreeMap<u64, usize>>,
}

impl NameServer {
    /// Its answers are valid for so many seconds. It lives as long as the program.
    pub(crate) fn on(host: &Host, lifetime: u32) -> NameServer {
        let at = SocketAddr::new(host.v4(), 53);
        let socket = host.run(|| UdpSocket::bind(at)).unwrap().unwrap();
        let server = NameServer(Arc::new(State {
            changed: AtomicBool::new(false),
            begun: Instant::now(),
            told: Mutex::default(),
            queries: Mutex::default(),
        }));
        let answering = server.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let answer = answering.answer(&buffer[..length], lifetime);
                let _ = socket.send_to(&answer, from);
            }
        });
        server
    }

    fn answer(&self, query: &[u8], lifetime: u32) -> Vec<u8> {
        let second = self.0.begun.elapsed().as_secs();
        *self.0.queries.lock().unwrap().entry(second).or_default() += 1;
        let mut packet = query.to_vec();
        (packet[2], packet[3]) = (0x81, 0x80);
        let length = usize::from(query[12]);
        let number: usize = std::str::from_utf8(&query[14..13 + length]).unwrap().parse().unwrap();
        let is_aaaa = query[query.len() - 3] == 28;
        if is_aaaa {
            let changed = self.0.changed.load(Ordering::Relaxed);
            if changed {
                self.0.told.lock().unwrap().entry(number).or_insert_with(Instant::now);
            }
            packet[7] = 1;
            packet.extend([0xc0, 12, 0, 28, 0, 1]);
            packet.extend(lifetime.to_be_bytes());
            packet.extend([0, 16]);
            packet.extend(address(number, changed).octets());
        }
        packet
    }

    /// All names have other addresses from now on.
    pub(crate) fn change(&self) {
        self.0.changed.store(true, Ordering::Relaxed);
    }

    /// When the new address of each name was first told.
    pub(crate) fn told(&self) -> BTreeMap<usize, Instant> {
        self.0.told.lock().unwrap().clone()
    }

    /// How many queries came since this was last asked, by second, without the first and the last one,
    /// which are not whole.
    pub(crate) fn queries(&self) -> BTreeMap<u64, usize> {
        let mut queries = std::mem::take(&mut *self.0.queries.lock().unwrap());
        queries.pop_first();
        queries.pop_last();
        queries
    }
}
