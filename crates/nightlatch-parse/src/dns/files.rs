//! The files of the system's resolver: `/etc/resolv.conf` and `/etc/hosts`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The most name servers of `/etc/resolv.conf` that are used: the limit of the C library.
const MAX_RESOLVERS: usize = 3;
/// The most domains in which a name without a dot is looked for.
const MAX_DOMAINS: usize = 6;
/// The most names of `/etc/hosts` that are kept.
const MAX_HOSTS: usize = 10_000;
/// The most addresses of one of these.
const MAX_ADDRESSES: usize = 65;

/// What `/etc/resolv.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolving {
    /// The name servers, in their order; those with a link-local address are left out.
    pub servers: Vec<SocketAddr>,
    /// The domains in which a name without a dot is looked for, in lower case.
    pub domains: Vec<String>,
}

/// Reads `/etc/resolv.conf`. Of `search` and `domain`, the last one counts, as for the C library.
pub fn resolv_conf(text: &str) -> Resolving {
    let mut found = Resolving { servers: resolvers(text), domains: Vec::new() };
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if matches!(words.next(), Some("search" | "domain")) {
            let domains = words.map(|word| word.trim_end_matches('.').to_ascii_lowercase());
            found.domains = domains.filter(|domain| !domain.is_empty()).take(MAX_DOMAINS).collect();
        }
    }
    found
}

/// The name servers of `/etc/resolv.conf`, with port 53, except link-local ones.
pub fn resolvers(resolv_conf: &str) -> Vec<SocketAddr> {
    resolv_conf
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
            Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, 53))
        })
        .take(MAX_RESOLVERS)
        .collect()
}

/// Reads `/etc/hosts`: the addresses of each name, which is in lower case.
pub fn hosts(text: &str) -> BTreeMap<String, Vec<IpAddr>> {
    let mut found = BTreeMap::<String, Vec<IpAddr>>::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        for name in words {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if found.len() >= MAX_HOSTS && !found.contains_key(&name) {
                return found;
            }
            let addresses = found.entry(name).or_default();
            if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_resolv_conf_says() {
        let text = "domain a.example\nnameserver 192.0.2.53\nsearch B.example. c.example\n";
        let found = resolv_conf(text);
        assert_eq!(found.domains, ["b.example", "c.example"]);
        assert_eq!(found.servers, ["192.0.2.53:53".parse().unwrap()]);
        assert_eq!(resolv_conf("search\nnameserver x\n"), Resolving::default());
    }

    #[test]
    fn what_hosts_says() {
        let text = "127.0.0.1 localhost\n192.0.2.1 Office office.example.net. # 192.0.2.9 no\n\
                    2001:db8::1\toffice\n# 192.0.2.8 office\nfe80::1%eth0 office\n192.0.2.1 office\n";
        let found = hosts(text);
        let of = |name: &str| {
            found.get(name).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(of("office").unwrap(), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(of("office.example.net").unwrap(), ["192.0.2.1"]);
        assert_eq!(of("no"), None);
    }

    #[test]
    fn a_long_file_is_read_in_bounds() {
        let text: String = (0..20_000).map(|at| format!("192.0.2.1 host{at}\n")).collect();
        assert_eq!(hosts(&text).len(), MAX_HOSTS);
    }
}
