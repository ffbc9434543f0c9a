//! One server with its firewall, and the way to it.
#![expect(unsafe_code, reason = "packet sockets, namespaces and the thread's clock")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;

use crate::addresses::{MAX_BANNED, addresses, banned, networks, shuffled, strangers};
use crate::frame::{Family, Frame, Kind, MAX, MEDIA, REGISTERS, SERVICE, frame};

/// How many frames one call sends.
const BATCH: usize = 64;
/// How many different strangers there are.
const STRANGERS: usize = 65_536;
/// How many running flows there are.
const FLOWS: usize = 1_000;
/// How many packets the server's socket surely holds.
const SMALL: usize = 50;

/// A server with its firewall.
pub(crate) struct Variant {
    /// What it is called in the tables.
    pub(crate) name: String,
    family: Family,
    space: File,
    interface: String,
    sender: OwnedFd,
    allowed: Vec<u32>,
    strangers: Vec<u32>,
    peers: Vec<u32>,
    listed: Vec<u32>,
    banned: Vec<u32>,
    udp: UdpSocket,
    media: UdpSocket,
    _tcp: TcpListener,
}

impl Variant {
    /// Opens the sockets at both ends. The line says `process interface family addresses networks bans
    /// name`: a process in the server's namespace, the interface that leads there, the family of all
    /// packets, how many addresses are allowed there, how many networks listed and how many addresses banned.
    pub(crate) fn open(line: &str) -> Variant {
        let words: Vec<&str> = line.splitn(7, ' ').collect();
        let [process, interface, family, allowed, listed, bans, name] = words[..] else {
            panic!("\"{line}\" is not: process interface family addresses networks bans name");
        };
        let family: Family = family.parse().unwrap();
        let space = File::open(format!("/proc/{process}/ns/net")).unwrap();
        let (udp, media, tcp) = inside(&space, || {
            let [udp, media] =
                [SERVICE, MEDIA].map(|port| UdpSocket::bind((family.server(), port)).unwrap());
            udp.set_nonblocking(true).unwrap();
            (udp, media, TcpListener::bind((family.server(), SERVICE)).unwrap())
        });
        let allowed = addresses(allowed.parse().unwrap());
        // Lists are the same for all, so that strangers are too: none is in the longest.
        let listed = match listed.parse().unwrap() {
            0 => Vec::new(),
            count => networks(count),
        };
        let mut strangers = strangers(STRANGERS + FLOWS, &listed);
        // Where nobody is banned, these are strangers like others.
        let banned = banned(match bans.parse().unwrap() {
            0 => MAX_BANNED,
            count => count,
        });
        Variant {
            name: name.to_owned(),
            family,
            banned: shuffled(banned),
            sender: packet_socket(interface),
            // Peers are strangers that are known only from this host's packets to them.
            peers: strangers.split_off(STRANGERS),
            strangers,
            listed: shuffled(listed.iter().map(|network| network.first).collect()),
            allowed: shuffled(allowed),
            interface: interface.to_owned(),
            space,
            udp,
            media,
            _tcp: tcp,
        }
    }

    /// Sends `count` packets and returns the CPU time of one in nanoseconds.
    pub(crate) fn sample(&mut self, kind: Kind, count: usize) -> f64 {
        inside(&self.space, flush_connections);
        match kind {
            Kind::Running | Kind::ResponseOut => self.begin_flows(),
            Kind::Trunk => self.ask_peers(&self.udp, REGISTERS),
            Kind::RtpIn | Kind::RtpOut => self.ask_peers(&self.media, kind.payload()),
            _ => {}
        }
        let before = self.arrived(kind);
        let spent =
            if kind.is_outwards() { self.outwards(kind, count) } else { self.inwards(kind, count) };
        self.check(kind, count, self.arrived(kind) - before);
        inside(&self.space, flush_connections);
        spent as f64 / count as f64
    }

    /// Frames to the server.
    fn inwards(&self, kind: Kind, count: usize) -> u64 {
        let mut spent = 0;
        let mut frames = [Frame::EMPTY; BATCH];
        let mut number = 0;
        while number < count {
            let batch = BATCH.min(count - number);
            for frame in &mut frames[..batch] {
                *frame = self.frame(kind, number);
                number += 1;
            }
            let begin = thread_nanoseconds();
            send(&self.sender, &frames[..batch]);
            spent += thread_nanoseconds() - begin;
        }
        spent
    }

    /// Datagrams from the server's own socket.
    fn outwards(&self, kind: Kind, count: usize) -> u64 {
        let socket = if kind.port() == MEDIA { &self.media } else { &self.udp };
        let peers: Vec<SocketAddr> = (0..FLOWS)
            .map(|number| {
                let (address, port) = self.source(kind, number);
                SocketAddr::new(self.family.address(address), port)
            })
            .collect();
        let begin = thread_nanoseconds();
        for number in 0..count {
            socket.send_to(kind.payload(), peers[number % FLOWS]).unwrap();
        }
        thread_nanoseconds() - begin
    }

    /// Packet `number` of a sample.
    fn frame(&self, kind: Kind, number: usize) -> Frame {
        let (source, port) = self.source(kind, number);
        frame(self.family, kind, source, port)
    }

    /// The remote address and port of packet `number`: all sources in turn, with a new port in each
    /// round, so that no two packets belong to one flow; for established flows, the same ones again.
    fn source(&self, kind: Kind, number: usize) -> (u32, u16) {
        let (sources, number) = match kind {
            Kind::Stranger | Kind::StrangerSyn | Kind::ScannerSyn | Kind::Unlisted => {
                (&self.strangers, number)
            }
            Kind::Allowed | Kind::AllowedSyn => (&self.allowed, number),
            Kind::Running | Kind::ResponseOut => (&self.allowed, number % FLOWS),
            Kind::Trunk | Kind::RtpIn | Kind::RtpOut => {
                return (self.peers[number % FLOWS], kind.port());
            }
            Kind::Listed => (&self.listed, number),
            Kind::Banned => (&self.banned, number),
        };
        let port = 10_000 + number / sources.len() % 50_000;
        (sources[number % sources.len()], port as u16)
    }

    /// A packet of this host to each peer.
    fn ask_peers(&self, socket: &UdpSocket, payload: &[u8]) {
        let port = socket.local_addr().unwrap().port();
        for peer in &self.peers {
            socket.send_to(payload, (self.family.address(*peer), port)).unwrap();
        }
    }

    /// A packet of each flow, and the server's answer to it.
    fn begin_flows(&self) {
        let mut buffer = [0; MAX];
        while self.udp.recv_from(&mut buffer).is_ok() {}
        let numbers: Vec<usize> = (0..FLOWS).collect();
        for numbers in numbers.chunks(SMALL) {
            let frames: Vec<_> =
                numbers.iter().map(|number| self.frame(Kind::Running, *number)).collect();
            send(&self.sender, &frames);
            let mut answered = 0;
            while let Ok((_, peer)) = self.udp.recv_from(&mut buffer) {
                self.udp.send_to(Kind::ResponseOut.payload(), peer).unwrap();
                answered += 1;
            }
            assert!(answered == numbers.len() || self.is_floor(), "{}: {answered}", self.name);
        }
    }

    /// How many packets have reached the server's sockets, or left the server.
    fn arrived(&self, kind: Kind) -> usize {
        if kind.is_outwards() {
            let all = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
            let name = format!("{}:", self.interface);
            let line = all.lines().find_map(|line| line.trim_start().strip_prefix(&name)).unwrap();
            // The second column: packets received.
            return line.split_whitespace().nth(1).unwrap().parse().unwrap();
        }
        inside(&self.space, || received(self.family, kind))
    }

    /// Whether the firewall did what it should have done; otherwise its cost means nothing.
    fn check(&self, kind: Kind, count: usize, arrived: usize) {
        let share = arrived as f64 / count as f64;
        let open = self.name == "no firewall" || self.name == "connection tracking alone";
        let wanted = kind.is_outwards() || !self.is_floor() && (open || kind.passes());
        // Some packets still wait in the server's sockets, which count only those that do not fit.
        let well = if wanted { share > 0.7 } else { share < 0.01 };
        // What reaches a closed port is not counted here. Where there is no list, who is on one
        // elsewhere is an ordinary stranger, and a few are let in.
        let listless = self.name.ends_with("no list");
        let uncounted = listless || open && kind == Kind::Unlisted;
        if !well && !uncounted {
            eprintln!("{}: of {count} packets {arrived} arrived: {}", self.name, kind.title());
        }
    }

    /// The variant that drops everything before it is looked at.
    fn is_floor(&self) -> bool {
        self.name == "sending alone"
    }
}

/// How many packets have reached the server's sockets: the kernel counts TCP of both families together.
fn received(family: Family, kind: Kind) -> usize {
    if family == Family::V6 && !kind.is_tcp() {
        let text = std::fs::read_to_string("/proc/thread-self/net/snmp6").unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("Udp6InErrors")).unwrap();
        return count.trim().parse().unwrap();
    }
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let (protocol, column) = if kind.is_tcp() { ("Tcp:", "InSegs") } else { ("Udp:", "InErrors") };
    let mut lines = text.lines().filter(|line| line.starts_with(protocol));
    let place = lines.next().unwrap().split(' ').position(|word| word == column).unwrap();
    lines.next().unwrap().split(' ').nth(place).unwrap().parse().unwrap()
}

/// Does something in another network namespace, and comes back.
fn inside<T>(space: &File, work: impl FnOnce() -> T) -> T {
    let own = File::open("/proc/thread-self/ns/net").unwrap();
    enter(space);
    let result = work();
    enter(&own);
    result
}

fn enter(space: &File) {
    // SAFETY: takes an open descriptor and a number only.
    let result = unsafe { libc::setns(space.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "setns: {}", io::Error::last_os_error());
}

/// A socket that puts frames straight onto an interface.
fn packet_socket(interface: &str) -> OwnedFd {
    let name = CString::new(interface).unwrap();
    // SAFETY: the name ends with a zero byte and lives through the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_ne!(index, 0, "{interface}: {}", io::Error::last_os_error());
    // SAFETY: takes numbers only.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    assert!(socket >= 0, "packet socket: {}", io::Error::last_os_error());
    // SAFETY: the descriptor was just opened, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: all zeroes is a valid `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = i32::try_from(index).unwrap();
    let length = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address lives through the call and has the length that is told.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    assert_eq!(result, 0, "bind: {}", io::Error::last_os_error());
    let on: libc::c_int = 1;
    // SAFETY: the value lives through the call and has the length that is told.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_QDISC_BYPASS,
            (&raw const on).cast(),
            mem::size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "queue bypass: {}", io::Error::last_os_error());
    socket
}

/// Sends all frames; they have been received when this returns.
fn send(socket: &OwnedFd, frames: &[Frame]) {
    let mut parts: Vec<libc::iovec> = frames
        .iter()
        .map(|frame| {
            let bytes = frame.bytes();
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
        })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            // SAFETY: all zeroes is a valid `mmsghdr`.
            let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let mut sent = 0;
    while sent < messages.len() {
        let rest = &mut messages[sent..];
        // SAFETY: the messages, their parts and the frames live through the call; the kernel only
        // reads the frames.
        let result = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0)
        };
        assert!(result > 0, "sendmmsg: {}", io::Error::last_os_error());
        sent += result as usize;
    }
}

/// The CPU time of this thread.
fn thread_nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the live variable.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Forgets all connections of the namespace: one message without a tuple
/// (`IPCTNL_MSG_CT_DELETE`, linux/netfilter/nfnetlink_conntrack.h).
fn flush_connections() {
    let mut message = [0_u8; 20];
    message[..4].copy_from_slice(&20_u32.to_ne_bytes());
    message[4..6].copy_from_slice(&0x0102_u16.to_ne_bytes());
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: takes numbers only; the descriptor is owned at once.
    let socket = unsafe {
        let socket = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER);
        assert!(socket >= 0, "netlink: {}", io::Error::last_os_error());
        OwnedFd::from_raw_fd(socket)
    };
    let mut answer = [0_u8; 64];
    // SAFETY: both buffers live through the calls and have the lengths that are told.
    let length = unsafe {
        let sent = libc::sendto(
            socket.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            0,
            ptr::null(),
            0,
        );
        assert_eq!(sent, 20, "netlink: {}", io::Error::last_os_error());
        libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0)
    };
    assert!(length >= 20, "netlink: {}", io::Error::last_os_error());
    let error = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
    assert_eq!(error, 0, "connections cannot be flushed: {}", io::Error::from_raw_os_error(-error));
}
