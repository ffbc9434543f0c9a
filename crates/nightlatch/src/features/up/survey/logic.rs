//! From texts and tables to facts. Pure: no file, no process, no clock.

pub mod addresses;
pub mod caller;
pub mod contacts;
pub mod firewalls;
pub mod flows;
pub mod hosting;
pub mod iptables;
pub mod known;
pub mod pbx;
pub mod proposal;
pub mod published;
pub mod ruleset;
pub mod sockets;
