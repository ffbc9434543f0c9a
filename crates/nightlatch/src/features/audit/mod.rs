//! The audit log: every change, with who made it, from where, before and after.
//!
//! Each record carries the hash of the one before it: `nightlatch log --verify` finds any edit or
//! gap. The log is read straight from the database, so it can be read while the daemon is down.

pub mod cli;
mod wording;
