//! Modes and services: what strangers can reach, and what a service is.
//!
//! In mode `allowlist` packets of strangers are dropped. In mode `open` strangers can reach the services listed in
//! the configuration, under rate limits; everything else is dropped. Switching is one atomic change in the kernel,
//! and established calls continue.

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
