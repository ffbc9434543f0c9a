//! Exemptions: addresses that are never banned and never blocked by a list.
//!
//! `nightlatch exempt add doctor 203.0.113.7 home.example.net` spares these addresses from bans, feeds and
//! countries, and allows them nothing: in mode allowlist they are dropped as any stranger's, and in mode
//! open they reach what is open to everybody, whatever the lists say. `nightlatch block` still blocks them.
//! `exempt remove doctor` ends an exemption, `exempt remove doctor 203.0.113.7` that of one address; running
//! connections continue. A network wider than a /16 (IPv4) or a /32 (IPv6) needs `--force`.

pub mod cli;
mod wording;

use nightlatch_core::features::exemptions::{Exemptions, Job};

use super::worded::Works;
use crate::shell::background::Background;

impl Works for Exemptions {
    fn run(job: Job, _background: &Background) {
        match job {}
    }
}
