//! The spine of Nightlatch, pure: no runtime, no file, no socket, no clock, no randomness.
//!
//! Facts come in as [`event::Event`]s, [`engine::Engine`] answers with [`action::Action`]s, and
//! the loop of the program hands them to its lanes. What passes and why is decided in [`policy`] alone;
//! what the kernel gets is a value made in [`ruleset`] from the [state](features::State).
#![forbid(unsafe_code)]

pub mod action;
pub mod api;
pub mod attack;
pub mod attribution;
pub mod audit;
pub mod ban;
pub mod began;
pub mod condition;
pub mod config;
pub mod cut;
pub mod detect;
mod effort;
pub mod engine;
pub mod entry;
pub mod event;
pub mod features;
pub mod heard;
pub mod hours;
pub mod knock;
pub mod learned;
pub mod lists;
pub mod near;
pub mod pbx;
pub mod policy;
pub mod posture;
pub mod probe;
pub mod product;
mod range_map;
pub mod ranges;
pub mod records;
pub mod refusal;
pub mod row;
pub mod ruleset;
pub mod secret;
pub mod service;
pub mod signalling;
pub mod time;
pub mod trouble;
pub mod watched;

pub use nightlatch_parse::address::{self, AddrRange, Family};
