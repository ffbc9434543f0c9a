//! Why: what happens to packets from an address, and for what reason.
//!
//! `nightlatch why 203.0.113.7 --to udp/5060` uses the same function that generates the firewall: it shows the
//! verdict, the account or block behind it, since when, until when, and who set it; for a list its name, the entry
//! that contains the address, and its age.

pub mod cli;
mod wording;
