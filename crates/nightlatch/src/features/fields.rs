//! A JSON object to which several features add fields.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// The fields of an object, in the order of their numbers.
#[derive(Debug, Default)]
pub struct Fields(BTreeMap<u8, (&'static str, Box<RawValue>)>);

impl Fields {
    /// Sets the field of a number.
    pub fn set(&mut self, number: u8, name: &'static str, value: &(impl Serialize + ?Sized)) {
        // All that is shown is plain data, which can always be written.
        if let Ok(value) = to_raw_value(value) {
            let before = self.0.insert(number, (name, value));
            debug_assert!(before.is_none(), "the number of \"{name}\" is taken: {before:?}");
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.values().map(|(name, value)| (name, value)))
    }
}
