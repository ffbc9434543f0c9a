//! The kernel's sets of banned and of limited sources, from which these leave by themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::attack::Service;
use crate::config::Rate;
use crate::learned::{Effect, Filled, Key, SetSpec, Shape};
use crate::service::ServiceName;

/// The longest ban.
pub const MAX_BAN: Duration = Duration::from_secs(365 * 86_400);
/// The most elements of each of the kernel's sets.
const MAX_ELEMENTS: u32 = 262_144;

/// Banned IPv4 addresses, and IPv6 networks of 64 bits.
pub static BAN: SetSpec = SetSpec {
    name: "ban",
    shape: Shape::Address,
    timeout: MAX_BAN,
    size: MAX_ELEMENTS,
    filled: Filled::FromRecords,
    effect: Effect::Denies,
    saved: None,
};
/// Banned IPv6 networks of 56 bits.
pub static BAN_56: SetSpec = SetSpec { name: "ban56_", shape: Shape::NetworkV6, ..BAN };
/// Banned IPv6 networks of 48 bits.
pub static BAN_48: SetSpec = SetSpec { name: "ban48_", shape: Shape::NetworkV6, ..BAN };

static LIMIT_SIP: SetSpec = SetSpec { name: "limit_sip", ..BAN };
static LIMIT_IAX: SetSpec = SetSpec { name: "limit_iax", ..BAN };
static LIMIT_WEB: SetSpec = SetSpec { name: "limit_web", ..BAN };
static LIMIT_SSH: SetSpec = SetSpec { name: "limit_ssh", ..BAN };
/// Sources that went on although they were limited: so they are limited more.
pub static LIMIT_STRICT: SetSpec = SetSpec { name: "limit_strict", ..BAN };
/// Registered phones at limited addresses, by address and port, which are not limited.
pub static LIMIT_FREE: SetSpec = SetSpec { name: "limit_free", shape: Shape::Source, ..BAN };

/// The sets of banned and of limited sources.
pub static SETS: [&SetSpec; 9] = [
    &BAN,
    &BAN_56,
    &BAN_48,
    &LIMIT_SIP,
    &LIMIT_IAX,
    &LIMIT_WEB,
    &LIMIT_SSH,
    &LIMIT_STRICT,
    &LIMIT_FREE,
];

/// What is limited to anybody, and the rate of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// What is limited to anybody.
    pub of: BTreeSet<Limited>,
    /// How much one source may send.
    pub rate: Rate,
}

/// What is limited to a source that attacks and is not banned: the services that it attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limited {
    /// SIP.
    Sip,
    /// IAX2.
    Iax,
    /// Web interfaces and provisioning.
    Web,
    /// New connections of SSH; those that run continue.
    Ssh,
}

impl Limited {
    /// All of them.
    pub const ALL: [Limited; 4] = [Limited::Sip, Limited::Iax, Limited::Web, Limited::Ssh];

    /// What is limited if a service is attacked; `None` where its ports are not known.
    pub const fn of(service: Service) -> Option<Limited> {
        match service {
            Service::Sip => Some(Limited::Sip),
            Service::Iax => Some(Limited::Iax),
            Service::Web | Service::Provisioning => Some(Limited::Web),
            Service::Ssh => Some(Limited::Ssh),
            Service::Ami | Service::Other => None,
        }
    }

    /// The set of sources.
    pub const fn set(self) -> &'static SetSpec {
        match self {
            Limited::Sip => &LIMIT_SIP,
            Limited::Iax => &LIMIT_IAX,
            Limited::Web => &LIMIT_WEB,
            Limited::Ssh => &LIMIT_SSH,
        }
    }

    /// The names of its services.
    pub fn services(self) -> Vec<ServiceName> {
        let names: &[&'static str] = match self {
            Limited::Sip => &["sip", "sip-tls"],
            Limited::Iax => &["iax"],
            Limited::Web => &["web", "provisioning"],
            Limited::Ssh => &["ssh"],
        };
        names.iter().map(|name| ServiceName::known(name)).collect()
    }
}

/// The kernel's set for a range, and the key in it; `None` if bans have no such ranges.
pub fn place(range: &AddrRange) -> Option<(&'static SetSpec, Key)> {
    let set = match (range.first_address().is_ipv4(), range.prefix()?) {
        (true, 32) | (false, 64) => &BAN,
        (false, 56) => &BAN_56,
        (false, 48) => &BAN_48,
        _ => return None,
    };
    Some((set, key(range)))
}

/// The key of a range in these sets.
pub fn key(range: &AddrRange) -> Key {
    Key { address: range.first_address(), protocol: 0, port: 0, local_port: 0 }
}

/// The range of an element of these sets; `None` for that of a single phone.
pub fn range_of(set: &SetSpec, key: &Key) -> Option<AddrRange> {
    let prefix = match (set.name, key.address.is_ipv4()) {
        (name, false) if name == BAN_56.name => 56,
        (name, false) if name == BAN_48.name => 48,
        (name, _) if [BAN_56.name, BAN_48.name, LIMIT_FREE.name].contains(&name) => return None,
        (_, true) => 32,
        (_, false) => 64,
    };
    AddrRange::network(key.address, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_their_places() {
        for (text, set) in [
            ("192.0.2.7", Some("ban")),
            ("2001:db8::/64", Some("ban")),
            ("2001:db8::/56", Some("ban56_")),
            ("2001:db8::/48", Some("ban48_")),
            ("2001:db8::1", None),
            ("192.0.2.0/24", None),
            ("2001:db8::1-2001:db8::3", None),
        ] {
            let range: AddrRange = text.parse().unwrap();
            let place = place(&range);
            assert_eq!(place.map(|(set, _)| set.name), set, "{text}");
            let back = place.and_then(|(set, key)| range_of(set, &key));
            assert_eq!(back, set.map(|_| range), "{text}");
        }
    }
}
