//! Blocks: an administrator's "never".
//!
//! `nightlatch block 203.0.113.9 --for 7d --reason "guesses passwords"` shuts an address or network
//! out, running connections too. Where an account covers the address as well, the more specific of
//! the two wins, and the block where both are equal: `block 203.0.113.9` shuts one address out of
//! an allowed network, and an allowed address stays open inside a blocked network.

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
