//! Accounts: named permissions.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::entry::{Entry, is_record_name};
use crate::hours::Hours;
use crate::records::Ranged;
use crate::service::Grant;
use crate::time::Time;

/// A named permission: who may come in, to which services, until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name, unique on this server.
    pub name: AccountName,
    /// Addresses, networks, ranges and host names, of both families.
    pub entries: Vec<Entry>,
    /// The services it opens.
    pub services: Grant,
    /// Whether private addresses of its host names count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_private: bool,
    /// When it ends by itself; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The hours during which it counts; always where absent. A call that runs at their end continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// What the administrator wrote down about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When it was made.
    pub since: Time,
    /// Who made it.
    pub by: String,
}

impl Account {
    /// Every range the account stands for now, host names by their last known addresses.
    pub fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        self.entries.iter().flat_map(Entry::ranges)
    }

    /// The most specific range of the account that holds the address.
    pub fn range_of(&self, address: IpAddr) -> Option<AddrRange> {
        self.ranges().filter(|range| range.contains(address)).min_by_key(AddrRange::width)
    }
}

impl Ranged for Account {
    type Key = AccountName;

    fn key(&self) -> AccountName {
        self.name.clone()
    }

    fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        Account::ranges(self)
    }

    fn until(&self) -> Option<Time> {
        self.until
    }
}

/// Not the name of an account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid account name: use 1 to 64 letters, digits, \".\", \"_\", \"-\", \"@\", no space"
)]
pub struct NameError(String);

/// The name of an account: 1 to 64 letters, digits, `.`, `_`, `-`, `@`, and no `-` or `.` first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AccountName(Arc<str>);

impl AccountName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<AccountName, NameError> {
        if is_record_name(text) {
            Ok(AccountName(text.into()))
        } else {
            Err(NameError(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> String {
        name.as_str().to_owned()
    }
}

impl TryFrom<String> for AccountName {
    type Error = NameError;

    fn try_from(text: String) -> Result<AccountName, NameError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_accounts() {
        for text in ["office", "Büro-2", "anna@example.net", "701", "a.b_c"] {
            assert_eq!(text.parse::<AccountName>().unwrap().as_str(), text);
        }
        for text in ["", "my office", "-x", "../etc", "a/b", "a\nb", &"x".repeat(65)] {
            assert!(text.parse::<AccountName>().is_err(), "{text}");
        }
    }
}
