//! What the catalogue knows of a provider.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::entry::{Entry, HostName};
use crate::service::{Grant, ServiceName};

/// A provider of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name in the catalogue.
    pub name: ProviderName,
    /// What it calls itself.
    pub title: String,
    /// How far its addresses are known.
    pub status: Status,
    /// The date of the page (verified), or since when the service is gone (defunct): `2026-11-30`, or
    /// `2018-07` where only the month is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Where its addresses are published.
    #[serde(default)]
    pub sources: Vec<String>,
    /// The domains of its servers.
    #[serde(default)]
    pub domains: Vec<HostName>,
    /// The host names of its signalling, names of SRV records, and `_sip.` with a SIP domain.
    #[serde(default)]
    pub hosts: Vec<HostName>,
    /// The networks of its signalling.
    #[serde(default)]
    pub networks: Vec<AddrRange>,
    /// The networks from which only media come.
    #[serde(default)]
    pub media: Vec<AddrRange>,
    /// What its signalling may use.
    pub services: Vec<ServiceName>,
    /// What an administrator has to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How far the addresses of a provider are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// They were read where they are published.
    Verified,
    /// They come from elsewhere, or may be out of date.
    Unverified,
    /// The service is gone.
    Defunct,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Verified => "verified",
            Status::Unverified => "unverified",
            Status::Defunct => "defunct",
        })
    }
}

impl Provider {
    /// The services of its signalling.
    pub fn grant(&self) -> Grant {
        Grant::of(self.services.iter().cloned())
    }

    /// Its signalling as a record keeps it; no name has an address yet.
    pub fn signalling(&self) -> Vec<Entry> {
        let host = |name: &HostName| Entry::Host { name: name.clone(), addresses: Vec::new() };
        let networks = self.networks.iter().map(|range| Entry::Range(*range));
        networks.chain(self.hosts.iter().map(host)).collect()
    }

    /// Whether the catalogue knows any of its addresses.
    pub fn has_addresses(&self) -> bool {
        !(self.hosts.is_empty() && self.networks.is_empty() && self.media.is_empty())
    }

    /// Whether a server is one of its own: by its name, or by all of its addresses.
    pub fn covers(&self, host: Option<&str>, ranges: &[AddrRange]) -> bool {
        let named = host.is_some_and(|host| {
            let name = |own: &HostName| {
                let own = own.as_str();
                own.strip_prefix("_sip.").unwrap_or(own).eq_ignore_ascii_case(host)
            };
            self.hosts.iter().any(name)
        });
        let within = |range: &AddrRange| self.networks.iter().any(|own| own.covers(range));
        named || !ranges.is_empty() && ranges.iter().all(within)
    }

    /// Whether a host name is in one of its domains.
    pub fn owns(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.domains.iter().any(|domain| {
            let before = host.strip_suffix(domain.as_str());
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    }
}

/// Not the name of a provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid provider name: use 1 to 32 of a-z, 0-9 and \"-\" (\"nightlatch provider list\" shows all)"
)]
pub struct ProviderNameError(String);

/// The name of a provider in the catalogue: 1 to 32 of `a-z`, `0-9` and `-`, no `-` first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ProviderName(Arc<str>);

impl ProviderName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderName {
    type Err = ProviderNameError;

    fn from_str(text: &str) -> Result<ProviderName, ProviderNameError> {
        let name = text.trim().to_ascii_lowercase();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=32).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-') {
            Ok(ProviderName(name.into()))
        } else {
            Err(ProviderNameError(text.chars().take(40).collect()))
        }
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ProviderName> for String {
    fn from(name: ProviderName) -> String {
        name.as_str().to_owned()
    }
}

impl TryFrom<String> for ProviderName {
    type Error = ProviderNameError;

    fn try_from(text: String) -> Result<ProviderName, ProviderNameError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_providers() {
        for (text, name) in [("Twilio", "twilio"), ("voip-ms", "voip-ms"), ("46elks", "46elks")] {
            assert_eq!(text.parse::<ProviderName>().unwrap().as_str(), name);
        }
        for text in ["", "-x", "a b", "voip.ms", "a/b", &"x".repeat(33)] {
            assert!(text.parse::<ProviderName>().is_err(), "{text}");
        }
    }

    #[test]
    fn whose_a_server_is() {
        let provider: Provider = serde_json::from_value(serde_json::json!({
            "name": "one", "title": "One", "status": "verified", "services": ["sip"],
            "domains": ["example.net"], "hosts": ["sip.example.net", "_sip.example.org"],
            "networks": ["192.0.2.0/24"], "media": ["198.51.100.0/24"],
        }))
        .unwrap();
        let ranges = |texts: &[&str]| -> Vec<AddrRange> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        assert!(provider.covers(Some("SIP.example.net"), &[]));
        assert!(provider.covers(Some("example.org"), &[]), "its SIP domain");
        assert!(provider.covers(None, &ranges(&["192.0.2.7", "192.0.2.64/28"])));
        assert!(!provider.covers(None, &ranges(&["192.0.2.7", "203.0.113.7"])));
        assert!(!provider.covers(None, &ranges(&["198.51.100.7"])), "media are no signalling");
        assert!(!provider.covers(None, &[]) && !provider.covers(Some("example.net"), &[]));
        for (host, owns) in [
            ("example.net", true),
            ("a.b.Example.NET", true),
            ("badexample.net", false),
            ("example.net.example.org", false),
        ] {
            assert_eq!(provider.owns(host), owns, "{host}");
        }
    }
}
