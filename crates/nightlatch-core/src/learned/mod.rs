//! Learned state: what the kernel adds to sets by itself, or what was seen on the wire.
//!
//! An element of such a set has an end, and the kernel counts the time. The sets work while the daemon
//! is stopped, but not across a flush or a reboot. So the daemon reads them back ([`LearnedSets`]), and
//! every load of the whole table puts their elements back with the time that they have left.
//!
//! Whoever needs such a set declares it ([`SetSpec`]) beside its own code, adds the declaration to
//! [`all`], and writes the rules that use it. Reading, merging, saving, putting back, and deleting what
//! is closed follow from the declaration.

mod saved;
mod sets;
mod spec;
#[cfg(test)]
mod tests;

pub use saved::{Damaged, read, write};
pub use sets::LearnedSets;
pub use spec::{Effect, Element, Filled, Key, Lasting, SetSpec, Shape};

use crate::{condition, cut, features, knock};

/// Sets with more elements are not listed where that can be avoided: the kernel takes a time that grows
/// with the square of their number (0.2 s for this many, 11 s for 262,144).
pub const MAX_LISTED: usize = 50_000;

/// All declared sets.
pub fn all() -> impl Iterator<Item = &'static SetSpec> + Clone {
    features::sets().chain([&cut::SET, &knock::KNOCKED]).chain(condition::SETS)
}

/// Those that are read: not where what they have follows from records.
pub fn all_read() -> impl Iterator<Item = &'static SetSpec> + Clone {
    all().filter(|set| set.filled != Filled::FromRecords)
}
