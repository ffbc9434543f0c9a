//! Check: validates the configuration file before it is used.
//!
//! `nightlatch check` reads the file and shows the first error with its line and a caret; `nightlatch reload`
//! applies a valid file without a restart.

pub mod cli;
