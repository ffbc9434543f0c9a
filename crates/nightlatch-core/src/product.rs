//! The telephone servers we know, and the services of each with their usual ports.
//!
//! One table: to correct a port or add a product, change it here. The administrator overrides
//! single services in the configuration.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::service::{Catalogue, Ports, Role, Service, ServiceName};

/// A telephone server product.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// Asterisk without a distribution around it; also what is assumed where nothing is known.
    #[default]
    Asterisk,
    /// FreePBX and distributions made of it.
    FreePbx,
    /// VitalPBX, over Asterisk.
    VitalPbx,
    /// 3CX.
    #[serde(rename = "3cx")]
    ThreeCx,
    /// FusionPBX.
    FusionPbx,
    /// FreeSWITCH.
    FreeSwitch,
    /// Kamailio.
    Kamailio,
}

impl Product {
    /// All of them.
    pub const ALL: [Product; 7] = [
        Product::Asterisk,
        Product::FreePbx,
        Product::VitalPbx,
        Product::ThreeCx,
        Product::FusionPbx,
        Product::FreeSwitch,
        Product::Kamailio,
    ];

    /// The name in configuration and on the command line.
    pub const fn key(self) -> &'static str {
        match self {
            Product::Asterisk => "asterisk",
            Product::FreePbx => "freepbx",
            Product::VitalPbx => "vitalpbx",
            Product::ThreeCx => "3cx",
            Product::FusionPbx => "fusionpbx",
            Product::FreeSwitch => "freeswitch",
            Product::Kamailio => "kamailio",
        }
    }

    /// Its services with their usual ports.
    pub fn catalogue(self) -> Catalogue {
        let own = match self {
            Product::Asterisk => ASTERISK,
            Product::FreePbx => FREEPBX,
            Product::VitalPbx => VITALPBX,
            Product::ThreeCx => THREE_CX,
            Product::FusionPbx | Product::FreeSwitch => FREESWITCH,
            Product::Kamailio => KAMAILIO,
        };
        let rows = COMMON.iter().chain(own).map(Row::service);
        Catalogue(rows.collect())
    }
}

/// The name as people write it.
impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Product::Asterisk => "Asterisk",
            Product::FreePbx => "FreePBX",
            Product::VitalPbx => "VitalPBX",
            Product::ThreeCx => "3CX",
            Product::FusionPbx => "FusionPBX",
            Product::FreeSwitch => "FreeSWITCH",
            Product::Kamailio => "Kamailio",
        })
    }
}

/// The text names no product we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown telephone server \"{0}\": use one of asterisk, freepbx, vitalpbx, 3cx, fusionpbx, freeswitch, kamailio"
)]
pub struct ProductError(String);

impl FromStr for Product {
    type Err = ProductError;

    fn from_str(text: &str) -> Result<Product, ProductError> {
        let wanted = text.trim().to_ascii_lowercase();
        let found = Product::ALL.into_iter().find(|product| product.key() == wanted);
        found.ok_or_else(|| ProductError(text.chars().take(40).collect()))
    }
}

/// One service of a product: its name, its ports, the services it brings.
struct Row {
    name: &'static str,
    ports: &'static [&'static str],
    brings: &'static [&'static str],
    kind: Kind,
}

/// What is special about a service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Passwords can be guessed there: strangers meet the rate limits in open mode.
    Limited,
    /// Call signalling, which is rate-limited too.
    Signalling(Role),
    /// Media of calls.
    Media,
    /// A tunnel that authenticates its peers itself.
    Vpn,
    /// Echo requests.
    Ping,
}

impl Row {
    fn service(&self) -> (ServiceName, Service) {
        let ports = self.ports.iter().filter_map(|ports| ports.parse::<Ports>().ok()).collect();
        let brings = self.brings.iter().map(|name| ServiceName::known(name)).collect();
        let service = Service {
            ports,
            brings,
            ping: self.kind == Kind::Ping,
            limited: matches!(self.kind, Kind::Limited | Kind::Signalling(_)),
            role: match self.kind {
                Kind::Signalling(role) => role,
                Kind::Media => Role::Media,
                Kind::Vpn => Role::Vpn,
                Kind::Plain | Kind::Limited | Kind::Ping => Role::Plain,
            },
        };
        (ServiceName::known(self.name), service)
    }
}

const fn plain(name: &'static str, ports: &'static [&'static str]) -> Row {
    Row { name, ports, brings: &[], kind: Kind::Plain }
}

/// Signalling: rate-limited for strangers, and the media come with it.
const fn signalling(name: &'static str, ports: &'static [&'static str]) -> Row {
    Row { name, ports, brings: &["rtp"], kind: Kind::Limited }
}

/// SIP, on all ports that the PBX uses for it.
const fn sip(ports: &'static [&'static str]) -> Row {
    Row { name: "sip", ports, brings: &["rtp"], kind: Kind::Signalling(Role::Sip) }
}

const IAX: Row =
    Row { name: "iax", ports: &["udp/4569"], brings: &[], kind: Kind::Signalling(Role::Iax) };

const fn rtp(ports: &'static [&'static str]) -> Row {
    Row { name: "rtp", ports, brings: &[], kind: Kind::Media }
}

const fn vpn(name: &'static str, ports: &'static [&'static str]) -> Row {
    Row { name, ports, brings: &[], kind: Kind::Vpn }
}

/// On every server. `ssh` is replaced by the port that is really listened on.
const COMMON: &[Row] = &[
    plain("ssh", &["tcp/22"]),
    vpn("openvpn", &["udp/1194"]),
    vpn("wireguard", &["udp/51820"]),
    Row { name: "ping", ports: &[], brings: &[], kind: Kind::Ping },
];

const ASTERISK: &[Row] = &[
    sip(&["udp/5060", "tcp/5060"]),
    signalling("sip-tls", &["tcp/5061"]),
    signalling("webrtc", &["tcp/8088-8089"]),
    rtp(&["udp/10000-20000"]),
    IAX,
    plain("web", &["tcp/80", "tcp/443"]),
    plain("provisioning", &["udp/69"]),
    plain("manager", &["tcp/5038-5039"]),
];

/// From the public source of its firewall module: both SIP drivers, and the web applications.
const FREEPBX: &[Row] = &[
    sip(&["udp/5060", "tcp/5060", "udp/5160", "tcp/5160"]),
    signalling("sip-tls", &["tcp/5061", "tcp/5161"]),
    signalling("webrtc", &["tcp/8088-8089"]),
    rtp(&["udp/10000-20000"]),
    IAX,
    plain("web", &["tcp/80", "tcp/443"]),
    plain("user-portal", &["tcp/81", "tcp/4443", "tcp/8001", "tcp/8003"]),
    plain("api", &["tcp/83", "tcp/2443"]),
    plain("rest-apps", &["tcp/82", "tcp/3443"]),
    plain("provisioning", &["udp/69", "tcp/21", "tcp/84", "tcp/1443"]),
    plain("chat", &["tcp/5222"]),
    plain("manager", &["tcp/5038-5039"]),
];

const VITALPBX: &[Row] = &[
    sip(&["udp/5060", "tcp/5060", "udp/5062", "tcp/5062"]),
    signalling("sip-tls", &["tcp/5061"]),
    signalling("webrtc", &["tcp/8088-8089"]),
    rtp(&["udp/10000-20000"]),
    IAX,
    plain("web", &["tcp/80", "tcp/443", "tcp/3005"]),
    plain("provisioning", &["udp/69"]),
    plain("manager", &["tcp/5038-5039"]),
];

const THREE_CX: &[Row] = &[
    sip(&["udp/5060", "tcp/5060"]),
    signalling("sip-tls", &["tcp/5061"]),
    rtp(&["udp/9000-10999"]),
    signalling("tunnel", &["udp/5090", "tcp/5090"]),
    plain("web", &["tcp/80", "tcp/443", "tcp/5000", "tcp/5001"]),
    plain("provisioning", &["tcp/443", "tcp/5001"]),
    plain("web-setup", &["tcp/5015"]),
];

const FREESWITCH: &[Row] = &[
    sip(&["udp/5060", "tcp/5060", "udp/5080", "tcp/5080"]),
    signalling("sip-tls", &["tcp/5061", "tcp/5081"]),
    signalling("webrtc", &["tcp/5066", "tcp/7443"]),
    rtp(&["udp/16384-32768"]),
    plain("web", &["tcp/80", "tcp/443"]),
    plain("provisioning", &["tcp/443"]),
    plain("event-socket", &["tcp/8021"]),
];

/// Kamailio carries no media itself: the ports are the defaults of rtpengine and of Asterisk, which
/// often runs beside it.
const KAMAILIO: &[Row] = &[
    sip(&["udp/5060", "tcp/5060"]),
    signalling("sip-tls", &["tcp/5061"]),
    signalling("webrtc", &["tcp/8080", "tcp/443"]),
    rtp(&["udp/10000-20000", "udp/30000-40000"]),
    plain("web", &["tcp/80", "tcp/443"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_well_formed() {
        for product in Product::ALL {
            let own: Vec<&Row> = match product {
                Product::Asterisk => ASTERISK,
                Product::FreePbx => FREEPBX,
                Product::VitalPbx => VITALPBX,
                Product::ThreeCx => THREE_CX,
                Product::FusionPbx | Product::FreeSwitch => FREESWITCH,
                Product::Kamailio => KAMAILIO,
            }
            .iter()
            .chain(COMMON)
            .collect();
            let catalogue = product.catalogue();
            assert_eq!(catalogue.0.len(), own.len(), "{product}: a name stands twice");
            for row in own {
                let name: ServiceName = row.name.parse().unwrap();
                assert_eq!(catalogue.get(&name).unwrap().ports.len(), row.ports.len());
                for brought in row.brings {
                    assert!(catalogue.get(&brought.parse().unwrap()).is_some(), "{brought}");
                }
            }
            assert_eq!(product.key().parse::<Product>().unwrap(), product);
        }
    }

    #[test]
    fn a_call_needs_its_media() {
        for product in Product::ALL {
            let opening = product.catalogue().opening([&ServiceName::known("sip")]);
            assert!(opening.ports.iter().any(|ports| ports.last - ports.first > 1000), "{product}");
        }
    }
}
