//! The firewall on the real kernel: the real program protects the server of a stage, and its
//! friends and enemies send it real packets.

mod ground;
mod program;

mod access;
mod access_kills;
mod accounts;
mod answers;
mod attacks;
mod ban_kills;
mod bans;
mod began;
mod blocks;
mod changes;
mod containers;
mod cuts;
mod cuts_kept;
mod essential;
mod flood;
mod knock;
mod knock_full;
mod knock_links;
mod knock_scans;
mod lease_kills;
mod leases;
mod lists;
mod media;
mod open;
mod provider_names;
mod providers;
mod routed;
mod signalling;
mod silence;
mod slipped;
mod switch;
mod tamper;
mod trial;
mod upgrade;
mod watch;
