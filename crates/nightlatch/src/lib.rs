//! Nightlatch, the program: the daemon, the command line, and all features.
//!
//! [`run`] holds the one event loop, [`features`] one folder per feature, [`shell`] what all
//! features share, [`wording`] what is said that belongs to no feature.
#![forbid(unsafe_code)]

pub mod cli;
pub mod features;
pub mod run;
pub mod shell;
pub mod wording;
