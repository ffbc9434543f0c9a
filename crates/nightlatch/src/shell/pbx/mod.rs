//! What the PBX of this machine knows: where it registered, who registered with it, whom it
//! accepts by address, which calls run.
//!
//! [`ask`] asks the consoles of Asterisk and Kamailio, where they run in this network namespace;
//! [`resolve`] finds the addresses of a server; [`register_again`] has the PBX renew its
//! registrations; [`remaining`] says what is left to do at the PBX after an account was removed.
//! Texts are read in `nightlatch_parse::pbx`, where nothing is trusted.

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

/// What is asked for. A question takes a program's start, so ask for no more than is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub struct Subjects {
    /// Registrations of the PBX at other servers.
    pub registrations: bool,
    /// Telephones and trunks with an address.
    pub contacts: bool,
    /// Whom the PBX accepts by address.
    pub identifies: bool,
    /// Running calls.
    pub channels: bool,
}

impl Subjects {
    /// Nothing: to begin with.
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
    /// Why no console was asked, in words; none where one was.
    pub not_asked: Option<String>,
    /// Registrations at other servers.
    pub registrations: Vec<Registration>,
    /// Telephones and trunks whose address the PBX knows.
    pub contacts: Vec<Contact>,
    /// Telephones and trunks that are reached by a host name: see [`resolve`].
    pub named: Vec<NamedContact>,
    /// Whom the PBX accepts by address.
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
    /// Asterisk, also below FreePBX, VitalPBX and others.
    Asterisk,
    /// Kamailio.
    Kamailio,
}

/// The part of a PBX that speaks with a peer.
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

/// A server as a SIP URI or a registration names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Server {
    /// A host name or an address.
    pub host: String,
    /// The port; none where none is configured: then SRV records and the usual port count.
    pub port: Option<u16>,
    /// The transport; none where none is configured: UDP unless SRV records say otherwise.
    pub transport: Option<Transport>,
}

impl Server {
    /// TCP (and TLS) or UDP, where no SRV record says otherwise.
    pub fn protocol(&self) -> Protocol {
        protocol(self.transport)
    }
}

/// A registration of the PBX at another server: a trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The name at the PBX; with `chan_sip` and IAX2 the user name, which may be cut off.
    pub name: String,
    /// Where REGISTER is sent: the server, or the proxy that is configured for it.
    pub server: Server,
    /// The host that REGISTER names, where it is sent to a proxy instead.
    pub registrar: Option<String>,
    /// Who registers.
    pub driver: Driver,
    /// Whether the server accepted.
    pub state: RegistrationState,
}

/// A telephone or trunk whose address the PBX knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Contact {
    /// The extension or trunk.
    pub name: String,
    /// TCP (and TLS) or UDP.
    pub protocol: Protocol,
    /// Its address. Of a contact that registered itself it is the telephone's own word unless the
    /// PBX replaces it by the sender's (`rewrite_contact`).
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whether it registered itself, as telephones do; trunks are often configured. What cannot
    /// be told counts as registered.
    pub registered: bool,
    /// Who speaks with it.
    #[serde(default)]
    pub driver: Driver,
    /// By what the PBX can forget it; none where it is configured, or where its name is cut off.
    #[serde(default)]
    pub removal: Option<Removal>,
}

/// A telephone or trunk that is reached by a host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamedContact {
    /// The extension or trunk.
    pub name: String,
    /// Where it is reached.
    pub server: Server,
    /// Whether it registered itself.
    pub registered: bool,
    /// Who speaks with it.
    pub driver: Driver,
}

/// By what a PBX can forget a contact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// The key of Asterisk's database, below `registrar/contact`.
    RegistrarKey(String),
    /// A peer of `chan_sip`.
    SipPeer(String),
    /// A peer of IAX2.
    IaxPeer(String),
    /// An address of record in a table of Kamailio; all its contacts go.
    Location {
        /// The table, usually `location`.
        table: String,
        /// The address of record.
        aor: String,
    },
}

/// Whom the PBX accepts by address, without registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identify {
    /// The endpoint as which it is accepted.
    pub endpoint: String,
    /// The addresses and networks.
    pub ranges: Vec<AddrRange>,
}

/// One leg of a running call. Asterisk lets a caller forge one: see [`PbxAnswer::unread`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its name at the PBX: `PJSIP/1005-0000001a`.
    pub name: String,
    /// Who speaks with the peer; none for channels inside the PBX.
    pub driver: Option<Driver>,
    /// The extension or trunk.
    pub endpoint: String,
    /// The state, such as `Up` or `Ring`.
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

/// The port of SIP where none is named.
fn usual_port(transport: Option<Transport>) -> u16 {
    if transport == Some(Transport::Tls) { 5061 } else { 5060 }
}
