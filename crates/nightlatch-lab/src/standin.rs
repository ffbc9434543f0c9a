//! The demo's stand-in for a telephone server: real sockets with next to nothing behind them.
//!
//! It answers SIP on UDP and TCP 5060, IAX on UDP 4569, sends RTP on UDP 10000 back, shows a web
//! page on 80, accepts on 443 and greets on 22. It is no telephone server and only for the demo
//! and for tests.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::sip;
use crate::stage::Host;

/// The TCP ports on which it accepts.
pub const TCP_PORTS: [u16; 4] = [22, 80, 443, 5060];
/// The UDP ports on which it answers.
pub const UDP_PORTS: [u16; 3] = [4569, 5060, 10_000];

/// The running stand-in; it ends when dropped.
#[derive(Debug)]
pub struct StandIn {
    ended: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Opens all ports on `host`, for IPv4 and IPv6.
    ///
    /// # Errors
    ///
    /// Where a port is taken.
    pub fn in_host(host: &Host) -> io::Result<StandIn> {
        let (udp, tcp) = host.run(open)??;
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let worker = std::thread::spawn(move || serve(&udp, &tcp, &seen));
        Ok(StandIn { ended, worker: Some(worker) })
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            // Its panic would be a flaw of the demo alone, and has been printed.
            let _ = worker.join();
        }
    }
}

type Sockets = (Vec<UdpSocket>, Vec<TcpListener>);

fn open() -> io::Result<Sockets> {
    // An IPv6 socket without an address takes IPv4 as well.
    let any = |port: u16| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let mut udp = Vec::new();
    for port in UDP_PORTS {
        let socket = UdpSocket::bind(any(port))?;
        socket.set_nonblocking(true)?;
        udp.push(socket);
    }
    let mut tcp = Vec::new();
    for port in TCP_PORTS {
        let listener = TcpListener::bind(any(port))?;
        listener.set_nonblocking(true)?;
        tcp.push(listener);
    }
    Ok((udp, tcp))
}

fn serve(udp: &[UdpSocket], tcp: &[TcpListener], ended: &AtomicBool) {
    let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    while !ended.load(Ordering::Relaxed) {
        let sockets = udp.iter().map(|socket| socket.as_fd());
        let sockets = sockets.chain(tcp.iter().map(|listener| listener.as_fd()));
        let mut watched: Vec<_> =
            sockets.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN)).collect();
        // An interrupted wait ends early, which does no harm.
        let _ = poll(&mut watched, Some(&wait));
        for socket in udp {
            answer_all(socket);
        }
        for listener in tcp {
            while let Ok((stream, _)) = listener.accept() {
                std::thread::spawn(move || {
                    // Whatever the visitor does wrong is the visitor's business.
                    let _ = talk(stream);
                });
            }
        }
    }
}

fn answer_all(socket: &UdpSocket) {
    let port = socket.local_addr().map_or(0, |address| address.port());
    let mut buffer = [0; 2048];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // An earlier answer was refused; the next datagram may be behind it.
            Err(_) => continue,
        };
        let data = buffer.get(..length).unwrap_or_default();
        let answer = match port {
            5060 => sip::response(data).map(String::into_bytes),
            4569 => pong(data),
            _ => Some(data.to_vec()),
        };
        if let Some(answer) = answer {
            // The peer may be gone.
            let _ = socket.send_to(&answer, peer);
        }
    }
}

/// The IAX2 answer PONG to any full frame (RFC 5456 section 8.4).
fn pong(frame: &[u8]) -> Option<Vec<u8>> {
    let caller = [frame.first()? & 0x7f, *frame.get(1)?];
    let time = frame.get(4..8)?;
    Some([&[0x80, 1], &caller, time, &[0, 1, 6, 3]].concat())
}

fn talk(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut buffer = [0; 2048];
    match stream.local_addr()?.port() {
        22 => stream.write_all(b"SSH-2.0-nightlatch_demo_stand-in\r\n"),
        80 => {
            let _ = stream.read(&mut buffer)?;
            let page = "This is the telephone server's web page (the demo's stand-in).\n";
            write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len())
        }
        5060 => loop {
            let length = stream.read(&mut buffer)?;
            match sip::response(buffer.get(..length).unwrap_or_default()) {
                Some(response) => stream.write_all(response.as_bytes())?,
                None => return Ok(()),
            }
        },
        _ => Ok(()),
    }
}
