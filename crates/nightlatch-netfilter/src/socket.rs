//! A file with unsafe code: a netlink socket by `libc` calls.

#![expect(unsafe_code, reason = "netlink sockets have no safe interface in the standard library")]

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// `linux/netlink.h`: echo only the header of a refused request, and say why in words.
const NETLINK_CAP_ACK: libc::c_int = 10;
const NETLINK_EXT_ACK: libc::c_int = 11;

/// Large enough for every datagram of the kernel: dumps come in at most 32 KiB.
const DATAGRAM: usize = 64 * 1024;

/// A blocking `NETLINK_NETFILTER` socket with a receive time-out.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    port: u32,
    send_limit: usize,
    datagram: Box<[u8]>,
}

/// What came of waiting for a datagram.
#[derive(Debug)]
pub(crate) enum Received<'a> {
    /// A datagram of the kernel.
    Datagram(&'a [u8]),
    /// Nothing came in time.
    Nothing,
    /// The receive buffer ran over, or a datagram was cut off: something was lost.
    Lost,
}

impl Socket {
    /// Opens and binds a socket in the calling thread's network namespace.
    pub(crate) fn open(receive_buffer: usize, timeout: Duration) -> io::Result<Socket> {
        // SAFETY: `socket` takes numbers only; the result is checked before use.
        let fd = checked(unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                libc::NETLINK_NETFILTER,
            )
        })?;
        // SAFETY: `fd` was just opened and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut socket =
            Socket { fd, port: 0, send_limit: 0, datagram: vec![0; DATAGRAM].into_boxed_slice() };
        socket.port = socket.bind()?;
        socket.set_number(libc::SOL_NETLINK, NETLINK_EXT_ACK, 1)?;
        socket.set_number(libc::SOL_NETLINK, NETLINK_CAP_ACK, 1)?;
        let size = clamp(receive_buffer);
        socket
            .set_number(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size)
            .or_else(|_| socket.set_number(libc::SOL_SOCKET, libc::SO_RCVBUF, size))?;
        socket.set_receive_timeout(timeout)?;
        Ok(socket)
    }

    /// The netlink port: the kernel marks with it what this socket changed.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// A handle by which any thread subscribes this socket to a multicast group, or ends that.
    pub(crate) fn membership(&self, group: u32) -> io::Result<Membership> {
        Ok(Membership {
            fd: self.fd.try_clone()?,
            group: libc::c_int::try_from(group).map_err(io::Error::other)?,
        })
    }

    /// From now on, what does not fit into the receive buffer is dropped without [`Received::Lost`], and
    /// only that: otherwise, the kernel would drop everything from then on until the buffer has been
    /// read to its end.
    pub(crate) fn drop_silently(&self) -> io::Result<()> {
        self.set_number(libc::SOL_NETLINK, libc::NETLINK_NO_ENOBUFS, 1)
    }

    /// Makes room to send `bytes` in one datagram, as far as the kernel allows.
    pub(crate) fn reserve_send(&mut self, bytes: usize) -> io::Result<()> {
        // The kernel keeps 32 bytes for itself, and doubles what is asked for.
        let wanted = bytes.saturating_add(4096);
        if self.send_limit >= wanted {
            return Ok(());
        }
        let size = clamp(wanted);
        self.set_number(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, size)
            .or_else(|_| self.set_number(libc::SOL_SOCKET, libc::SO_SNDBUF, size))?;
        self.send_limit = wanted;
        Ok(())
    }

    /// Sends one datagram to the kernel, which works on it before this returns.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let address = kernel_address();
        loop {
            // SAFETY: both pointers with their lengths come from live references, and the
            // kernel only reads them.
            let sent = unsafe {
                libc::sendto(
                    self.fd.as_raw_fd(),
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    0,
                    (&raw const address).cast(),
                    ADDRESS_LENGTH,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) if sent == bytes.len() => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Waits up to the receive time-out for a datagram.
    pub(crate) fn receive(&mut self) -> io::Result<Received<'_>> {
        self.receive_with(0)
    }

    /// A datagram that is there already.
    pub(crate) fn receive_now(&mut self) -> io::Result<Received<'_>> {
        self.receive_with(libc::MSG_DONTWAIT)
    }

    /// Waits until something can be received; `false` where the time ran out.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut entry = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // Rounded up, so that a short time does not become a busy loop.
        let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
        let milliseconds = libc::c_int::try_from(milliseconds).unwrap_or(libc::c_int::MAX);
        // SAFETY: one entry, in a live variable, as the count says.
        match checked(unsafe { libc::poll(&raw mut entry, 1, milliseconds) }) {
            Ok(ready) => Ok(ready > 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn receive_with(&mut self, flags: libc::c_int) -> io::Result<Received<'_>> {
        let length = loop {
            let mut address = kernel_address();
            let mut address_length = ADDRESS_LENGTH;
            // SAFETY: the buffer and the address are live, writable, and of the lengths given.
            let received = unsafe {
                libc::recvfrom(
                    self.fd.as_raw_fd(),
                    self.datagram.as_mut_ptr().cast(),
                    self.datagram.len(),
                    flags | libc::MSG_TRUNC,
                    (&raw mut address).cast(),
                    &raw mut address_length,
                )
            };
            match usize::try_from(received) {
                // Only the kernel has port 0: what any other program sends is not listened to.
                Ok(_) if address.nl_pid != 0 => {}
                Ok(length) => break length,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    match error.raw_os_error() {
                        Some(libc::EINTR) => {}
                        Some(libc::EAGAIN) => return Ok(Received::Nothing),
                        Some(libc::ENOBUFS) => return Ok(Received::Lost),
                        _ => return Err(error),
                    }
                }
            }
        };
        Ok(match self.datagram.get(..length) {
            Some(datagram) => Received::Datagram(datagram),
            None => Received::Lost,
        })
    }

    fn bind(&self) -> io::Result<u32> {
        let mut address = kernel_address();
        let mut length = ADDRESS_LENGTH;
        // SAFETY: the address is live and of the length given; port 0 lets the kernel choose.
        checked(unsafe {
            libc::bind(self.fd.as_raw_fd(), (&raw const address).cast(), ADDRESS_LENGTH)
        })?;
        // SAFETY: the address is live, writable and of the length given.
        checked(unsafe {
            libc::getsockname(self.fd.as_raw_fd(), (&raw mut address).cast(), &raw mut length)
        })?;
        Ok(address.nl_pid)
    }

    fn set_number(
        &self,
        level: libc::c_int,
        option: libc::c_int,
        value: libc::c_int,
    ) -> io::Result<()> {
        self.set_option(level, option, &value)
    }

    fn set_receive_timeout(&self, timeout: Duration) -> io::Result<()> {
        let value = libc::timeval {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_usec: libc::suseconds_t::from(timeout.subsec_micros().cast_signed()),
        };
        self.set_option(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &value)
    }

    fn set_option<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
        set_option(self.fd.as_fd(), level, option, value)
    }
}

/// The subscription of a socket to a multicast group, begun or not.
#[derive(Debug)]
pub(crate) struct Membership {
    fd: OwnedFd,
    group: libc::c_int,
}

impl Membership {
    /// Subscribes.
    pub(crate) fn join(&self) -> io::Result<()> {
        self.set(libc::NETLINK_ADD_MEMBERSHIP)
    }

    /// Ends the subscription. What was received before can still be read.
    pub(crate) fn leave(&self) -> io::Result<()> {
        self.set(libc::NETLINK_DROP_MEMBERSHIP)
    }

    fn set(&self, option: libc::c_int) -> io::Result<()> {
        set_option(self.fd.as_fd(), libc::SOL_NETLINK, option, &self.group)
    }
}

fn set_option<T>(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(mem::size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: `value` is live and of the length given, and the kernel only reads it.
    checked(unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), length)
    })?;
    Ok(())
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the size is 12")]
const ADDRESS_LENGTH: libc::socklen_t = mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t;

fn kernel_address() -> libc::sockaddr_nl {
    // SAFETY: all zeroes is a valid `sockaddr_nl`: plain numbers.
    let mut address: libc::sockaddr_nl = unsafe { mem::zeroed() };
    address.nl_family = libc::sa_family_t::try_from(libc::AF_NETLINK).unwrap_or_default();
    address
}

/// A size that the kernel can double.
fn clamp(bytes: usize) -> libc::c_int {
    libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX).min(libc::c_int::MAX / 2)
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
