//! Which countries are shut out, and who asked for it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nightlatch_parse::country::CountryCode;
use serde::{Deserialize, Serialize};

/// Which countries are shut out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CountryRules {
    /// These.
    pub blocked: BTreeSet<CountryCode>,
    /// Everybody but these, where there are any.
    pub only: BTreeSet<CountryCode>,
}

impl CountryRules {
    /// Whether no country is shut out.
    pub fn is_empty(&self) -> bool {
        self.blocked.is_empty() && self.only.is_empty()
    }

    /// Every country that is named.
    pub fn named(&self) -> BTreeSet<CountryCode> {
        self.blocked.union(&self.only).copied().collect()
    }

    /// Whether an address of a country (or of none) is shut out.
    pub fn shut_out(&self, country: Option<CountryCode>) -> bool {
        match country {
            Some(code) => {
                self.blocked.contains(&code) || !self.only.is_empty() && !self.only.contains(&code)
            }
            None => !self.only.is_empty(),
        }
    }
}

/// Somebody who changed the rules of countries, or asked for a new table, before it is known what
/// comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountryAsker {
    /// From where: an address that what comes must not shut out.
    pub origin: Option<IpAddr>,
    /// The rules to go back to.
    pub before: CountryRules,
}
