//! Waits until a host is really on the network.
//!
//! The kernel finishes links and IPv6 addresses in its own time after `ip` has ended: at once on
//! a quiet machine, seconds later on a busy one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::now;

/// How long a busy machine may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(10);
/// The flag of an address that may not be used yet (`linux/if_addr.h`).
const TENTATIVE: u32 = 0x40;

/// Waits, on a thread inside the host, until its IPv6 addresses are usable and every one of
/// `gateways` answers. Says what is missing where it takes too long.
pub(super) fn wait(gateways: &[IpAddr]) -> io::Result<()> {
    let start = now();
    let late = || start.elapsed() > TIMEOUT;
    while tentative_addresses()? {
        if late() {
            return Err(io::Error::other("its IPv6 addresses do not become usable"));
        }
        std::thread::sleep(PAUSE);
    }
    for &gateway in gateways {
        while !answers(gateway)? {
            if late() {
                return Err(io::Error::other(format!("the gateway {gateway} does not answer")));
            }
        }
    }
    Ok(())
}

fn tentative_addresses() -> io::Result<bool> {
    let addresses = std::fs::read_to_string("/proc/thread-self/net/if_inet6")?;
    // The fifth of six columns holds the flags, in hexadecimal.
    let flags = addresses.lines().filter_map(|line| line.split_whitespace().nth(4));
    let mut flags = flags.filter_map(|flags| u32::from_str_radix(flags, 16).ok());
    Ok(flags.any(|flags| flags & TENTATIVE != 0))
}

/// Whether a closed UDP port of the gateway says that it is closed: then packets go both ways.
fn answers(gateway: IpAddr) -> io::Result<bool> {
    let any = match gateway {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.set_read_timeout(Some(PAUSE))?;
    let asked = socket.connect(SocketAddr::new(gateway, 9)).and_then(|()| socket.send(&[]));
    match asked.and_then(|_| socket.recv(&mut [0])) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        // "No route to host" and the like: the link is not up yet.
        _ => {
            std::thread::sleep(PAUSE);
            Ok(false)
        }
    }
}
