//! What every command prints, whole: exit code, standard output, standard error, as text and as JSON.
//!
//! Each test writes down a transcript of real commands and compares it with a file in `expected/`,
//! byte for byte but for what differs from one run to the next (see `normal`). With
//! `NIGHTLATCH_UPDATE_SNAPSHOTS=1` the files are written anew; look at the difference before you
//! keep it.
//!
//! In a transcript, `$` begins a command, `= 1` is its exit code, `!` begins a line of standard
//! error; all else is standard output.

mod accounts;
mod compare;
mod countries;
mod failures;
mod fake;
mod feeds;
mod ground;
mod lists;
mod log;
mod mistakes;
mod modes;
mod normal;
mod oldnames;
mod pbx;
mod server;
mod status;
mod transcript;
mod underway;
mod up;
mod why;
