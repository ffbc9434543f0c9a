//! Feeds: published lists of bad networks.
//!
//! `nightlatch feed add NAME URL` fetches a list now and again; in mode `open` whoever is on it
//! meets silence. A list that shrinks, grows or widens beyond belief, or that names what this
//! server needs, is trimmed or refused, and what was in force stays. `nightlatch feed catalogue`
//! shows the ones that need no more than their name.

mod catalogue;
pub mod cli;
pub mod io;
mod show;
