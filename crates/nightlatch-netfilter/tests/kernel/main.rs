//! The crate against the real kernel, each test in a network namespace of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod flows;
mod monitor;
mod namespace;
mod packets;
mod sets;
mod structure;
