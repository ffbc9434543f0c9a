//! One folder per feature; one line here registers it.

pub mod survey;
