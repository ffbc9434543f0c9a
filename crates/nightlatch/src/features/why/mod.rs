//! Why: what happens to packets of an address, and for what reason.
//!
//! `nightlatch why 203.0.113.7 --to udp/5060` asks the same function that the firewall is made
//! from: the verdict, the account or block behind it, since when, until when, and who set it; of a
//! list its name, the entry that holds the address, and its age.

pub mod cli;
mod wording;
