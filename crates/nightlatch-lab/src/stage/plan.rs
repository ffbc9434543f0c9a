//! What a stage looks like, as data: networks and the hosts in them.

use std::net::IpAddr;

/// The name of the host in the middle, which stands for the internet.
pub const ROUTER: &str = "router";
/// The telephone server that is to be protected.
pub const SERVER: &str = "server";
/// An office with a fixed address.
pub const OFFICE: &str = "office";
/// Someone on the road.
pub const TRAVELLER: &str = "traveller";
/// A stranger with bad intentions.
pub const ATTACKER: &str = "attacker";
/// A name server, on the server's own network.
pub const RESOLVER: &str = "resolver";

/// A network: its name and the addresses its router has in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPlan {
    pub(super) name: String,
    pub(super) router: String,
    pub(super) gateways: Vec<String>,
}

impl NetworkPlan {
    /// A network joined to the router, which has the addresses `gateways` in it
    /// (`198.51.100.254/24`). The name becomes an interface name: 15 characters at most.
    pub fn new(name: &str, gateways: &[&str]) -> NetworkPlan {
        NetworkPlan { name: name.to_owned(), router: ROUTER.to_owned(), gateways: owned(gateways) }
    }

    /// The same network, but behind another host (containers behind the server). That host
    /// forwards; it has an interface with the name of the network.
    #[must_use]
    pub fn behind(mut self, host: &str) -> NetworkPlan {
        host.clone_into(&mut self.router);
        self
    }
}

/// A host: its networks, its addresses there, and what it does not share with this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPlan {
    pub(super) name: String,
    pub(super) attachments: Vec<Attachment>,
    pub(super) routed: Vec<String>,
    pub(super) private: Vec<String>,
}

/// A host's place in one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) network: String,
    pub(super) addresses: Vec<String>,
}

impl HostPlan {
    /// A host in `network` with `addresses` (`198.51.100.1/24`, `2001:db8:1::1/64`) on its
    /// interface `eth0`. Its default routes lead to the network's router.
    pub fn new(name: &str, network: &str, addresses: &[&str]) -> HostPlan {
        HostPlan {
            name: name.to_owned(),
            attachments: vec![Attachment {
                network: network.to_owned(),
                addresses: owned(addresses),
            }],
            routed: Vec::new(),
            private: Vec::new(),
        }
    }

    /// Joins a further network by a further interface (`eth1`, `eth2`, ...), without a default
    /// route there.
    #[must_use]
    pub fn also_in(mut self, network: &str, addresses: &[&str]) -> HostPlan {
        self.attachments
            .push(Attachment { network: network.to_owned(), addresses: owned(addresses) });
        self
    }

    /// Makes whole networks (`192.0.2.192/26`, `2001:db8:66:1::/64`) belong to this host: the
    /// router of its first network sends them here and every address of them is the host's own.
    #[must_use]
    pub fn owning(mut self, networks: &[&str]) -> HostPlan {
        self.routed.extend(owned(networks));
        self
    }

    /// Gives the host an empty directory of its own in place of the machine's (`/run`). Programs
    /// started in the host then start in `/`.
    #[must_use]
    pub fn with_empty(mut self, directory: &str) -> HostPlan {
        self.private.push(directory.to_owned());
        self
    }

    /// Gives the host a copy of its own of a directory (`/etc`).
    #[must_use]
    pub fn with_copy(mut self, directory: &str) -> HostPlan {
        self.private.push(format!("copy={directory}"));
        self
    }
}

/// A whole stage: networks and hosts. The router is always there and not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub(super) networks: Vec<NetworkPlan>,
    pub(super) hosts: Vec<HostPlan>,
}

impl Plan {
    /// A stage with nothing but the router.
    pub fn empty() -> Plan {
        Plan::default()
    }

    /// The server, an office, a traveller and an attacker, each in a network of its own.
    ///
    /// | host | addresses |
    /// |---|---|
    /// | server | 198.51.100.1, 2001:db8:1::1 |
    /// | office | 203.0.113.10, 2001:db8:2::10 |
    /// | traveller | 192.0.2.20, 2001:db8:3::20 |
    /// | attacker | 192.0.2.166, 2001:db8:66::66 |
    pub fn standard() -> Plan {
        Plan::empty()
            .network(NetworkPlan::new("lan-server", &["198.51.100.254/24", "2001:db8:1::fe/64"]))
            .network(NetworkPlan::new("lan-office", &["203.0.113.254/24", "2001:db8:2::fe/64"]))
            .network(NetworkPlan::new("lan-traveller", &["192.0.2.126/25", "2001:db8:3::fe/64"]))
            .network(NetworkPlan::new("lan-attacker", &["192.0.2.254/25", "2001:db8:66::fe/64"]))
            .host(HostPlan::new(SERVER, "lan-server", &["198.51.100.1/24", "2001:db8:1::1/64"]))
            .host(HostPlan::new(OFFICE, "lan-office", &["203.0.113.10/24", "2001:db8:2::10/64"]))
            .host(HostPlan::new(
                TRAVELLER,
                "lan-traveller",
                &["192.0.2.20/25", "2001:db8:3::20/64"],
            ))
            .host(HostPlan::new(
                ATTACKER,
                "lan-attacker",
                &["192.0.2.166/25", "2001:db8:66::66/64"],
            ))
    }

    /// Adds a resolver beside the server: `198.51.100.53`, `2001:db8:1::53`.
    #[must_use]
    pub fn with_resolver(self) -> Plan {
        self.host(HostPlan::new(RESOLVER, "lan-server", &["198.51.100.53/24", "2001:db8:1::53/64"]))
    }

    /// Adds a network.
    #[must_use]
    pub fn network(mut self, network: NetworkPlan) -> Plan {
        self.networks.push(network);
        self
    }

    /// Adds a host, or replaces the one of the same name.
    #[must_use]
    pub fn host(mut self, host: HostPlan) -> Plan {
        self.hosts.retain(|known| known.name != host.name);
        self.hosts.push(host);
        self
    }

    /// Changes the host `name`, where there is one.
    #[must_use]
    pub fn change(mut self, name: &str, change: impl Fn(HostPlan) -> HostPlan) -> Plan {
        for host in &mut self.hosts {
            if host.name == name {
                *host = change(host.clone());
            }
        }
        self
    }

    /// Leaves a host out, and the networks which then have none.
    #[must_use]
    pub fn without(mut self, name: &str) -> Plan {
        self.hosts.retain(|host| host.name != name);
        let hosts = &self.hosts;
        self.networks.retain(|network| {
            hosts.iter().any(|host| host.attachments.iter().any(|at| at.network == network.name))
        });
        self
    }
}

impl Plan {
    /// The addresses of the routers in all networks that `host` is in.
    pub(super) fn gateways_of(&self, host: &str) -> Vec<IpAddr> {
        let hosts = self.hosts.iter().filter(|planned| planned.name == host);
        hosts
            .flat_map(|host| &host.attachments)
            .flat_map(|at| self.networks.iter().filter(|network| network.name == at.network))
            .flat_map(|network| &network.gateways)
            .filter_map(|gateway| gateway.split('/').next()?.parse().ok())
            .collect()
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
