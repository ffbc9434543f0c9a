//! Integration tests.

mod survey;
