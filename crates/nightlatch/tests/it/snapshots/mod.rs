//! What every command prints, whole: exit code, standard output, standard error, as text and as JSON.
//!
//! Each test writes down a transcript of real commands and compares it with a file in `expected/`,
//! byte for byte but for what differs from one run to the next (see `normal`). With
//! `NIGHTLATCH_UPDATE_SNAPSHOTS=1` the files are written anew; look at the difference before you
//! keep it.
//!
//! In a transcript, `$` begins a command, `= 1` is its exit code, `!` begins a line of standard
//! error; all else is standard output.
//!
//! Not reached here: lists and tables so old that they are doubted; denials of an earlier version; a
//! `confirm` between the end of a trial and its being written down; a disk that hangs; other versions
//! of the protocol, and requests that are none; packets that feeds have stopped; sources of countries
//! of which each holds one country; consoles other than `chan_pjsip`; what `up` says of other
//! firewalls, clouds, VPNs, media and containers (tests of the survey have these), and of systemd;
//! `log --follow`, the progress on a terminal, `demo`, manual pages and completions.

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
mod open;
mod pbx;
mod providers;
mod server;
mod status;
mod transcript;
mod underway;
mod up;
mod users;
mod watch;
mod why;
