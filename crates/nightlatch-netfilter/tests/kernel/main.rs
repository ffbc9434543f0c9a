//! The crate against the real kernel, each test in a network namespace of its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod flows;
mod frames;
mod monitor;
mod namespace;
mod nflog;
mod packets;
mod sets;
mod structure;
