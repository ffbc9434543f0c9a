//! `nightlatch demo`: what a protected telephone server looks like from outside, before and
//! after, with real packets, without touching this machine.

pub mod packet;
pub mod stage;

use std::time::Instant;

/// The clock of the demo, which waits for packets.
#[expect(
    clippy::disallowed_methods,
    reason = "the demo's only reading of the clock"
)]
fn now() -> Instant {
    Instant::now()
}
