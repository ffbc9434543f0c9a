//! Bans: attacking sources that are denied everything for a time.
//!
//! Whoever attacks is banned by itself, on what the logs say (see "nightlatch watch"): the next packet is
//! dropped already, running connections included, and nothing is sent there any more. A ban ends by itself, in the
//! kernel, also while the daemon is stopped. Who comes back is banned for longer: 15 minutes, then an hour, six
//! hours, a day, a week; each quiet week makes it one less (`[bans]` in the configuration). Bans survive a
//! restart and a reboot.
//!
//! `nightlatch bans` lists them, each with its country, the network that contains it, and what was seen. The country is
//! that of the table of countries (Debian's package `tor-geoipdb`, or `[countries] source`), also where no country is
//! blocked. The network is that of the autonomous system, where a database of them is installed
//! (`/var/lib/GeoIP/GeoLite2-ASN.mmdb` or `/usr/share/GeoIP/GeoLite2-ASN.mmdb`; Debian has none), and the entries of lists
//! (`nightlatch feed`) that contain the address. What none of these tells is `unknown`: nothing is asked over the
//! network.
//!
//! `nightlatch ban 203.0.113.9 --for 2h --reason "guesses
//! extensions"` bans an address by hand, an IPv6 address with its network of 64 bits.
//! `nightlatch unban 203.0.113.9` ends a ban, `nightlatch unban --all` all of them.
//!
//! Accounts, leases, providers, exemptions, this server's own addresses, gateways, resolvers and the servers
//! at which it is registered are never banned; an account inside of a banned network stays
//! allowed, also if it is added later. What attacks from there is told as a notice. What somebody else could have
//! forged, such as a single UDP packet, sets brief bans only, at most a thousand at a time.
//!
//! `nightlatch bans --limited` lists the sources instead that attack and are not banned but limited, and, as the kernel
//! has it, those that have exceeded a rate limit within the last minute: in mode `open` the limit of each source
//! (`per-source` under `[open]`). Of each is told how many packets were dropped since it began, up to a thousand a second of
//! all sources together. The kernel notes 4,096 sources of each family; an IPv6 source is a network of 64 bits.
//!
//! In JSON each of the `bans` has its `range`, `since` when and `until` when, how many `times` in a row, the
//! `cause` with its evidence, in `words` too, its `country` (`code` and `name`, or null), its `system` (`number`,
//! `organization` and `range`, or null) and the `networks` on lists (`range` and `list`); moments are in milliseconds
//! since 1970. `count` tells how many there are; the last 10,000 are listed. `limits` has the limited sources; with
//! `--limited`, `rate_limited` has those over a rate limit, each with its `source`, `packets`, `country`, `system` and
//! `networks`.

pub mod cli;
mod io;
mod wording;

use nightlatch_core::features::bans::{Bans, Job};

use super::worded::Works;
use crate::shell::background::Background;

impl Works for Bans {
    fn run(job: Job, _background: &Background) {
        match job {}
    }
}
