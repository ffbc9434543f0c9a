//! Lines of logs: who tried what, at which service, and how it ended.
//!
//! A line is written by an attacker as far as user names, Call-IDs and agents go. So a reader takes the
//! source only from the place at which the program itself writes it, by the known shape of the line. Where
//! a line could be read in two ways that name different sources, it is [`Reading::Doubtful`]: a reason for a
//! notice, never for a ban.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub mod apache;
pub mod asterisk;
pub mod freepbx;
pub mod freeswitch;
pub mod fusionpbx;
pub mod kamailio;
pub mod nginx;
pub mod opensips;
pub mod prefix;
pub mod sshd;
pub mod stamp;

mod format;
mod pattern;
mod snippet;
mod text;

#[cfg(test)]
mod tests;

pub use format::{Format, UnknownFormat};
pub use pattern::{Pattern, PatternError};
pub use stamp::Stamp;

/// The longest line that is read, in bytes. Of a longer one nothing is believed.
pub const MAX_LINE: usize = 16_384;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<'a> {
    /// Somebody tried something.
    Attempt(Attempt<'a>),
    /// Somebody tried something, and the line names several sources: it was written to deceive.
    Doubtful(Doubt<'a>),
}

/// Somebody tried something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// When, as the line says.
    pub stamp: Option<Stamp>,
    /// From where.
    pub source: IpAddr,
    /// From which port, where the line tells.
    pub port: Option<u16>,
    /// At which kind of service.
    pub service: Service,
    /// How it ended.
    pub outcome: Outcome,
    /// What the line proves of the source.
    pub proof: Proof,
    /// The account, extension or user name that was tried, as written: the attacker's text.
    pub account: Option<&'a [u8]>,
    /// What tells one attempt from another: lines with the same are one attempt (a Call-ID, the process
    /// of a connection). Without it, each line is an attempt.
    pub session: Option<&'a [u8]>,
    /// The name by which the client introduces itself: the attacker's text.
    pub agent: Option<&'a [u8]>,
    /// What was called: the attacker's text.
    pub dialled: Option<&'a [u8]>,
}

/// A line that names several sources, or by a filter of fail2ban something that is not an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt<'a> {
    /// When, as the line says.
    pub stamp: Option<Stamp>,
    /// At which kind of service.
    pub service: Service,
    /// The sources, in the order of the line; none of them is believed. None where there is no address.
    pub sources: Vec<IpAddr>,
    /// The part of the line in which they differ, or that stands for the address: the attacker's text.
    pub text: &'a [u8],
}

/// The kind of a service that writes logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// SIP.
    Sip,
    /// IAX2.
    Iax,
    /// The Asterisk Manager Interface.
    Ami,
    /// A web interface, of a PBX or any other.
    Web,
    /// Provisioning of phones.
    Provisioning,
    /// SSH.
    Ssh,
    /// Anything else.
    Other,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The password was wrong, or the program does not tell whether the account exists.
    WrongPassword,
    /// There is no such account.
    UnknownAccount,
    /// The account may not be used from that address, by that method or transport.
    NotAllowed,
    /// The request made no sense, or asked for what there is not: a scan.
    Malformed,
    /// A number was called that there is not, with a valid account or as a guest.
    UnknownNumber,
    /// A challenge was sent. Precedes each honest login, and is no failure.
    Challenged,
    /// Too many at once, such as contacts of an account: also honest phones cause it. No failure.
    TooMany,
    /// Somebody logged in.
    Succeeded,
}

/// What a line proves of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Nothing: a datagram whose source may be forged.
    Claimed,
    /// Packets went both ways: a TCP connection, or a response to a challenge of this server.
    Answered,
}
