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
//!
//! `account set office --hours "Mon-Fri 07:00-19:00, Sat 09:00-13:00" --zone Europe/Berlin` makes an account
//! count during these hours only; `--hours always` ends that. `allow`, `user add` and `user set` take hours
//! too. A range past midnight (`22:00-06:00`) belongs to the day on which it begins. When hours end, so do
//! running connections, except for a call: its signalling and media continue until a minute after its last
//! packet of media. Hours follow daylight saving time, and work for a week while the daemon is stopped.

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
