//! Packets made byte by byte, and interfaces on which they arrive as they are.

#![expect(unsafe_code, reason = "tunnels and packet sockets have no safe interface")]

use std::fs::File;
use std::io::{Error, Write as _};
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// A UDP datagram without a checksum.
pub(crate) fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let mut body = [from.port(), to.port(), length, 0].map(u16::to_be_bytes).concat();
    body.extend(payload);
    packet(17, from.ip(), to.ip(), &body)
}

/// The first segment of a connection, without a checksum.
pub(crate) fn syn(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut body = [from.port(), to.port()].map(u16::to_be_bytes).concat();
    body.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    packet(6, from.ip(), to.ip(), &body)
}

fn packet(protocol: u8, from: IpAddr, to: IpAddr, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    let mut bytes = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [l0, l1] = (length + 20).to_be_bytes();
            let mut header = vec![0x45, 0, l0, l1, 0, 0, 0x40, 0, 64, protocol, 0, 0];
            header.extend([from.octets(), to.octets()].as_flattened());
            let sum: u32 =
                header.chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]]))).sum();
            let sum = (sum & 0xffff) + (sum >> 16);
            let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let [l0, l1] = length.to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, l0, l1, protocol, 64];
            header.extend([from.octets(), to.octets()].as_flattened());
            header
        }
        _ => panic!("{from} and {to} are of two families"),
    };
    bytes.extend(body);
    bytes
}

/// An interface without a link layer header: what is written arrives on it. Gone when dropped.
pub(crate) struct Tunnel(File);

impl Tunnel {
    /// `None`, and SKIPPED is printed, where this process may not have one.
    pub(crate) fn open(name: &str) -> Option<Tunnel> {
        let file = match File::options().read(true).write(true).open("/dev/net/tun") {
            Ok(file) => file,
            Err(error) => {
                println!("SKIPPED what needs {name}: /dev/net/tun: {error}");
                return None;
            }
        };
        // SAFETY: all zeroes is a valid `ifreq`.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *place = byte.cast_signed();
        }
        let flags = libc::IFF_TUN | libc::IFF_NO_PI;
        request.ifr_ifru.ifru_flags = flags.try_into().unwrap();
        // SAFETY: the request is live, and the kernel reads and writes no more than its size.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        assert_eq!(result, 0, "{name}: {}", Error::last_os_error());
        Some(Tunnel(file))
    }

    pub(crate) fn send(&self, packet: &[u8]) {
        (&self.0).write_all(packet).unwrap();
    }
}

/// A pair of interfaces with Ethernet headers: what is sent from one arrives on the other.
pub(crate) struct Wire {
    socket: OwnedFd,
    from: libc::c_int,
    to: [u8; 6],
}

impl Wire {
    pub(crate) fn to(from: &str, to: &str) -> Wire {
        // SAFETY: takes numbers only, and the result is checked.
        let socket =
            unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        assert!(socket >= 0, "{}", Error::last_os_error());
        // SAFETY: just opened, and nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let show = |name: &str| crate::namespace::run(&format!("ip -o link show {name}"));
        let index = show(from).split(':').next().unwrap().parse().unwrap();
        let shown = show(to);
        let address = shown.split("link/ether ").nth(1).unwrap();
        let mut octets = address[..17].split(':').map(|it| u8::from_str_radix(it, 16).unwrap());
        Wire { socket, from: index, to: std::array::from_fn(|_| octets.next().unwrap()) }
    }

    pub(crate) fn send(&self, packet: &[u8]) {
        // SAFETY: all zeroes is a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET.try_into().unwrap();
        let kind: u16 = if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
        address.sll_protocol = kind.to_be();
        address.sll_ifindex = self.from;
        address.sll_halen = 6;
        address.sll_addr[..6].copy_from_slice(&self.to);
        // SAFETY: both pointers with their lengths come from live values, and are only read.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const address).cast(),
                mem::size_of::<libc::sockaddr_ll>().try_into().unwrap(),
            )
        };
        assert_eq!(usize::try_from(sent).ok(), Some(packet.len()), "{}", Error::last_os_error());
    }
}
