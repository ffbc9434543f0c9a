//! What the PBX of this host knows of its peers, as far as the firewall has to.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::cut::{Began, LiveFlow};
use crate::service::{Catalogue, Protocol, Role};
use crate::signalling::{LearnedBy, Peer};

/// What the PBX knows of its peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct PbxPeers {
    /// Whether it was asked, and answered.
    pub answer: PbxAnswer,
    /// Where it is registered: every address of each server's name.
    pub registrars: Vec<Registrar>,
    /// The contacts of its phones and trunks.
    pub contacts: Vec<PbxContact>,
    /// Whom an administrator named in the PBX's configuration: a phone that gives such an address as
    /// its own does not harm them.
    pub named: Vec<AddrRange>,
}

impl PbxPeers {
    /// What is taken over when the firewall goes up: registrations and fixed contacts, each for all
    /// ports of its kind, since the PBX does not say from which one it sends.
    pub fn taken_over(&self, catalogue: &Catalogue) -> Vec<(Peer, Duration)> {
        let mut peers = self.over_tcp();
        let datagrams = self.registrars.iter().filter(|it| it.protocol == Protocol::Udp);
        peers.extend(datagrams.flat_map(|it| {
            at_all_ports(catalogue, LearnedBy::Registered, it.address, it.port, it.role)
        }));
        peers.extend(self.fixed_contacts(catalogue));
        peers
    }

    /// Notes from which contacts' addresses signalling came.
    pub fn mark_heard(&mut self, heard: &BTreeSet<IpAddr>) {
        for contact in &mut self.contacts {
            contact.heard = heard.contains(&contact.address.to_canonical());
        }
    }

    /// The contacts that an administrator wrote into the PBX's configuration, as peers that were
    /// called just now.
    pub fn fixed_contacts(&self, catalogue: &Catalogue) -> Vec<(Peer, Duration)> {
        let fixed = self.contacts.iter().filter(|contact| !contact.dynamic);
        let peers = fixed.flat_map(|it| {
            [Role::Sip, Role::Iax].into_iter().flat_map(|role| {
                at_all_ports(catalogue, LearnedBy::Called, it.address, it.port, role)
            })
        });
        peers.collect()
    }

    /// The registrars over TCP or TLS.
    pub fn over_tcp(&self) -> Vec<(Peer, Duration)> {
        let by = LearnedBy::RegisteredByTcp;
        let streams = self.registrars.iter().filter(|it| it.protocol == Protocol::Tcp);
        let peer = |it: &Registrar| {
            let address = it.address.to_canonical();
            (Peer { by, address, port: 0, local_port: 0 }, by.timeout())
        };
        streams.map(peer).collect()
    }
}

/// Whether a flow shows that its peer sends signalling to this host.
pub fn is_signalling_of_peer(flow: &LiveFlow, catalogue: &Catalogue) -> bool {
    let is_signalling = match flow.protocol {
        Protocol::Udp => catalogue.role(flow.local_port).is_signalling(),
        Protocol::Tcp => {
            let ports = catalogue.sip_tcp_ports();
            ports.iter().any(|ports| ports.contains(Protocol::Tcp, flow.local_port))
        }
    };
    is_signalling && flow.began == Began::Peer
}

/// A peer at each of this host's ports of a role.
fn at_all_ports(
    catalogue: &Catalogue,
    by: LearnedBy,
    address: IpAddr,
    port: u16,
    role: Role,
) -> Vec<(Peer, Duration)> {
    let address = address.to_canonical();
    let ports = catalogue.udp_ports(role).into_iter().flat_map(|run| run.first..=run.last);
    let peer = |local_port| (Peer { by, address, port, local_port }, by.timeout());
    ports.take(MAX_PORTS).map(peer).collect()
}

/// A PBX sends from a few ports; a run of hundreds is no transport of one.
const MAX_PORTS: usize = 16;

/// Whether a PBX was asked, and answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PbxAnswer {
    /// None runs here that could be asked.
    #[default]
    NoneHere,
    /// One runs and did not answer.
    Silent,
    /// It answered.
    Answered,
}

/// A server at which the PBX is registered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Registrar {
    /// The PBX's name of the trunk.
    pub name: String,
    /// An address of the server.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Over what.
    pub protocol: Protocol,
    /// By which signalling: [`Role::Sip`] or [`Role::Iax`].
    pub role: Role,
}

/// Where a phone or trunk is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PbxContact {
    /// The extension or trunk.
    pub extension: String,
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whether it registered itself; otherwise an administrator wrote it into the configuration.
    pub dynamic: bool,
    /// Whether a packet from there began a flow to a signalling port of this host, as far as
    /// connection tracking remembers. Otherwise the address is only what the phone says of itself.
    #[serde(default)]
    pub heard: bool,
}
