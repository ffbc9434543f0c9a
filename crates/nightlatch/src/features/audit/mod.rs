//! The audit log: every change, with who made it, from where, before and after.
//!
//! Each record carries the hash of the one before it: `nightlatch log --verify` detects edited and missing records.
//! The log is read straight from the database, so it can also be read while the daemon is not running.

pub mod cli;
mod wording;
