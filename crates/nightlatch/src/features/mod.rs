//! One folder per feature.

pub mod demo;
