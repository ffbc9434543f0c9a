//! Integration tests.

mod stage;
mod support;
