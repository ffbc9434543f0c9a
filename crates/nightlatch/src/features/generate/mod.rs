//! Generate: manual pages and completions, from the same tree as the help.

pub mod cli;
mod io;
