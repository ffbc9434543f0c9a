//! Blocks: addresses that an administrator has blocked.
//!
//! `nightlatch block 203.0.113.9 --for 7d --reason "guesses passwords"` blocks an address or network, including its
//! established connections. Where an account covers the address too, the more specific of the two takes precedence,
//! and the block if both are equal: `block 203.0.113.9` blocks one address of an allowed network, and an allowed
//! address stays allowed inside a blocked network.

pub mod cli;
mod wording;

use nightlatch_core::features::blocks::{Blocks, Job};

use super::worded::Works;
use crate::shell::background::Background;

impl Works for Blocks {
    fn run(job: Job, _background: &Background) {
        match job {}
    }
}
