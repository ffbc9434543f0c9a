//! Boot: loads the firewall before the network is up, without the daemon and without DNS.
//!
//! `nightlatch boot` is run by an early unit. It loads the state in the database. If the configuration is invalid,
//! it uses the last valid one; if the database cannot be read, it loads the copy of the last good firewall; if that
//! is missing too, it blocks everything except SSH, which is rate-limited. `nightlatch daemon` takes over later.

pub mod cli;
mod io;
mod logic;

pub use io::{Copies, Copy, Copying, copies, keep_configuration};
