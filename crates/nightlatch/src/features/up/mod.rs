//! Up: one command puts the firewall up, and nobody is locked out.
//!
//! `nightlatch up` looks at the machine (who calls and from where, which telephone server, what
//! listens, which connections live, which other firewalls there are), says in plain words what
//! stays reachable and for whom, what strangers will lose and which live connections would end,
//! and asks. Then the firewall is on trial: unless `nightlatch confirm` comes within a minute,
//! best from a new connection, everything is taken back, by the kernel itself if need be. A second
//! `up` keeps every account and setting. `nightlatch down` takes the firewall off.

pub mod cli;
mod dry_run;
mod io;
mod logic;
mod media;
pub mod survey;
mod trial;
mod trunks;
mod wanted;
