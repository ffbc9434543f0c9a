//! Accounts: named permissions.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
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
    /// When it ends by itself; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
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
        self.entries.iter().flat_map(|entry| {
            let (range, addresses) = match entry {
                Entry::Range(range) => (Some(*range), [].as_slice()),
                Entry::Host { addresses, .. } => (None, addresses.as_slice()),
            };
            range.into_iter().chain(addresses.iter().map(|address| AddrRange::from(*address)))
        })
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

/// One thing an account lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// An address, network or range.
    Range(AddrRange),
    /// A host name and the addresses it had when it was last asked for.
    Host {
        /// The name.
        name: HostName,
        /// Its addresses.
        addresses: Vec<IpAddr>,
    },
}

/// Writes the address, or `name (addresses)`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Range(range) => write!(f, "{range}"),
            Entry::Host { name, addresses } => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                write!(f, "{name} ({})", addresses.join(", "))
            }
        }
    }
}

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not fit for an account.
    #[error(
        "\"{0}\" cannot name an account: use 1 to 64 letters, digits, \".\", \"_\", \"-\", \"@\", no space"
    )]
    Account(String),
    /// Not a host name.
    #[error("\"{0}\" is neither an address nor a host name (such as office.example.net)")]
    Host(String),
}

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
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
        let well_formed = text.chars().all(plain)
            && (1..=64).contains(&text.chars().count())
            && !text.starts_with(['-', '.']);
        if well_formed {
            Ok(AccountName(text.into()))
        } else {
            Err(NameError::Account(text.chars().take(64).collect()))
        }
    }
}

/// A host name as the resolver takes it: labels of letters, digits, `-` and `_`, with a letter
/// somewhere, so that a mistyped address is not taken for a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct HostName(Arc<str>);

impl HostName {
    /// The name as text, in lower case, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<HostName, NameError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // The last label of a public name holds a letter: "203.0.113.256" is a typing error.
        let last_is_a_word = name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().any(|byte| byte.is_ascii_alphabetic()));
        if name.len() <= 253 && last_is_a_word && name.split('.').all(label) {
            Ok(HostName(name.into()))
        } else {
            Err(NameError::Host(text.chars().take(64).collect()))
        }
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.as_str().to_owned()
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<$name, NameError> {
                text.parse()
            }
        }
    };
}

text_type!(AccountName);
text_type!(HostName);

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

    #[test]
    fn names_of_hosts() {
        for (text, name) in [
            ("Office.Example.NET.", "office.example.net"),
            ("pbx", "pbx"),
            ("a_b.example.net", "a_b.example.net"),
        ] {
            assert_eq!(text.parse::<HostName>().unwrap().as_str(), name);
        }
        for text in ["", ".", "203.0.113.256", "a..b", "-a.net", "a b.net", "a/24", "10.0.0"] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }
}
