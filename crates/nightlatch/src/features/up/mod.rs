//! Up: turns the firewall on without locking anybody out.
//!
//! `nightlatch up` inspects the machine (who is connected and from where, the telephone server, listening programs,
//! established connections, other firewalls), shows what stays reachable and for whom, what strangers can no longer
//! reach and which connections would end, and asks. Then the firewall is on trial, like "commit confirmed" of
//! Junos: unless `nightlatch confirm` is run within a minute, ideally from a new connection, everything is rolled
//! back, by the kernel itself if necessary. A second `up` keeps all accounts and settings. `nightlatch down` turns
//! the firewall off.

pub mod cli;
mod dry_run;
mod io;
mod logic;
mod media;
pub mod survey;
mod trial;
mod trunks;
mod wanted;
