//! Services: named groups of protocols and ports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

    /// Its number in the IP header.
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// A port or an unbroken run of ports of one protocol: `udp/5060`, `udp/10000-20000`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Ports {
    /// The protocol.
    pub protocol: Protocol,
    /// The first port.
    pub first: u16,
    /// The last port, included.
    pub last: u16,
}

impl Ports {
    /// Ports from `first` to `last`.
    pub const fn new(protocol: Protocol, first: u16, last: u16) -> Ports {
        Ports { protocol, first, last }
    }

    /// Whether it holds the port.
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        self.protocol == protocol && self.first <= port && port <= self.last
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.protocol, self.first)?;
        if self.last > self.first {
            write!(f, "-{}", self.last)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with a text that should be ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a port: write udp/5060, tcp/5060 or udp/10000-20000 (1 to 65535)")]
pub struct PortsError(String);

impl FromStr for Ports {
    type Err = PortsError;

    /// Reads `udp/5060`, `tcp/10000-20000`, and the other way round, `5060/udp`.
    fn from_str(text: &str) -> Result<Ports, PortsError> {
        let wrong = || PortsError(text.chars().take(40).collect());
        let (left, right) = text.trim().split_once('/').ok_or_else(wrong)?;
        let named = |name: &str| match name.to_ascii_lowercase().as_str() {
            "tcp" => Some(Protocol::Tcp),
            "udp" => Some(Protocol::Udp),
            _ => None,
        };
        let (protocol, ports) = match (named(left), named(right)) {
            (Some(protocol), None) => (protocol, right),
            (None, Some(protocol)) => (protocol, left),
            _ => return Err(wrong()),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let number = |text: &str| -> Result<u16, PortsError> {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let port = text.parse().ok().filter(|port| digits && *port > 0);
            port.ok_or_else(wrong)
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(wrong());
        }
        Ok(Ports { protocol, first, last })
    }
}

impl From<Ports> for String {
    fn from(ports: Ports) -> String {
        ports.to_string()
    }
}

impl TryFrom<String> for Ports {
    type Error = PortsError;

    fn try_from(text: String) -> Result<Ports, PortsError> {
        text.parse()
    }
}

/// Joins ports that overlap or touch, and sorts them.
pub fn merge(mut ports: Vec<Ports>) -> Vec<Ports> {
    ports.sort_unstable();
    let mut merged: Vec<Ports> = Vec::with_capacity(ports.len());
    for next in ports {
        match merged.last_mut() {
            Some(previous)
                if previous.protocol == next.protocol
                    && next.first <= previous.last.saturating_add(1) =>
            {
                previous.last = previous.last.max(next.last);
            }
            _ => merged.push(next),
        }
    }
    merged
}

/// The name of a service: 1 to 24 of `a-z`, `0-9` and `-`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// A name that is known to be well-formed, from this crate's own tables.
    pub(crate) fn known(name: &str) -> ServiceName {
        ServiceName(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with the name of a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a valid service name: use 1 to 24 of a-z, 0-9 and \"-\", a letter first")]
pub struct ServiceNameError(String);

impl FromStr for ServiceName {
    type Err = ServiceNameError;

    fn from_str(text: &str) -> Result<ServiceName, ServiceNameError> {
        let name = text.trim().to_ascii_lowercase();
        let letters =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let well_formed =
            letters && name.len() <= 24 && name.starts_with(|c: char| c.is_ascii_lowercase());
        // "all" means every service, wherever services are named.
        if well_formed && name != "all" {
            Ok(ServiceName(name.into()))
        } else {
            Err(ServiceNameError(text.chars().take(40).collect()))
        }
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> String {
        name.as_str().to_owned()
    }
}

impl TryFrom<String> for ServiceName {
    type Error = ServiceNameError;

    fn try_from(text: String) -> Result<ServiceName, ServiceNameError> {
        text.parse()
    }
}

/// What a service consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its own ports.
    pub ports: Vec<Ports>,
    /// Services that come with it: a telephone call needs its media, so `sip` brings `rtp`.
    pub brings: Vec<ServiceName>,
    /// Whether it answers an ICMP echo request.
    pub ping: bool,
    /// Whether strangers reach it in open mode only under the rate limits.
    pub limited: bool,
    /// How the firewall treats packets of its UDP ports.
    #[serde(default, skip_serializing_if = "Role::is_plain")]
    pub role: Role,
}

/// How the firewall treats packets of a service's UDP ports.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// By the flow to which they belong.
    #[default]
    Plain,
    /// SIP signalling (RFC 3261): each packet is judged by its kind and by what this host has sent to
    /// its sender, not by connection tracking.
    Sip,
    /// IAX2 signalling (RFC 5456), judged likewise.
    Iax,
    /// Call media: a stream to which this host sends belongs to a call of the PBX.
    Media,
    /// A tunnel that authenticates its peers itself: running flows continue.
    Vpn,
}

impl Role {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
    fn is_plain(&self) -> bool {
        *self == Role::Plain
    }

    /// Whether packets are judged one by one, without connection tracking.
    pub fn is_signalling(self) -> bool {
        matches!(self, Role::Sip | Role::Iax)
    }
}

/// What a set of services comes to: ports of both protocols, joined, and ping.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Opening {
    /// The ports, sorted and joined.
    pub ports: Vec<Ports>,
    /// Whether echo requests are answered.
    pub ping: bool,
}

impl Opening {
    /// Whether the port is in it.
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        self.ports.iter().any(|ports| ports.contains(protocol, port))
    }

    /// The ports of one protocol.
    pub fn of(&self, protocol: Protocol) -> impl Iterator<Item = &Ports> {
        self.ports.iter().filter(move |ports| ports.protocol == protocol)
    }
}

/// All services known on this server, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Catalogue(pub BTreeMap<ServiceName, Service>);

impl Catalogue {
    /// The service of a name.
    pub fn get(&self, name: &ServiceName) -> Option<&Service> {
        self.0.get(name)
    }

    /// What the named services come to, with all they bring. Names that are not in the catalogue
    /// open nothing.
    pub fn opening<'a>(&'a self, names: impl IntoIterator<Item = &'a ServiceName>) -> Opening {
        let services = self.with_brought(names);
        let services = services.iter().filter_map(|name| self.get(name));
        let (mut ports, mut ping) = (Vec::new(), false);
        for service in services {
            ports.extend_from_slice(&service.ports);
            ping |= service.ping;
        }
        Opening { ports: merge(ports), ping }
    }

    /// The named services and all that they bring.
    pub fn with_brought<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a ServiceName>,
    ) -> BTreeSet<&'a ServiceName> {
        let mut waiting: Vec<&ServiceName> = names.into_iter().collect();
        let mut found = BTreeSet::new();
        while let Some(name) = waiting.pop() {
            if found.insert(name) {
                waiting.extend(self.get(name).into_iter().flat_map(|service| &service.brings));
            }
        }
        found
    }

    /// Whether one of the named services, or of those that they bring, is so.
    pub fn any_brought<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a ServiceName>,
        is_so: impl Fn(&Service) -> bool,
    ) -> bool {
        let mut waiting: Vec<&ServiceName> = names.into_iter().collect();
        let mut next = 0;
        while let Some(name) = waiting.get(next).copied() {
            next += 1;
            let Some(service) = self.get(name) else { continue };
            if is_so(service) {
                return true;
            }
            for brought in &service.brings {
                if !waiting.contains(&brought) {
                    waiting.push(brought);
                }
            }
        }
        false
    }

    /// The services of telephony: signalling and media, as far as this server has them.
    pub fn telephony(&self) -> Grant {
        const TELEPHONY: [&str; 4] = ["sip", "sip-tls", "iax", "rtp"];
        let known = TELEPHONY.map(ServiceName::known).into_iter();
        Grant::of(known.filter(|name| self.get(name).is_some()))
    }

    /// Every port that any service names.
    pub fn every_port(&self) -> Opening {
        self.opening(self.0.keys())
    }

    /// The UDP ports of a role, sorted and merged. A port of several services has only the strongest
    /// role, signalling before media: see [`Catalogue::role`].
    pub fn udp_ports(&self, role: Role) -> Vec<Ports> {
        let of = |role| {
            let services = self.0.values().filter(move |service| service.role == role);
            let ports = services.flat_map(|service| service.ports.iter().copied());
            ports.filter(|ports| ports.protocol == Protocol::Udp)
        };
        let stronger = STRONGEST_FIRST.iter().take_while(|other| **other != role);
        let taken = merge(stronger.flat_map(|role| of(*role)).collect());
        merge(of(role).flat_map(|ports| without(ports, &taken)).collect())
    }

    /// The TCP ports of SIP, with and without TLS, sorted and merged.
    pub fn sip_tcp_ports(&self) -> Vec<Ports> {
        let names = ["sip", "sip-tls"].map(ServiceName::known);
        let services = names.iter().filter_map(|name| self.get(name));
        let ports = services.flat_map(|service| service.ports.iter().copied());
        merge(ports.filter(|ports| ports.protocol == Protocol::Tcp).collect())
    }

    /// The ports of signalling and media, sorted and merged.
    pub fn of_calls(&self) -> Vec<Ports> {
        let datagrams = [Role::Sip, Role::Iax, Role::Media].map(|role| self.udp_ports(role));
        merge(datagrams.concat().into_iter().chain(self.sip_tcp_ports()).collect())
    }

    /// Those of some merged ports that are of signalling or media.
    pub fn of_calls_among(&self, some: &[Ports]) -> Vec<Ports> {
        let others = self.of_calls().into_iter().flat_map(|ports| without(ports, some));
        let others = merge(others.collect());
        merge(self.of_calls().into_iter().flat_map(|ports| without(ports, &others)).collect())
    }

    /// The role of a UDP port of this host.
    pub fn role(&self, port: u16) -> Role {
        let has = |service: &&Service| {
            service.ports.iter().any(|ports| ports.contains(Protocol::Udp, port))
        };
        let strength = |role: &Role| STRONGEST_FIRST.iter().position(|other| other == role);
        let roles = self.0.values().filter(has).map(|service| service.role);
        roles.filter(|role| strength(role).is_some()).min_by_key(strength).unwrap_or_default()
    }
}

/// Which role wins if services with different roles use the same port.
const STRONGEST_FIRST: [Role; 4] = [Role::Sip, Role::Iax, Role::Media, Role::Vpn];

/// A run of ports minus `taken`, which is sorted and merged.
fn without(ports: Ports, taken: &[Ports]) -> Vec<Ports> {
    let mut left = Vec::new();
    let mut first = u32::from(ports.first);
    for taken in taken.iter().filter(|taken| taken.protocol == ports.protocol) {
        if taken.last < ports.first || taken.first > ports.last {
            continue;
        }
        let end = u32::from(taken.first);
        left.extend(run(ports.protocol, first, end));
        first = first.max(u32::from(taken.last) + 1);
    }
    left.extend(run(ports.protocol, first, u32::from(ports.last) + 1));
    left
}

/// The ports from `first` up to but not including `end`; `None` if there are none.
fn run(protocol: Protocol, first: u32, end: u32) -> Option<Ports> {
    let last = u16::try_from(end.checked_sub(1)?).ok()?;
    let first = u16::try_from(first).ok().filter(|first| *first <= last)?;
    Some(Ports { protocol, first, last })
}

/// The services an account opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub enum Grant {
    /// Everything: any protocol, any port.
    All,
    /// The named services. Many accounts share one set.
    Some(Arc<BTreeSet<ServiceName>>),
}

impl Grant {
    /// The named services.
    pub fn of(names: impl IntoIterator<Item = ServiceName>) -> Grant {
        Grant::Some(Arc::new(names.into_iter().collect()))
    }

    /// Whether another grant contains all of this one.
    pub fn is_within(&self, other: &Grant) -> bool {
        match (self, other) {
            (_, Grant::All) => true,
            (Grant::All, Grant::Some(_)) => false,
            (Grant::Some(names), Grant::Some(others)) => names.is_subset(others),
        }
    }

    /// Reads a list such as `sip,web` or `all`.
    ///
    /// # Errors
    /// A name that is no service's name.
    pub fn parse(text: &str) -> Result<Grant, ServiceNameError> {
        let names = text.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned);
        Grant::try_from(names.collect::<Vec<String>>())
    }
}

impl From<Grant> for Vec<String> {
    fn from(grant: Grant) -> Vec<String> {
        match grant {
            Grant::All => vec!["all".to_owned()],
            Grant::Some(names) => names.iter().map(|name| name.as_str().to_owned()).collect(),
        }
    }
}

impl TryFrom<Vec<String>> for Grant {
    type Error = ServiceNameError;

    fn try_from(names: Vec<String>) -> Result<Grant, ServiceNameError> {
        if names.iter().any(|name| name.trim().eq_ignore_ascii_case("all")) {
            return Ok(Grant::All);
        }
        let names: BTreeSet<_> = names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        Ok(Grant::of(names))
    }
}

/// Writes `all` or `sip, web`.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Vec::<String>::from(self.clone()).join(", "))
    }
}

#[cfg(test)]
mod tests;
