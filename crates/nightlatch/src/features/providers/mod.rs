//! Providers: carriers whose servers are allowed by name.
//!
//! `nightlatch provider list` shows a catalogue of carriers, with the host names and networks of their signalling,
//! and the networks of their media. `nightlatch provider enable NAME` allows one for telephony only: its signalling
//! for the services that the entry names (`sip`, `sip-tls`, `iax`, `rtp`; as in an account, `sip` includes media),
//! its media networks for `rtp` alone, never for ssh or web. It is never banned, and no feed and no country blocks
//! it; your own blocks do. `provider disable` ends its established connections. Nothing is enabled by default;
//! `nightlatch up` names the providers for which this PBX has a trunk.
//!
//! An entry is *verified* if it was read where the addresses are published; `provider show NAME` has the page and
//! its date. *Unverified* ones come from elsewhere or may be out of date: compare them with what the provider tells
//! you, then add `--force`. A provider that is *defunct* cannot be enabled, because somebody else may have its
//! addresses now.
//!
//! Host names are looked up periodically; `provider list` and `provider show` tell which have no address. When a
//! new version of the program has other addresses of a provider, those that are enabled follow at the start, with a
//! record in the audit log.
//!
//! In JSON each provider has the entry of the catalogue as `provider` (`null` if this version no longer has it),
//! and what is allowed as `enabled` (`null` if nothing is).

pub mod cli;
mod wording;

use nightlatch_core::features::providers::{Job, Providers};

use super::worded::Works;
use crate::shell::background::Background;

impl Works for Providers {
    fn run(job: Job, _background: &Background) {
        match job {}
    }
}
