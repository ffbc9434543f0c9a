//! What the kernel tests stand on: servers that answer, ears that hear what gets through,
//! clients that ask, and what comes back to them.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nightlatch_lab::packet::{Caught, Listener, Packet, Sender};
use nightlatch_lab::stage::Host;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{RecvFlags, SocketAddrAny, SocketFlags, SocketType, recvfrom, socket_with};

use crate::support::{ASTERISK, Daemon, Installation, now, wait_until};

/// How long "nothing comes" is waited for.
pub(super) const SILENCE: Duration = Duration::from_millis(400);
/// How long something that has to come may take on a busy machine.
pub(super) const TIMEOUT: Duration = Duration::from_secs(8);

/// The program, put up on a host without trial: `nightlatch up --yes`.
pub(super) fn protect<'a>(host: &'a Host, configuration: &str) -> (Installation<'a>, Daemon) {
    let nightlatch = Installation::on(host);
    // Tables may be in any order, but keys before the first table have to stay there.
    let rest = if configuration.contains("[pbx]") { "" } else { ASTERISK };
    nightlatch.configure(&format!("{configuration}\n{rest}"));
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    (nightlatch, daemon)
}

/// The two addresses of a host, IPv4 first.
pub(super) fn both(host: &Host) -> [IpAddr; 2] {
    [host.v4(), host.v6()]
}

/// The lines of a section of the plan, as scripts read it.
pub(super) fn plan_lines(plan: &serde_json::Value, section: &str) -> Vec<String> {
    let lines = plan[section].as_array().unwrap_or_else(|| panic!("{section}: {plan}"));
    let mut texts: Vec<_> =
        lines.iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect();
    texts.sort_unstable();
    texts
}

/// Runs a program on a host; it has to succeed. Returns what it printed.
pub(super) fn run(host: &Host, line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = host.command(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", crate::support::told(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a line of shell on a host; it has to succeed. Returns what it printed.
pub(super) fn shell(host: &Host, line: &str) -> String {
    let output = host.command("sh").args(["-ec", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", crate::support::told(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Servers on a host which send back whatever they get, for IPv4 and IPv6.
#[derive(Debug)]
pub(super) struct Echo {
    ended: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Echo {
    /// Opens the UDP and TCP ports.
    pub(super) fn on(host: &Host, udp: &[u16], tcp: &[u16]) -> Echo {
        let mut echo = Echo { ended: Arc::default(), workers: Vec::new() };
        for &port in udp {
            let socket = patiently(host, || UdpSocket::bind(any(port)));
            let ended = Arc::clone(&echo.ended);
            echo.workers.push(std::thread::spawn(move || echo_datagrams(&socket, &ended)));
        }
        for &port in tcp {
            let listener = patiently(host, || TcpListener::bind(any(port)));
            let ended = Arc::clone(&echo.ended);
            echo.workers.push(std::thread::spawn(move || echo_streams(&listener, &ended)));
        }
        echo
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// Opens a socket on a host. A port that was closed just now may be taken for a moment longer: a
/// process that another test starts holds a copy of everything until it runs its program.
pub(super) fn patiently<T: Send>(host: &Host, open: impl Fn() -> io::Result<T> + Sync) -> T {
    let start = now();
    loop {
        match host.run(&open).unwrap() {
            Ok(opened) => return opened,
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => panic!("{error}"),
            Err(error) => assert!(start.elapsed() < TIMEOUT, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An IPv6 socket without an address takes IPv4 as well.
pub(super) fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
}

fn echo_datagrams(socket: &UdpSocket, ended: &AtomicBool) {
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 2048];
    while !ended.load(Ordering::Relaxed) {
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            // Whoever asked may have gone.
            let _ = socket.send_to(&buffer[..length], peer);
        }
    }
}

fn echo_streams(listener: &TcpListener, ended: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut buffer = [0; 2048];
    while !ended.load(Ordering::Relaxed) {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).unwrap();
            streams.push(stream);
        }
        streams.retain_mut(|stream| match stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => stream.write_all(&buffer[..length]).is_ok(),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        });
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Hears what gets through to a host, whether or not a socket waits for it: raw sockets get a
/// copy of every packet behind the firewall.
#[derive(Debug)]
pub(super) struct Ears {
    sockets: Vec<(u8, OwnedFd)>,
}

/// Something that got through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Heard {
    pub(super) from: IpAddr,
    pub(super) protocol: u8,
    /// For ICMP the type; else 0.
    pub(super) kind: u8,
}

impl Ears {
    /// TCP, UDP, ICMP, SCTP, GRE, ESP, IP in IP and an experimental protocol, of both families.
    pub(super) fn on(host: &Host) -> Ears {
        let open = |family, protocol: u8| {
            let number = rustix::net::Protocol::from_raw(u32::from(protocol).try_into().unwrap());
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = socket_with(family, SocketType::RAW, flags, Some(number)).unwrap();
            // Without the machine's own rights the common limit holds, which is enough for most.
            let _ = set_socket_recv_buffer_size_force(&socket, 32 << 20);
            (protocol, socket)
        };
        let open_all = || {
            let common = [6, 17, 132, 47, 50, 4, 253];
            let v4 =
                common.iter().chain(&[1, 2]).map(|p| open(rustix::net::AddressFamily::INET, *p));
            let v6 =
                common.iter().chain(&[58]).map(|p| open(rustix::net::AddressFamily::INET6, *p));
            v4.chain(v6).collect()
        };
        Ears { sockets: host.run(open_all).unwrap() }
    }

    /// All that was heard since the last call.
    pub(super) fn heard(&self) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut buffer = [0; 2048];
        for (protocol, socket) in &self.sockets {
            while let Ok((length, _, from)) = recvfrom(socket, &mut buffer, RecvFlags::empty()) {
                let Some(from) = from.and_then(address) else { continue };
                let body = if from.is_ipv4() { usize::from(buffer[0] & 15) * 4 } else { 0 };
                let icmp = matches!(protocol, 1 | 58);
                let kind = if icmp && body < length { buffer[body] } else { 0 };
                heard.push(Heard { from, protocol: *protocol, kind });
            }
        }
        heard
    }

    /// How many packets of one protocol came from one address since the last call.
    pub(super) fn count(&self, from: IpAddr, protocol: u8) -> usize {
        self.heard().iter().filter(|h| h.from == from && h.protocol == protocol).count()
    }
}

fn address(from: SocketAddrAny) -> Option<IpAddr> {
    SocketAddr::try_from(from).ok().map(|from| from.ip())
}

/// A host that sends crafted packets and sees what comes back.
#[derive(Debug)]
pub(super) struct Prober {
    sender: Sender,
    listener: Listener,
}

impl Prober {
    pub(super) fn on(host: &Host) -> Prober {
        let (sender, listener) = (Sender::in_host(host), Listener::in_host(host));
        Prober { sender: sender.unwrap(), listener: listener.unwrap() }
    }

    pub(super) fn send(&self, packet: &Packet) {
        self.sender.send(packet).unwrap_or_else(|error| panic!("{error}: {packet:?}"));
    }

    /// Sends a packet in pieces.
    pub(super) fn send_pieces(&self, packet: &Packet, piece: usize) {
        for fragment in packet.fragments(piece) {
            self.sender.send_bytes(packet.destination(), &fragment).unwrap();
        }
    }

    /// What has come and comes within `wait`, neighbour discovery left out.
    pub(super) fn answers(&mut self, wait: Duration) -> Vec<Caught> {
        let mut answers = self.listener.gather(wait).unwrap();
        answers.retain(|caught| !is_neighbour_discovery(caught));
        answers
    }
}

fn is_neighbour_discovery(caught: &Caught) -> bool {
    // From router solicitation to redirect, and multicast listener reports.
    caught.source.is_ipv6() && matches!(caught.icmp(), Some((133..=137 | 130..=132 | 143, _)))
}

/// Whether a UDP server answers; asks again and again, as long as a busy machine may need.
pub(super) fn answers_udp(from: &Host, target: SocketAddr) -> bool {
    asks_udp(from, target, TIMEOUT)
}

/// Whether a UDP server does not answer, though asked several times.
pub(super) fn ignores_udp(from: &Host, target: SocketAddr) -> bool {
    !asks_udp(from, target, SILENCE)
}

fn asks_udp(from: &Host, target: SocketAddr, patience: Duration) -> bool {
    let socket = from.run(|| UdpSocket::bind(unspecified(target))).unwrap().unwrap();
    asks_from(&socket, target, patience)
}

/// The same from a socket that exists.
pub(super) fn asks_from(socket: &UdpSocket, target: SocketAddr, patience: Duration) -> bool {
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let start = now();
    let mut buffer = [0; 2048];
    while start.elapsed() < patience {
        // An error message that came for the last packet is reported here.
        let _ = socket.send_to(b"hello", target);
        if socket.recv_from(&mut buffer).is_ok_and(|(_, peer)| peer == target) {
            return true;
        }
    }
    false
}

/// The address to bind for talking to `target`.
pub(super) fn unspecified(target: SocketAddr) -> SocketAddr {
    if target.is_ipv4() { SocketAddr::from(([0; 4], 0)) } else { any(0) }
}

/// A TCP connection.
pub(super) fn connect(from: &Host, target: SocketAddr) -> io::Result<TcpStream> {
    connect_within(from, target, TIMEOUT)
}

/// Whether TCP meets silence: neither a connection nor a refusal.
pub(super) fn ignores_tcp(from: &Host, target: SocketAddr) -> bool {
    let refused = connect_within(from, target, SILENCE).err();
    refused.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

fn connect_within(from: &Host, target: SocketAddr, wait: Duration) -> io::Result<TcpStream> {
    from.run(|| TcpStream::connect_timeout(&target, wait)).unwrap()
}

/// Whether what is written comes back.
pub(super) fn echoes(stream: &mut TcpStream, patience: Duration) -> bool {
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.set_write_timeout(Some(patience)).unwrap();
    let mut buffer = [0; 5];
    stream.write_all(b"hello").is_ok() && stream.read_exact(&mut buffer).is_ok()
}

/// Sets its flag when it is dropped, so that a thread that runs until then also ends where the test fails.
pub(super) struct Ends<'a>(pub(super) &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until nothing more is to be heard, so that the next look begins clean.
pub(super) fn settle(ears: &Ears) {
    wait_until("it is quiet", TIMEOUT, || {
        std::thread::sleep(Duration::from_millis(50));
        ears.heard().is_empty()
    });
}

/// A running flow of datagrams on which both sides send all the time, as a call does.
#[derive(Debug)]
pub(super) struct Talk {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// A running TCP connection on which both sides send all the time.
#[derive(Debug)]
pub(super) struct Stream {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    _listener: TcpListener,
}

/// What the two ends of a flow have in common.
#[derive(Debug)]
struct Shared {
    ended: AtomicBool,
    start: Instant,
    /// When the server heard the peer last, in milliseconds after the start.
    heard: AtomicU64,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared { ended: AtomicBool::default(), start: now(), heard: AtomicU64::new(0) })
    }

    fn hear(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap();
        self.heard.store(millis, Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(heard)
    }

    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }
}

/// How often each side sends: media come every 20 ms.
const TALK_INTERVAL: Duration = Duration::from_millis(10);

impl Talk {
    /// The client begins it; from the first packet on both send. The port is the server's for
    /// this flow alone.
    pub(super) fn between(client: &Host, server: &Host, target: SocketAddr) -> Talk {
        let shared = Shared::new();
        let ours = patiently(server, || UdpSocket::bind(target));
        let theirs = client.run(|| UdpSocket::bind(unspecified(target))).unwrap().unwrap();
        theirs.connect(target).unwrap();
        theirs.send(b"first").unwrap();
        ours.set_read_timeout(Some(TIMEOUT)).unwrap();
        // A socket with a timeout may be interrupted by a signal to the process.
        let peer = loop {
            match ours.recv_from(&mut [0; 100]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => break received.unwrap().1,
            }
        };
        ours.connect(peer).unwrap();
        let talk = |socket: UdpSocket, shared: Arc<Shared>, listens: bool| {
            socket.set_nonblocking(true).unwrap();
            // The server answers as a telephone server does: that is not the beginning of a flow,
            // even where the kernel has not seen what it answers.
            let words: &[u8] = if listens { b"SIP/2.0 183 goes on" } else { b"goes on" };
            while shared.goes_on() {
                // What came back of an earlier packet, an error or an answer, does not matter.
                let _ = socket.send(words);
                while socket.recv(&mut [0; 100]).is_ok() {
                    if listens {
                        shared.hear();
                    }
                }
                std::thread::sleep(TALK_INTERVAL);
            }
        };
        let (first, second) = (Arc::clone(&shared), Arc::clone(&shared));
        let workers = vec![
            std::thread::spawn(move || talk(ours, first, true)),
            std::thread::spawn(move || talk(theirs, second, false)),
        ];
        Talk { shared, workers }
    }

    /// Since when the server has heard nothing.
    pub(super) fn silent_for(&self) -> Duration {
        self.shared.silent_for()
    }
}

impl Stream {
    /// The client connects; then both send.
    pub(super) fn between(client: &Host, server: &Host, target: SocketAddr) -> Stream {
        let shared = Shared::new();
        let listener = patiently(server, || TcpListener::bind(target));
        let theirs = connect(client, target).unwrap();
        let (ours, _) = listener.accept().unwrap();
        let talk = |mut stream: TcpStream, shared: Arc<Shared>, listens: bool| {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            while shared.goes_on() {
                let _ = stream.write(b"goes on");
                while stream.read(&mut [0; 1000]).is_ok_and(|length| length > 0) {
                    if listens {
                        shared.hear();
                    }
                }
                std::thread::sleep(TALK_INTERVAL);
            }
        };
        let (first, second) = (Arc::clone(&shared), Arc::clone(&shared));
        let workers = vec![
            std::thread::spawn(move || talk(ours, first, true)),
            std::thread::spawn(move || talk(theirs, second, false)),
        ];
        // A server goes on listening.
        Stream { shared, workers, _listener: listener }
    }

    /// Since when the server has heard nothing.
    pub(super) fn silent_for(&self) -> Duration {
        self.shared.silent_for()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}
