//! Interfaces, routes, name servers and time servers.

use std::net::IpAddr;

use nightlatch_parse::address::{AddrRange, Family};
use serde_json::Value;

use super::super::{ConnectedNetwork, Gateway, Interface, InterfaceKind, OwnAddress};
use super::caller::read_address;

/// Reads the answer of `ip -j -d addr`.
///
/// `None` where it is no JSON list; interfaces that make no sense are left out.
pub fn read_interfaces(json: &str) -> Option<Vec<Interface>> {
    let value: Value = serde_json::from_str(json).ok()?;
    Some(value.as_array()?.iter().filter_map(read_interface).collect())
}

fn read_interface(value: &Value) -> Option<Interface> {
    let name = value.get("ifname")?.as_str()?.to_owned();
    let flags: Vec<String> = value
        .get("flags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|flag| flag.as_str().map(str::to_owned))
        .collect();
    let link_type = text(value, "link_type");
    let info_kind = value.get("linkinfo").map(|info| text(info, "info_kind")).unwrap_or_default();
    let addresses = value
        .get("addr_info")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(read_own_address)
        .collect();
    Some(Interface {
        kind: kind_of(&name, link_type, info_kind),
        up: flags.iter().any(|flag| flag == "UP"),
        name,
        flags,
        addresses,
    })
}

fn read_own_address(value: &Value) -> Option<OwnAddress> {
    Some(OwnAddress {
        address: read_address(value.get("local")?.as_str()?)?,
        prefix: u32::try_from(value.get("prefixlen")?.as_u64()?).ok()?,
        scope: text(value, "scope").to_owned(),
    })
}

fn kind_of(name: &str, link_type: &str, info_kind: &str) -> InterfaceKind {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    match (info_kind, link_type) {
        (_, "loopback") => InterfaceKind::Loopback,
        ("bridge", _) if is_container_bridge(name) => InterfaceKind::Containers,
        ("bridge" | "openvswitch", _) => InterfaceKind::Bridge,
        ("veth", _) => InterfaceKind::Veth,
        (
            "tun" | "wireguard" | "gre" | "gretap" | "ip6gre" | "ip6gretap" | "ipip" | "ip6tnl"
            | "sit" | "vti" | "vti6" | "xfrm" | "ppp" | "vxlan" | "geneve" | "l2tp" | "ovpn",
            _,
        )
        | (_, "ppp" | "none" | "ipip" | "gre" | "sit" | "tunnel" | "tunnel6") => {
            InterfaceKind::Tunnel
        }
        _ if begins(&["tun", "tap", "wg", "tailscale", "zt"]) => InterfaceKind::Tunnel,
        ("" | "vlan" | "bond" | "team" | "macvlan" | "ipvlan" | "virt_wifi", "ether") => {
            InterfaceKind::Physical
        }
        _ => InterfaceKind::Other,
    }
}

/// Whether a bridge's name is one that a container engine or libvirt gives.
fn is_container_bridge(name: &str) -> bool {
    let by_docker = name
        .strip_prefix("br-")
        .is_some_and(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    by_docker
        || ["docker", "podman", "cni", "lxcbr", "lxdbr", "incusbr", "virbr"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// A route of `ip -j route`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network; none for the default route.
    pub destination: Option<AddrRange>,
    /// The routers, each with the interface it is behind; empty where the network is connected.
    pub gateways: Vec<Gateway>,
    /// The interface.
    pub interface: String,
    /// Whether the kernel made it, from an address or a router advertisement.
    pub by_kernel: bool,
}

/// Reads the answer of `ip -j route` or `ip -6 -j route`.
pub fn read_routes(json: &str) -> Option<Vec<Route>> {
    let value: Value = serde_json::from_str(json).ok()?;
    Some(value.as_array()?.iter().filter_map(read_route).collect())
}

fn read_route(value: &Value) -> Option<Route> {
    let destination = match text(value, "dst") {
        "" => return None,
        "default" => None,
        network => Some(network.parse().ok()?),
    };
    let interface = text(value, "dev").to_owned();
    let hops = value.get("nexthops").and_then(Value::as_array);
    let gateways = std::iter::once(value)
        .chain(hops.into_iter().flatten())
        .filter_map(|hop| {
            let via = hop.get("via").and_then(|via| via.get("host"));
            let address = hop.get("gateway").or(via)?.as_str()?;
            let behind = hop.get("dev").and_then(Value::as_str);
            Some(Gateway {
                address: read_address(address)?,
                interface: behind.unwrap_or(&interface).to_owned(),
            })
        })
        .collect();
    Some(Route {
        destination,
        gateways,
        interface,
        by_kernel: matches!(text(value, "protocol"), "kernel" | "ra"),
    })
}

/// The routers behind the default routes, each once.
pub fn gateways(routes: &[Route]) -> Vec<Gateway> {
    let mut found: Vec<Gateway> = Vec::new();
    for route in routes.iter().filter(|route| route.destination.is_none()) {
        for gateway in &route.gateways {
            if !found.contains(gateway) {
                found.push(gateway.clone());
            }
        }
    }
    found
}

/// The networks directly reachable: those of the own addresses, and those a router advertised
/// as on-link. Loopback, link-local and single addresses are left out.
pub fn connected_networks(interfaces: &[Interface], routes: &[Route]) -> Vec<ConnectedNetwork> {
    let mut found: Vec<ConnectedNetwork> = Vec::new();
    let mut add = |network: AddrRange, interface: &Interface| {
        let entry =
            ConnectedNetwork { network, interface: interface.name.clone(), kind: interface.kind };
        let useful = !network.is_single()
            && interface.kind != InterfaceKind::Loopback
            && !is_link_local(network.first_address());
        if useful && !found.contains(&entry) {
            found.push(entry);
        }
    };
    for interface in interfaces.iter().filter(|interface| interface.up) {
        for own in &interface.addresses {
            if let Some(network) = AddrRange::network(own.address, own.prefix) {
                add(network, interface);
            }
        }
        let on_link = routes.iter().filter(|route| {
            route.by_kernel && route.gateways.is_empty() && route.interface == interface.name
        });
        for network in on_link.filter_map(|route| route.destination) {
            add(network, interface);
        }
    }
    found.sort_by(|a, b| (a.network, &a.interface).cmp(&(b.network, &b.interface)));
    found
}

/// Whether an address is link-local (169.254.0.0/16, `fe80::/10`).
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Whether a whole range is of private addresses: RFC 1918 for IPv4, `fc00::/7` for IPv6.
///
/// 100.64.0.0/10 is not: behind it are other customers of a carrier.
pub fn is_private(range: &AddrRange) -> bool {
    let inside = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    };
    // Each private block is one unbroken run, wider than none of them reaches into the next.
    inside(range.first_address())
        && inside(range.last_address())
        && (range.family() == Family::V6 || range.prefix().is_none_or(|prefix| prefix >= 8))
}

/// Whether an address is one of the public Internet, as far as that can be told by itself.
pub fn is_public(address: IpAddr) -> bool {
    let private = is_private(&AddrRange::from(address));
    let special = match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second);
            shared || first == 0 || v4.is_broadcast()
        }
        IpAddr::V6(_) => false,
    };
    let local = address.is_loopback() || address.is_unspecified() || address.is_multicast();
    !private && !special && !local && !is_link_local(address)
}

/// The name servers of `resolv.conf`. The stub of systemd-resolved (127.0.0.53, 127.0.0.54) is
/// replaced by those of its own file, given as `behind_stub`.
pub fn resolvers(resolv_conf: &str, behind_stub: Option<&str>) -> Vec<IpAddr> {
    let listed = |text: &str| -> Vec<IpAddr> {
        text.lines()
            .filter_map(|line| {
                let mut words = line.split_ascii_whitespace();
                (words.next()? == "nameserver").then(|| words.next())?
            })
            .filter_map(read_address)
            .collect()
    };
    let is_stub = |address: &IpAddr| {
        [[127, 0, 0, 53], [127, 0, 0, 54]].iter().any(|stub| *address == IpAddr::from(*stub))
    };
    let first = listed(resolv_conf);
    let mut all: Vec<IpAddr> = first.iter().copied().filter(|a| !is_stub(a)).collect();
    if first.iter().any(is_stub) {
        all.extend(behind_stub.map(listed).unwrap_or_default());
    }
    let mut seen = Vec::new();
    all.retain(|address| {
        let new = !seen.contains(address);
        seen.push(*address);
        new
    });
    all
}

/// Whether `resolv.conf` points at the stub of systemd-resolved.
pub fn uses_stub(resolv_conf: &str) -> bool {
    resolv_conf
        .lines()
        .any(|line| line.trim_start().starts_with("nameserver") && line.contains("127.0.0.5"))
}

/// The time servers of chrony's, ntpd's or systemd-timesyncd's configuration, as written.
pub fn time_servers(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let timesyncd = ["NTP=", "FallbackNTP="].iter().find_map(|key| line.strip_prefix(key));
        if let Some(names) = timesyncd {
            found.extend(names.split_ascii_whitespace().map(str::to_owned));
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        if matches!(words.next(), Some("server" | "pool" | "peer")) {
            // ntp.conf allows "-4" and "-6" before the name.
            found.extend(words.find(|word| !word.starts_with('-')).map(str::to_owned));
        }
    }
    found
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
