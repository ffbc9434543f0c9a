//! The flood, the responders, and the clients that send requests meanwhile.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nightlatch_lab::packet::{Packet, Sender};
use nightlatch_lab::stage::Host;

/// Packets a second, to each port.
const RATE: u32 = 4_900;
/// After how many seconds a source sends again.
const AGAIN: u32 = 8;
/// The payload of each packet: a request; for media it does not matter.
const REQUEST: &[u8] = b"REGISTER sip:192.0.2.1 SIP/2.0\r\n\r\n";
const RESPONSE: &[u8] = b"SIP/2.0 401 Unauthorized\r\n\r\n";

/// Sends from forged sources, beginning at 100.64.0.1 + `first`, until `ended`. Half of the packets are
/// from sources that already sent 8 s before.
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

/// A socket for [`answer`].
pub(crate) fn responder(host: &Host, port: u16) -> UdpSocket {
    let socket = host.run(|| UdpSocket::bind((host.v4(), port))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    // Without privileges, the system-wide limit applies.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 16 << 20);
    socket
}

/// Answers every packet until `ended`.
pub(crate) fn answer(socket: UdpSocket, ended: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !ended.load(Ordering::Relaxed) {
        if let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            // Fails if connection tracking is full.
            let _ = socket.send_to(RESPONSE, peer);
        }
    }
}

/// A client that sends each request in a new flow.
#[derive(Default)]
pub(crate) struct Asker {
    asked: AtomicUsize,
    answered: AtomicUsize,
}

impl Asker {
    /// Sends twenty requests a second until `ended`.
    pub(crate) fn asks(&self, from: &Host, to: SocketAddr, ended: &AtomicBool) {
        while !ended.load(Ordering::Relaxed) {
            let socket = from.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            // Fails if connection tracking is full.
            let sent = socket.send_to(REQUEST, to);
            let answered = sent.is_ok() && socket.recv_from(&mut [0; 100]).is_ok();
            self.answered.fetch_add(usize::from(answered), Ordering::Relaxed);
            self.asked.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The share of requests answered since the last call.
    pub(crate) fn share(&self) -> String {
        let asked = self.asked.swap(0, Ordering::Relaxed);
        let answered = self.answered.swap(0, Ordering::Relaxed);
        let percent = answered * 100 / asked.max(1);
        format!("{percent} % ({answered} of {asked})")
    }
}
