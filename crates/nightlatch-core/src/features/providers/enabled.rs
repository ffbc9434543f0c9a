//! A provider that is enabled: what the catalogue said of it then, with the addresses that its names
//! have now.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{Provider, ProviderName};
use crate::AddrRange;
use crate::entry::{Entry, HostName, resolved};
use crate::records::Ranged;
use crate::service::{Grant, ServiceName};
use crate::time::Time;

/// What media networks may use.
pub(super) static MEDIA: LazyLock<Grant> = LazyLock::new(|| Grant::of([ServiceName::known("rtp")]));

/// A provider that is enabled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enabled {
    /// Its name in the catalogue.
    pub name: ProviderName,
    /// The networks and host names of its signalling.
    pub signalling: Vec<Entry>,
    /// The networks from which only media come.
    #[serde(default)]
    pub media: Vec<AddrRange>,
    /// What its signalling may use.
    pub services: Grant,
    /// When it was enabled.
    pub since: Time,
    /// By whom.
    pub by: String,
}

impl Enabled {
    /// What the catalogue says of a provider.
    pub(super) fn of(provider: &Provider, since: Time, by: String) -> Enabled {
        Enabled {
            name: provider.name.clone(),
            signalling: provider.signalling(),
            media: provider.media.clone(),
            services: provider.grant(),
            since,
            by,
        }
    }

    /// As the catalogue says now: names that stay keep their addresses.
    pub(super) fn as_in(&self, provider: &Provider) -> Enabled {
        let mut now = Enabled::of(provider, self.since, self.by.clone());
        for entry in &mut now.signalling {
            if let Entry::Host { name, addresses } = entry {
                let known = self.signalling.iter().find_map(|entry| match entry {
                    Entry::Host { name: own, addresses } if own == name => Some(addresses),
                    _ => None,
                });
                *addresses = known.cloned().unwrap_or_default();
            }
        }
        now
    }

    /// With other addresses of a name; `None` if it does not have the name, or nothing changes.
    pub(super) fn with(&self, name: &HostName, found: &[IpAddr]) -> Option<Enabled> {
        let signalling = resolved(&self.signalling, name, found)?;
        Some(Enabled { signalling, ..self.clone() })
    }

    /// All ranges, each once.
    pub fn ranges(&self) -> BTreeSet<AddrRange> {
        self.signalling.iter().flat_map(Entry::ranges).chain(self.media.iter().copied()).collect()
    }

    /// The ranges with what they may use, so that none is lost of those for which something else
    /// holds from now on.
    pub(super) fn grants(&self) -> BTreeSet<(AddrRange, &Grant)> {
        let signalling = self.signalling.iter().flat_map(Entry::ranges);
        let media = self.media.iter().map(|range| (*range, &*MEDIA));
        signalling.map(|range| (range, &self.services)).chain(media).collect()
    }

    /// What one of its ranges may use: signalling, media, or both.
    pub(super) fn granted(&self, range: AddrRange) -> impl Iterator<Item = &Grant> {
        let signalling = self.signalling.iter().flat_map(Entry::ranges).any(|own| own == range);
        let media = self.media.contains(&range);
        signalling.then_some(&self.services).into_iter().chain(media.then_some(&*MEDIA))
    }

    /// Its host names.
    pub fn names(&self) -> impl Iterator<Item = &HostName> {
        self.signalling.iter().filter_map(Entry::host)
    }

    /// Its host names that have an address now.
    pub(super) fn hosts_of(&self, address: IpAddr) -> Vec<HostName> {
        let has = |entry: &&Entry| entry.ranges().any(|range| range.contains(address));
        self.signalling.iter().filter(has).filter_map(Entry::host).cloned().collect()
    }

    /// Its host names that have no address now.
    pub fn without_address(&self) -> impl Iterator<Item = &HostName> {
        self.signalling.iter().filter_map(|entry| match entry {
            Entry::Host { name, addresses } if addresses.is_empty() => Some(name),
            _ => None,
        })
    }
}

impl Ranged for Enabled {
    type Key = ProviderName;

    fn key(&self) -> ProviderName {
        self.name.clone()
    }

    fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        Enabled::ranges(self).into_iter()
    }

    fn until(&self) -> Option<Time> {
        None
    }
}
