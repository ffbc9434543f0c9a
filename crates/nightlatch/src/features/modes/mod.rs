//! Modes and services: what strangers meet, and what a service is.
//!
//! In mode `allowlist` strangers meet silence. In mode `open` the services listed in the
//! configuration answer them, under rate limits; everything else stays silent. Switching is one
//! step in the kernel, and running calls go on.

pub mod cli;
