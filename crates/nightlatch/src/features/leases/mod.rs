//! Leases: addresses that credentials of users have opened for a time.
//!
//! `nightlatch leases` shows each open address: the user, the credential, since when, until when at the latest, and
//! when it last sent a packet that was accepted. `nightlatch close 203.0.113.7` ends the leases of an address and
//! its established connections.
//!
//! Every accepted packet renews a lease in the kernel: it ends eight hours after the last one, and seven days after
//! it was opened, but never during a call, i.e. until sixty seconds after the last packet of media. A user has at
//! most four addresses; the oldest ends. All this works while the daemon is stopped; then the longest limits of all
//! leases of an address apply. It also survives a reboot, after which a lease may end earlier, by up to a quarter
//! of its time.
//!
//! In JSON each of the `leases` has the `user`, the `address`, the `credential`, the `services`, the `hours`, the
//! `idle` limit in seconds, `since` when and `until` when at the latest, whether it is `in_force`, the
//! `last_packet` since it was opened, and whether its address is `in_call`; moments are in milliseconds since 1970.

pub mod cli;
mod wording;

use nightlatch_core::features::leases::{Job, Leases};

use super::worded::Works;
use crate::shell::background::Background;

impl Works for Leases {
    fn run(job: Job, _background: &Background) {
        match job {}
    }
}
