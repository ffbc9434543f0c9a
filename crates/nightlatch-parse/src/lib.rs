//! Hostile bytes to typed values.
//!
//! Everything that reads text or packets from outside lives here. No input and output, no clock,
//! no unsafe code; every public function runs in linear time, allocates no more than its input
//! justifies, and never panics, whatever it is given.
#![forbid(unsafe_code)]

pub mod address;
pub mod country;
pub mod dns;
pub mod fail2ban;
pub mod feed;
pub mod http;
pub mod ip_packet;
pub mod journal;
pub mod log;
pub mod packet;
pub mod pbx;
pub mod ranges;
pub mod sip;
pub mod sniff;
pub mod spa;
pub mod tally;

mod lines;
