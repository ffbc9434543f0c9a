//! Raw packets: made byte by byte, sent as they are, and caught again.
//!
//! A [`Packet`] describes what is to be sent, a [`Sender`] sends it from inside a host with any
//! source address, a [`Listener`] catches everything that arrives at a host, before its firewall
//! judges it, as [`Caught`].

mod build;
mod caught;

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use socket2::{Domain, Protocol, Socket, Type};

use crate::now;
use crate::stage::Host;

pub use build::{Extension, Packet, flags, protocol};
pub use caught::Caught;

/// Sends crafted packets from inside a host.
#[derive(Debug)]
pub struct Sender {
    v4: Socket,
    v6: Socket,
}

impl Sender {
    /// A sender that lives in `host`.
    ///
    /// # Errors
    ///
    /// Where raw sockets are not allowed.
    pub fn in_host(host: &Host) -> io::Result<Sender> {
        host.run(|| -> io::Result<Sender> {
            // With this protocol number the header comes from us in both families.
            let raw = Protocol::from(255);
            let v4 = Socket::new(Domain::IPV4, Type::RAW, Some(raw))?;
            v4.set_broadcast(true)?;
            Ok(Sender { v4, v6: Socket::new(Domain::IPV6, Type::RAW, Some(raw))? })
        })?
    }

    /// Sends `packet`.
    ///
    /// # Errors
    ///
    /// Where the host has no route to the destination, or its own firewall refuses.
    pub fn send(&self, packet: &Packet) -> io::Result<()> {
        self.send_bytes(packet.destination(), &packet.bytes())
    }

    /// Sends a whole IP packet, header included, towards `destination`. The kernel fills in the
    /// header checksum and the length of IPv4, and an identification of zero.
    ///
    /// # Errors
    ///
    /// As [`Sender::send`]; also where the packet is longer than the link takes.
    pub fn send_bytes(&self, destination: IpAddr, bytes: &[u8]) -> io::Result<()> {
        let socket = if destination.is_ipv4() { &self.v4 } else { &self.v6 };
        socket.send_to(bytes, &SocketAddr::new(destination, 0).into()).map(|_| ())
    }
}

/// Catches the packets that arrive at a host.
#[derive(Debug)]
pub struct Listener {
    sockets: [Socket; 2],
    buffer: Vec<u8>,
}

/// Packets waiting to be read; beyond, the kernel drops them. In bytes of kernel memory.
const ROOM: usize = 64 << 20;

impl Listener {
    /// Catches everything that arrives at `host` from now on, on all its interfaces, IPv4 and
    /// IPv6, whatever the host's own firewall does with it. What the host sends is not caught.
    ///
    /// # Errors
    ///
    /// Where packet sockets are not allowed.
    pub fn in_host(host: &Host) -> io::Result<Listener> {
        host.run(|| -> io::Result<Listener> {
            Ok(Listener { sockets: [tap(0x0800)?, tap(0x86dd)?], buffer: vec![0; 65_536] })
        })?
    }

    /// The next packet, waiting up to `wait` for it.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses; "nothing came" is no error but `None`.
    pub fn next(&mut self, wait: Duration) -> io::Result<Option<Caught>> {
        let end = now() + wait;
        loop {
            if let Some(caught) = self.take()? {
                return Ok(Some(caught));
            }
            let left = end.saturating_duration_since(now());
            if left.is_zero() {
                return Ok(None);
            }
            self.wait(left)?;
        }
    }

    /// Everything that has arrived and arrives within `wait`.
    ///
    /// # Errors
    ///
    /// As [`Listener::next`].
    pub fn gather(&mut self, wait: Duration) -> io::Result<Vec<Caught>> {
        let end = now() + wait;
        let mut all = Vec::new();
        while let Some(caught) = self.next(end.saturating_duration_since(now()))? {
            all.push(caught);
        }
        Ok(all)
    }

    /// The first packet that `wanted` says yes to, within `wait`; others are thrown away.
    ///
    /// # Errors
    ///
    /// As [`Listener::next`].
    pub fn find(
        &mut self,
        wait: Duration,
        wanted: impl Fn(&Caught) -> bool,
    ) -> io::Result<Option<Caught>> {
        let end = now() + wait;
        while let Some(caught) = self.next(end.saturating_duration_since(now()))? {
            if wanted(&caught) {
                return Ok(Some(caught));
            }
        }
        Ok(None)
    }

    /// What has arrived already, without waiting. Packets that are no IP packets are skipped.
    pub(crate) fn take(&mut self) -> io::Result<Option<Caught>> {
        for socket in &mut self.sockets {
            loop {
                match socket.read(&mut self.buffer) {
                    Ok(length) => {
                        let bytes = self.buffer.get(..length).unwrap_or_default();
                        if let Some(caught) = Caught::parse(bytes) {
                            return Ok(Some(caught));
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // The interface went down: nothing comes from there, which is an answer.
                    Err(error) if error.raw_os_error() == Some(100) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(None)
    }

    fn wait(&self, wait: Duration) -> io::Result<()> {
        let [v4, v6] = &self.sockets;
        let mut watched =
            [v4, v6].map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN));
        let wait = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        match poll(&mut watched, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A packet socket for one kind of Ethernet frame; it sees arriving packets only, from the IP
/// header on.
fn tap(ethernet_type: u16) -> io::Result<Socket> {
    let kind = Protocol::from(i32::from(ethernet_type.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(kind))?;
    socket.set_nonblocking(true)?;
    if set_socket_recv_buffer_size_force(&socket, ROOM).is_err() {
        // Without the machine's own rights the common limit holds, which is enough for little.
        socket.set_recv_buffer_size(ROOM)?;
    }
    Ok(socket)
}
