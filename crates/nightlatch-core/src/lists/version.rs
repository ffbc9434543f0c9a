//! Which version of a list is at hand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A version of a list, as its source names it, so that it need not be fetched twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// The entity tag; of a file its number, size and time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The time of the last change, as the source writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

/// The versions of several files, by path or address.
pub type Versions = BTreeMap<String, Version>;
