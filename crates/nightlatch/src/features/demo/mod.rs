//! `nightlatch demo`: what a protected telephone server looks like from outside, before and
//! after, with real packets, without touching this machine.
//!
//! The demo builds a telephone server, an office, a traveller and an attacker in network
//! namespaces of their own. Each of the three tries to reach the server: all 65,535 TCP ports, the
//! common UDP ports, packets made to slip past a firewall (without SYN, in fragments, with odd
//! headers, from port 53), pings and SIP requests, by IPv4 and IPv6. Then the server is protected
//! by the real daemon, office and traveller are let in, and all three try again.
//!
//! `nightlatch demo` needs `ip` (Debian: iproute2), `unshare`, `nsenter` and `setpriv`
//! (util-linux). It runs as root, or as any user where the machine allows user namespaces. When it
//! ends, also by Ctrl-C, nothing of it is left.

pub mod cli;
pub mod io;
pub mod logic;
pub mod packet;
mod probes;
pub mod scan;
mod sip;
pub mod stage;
pub mod standin;
#[cfg(test)]
mod tests;

use std::time::Instant;

/// The clock of the demo, which waits for packets.
#[expect(clippy::disallowed_methods, reason = "the demo's only reading of the clock")]
fn now() -> Instant {
    Instant::now()
}
