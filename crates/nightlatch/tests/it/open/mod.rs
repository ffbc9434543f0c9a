//! `nightlatch open`, from a laptop to a server.

mod cards;
mod daemon;
mod effects;
pub(crate) mod ground;
