//! Who sends, who answers, and who asks meanwhile.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nightlatch::features::demo::packet::{Packet, Sender};
use nightlatch::features::demo::stage::Host;

/// Packets a second, to each port.
const RATE: u32 = 4_900;
/// After how long a source sends again.
const AGAIN: u32 = 8;
/// What each packet begins with: a request, and of media nobody reads it.
const REQUEST: &[u8] = b"REGISTER sip:192.0.2.1 SIP/2.0\r\n\r\n";
const RESPONSE: &[u8] = b"SIP/2.0 401 Unauthorized\r\n\r\n";

/// Forged sources, from 100.64.0.0 and `first` on, until it is ended. Half of the packets are those of
/// sources that sent 8 s before.
pub(crate) fn flood(from: &Host, to: SocketAddr, first: u32, ended: &AtomicBool) {
    let sender = Sender::in_host(from).unwrap();
    let packet = |source: u32| {
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 1)) + first + source);
        sender.send(&Packet::udp((source, 5060).into(), to, REQUEST)).unwrap();
    };
    let (begin, mut sent) = (Instant::now(), 0);
    while !ended.load(Ordering::Relaxed) {
        let due = begin.elapsed().as_millis() * u128::from(RATE) / 2_000;
        while u128::from(sent) < due {
            packet(sent);
            if let Some(before) = sent.checked_sub(AGAIN * RATE / 2) {
                packet(before);
            }
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A socket that answers whoever asks.
pub(crate) fn responder(host: &Host, port: u16) -> UdpSocket {
    let socket = host.run(|| UdpSocket::bind((host.v4(), port))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    // Without the machine's own rights the common limit holds.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 16 << 20);
    socket
}

/// Answers until it is ended.
pub(crate) fn answer(socket: UdpSocket, ended: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !ended.load(Ordering::Relaxed) {
        if let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            // Connection tracking may be full.
            let _ = socket.send_to(RESPONSE, peer);
        }
    }
}

/// Asks by a new flow each time.
#[derive(Default)]
pub(crate) struct Asker {
    asked: AtomicUsize,
    answered: AtomicUsize,
}

impl Asker {
    /// Twenty times a second, until it is ended.
    pub(crate) fn asks(&self, from: &Host, to: SocketAddr, ended: &AtomicBool) {
        while !ended.load(Ordering::Relaxed) {
            let socket = from.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            // Where connection tracking is full, this fails.
            let sent = socket.send_to(REQUEST, to);
            let answered = sent.is_ok() && socket.recv_from(&mut [0; 100]).is_ok();
            self.answered.fetch_add(usize::from(answered), Ordering::Relaxed);
            self.asked.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The share answered since the last call.
    pub(crate) fn share(&self) -> String {
        let asked = self.asked.swap(0, Ordering::Relaxed);
        let answered = self.answered.swap(0, Ordering::Relaxed);
        let percent = answered * 100 / asked.max(1);
        format!("{percent} % ({answered} of {asked})")
    }
}
