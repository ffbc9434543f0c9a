//! What all features share.

pub mod fetch;
