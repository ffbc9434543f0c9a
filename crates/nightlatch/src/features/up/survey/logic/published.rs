//! Derives container endpoints from rules that publish ports.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::super::PublishedPort;

/// The most endpoints that are kept: enough for a few PBXs with their media ports.
const MAX_ENDPOINTS: usize = 65_536;

/// The addresses and ports to which the rules lead. A rule without any port is skipped, since its
/// ports are unknown.
pub fn endpoints(published: &[PublishedPort]) -> BTreeSet<SocketAddr> {
    let mut endpoints = BTreeSet::new();
    for port in published {
        let Some((address, ports)) = port.to.as_deref().and_then(target) else { continue };
        let (first, last) = match (ports, port.first, port.last) {
            (Some(ports), _, _) => ports,
            (None, Some(first), last) => (first, last.unwrap_or(first)),
            (None, None, _) => continue,
        };
        let room = MAX_ENDPOINTS - endpoints.len();
        endpoints.extend((first..=last).take(room).map(|port| SocketAddr::new(address, port)));
    }
    endpoints
}

/// `172.17.0.2:5060`, `172.17.0.2:10000-20000`, `172.17.0.2`, `[2001:db8::2]:5060`.
fn target(text: &str) -> Option<(IpAddr, Option<(u16, u16)>)> {
    let (address, ports) = match text.strip_prefix('[') {
        Some(inner) => {
            let (address, rest) = inner.split_once(']')?;
            (address, rest.strip_prefix(':'))
        }
        None if text.matches(':').count() > 1 => (text, None),
        None => {
            text.split_once(':').map_or((text, None), |(address, ports)| (address, Some(ports)))
        }
    };
    let ports = match ports {
        None => None,
        Some(ports) => {
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let run = (first.parse().ok()?, last.parse().ok()?);
            Some(run).filter(|(first, last)| first <= last)
        }
    };
    Some((address.parse().ok()?, ports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_lead_to_endpoints() {
        let check = |to: &str, run: Option<(u16, u16)>, expected: &[&str]| {
            let port = PublishedPort {
                protocol: None,
                first: run.map(|run| run.0),
                last: run.map(|run| run.1),
                address: None,
                to: Some(to.to_owned()),
                chain: String::new(),
            };
            let found: Vec<String> = endpoints(&[port]).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{to}");
        };
        check("172.17.0.2:5060", Some((5060, 5060)), &["172.17.0.2:5060"]);
        check("172.17.0.2:5070", Some((5060, 5060)), &["172.17.0.2:5070"]);
        check("172.17.0.2:7-8", Some((17, 18)), &["172.17.0.2:7", "172.17.0.2:8"]);
        check("172.17.0.2", Some((7, 8)), &["172.17.0.2:7", "172.17.0.2:8"]);
        check("172.17.0.2", None, &[]);
        check("[2001:db8::2]:5060", None, &["[2001:db8::2]:5060"]);
        check("2001:db8::2", Some((5060, 5060)), &["[2001:db8::2]:5060"]);
        for text in ["", "x:1", "172.17.0.2:9-1", "172.17.0.2:x", "[::1", "1.2.3.4:5:6"] {
            check(text, None, &[]);
        }
    }
}
