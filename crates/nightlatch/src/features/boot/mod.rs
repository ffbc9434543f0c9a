//! Boot: the firewall stands before the network does, without the daemon and without DNS.
//!
//! `nightlatch boot` is run by an early unit. It puts up what the database says; where the
//! configuration is bad, with the last one that was good; where the database cannot be read, the
//! copy of the last good firewall; and where even that is gone, a closed one in which only SSH
//! answers, under rate limits. `nightlatch daemon` takes over later.

pub mod cli;
mod io;
mod logic;

pub use io::{Copies, Copy, Copying, copies, keep_configuration};
