//! What all lists have in common: whom none may hold, and what is believed of new content.
//!
//! Lists count only for strangers, and never against what is guarded. What a list is and what it holds
//! belongs to its feature.

mod guard;
mod sanity;
mod version;

pub use guard::{Guard, is_special, special};
pub use sanity::{Inspected, Refused, Remark, SparedBy, inspect};
pub use version::{Version, Versions};
