//! Who began a flow, and what its ports reveal about that.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::service::{Catalogue, Ports, Protocol};

/// Who began a flow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Began {
    /// The other side.
    Peer,
    /// This host.
    Host,
    /// It could be either. Never treated as begun by the peer.
    #[default]
    Unknown,
}

/// The ports at which SIP servers usually listen: 5060 and 5061 (RFC 3261, section 19.1.2), and the
/// next ones, used by additional drivers and profiles of the same server.
const CUSTOMARY_SIP: Ports = Ports::new(Protocol::Tcp, 5060, 5099);

/// Ports below this one need privileges (RFC 6335, section 6: system ports): servers listen there.
const FIRST_UNPRIVILEGED: u16 = 1024;

/// What TCP ports are used for, on this host and on others.
#[derive(Clone, Debug)]
pub struct PortRoles {
    /// Ports at which SIP servers listen; they may also begin connections from there.
    sip: Vec<Ports>,
    /// Ports at which other services of this host listen.
    others: Vec<Ports>,
    /// The range from which the kernel picks ports for this host's outbound connections.
    ephemeral: RangeInclusive<u16>,
}

impl Default for PortRoles {
    /// The usual roles, if nothing is known about the host.
    fn default() -> PortRoles {
        PortRoles::new(&Catalogue::default(), 32_768..=60_999)
    }
}

impl PortRoles {
    /// The roles on this host. `ephemeral` is `net.ipv4.ip_local_port_range`.
    pub fn new(catalogue: &Catalogue, ephemeral: RangeInclusive<u16>) -> PortRoles {
        let (mut sip, mut others) = (vec![CUSTOMARY_SIP], Vec::new());
        for (name, service) in &catalogue.0 {
            let signals = matches!(name.as_str(), "sip" | "sip-tls");
            let ports = if signals { &mut sip } else { &mut others };
            ports.extend(service.ports.iter().filter(|ports| ports.protocol == Protocol::Tcp));
        }
        PortRoles { sip, others, ephemeral }
    }

    /// Whether the kernel may pick this port for an outbound connection of this host.
    pub fn is_ephemeral(&self, port: u16) -> bool {
        self.ephemeral.contains(&port)
    }

    /// Who began a TCP connection, judged by its ports alone. `listened`: whether a socket listens on
    /// the local port.
    ///
    /// | local port | peer's port | began |
    /// |---|---|---|
    /// | listened on | of a client | the peer |
    /// | listened on, of a service other than SIP | of a server | the peer: only SIP proxies connect from the port at which they listen |
    /// | listened on, otherwise | of a server | unknown |
    /// | not listened on, of no service | of a server | the host |
    /// | not listened on, of no service, ephemeral | of a client | the host |
    /// | not listened on, otherwise | any | unknown: the server may have closed its listening socket |
    pub fn began(&self, listened: bool, local_port: u16, peer_port: u16) -> Began {
        let from_server = peer_port < FIRST_UNPRIVILEGED || contains(&self.sip, peer_port);
        let signals = contains(&self.sip, local_port);
        let serves = local_port < FIRST_UNPRIVILEGED || contains(&self.others, local_port);
        match (listened, from_server) {
            (true, true) if signals || !serves => Began::Unknown,
            (true, _) => Began::Peer,
            (false, _) if signals || serves => Began::Unknown,
            (false, true) => Began::Host,
            (false, false) if self.is_ephemeral(local_port) => Began::Host,
            (false, false) => Began::Unknown,
        }
    }
}

fn contains(all: &[Ports], port: u16) -> bool {
    all.iter().any(|ports| ports.contains(Protocol::Tcp, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::Product;

    #[test]
    fn ports_show_who_began() {
        let mut catalogue = Product::Asterisk.catalogue();
        let sip = catalogue.0.get_mut(&"sip".parse().unwrap()).unwrap();
        sip.ports.push("tcp/7160".parse().unwrap());
        let usual = PortRoles::new(&catalogue, 32_768..=60_999);
        let wide = PortRoles::new(&catalogue, 1024..=30_000);
        for (roles, listened, local, peer, expected) in [
            // A telephone, a browser, an SSH client.
            (&usual, true, 5061, 40_000, Began::Peer),
            (&usual, true, 7160, 40_000, Began::Peer),
            (&usual, true, 443, 1024, Began::Peer),
            (&usual, true, 22, 50_000, Began::Peer),
            // A proxy that listens on 5061 and connects from 5061, or the other side does so.
            (&usual, true, 5061, 5061, Began::Unknown),
            (&usual, true, 5060, 5080, Began::Unknown),
            (&usual, true, 5060, 7160, Began::Unknown),
            (&usual, true, 5060, 443, Began::Unknown),
            (&usual, true, 7160, 5060, Began::Unknown),
            (&usual, true, 6060, 5061, Began::Unknown),
            // These servers never begin connections from there, whatever port a stranger chooses.
            (&usual, true, 22, 5060, Began::Peer),
            (&usual, true, 443, 443, Began::Peer),
            (&usual, true, 8089, 5061, Began::Peer),
            (&usual, true, 5038, 22, Began::Peer),
            // What this host began.
            (&usual, false, 50_000, 5061, Began::Host),
            (&usual, false, 50_000, 50_001, Began::Host),
            (&usual, false, 4444, 5061, Began::Host),
            (&usual, false, 4444, 443, Began::Host),
            (&wide, false, 1500, 5061, Began::Host),
            (&wide, false, 1500, 40_000, Began::Host),
            // A server that accepted one connection and then closed its listening socket.
            (&usual, false, 4444, 40_000, Began::Unknown),
            (&wide, false, 40_000, 40_000, Began::Unknown),
            (&usual, false, 5061, 5061, Began::Unknown),
            (&usual, false, 5060, 40_000, Began::Unknown),
            (&wide, false, 5060, 40_000, Began::Unknown),
            (&usual, false, 443, 443, Began::Unknown),
        ] {
            let began = roles.began(listened, local, peer);
            assert_eq!(began, expected, "listened {listened}, local {local}, peer {peer}");
        }
    }
}
