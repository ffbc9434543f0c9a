//! Exemptions: addresses that are never banned and never blocked by a list.
//!
//! `nightlatch exempt add doctor 203.0.113.7 home.example.net` exempts these addresses from bans, feeds and
//! countries, but does not allow them anything: in mode allowlist they are dropped like those of any stranger, and
//! in mode open they can reach what is open to everybody, whatever the lists contain. `nightlatch block` still
//! blocks them. `exempt remove doctor` removes an exemption, `exempt remove doctor 203.0.113.7` one of its
//! addresses; established connections continue. A network wider than a /16 (IPv4) or a /32 (IPv6) needs `--force`.

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
