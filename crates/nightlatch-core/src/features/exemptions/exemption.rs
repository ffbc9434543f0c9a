//! Exemptions: addresses for which no list counts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::entry::{Entry, is_record_name};
use crate::records::Ranged;
use crate::time::Time;

/// Addresses that are never banned and never blocked by a list, under a name. They are allowed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exemption {
    /// Its name, unique among exemptions.
    pub name: ExemptionName,
    /// Addresses, networks, ranges and host names, of both families.
    pub exempt: Vec<Entry>,
    /// When it was made.
    pub since: Time,
    /// Who made it.
    pub by: String,
}

impl Exemption {
    /// Every range that it stands for now, host names by their last known addresses.
    pub fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        self.exempt.iter().flat_map(Entry::ranges)
    }
}

impl Ranged for Exemption {
    type Key = ExemptionName;

    fn key(&self) -> ExemptionName {
        self.name.clone()
    }

    fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        Exemption::ranges(self)
    }

    fn until(&self) -> Option<Time> {
        None
    }
}

/// Not the name of an exemption.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid exemption name: use 1 to 64 letters, digits, \".\", \"_\", \"-\", \"@\", no space"
)]
pub struct NameError(String);

/// The name of an exemption; the same characters as in the name of an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ExemptionName(Arc<str>);

impl ExemptionName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExemptionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<ExemptionName, NameError> {
        match is_record_name(text) {
            true => Ok(ExemptionName(text.into())),
            false => Err(NameError(text.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for ExemptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ExemptionName> for String {
    fn from(name: ExemptionName) -> String {
        name.as_str().to_owned()
    }
}

impl TryFrom<String> for ExemptionName {
    type Error = NameError;

    fn try_from(text: String) -> Result<ExemptionName, NameError> {
        text.parse()
    }
}
