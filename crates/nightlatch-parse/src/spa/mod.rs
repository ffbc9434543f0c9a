//! Messages of single packet authorization (SPA), as fwknop 2.6 writes them.
//!
//! A message is one UDP packet of printable characters that says who wants which services opened, for
//! which address, and when. [`authenticate`] checks who wrote it before anything is decrypted,
//! [`Authentic::open`] reads it, and [`Message::write`] makes one.
//!
//! # The format
//!
//! The plain text is these fields, with `:` between them; those marked * in base64:
//!
//! ```text
//! 16 random digits : user* : seconds since 1970 : 3.0.0 : type : request* [: timeout] : SHA-256*
//! ```
//!
//! The last is over all that precedes its colon. Type 1 asks for access; type 3 too, and has a timeout in
//! seconds that the client chose. The request is `address,protocol/port`, with more of `protocol/port`
//! behind further commas; the address `0.0.0.0` means the source of the packet.
//!
//! The plain text is encrypted by AES-256 in CBC mode with padding of PKCS #7, in the form that OpenSSL
//! gives it: `Salted__`, eight bytes of salt, then the blocks. Key and initialization vector are derived by
//! `EVP_BytesToKey` with one round of MD5. That is encoded in base64. It always begins with the same ten
//! characters, which are not sent. HMAC-SHA256 over the base64, with those characters, follows in base64.
//! All base64 is of the standard alphabet, without `=`.
//!
//! Of what fwknop can do besides, nothing is accepted: messages without an HMAC, other ciphers, other
//! hashes, GPG, commands, NAT.
//!
//! # IPv6
//!
//! fwknop knows IPv4 only. Here the address of a request may also be one of IPv6, in its usual text form
//! without brackets. Its colons are not mistaken for those between the fields, because the request is
//! encoded in base64. `::` means the source of the packet, as `0.0.0.0` does.
//!
//! # One encoding
//!
//! A message has exactly one encoding that is accepted: no characters besides the alphabet, and the
//! unused bits of a last character are zero. So whoever repeats a message repeats its HMAC, and a record
//! of the HMACs that were seen ([`Authentic::replay_key`]) finds every repetition.

use std::net::{IpAddr, Ipv4Addr};

mod card;
mod cipher;
mod fields;
mod keys;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use card::{Card, CardError, CardWord, Named};
pub use keys::{KeyError, Keys, MAX_HMAC_KEY, MAX_KEY};
pub use read::{
    Authentic, FIRST_BYTES, MAX_PAYLOAD, MIN_PAYLOAD, NotAuthentic, authenticate, is_plausible,
    plausible_len,
};

/// The longest name of a user, in bytes: 64 characters in base64, as of fwknop's server.
pub const MAX_USER: usize = 48;
/// The longest request, in bytes: an address and what to open for it. In base64 it has 256 characters, as
/// of fwknop's server. Its client writes longer ones too. Its server also takes payloads of 400 characters
/// and more for messages of GPG, which is about 12 services.
pub const MAX_REQUEST: usize = 192;
/// The earliest time of a message, in seconds since 1970: in the year 2001. Times have ten digits at least.
pub const MIN_TIME: u64 = 1_000_000_000;
/// The longest timeout, in seconds, as of fwknop's server.
pub const MAX_TIMEOUT: u32 = 65_536;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The name of who wrote it, as the client knows it: of no meaning for who it is. One to
    /// [`MAX_USER`] printable characters of ASCII.
    pub user: String,
    /// When it was written by the client's clock, in seconds since 1970: at least [`MIN_TIME`].
    pub time: u64,
    /// For which address access is asked.
    pub address: Address,
    /// What is to be opened: at least one, and no more than a request is long.
    pub services: Vec<Service>,
    /// After how many seconds access is to end, if the client says so: 1 to [`MAX_TIMEOUT`].
    pub client_timeout: Option<u32>,
}

/// For which address access is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// That from which the packet comes.
    Source,
    /// This one: neither `0.0.0.0` nor `::` nor an IPv4 address in the form of IPv6.
    Given(IpAddr),
}

/// One port that is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number, which is not 0.
    pub port: u16,
}

/// The protocols that have ports to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `tcp`
    Tcp,
    /// `udp`
    Udp,
}

/// Why a message is refused though its HMAC is right: its sender has the keys. Also why a message cannot
/// be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Decryption gives no padding of PKCS #7: another key, or another mode.
    #[error("the SPA message cannot be decrypted: it has another key, or a mode other than CBC")]
    Decryption,
    /// The inner SHA-256 is not that of the text, or it is another hash.
    #[error("the SPA message has a wrong inner digest, or one other than SHA-256")]
    Digest,
    /// It has too few or too many fields, or no random value.
    #[error("the SPA message has a wrong number of fields, or a malformed one")]
    Fields,
    /// A version other than 3.
    #[error("the SPA message has a version other than 3")]
    Version,
    /// The name of a user is empty, too long, or has characters that are not printable.
    #[error("the user in the SPA message is malformed")]
    User,
    /// The time is not a number, or before [`MIN_TIME`].
    #[error("the time in the SPA message is malformed")]
    Time,
    /// The request is too long, or not in base64.
    #[error("the request in the SPA message is malformed")]
    Request,
    /// The address is malformed.
    #[error("the address in the SPA message is malformed")]
    Address,
    /// It asks for no port, or for a protocol or port that there is not.
    #[error("the SPA message asks for no port, or for a malformed one")]
    Service,
    /// The client's timeout is 0, not a number or too long.
    #[error("the timeout in the SPA message is malformed")]
    Timeout,
    /// Type 0: to run a command.
    #[error("the SPA message asks to run a command (type 0)")]
    Command,
    /// Type 2: access to another host through NAT.
    #[error("the SPA message asks for NAT access (type 2)")]
    Nat,
    /// Type 4: as type 2, with a timeout.
    #[error("the SPA message asks for NAT access with a timeout (type 4)")]
    NatTimeout,
    /// Type 5: NAT to another port of this host.
    #[error("the SPA message asks for local NAT access (type 5)")]
    LocalNat,
    /// Type 6: as type 5, with a timeout.
    #[error("the SPA message asks for local NAT access with a timeout (type 6)")]
    LocalNatTimeout,
    /// A type that there is not, with its number where it is one.
    #[error("the SPA message has an unknown type")]
    UnknownType(Option<u8>),
}

impl Address {
    /// The address `address` of a request.
    ///
    /// # Errors
    /// It is an IPv4 address in the form of IPv6, which no host has.
    fn of(address: IpAddr) -> Result<Address, Refused> {
        match address {
            _ if address.is_unspecified() => Ok(Address::Source),
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => Err(Refused::Address),
            _ => Ok(Address::Given(address)),
        }
    }

    /// How a request says it.
    fn text(self) -> String {
        match self {
            Address::Source => Ipv4Addr::UNSPECIFIED.to_string(),
            Address::Given(address) => address.to_string(),
        }
    }
}

impl Protocol {
    /// `tcp` or `udp`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.protocol.name(), self.port)
    }
}
