//! Modes and services: what strangers meet, and what a service is.
//!
//! In mode `allowlist` strangers meet silence. In mode `open` the services listed in the
//! configuration answer them, under rate limits; everything else stays silent. Switching is one
//! step in the kernel, and running calls go on.

pub mod cli;
mod wording;

use nightlatch_core::features::firewall::{Firewall, Job};

use super::worded::Works;
use crate::shell::background::Background;

impl Works for Firewall {
    fn run(job: Job, _background: &Background) {
        match job {}
    }
}
