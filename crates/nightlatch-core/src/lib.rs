//! The spine, pure: no runtime, no file, no clock, no randomness.
#![forbid(unsafe_code)]
