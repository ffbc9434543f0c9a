//! `nightlatch open`, from a laptop to a server.

mod cards;
mod effects;
mod ground;
