//! Accounts: who may come in.
//!
//! `nightlatch allow office 203.0.113.7 office.example.net --services sip,web --for 8h` opens the
//! door for the office; `remove`, `list` and `show` do what they say. An account may hold several
//! addresses, networks, ranges and host names of both families, also from a file (`--from`); where
//! accounts overlap, the union of their services counts, and removing one never closes another's door.
//! Removing an account, or its end, ends its running connections at once. A network wider than a /16
//! (IPv4) or a /32 (IPv6) needs `--force`.
//!
//! `nightlatch account add office 203.0.113.9` and `account drop office 203.0.113.7` change which
//! addresses it has; `account set office --services sip --until "2026-12-31 18:00" --rename berlin` its
//! services, end, note and name. Each is one change: connections of addresses that stay go on
//! undisturbed, those of addresses that go, and of services that are no longer allowed, end at once.

pub mod cli;
mod hosts;
pub mod io;
mod wording;

use nightlatch_core::features::accounts::{Accounts, Job};

use super::worded::Works;
use crate::shell::background::Background;

impl Works for Accounts {
    fn run(job: Job, _background: &Background) {
        match job {}
    }
}
