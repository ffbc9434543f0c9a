//! The administrator's configuration: as written, then checked.
//!
//! The program reads this file and never writes it. What changes at run time (accounts, blocks,
//! the mode) lives in the records of features.

mod file;
mod message;
mod written;

use std::collections::{BTreeMap, BTreeSet};

use crate::hours::Hours;
use crate::posture::Site;
use crate::product::Product;
use crate::service::{Catalogue, Ports, ServiceName};

use serde::{Deserialize, Serialize};

pub use crate::features::register::Config;
pub(crate) use file::OneOrMany;
pub use file::{File, Table};
pub use message::Mistake;
pub use written::Rate;

/// What the administrator says about the firewall, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The telephone server, where the administrator knows better than `up`.
    pub product: Option<Product>,
    /// Services given other ports than usual, and services of the administrator's own.
    pub services: BTreeMap<ServiceName, Vec<Ports>>,
    /// The services that answer strangers in open mode.
    pub open: BTreeSet<ServiceName>,
    /// The hours during which some of them do; the others do at any time.
    pub open_hours: BTreeMap<ServiceName, Hours>,
    /// What one stranger may send to rate-limited services in open mode: per IPv4 address, per
    /// IPv6 /64.
    pub per_source: Rate,
    /// What all strangers together may send to them.
    pub total: Rate,
    /// Which addresses may send call media before this host sends any there.
    pub media: MediaSources,
}

/// Which addresses may send call media before this host sends any there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaSources {
    /// Accounts, and in open mode strangers if the media ports are open.
    #[default]
    Accounts,
    /// Every address that is not blocked or removed: carriers send announcements from addresses that
    /// cannot be listed. Anybody who guesses the port of a running call can then inject audio into
    /// it, and strangers can send to the media ports, within their share of connection tracking.
    Any,
}

impl Rules {
    /// The services that answer strangers at any time.
    pub fn always_open(&self) -> impl Iterator<Item = &ServiceName> {
        self.open.iter().filter(|name| !self.open_hours.contains_key(*name))
    }

    /// The services that answer strangers during hours only, by these.
    pub fn open_by_hours(&self) -> BTreeMap<&Hours, Vec<&ServiceName>> {
        let mut by_hours: BTreeMap<&Hours, Vec<&ServiceName>> = BTreeMap::new();
        for (name, hours) in self.open_hours.iter().filter(|(name, _)| self.open.contains(*name)) {
            by_hours.entry(hours).or_default().push(name);
        }
        by_hours
    }
}

impl Default for Rules {
    fn default() -> Rules {
        let open = ["sip", "sip-tls"].map(ServiceName::known);
        Rules {
            product: None,
            services: BTreeMap::new(),
            open: BTreeSet::from(open),
            open_hours: BTreeMap::new(),
            per_source: Rate { packets: 50, burst: 200 },
            total: Rate { packets: 5000, burst: 10_000 },
            media: MediaSources::Accounts,
        }
    }
}

impl Rules {
    /// The services of this server: the product's, then what `up` found, then what the
    /// administrator wrote.
    pub fn catalogue(&self, site: &Site) -> Catalogue {
        let mut catalogue = self.product.unwrap_or(site.product).catalogue();
        for (name, ports) in site.services.iter().chain(&self.services) {
            let service = catalogue.0.entry(name.clone()).or_default();
            service.ports.clone_from(ports);
        }
        catalogue
    }
}
