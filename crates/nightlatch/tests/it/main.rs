//! Integration tests.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod ami;
mod commands;
mod crash;
mod demo;
mod equality;
mod failures;
mod fetch;
mod kernel;
mod names;
mod notices;
mod open;
mod packet;
mod packets;
mod snapshots;
mod stage;
mod support;

mod survey;
mod together;
mod users;
mod watch;
