//! What the PBX of this host knows about its peers, as far as the firewall needs it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::cut::{Began, LiveFlow};
use crate::service::{Catalogue, Protocol, Role};
use crate::signalling::{LearnedBy, Peer};

/// What the PBX knows about its peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct PbxPeers {
    /// Whether it was asked, and answered.
    pub answer: PbxAnswer,
    /// Where it is registered: every address of each server's name.
    pub registrars: Vec<Registrar>,
    /// The contacts of its phones and trunks.
    pub contacts: Vec<PbxContact>,
    /// The addresses and networks in the PBX's configuration. They are not denied, even if a phone
    /// registers one of them as its contact.
    pub named: Vec<AddrRange>,
}

impl PbxPeers {
    /// The peers to learn at `up`: registrations and fixed contacts, each for all local ports of its
    /// kind, since the PBX does not report from which port it sends.
    pub fn initial_peers(&self, catalogue: &Catalogue) -> Vec<(Peer, Duration)> {
        let mut peers = self.over_tcp();
        let datagrams = self.registrars.iter().filter(|it| it.protocol == Protocol::Udp);
        peers.extend(datagrams.flat_map(|it| {
            at_all_ports(catalogue, LearnedBy::Registered, it.address, it.port, it.role)
        }));
        peers.extend(self.fixed_contacts(catalogue));
        peers
    }

    /// Marks the contacts from whose addresses signalling came.
    pub fn mark_heard(&mut self, heard: &BTreeSet<IpAddr>) {
        for contact in &mut self.contacts {
            contact.heard = heard.contains(&contact.address.to_canonical());
        }
    }

    /// The contacts in the PBX's configuration, as peers that were called just now.
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

/// A peer for each of this host's ports of a role.
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

/// The most ports per peer. A PBX sends from a few ports; a range of hundreds is not for signalling.
const MAX_PORTS: usize = 16;

/// Whether a PBX was asked, and answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PbxAnswer {
    /// No PBX that can be asked runs here.
    #[default]
    NoneHere,
    /// The PBX runs but did not answer.
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
    /// The transport protocol.
    pub protocol: Protocol,
    /// The signalling protocol: [`Role::Sip`] or [`Role::Iax`].
    pub role: Role,
}

/// Where a phone or trunk can be reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PbxContact {
    /// The extension or trunk.
    pub extension: String,
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whether it registered itself; otherwise it is in the PBX's configuration.
    pub dynamic: bool,
    /// Whether a packet from there began a flow to a signalling port of this host, according to
    /// connection tracking. Otherwise the address is only what the phone claims.
    #[serde(default)]
    pub heard: bool,
}
