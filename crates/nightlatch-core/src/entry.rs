//! What records of people name: addresses, networks, ranges and host names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::AddrRange;

/// An address, network, range or host name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// An address, network or range.
    Range(AddrRange),
    /// A host name and the addresses that count for it now; none before it was looked up.
    Host {
        /// The name.
        name: HostName,
        /// Its addresses.
        addresses: Vec<IpAddr>,
    },
}

/// Writes the address, or `name (addresses)`, or `name (no address yet)`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Range(range) => write!(f, "{range}"),
            Entry::Host { name, addresses } if addresses.is_empty() => {
                write!(f, "{name} (no address yet)")
            }
            Entry::Host { name, addresses } => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                write!(f, "{name} ({})", addresses.join(", "))
            }
        }
    }
}

impl Entry {
    /// The ranges for which it stands now, a host name by its last known addresses.
    pub fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        let (range, addresses) = match self {
            Entry::Range(range) => (Some(*range), [].as_slice()),
            Entry::Host { addresses, .. } => (None, addresses.as_slice()),
        };
        range.into_iter().chain(addresses.iter().map(|address| AddrRange::from(*address)))
    }

    /// The host name, if it is one.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Entry::Range(_) => None,
            Entry::Host { name, .. } => Some(name),
        }
    }
}

/// Not a host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither an address nor a host name (such as office.example.net)")]
pub struct HostError(String);

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
    type Err = HostError;

    fn from_str(text: &str) -> Result<HostName, HostError> {
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
            Err(HostError(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> String {
        name.as_str().to_owned()
    }
}

impl TryFrom<String> for HostName {
    type Error = HostError;

    fn try_from(text: String) -> Result<HostName, HostError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
