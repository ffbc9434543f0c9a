//! What tests, benchmarks and the demo need to look at a firewall from outside: hosts in network
//! namespaces, crafted packets, a scanner, a stand-in for a telephone server.
//!
//! `nightlatch`, which runs as root on the server that it protects, contains none of this. The demo
//! is a program of its own, `nightlatch-lab`, which `nightlatch demo` starts. It uses `nightlatch` as
//! an administrator does, by its command line.
#![forbid(unsafe_code)]

pub mod cli;
pub mod demo;
pub mod packet;
mod probes;
pub mod report;
pub mod scan;
mod sip;
pub mod stage;
pub mod standin;
#[cfg(test)]
mod tests;

use std::time::Instant;

/// The clock of the lab, which waits for packets.
#[expect(clippy::disallowed_methods, reason = "the lab's only reading of the clock")]
fn now() -> Instant {
    Instant::now()
}
