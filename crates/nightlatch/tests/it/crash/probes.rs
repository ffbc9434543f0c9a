//! Packets all the time: of a stranger, who must not get in, and of a friend, who must.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nightlatch_lab::stage::Host;

/// Ports that no mode opens to strangers.
const UDP_PORT: u16 = 4569;
const TCP_PORT: u16 = 80;
/// How long a friend waits for an answer. Long, for the machine may be busy; a dropped packet is
/// not sent again, so that a single one that is lost shows.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Less than the second after which TCP tries again by itself.
const SOON: Duration = Duration::from_millis(900);

/// Sockets on the server that answer, and write down who came.
pub(super) struct Sentry {
    seen: Arc<Mutex<Vec<IpAddr>>>,
}

impl Sentry {
    pub(super) fn in_host(server: &Host) -> io::Result<Sentry> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        for address in [server.v4(), server.v6()] {
            let (udp, tcp) = server.run(|| {
                io::Result::Ok((
                    UdpSocket::bind((address, UDP_PORT))?,
                    TcpListener::bind((address, TCP_PORT))?,
                ))
            })??;
            let (by_udp, by_tcp) = (Arc::clone(&seen), Arc::clone(&seen));
            // Both threads end with the test's process.
            std::thread::spawn(move || {
                let mut datagram = [0; 64];
                while let Ok((length, from)) = udp.recv_from(&mut datagram) {
                    by_udp.lock().unwrap().push(from.ip());
                    let _ = udp.send_to(&datagram[..length], from);
                }
            });
            std::thread::spawn(move || {
                while let Ok((_, from)) = tcp.accept() {
                    by_tcp.lock().unwrap().push(from.ip());
                }
            });
        }
        Ok(Sentry { seen })
    }

    /// What came from a host.
    pub(super) fn strangers(&self, host: &Host) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let strange = seen.iter().filter(|from| host.addresses().contains(from));
        strange.map(ToString::to_string).collect()
    }
}

/// Somebody without an account.
pub(super) struct Stranger<'a> {
    host: &'a Host,
    udp: [(UdpSocket, SocketAddr); 2],
    tcp: [SocketAddr; 2],
}

impl<'a> Stranger<'a> {
    pub(super) fn in_host(host: &'a Host, server: &Host) -> io::Result<Stranger<'a>> {
        let socket = |from: IpAddr, to: IpAddr| -> io::Result<(UdpSocket, SocketAddr)> {
            Ok((host.run(|| UdpSocket::bind((from, 0)))??, SocketAddr::new(to, UDP_PORT)))
        };
        Ok(Stranger {
            host,
            udp: [socket(host.v4(), server.v4())?, socket(host.v6(), server.v6())?],
            tcp: [server.v4(), server.v6()].map(|to| SocketAddr::new(to, TCP_PORT)),
        })
    }

    /// Knocks until it is over; returns how often.
    pub(super) fn probe(&self, over: &AtomicBool) -> usize {
        let mut sent = 0;
        let sending = || {
            let mut waiting = std::collections::VecDeque::new();
            while !over.load(Ordering::SeqCst) {
                for (socket, to) in &self.udp {
                    socket.send_to(b"stranger", to).unwrap();
                }
                // The kernel goes on with these by itself; the sentry sees who succeeds.
                for to in &self.tcp {
                    waiting.push_back(begin(*to));
                }
                if waiting.len() > 100 {
                    waiting.drain(..2);
                }
                sent += 4;
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        self.host.run(sending).unwrap();
        sent
    }
}

/// Begins a TCP connection without waiting for it.
fn begin(to: SocketAddr) -> rustix::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None).unwrap();
    let begun = connect(&socket, &to);
    assert_eq!(begun, Err(rustix::io::Errno::INPROGRESS));
    socket
}

/// Somebody whose account never changes.
pub(super) struct Allowed<'a> {
    host: &'a Host,
    to: [IpAddr; 2],
}

/// How a friend fared.
#[derive(Debug, Default)]
pub(super) struct Fared {
    pub(super) passed: usize,
    pub(super) failed: usize,
    /// First packets that were lost, where the second try got through.
    pub(super) second_tries: usize,
    what: Vec<String>,
}

impl<'a> Allowed<'a> {
    pub(super) fn in_host(host: &'a Host, server: &Host) -> Allowed<'a> {
        Allowed { host, to: [server.v4(), server.v6()] }
    }

    /// Sends until it is over: each time by a new flow, and by one that goes on all the time.
    pub(super) fn probe(&self, over: &AtomicBool) -> Fared {
        let going = || {
            let mut fared = Fared::default();
            let old = self.to.map(|to| (udp_to(to), to));
            while !over.load(Ordering::SeqCst) {
                for (socket, to) in &old {
                    fared.note(&format!("a running flow to {to}"), || ask(socket));
                }
                for to in self.to {
                    fared.note(&format!("a new flow to {to}"), || ask(&udp_to(to)));
                    fared.note(&format!("a connection to {to}"), || {
                        TcpStream::connect_timeout(&(to, TCP_PORT).into(), SOON).map(|_| ())
                    });
                }
                std::thread::sleep(Duration::from_millis(3));
            }
            fared
        };
        self.host.run(going).unwrap()
    }
}

impl Fared {
    /// One try, and a second where the first is lost. While the kernel exchanges an element of an
    /// interval set for another with the same first address, a look-up in the tree may miss both
    /// for some microseconds; a telephone or a browser tries again, and so do we.
    fn note(&mut self, what: &str, try_it: impl Fn() -> io::Result<()>) {
        let first = try_it();
        self.second_tries += usize::from(first.is_err());
        match first.or_else(|_| try_it()) {
            Ok(()) => self.passed += 1,
            Err(error) => {
                self.failed += 1;
                self.what.push(format!("{what} after {} good ones: {error}", self.passed));
            }
        }
    }
}

fn udp_to(to: IpAddr) -> UdpSocket {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.connect((to, UDP_PORT)).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

fn ask(socket: &UdpSocket) -> io::Result<()> {
    socket.send(b"friend")?;
    let mut answer = [0; 64];
    match socket.recv(&mut answer) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(io::Error::other("no answer")),
        Err(error) => Err(error),
    }
}
