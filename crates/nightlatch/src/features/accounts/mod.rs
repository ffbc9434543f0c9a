//! Accounts: addresses that may connect.
//!
//! `nightlatch allow office 203.0.113.7 office.example.net --services sip,web --for 8h` allows the office;
//! `account`, `remove`, `list` and `show` manage existing accounts. An account may have several addresses,
//! networks, ranges and host names of both families, also from a file (`--from`). Where accounts overlap, the union
//! of their services is allowed, and removing one account does not affect what another one allows. When an account
//! is removed or expires, its established connections end at once. A network wider than a /16 (IPv4) or a /32
//! (IPv6) needs `--force`.
//!
//! `nightlatch account add office 203.0.113.9` and `account drop office 203.0.113.7` change the addresses of an
//! account; `account set office --services sip --until "2026-12-31 18:00" --rename berlin` changes its services,
//! expiry, note and name. Each is one change: connections of addresses that stay are not affected; those of
//! addresses that are dropped, and of services that are no longer allowed, end at once.
//!
//! `account set office --hours "Mon-Fri 07:00-19:00, Sat 09:00-13:00" --zone Europe/Berlin` makes an account valid
//! during these hours only; `--hours always` removes them. `allow`, `user add` and `user set` accept hours too. A
//! range past midnight (`22:00-06:00`) belongs to the day on which it starts. When the hours end, established
//! connections end too, except for a call: its signalling and media continue until a minute after its last media
//! packet. Hours follow daylight saving time, and are applied for a week while the daemon is stopped.

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
