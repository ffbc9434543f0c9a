//! What the PBX of this machine knows: its registrations, its contacts, the addresses it accepts
//! without registration, and the running calls.
//!
//! [`ask`] queries the consoles of Asterisk and Kamailio if they run in this network namespace;
//! [`resolve`] finds the addresses of a server; [`register_again`] makes the PBX renew its
//! registrations; [`remaining`] returns what remains to be done at the PBX after an account was
//! removed. `nightlatch_parse::pbx` parses their output as untrusted input.

mod asterisk;
mod io;
mod kamailio;
mod remaining;
mod resolve;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use nightlatch_core::AddrRange;
use nightlatch_core::service::Protocol;
pub use nightlatch_parse::pbx::{RegistrationState, Transport};
use serde::{Deserialize, Serialize};

pub use io::{Again, ask, register_again, running};
pub use remaining::{Remaining, remaining};
pub use resolve::{Place, Resolved, resolve};

/// What to ask for. Each query starts a program, so ask for no more than is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate query")]
pub struct Subjects {
    /// Registrations of the PBX at other servers.
    pub registrations: bool,
    /// Contacts: phones and trunks.
    pub contacts: bool,
    /// Addresses that the PBX accepts without registration.
    pub identifies: bool,
    /// Running calls.
    pub channels: bool,
}

impl Subjects {
    /// Nothing.
    pub const NONE: Subjects =
        Subjects { registrations: false, contacts: false, identifies: false, channels: false };
    /// Everything.
    pub const ALL: Subjects =
        Subjects { registrations: true, contacts: true, identifies: true, channels: true };
    /// The contacts only.
    pub const CONTACTS: Subjects = Subjects { contacts: true, ..Subjects::NONE };
    /// The registrations only.
    pub const REGISTRATIONS: Subjects = Subjects { registrations: true, ..Subjects::NONE };
    /// What [`remaining`] needs.
    pub const CALLS: Subjects = Subjects { contacts: true, channels: true, ..Subjects::NONE };
}

/// What the PBX knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PbxAnswer {
    /// The consoles that answered.
    pub asked: Vec<Console>,
    /// Why no console was asked; `None` if one was.
    pub not_asked: Option<String>,
    /// Registrations at other servers.
    pub registrations: Vec<Registration>,
    /// Phones and trunks whose address the PBX knows.
    pub contacts: Vec<Contact>,
    /// Phones and trunks with a host name instead of an address: see [`resolve`].
    pub named: Vec<NamedContact>,
    /// Addresses that the PBX accepts without registration.
    pub identifies: Vec<Identify>,
    /// Running calls.
    pub channels: Vec<Channel>,
    /// What could not be read, and why.
    pub unread: Vec<Unread>,
}

impl PbxAnswer {
    /// Whether nothing at all was answered.
    pub fn is_empty(&self) -> bool {
        self.registrations.is_empty()
            && self.contacts.is_empty()
            && self.named.is_empty()
            && self.identifies.is_empty()
            && self.channels.is_empty()
    }
}

/// A console that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Console {
    /// Asterisk, also as part of FreePBX, VitalPBX and others.
    Asterisk,
    /// Kamailio.
    Kamailio,
}

/// The part of a PBX that communicates with a peer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// Asterisk's `chan_pjsip`.
    #[default]
    Pjsip,
    /// Asterisk's `chan_sip`.
    Sip,
    /// Asterisk's `chan_iax2`.
    Iax2,
    /// Kamailio.
    Kamailio,
}

/// A server, as given in a SIP URI or a registration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Server {
    /// A host name or an address.
    pub host: String,
    /// The port; `None` if it is not configured: then SRV records or the default port are used.
    pub port: Option<u16>,
    /// The transport; `None` if it is not configured: UDP, unless SRV records specify another.
    pub transport: Option<Transport>,
}

impl Server {
    /// TCP (and TLS) or UDP, unless SRV records specify another.
    pub fn protocol(&self) -> Protocol {
        protocol(self.transport)
    }
}

/// A registration of the PBX at another server: a trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The name at the PBX; for `chan_sip` and IAX2 the user name, which may be truncated.
    pub name: String,
    /// Where REGISTER is sent: the server, or its configured proxy.
    pub server: Server,
    /// The host in the REGISTER request if it is sent to a proxy.
    pub registrar: Option<String>,
    /// The driver that registers.
    pub driver: Driver,
    /// Whether the server accepted.
    pub state: RegistrationState,
}

/// A phone or trunk whose address the PBX knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Contact {
    /// The extension or trunk.
    pub name: String,
    /// TCP (and TLS) or UDP.
    pub protocol: Protocol,
    /// Its address. If the contact registered itself, this is only what the phone claims, unless the
    /// PBX replaces it with the source address (`rewrite_contact`).
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whether it registered itself, as phones do. Trunks are often configured. If unknown, it counts
    /// as registered.
    pub registered: bool,
    /// The driver that communicates with it.
    #[serde(default)]
    pub driver: Driver,
    /// How to remove it from the PBX; `None` if it is configured or its name is truncated.
    #[serde(default)]
    pub removal: Option<Removal>,
}

/// A phone or trunk with a host name instead of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamedContact {
    /// The extension or trunk.
    pub name: String,
    /// Where it can be reached.
    pub server: Server,
    /// Whether it registered itself.
    pub registered: bool,
    /// The driver that communicates with it.
    pub driver: Driver,
}

/// How to remove a contact from the PBX.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// A key in Asterisk's database, below `registrar/contact`.
    RegistrarKey(String),
    /// A peer of `chan_sip`.
    SipPeer(String),
    /// A peer of IAX2.
    IaxPeer(String),
    /// An address of record in a table of Kamailio; all its contacts are removed.
    Location {
        /// The table, usually `location`.
        table: String,
        /// The address of record.
        aor: String,
    },
}

/// Addresses that the PBX accepts without registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identify {
    /// The endpoint as which they are accepted.
    pub endpoint: String,
    /// The addresses and networks.
    pub ranges: Vec<AddrRange>,
}

/// One leg of a running call. A caller can forge one in Asterisk's output: see [`PbxAnswer::unread`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its name at the PBX, e.g. `PJSIP/1005-0000001a`.
    pub name: String,
    /// The driver that communicates with the peer; `None` for channels inside the PBX.
    pub driver: Option<Driver>,
    /// The extension or trunk.
    pub endpoint: String,
    /// The state, e.g. `Up` or `Ring`.
    pub state: String,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// What.
    pub what: String,
    /// Why.
    pub reason: String,
}

impl Unread {
    fn new(what: impl Into<String>, reason: impl ToString) -> Unread {
        Unread { what: what.into(), reason: reason.to_string() }
    }
}

fn protocol(transport: Option<Transport>) -> Protocol {
    match transport {
        None | Some(Transport::Udp) => Protocol::Udp,
        Some(Transport::Tcp | Transport::Tls) => Protocol::Tcp,
    }
}

/// The default SIP port of a transport.
fn usual_port(transport: Option<Transport>) -> u16 {
    if transport == Some(Transport::Tls) { 5061 } else { 5060 }
}
