//! The firewall on the real kernel: the real program protects the server of a stage, and its
//! friends and enemies send it real packets.

mod ground;

mod essential;
mod silence;
