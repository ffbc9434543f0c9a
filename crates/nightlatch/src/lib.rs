//! The program.
#![forbid(unsafe_code)]
