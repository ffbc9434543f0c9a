//! Check: whether the configuration file is right, before it counts.
//!
//! `nightlatch check` reads the file and shows the first mistake with its line and a caret;
//! `nightlatch reload` makes a right file count without a restart.

pub mod cli;
