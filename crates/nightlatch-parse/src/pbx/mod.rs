//! Console output of telephone servers (PBX).
//!
//! Most of this output contains text that strangers and users choose (SIP URIs, user agents, caller
//! names), so it is untrusted input. Each reader takes the whole output and never fails: lines that it
//! does not understand are skipped. At most [`MAX_ENTRIES`] entries are returned.
//!
//! Names that are needed to remove something are returned unchanged, since any other text would be
//! another name; all other names are cleaned, see [`shown`].
//!
//! Asterisk truncates text that is longer than its column. A truncated address is another address, so
//! text that may be truncated is marked as such and never guessed.

mod channels;
mod columns;
pub mod kamailio;
mod peers;
mod pjsip;
mod uri;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use channels::{Channel, channel_count, channels};
pub use peers::{Peer, Registry, iax_peers, iax_registry, sip_peers, sip_registry};
pub use pjsip::{
    Aor, AorContact, Identify, PjsipRegistration, RegistrarContact, aors, identifies, registrar,
    registrations, settings,
};
pub use uri::{SipPlace, Transport, first_route};

/// The most entries that one reader returns.
pub const MAX_ENTRIES: usize = 50_000;

/// The most characters of a name that are printed. Names in Asterisk are shorter.
const MAX_NAME: usize = 200;

/// Whether a PBX is registered at a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegistrationState {
    /// The server accepted the last REGISTER.
    Registered,
    /// The PBX has sent REGISTER or is about to. Asterisk also shows this for some seconds while it
    /// renews an active registration.
    Trying,
    /// The server rejected it, or repeatedly did not answer.
    Refused,
    /// The registration is disabled in the PBX.
    Disabled,
}

/// An address as PBXs print it: IPv6 possibly in brackets and with a zone. IPv4-mapped IPv6 addresses
/// become IPv4.
pub fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// A name that is safe to print: without control characters and characters that change the direction
/// of the surrounding text, at most 200 characters.
pub fn shown(name: &str) -> String {
    name.trim().chars().filter(|letter| !is_hidden(*letter)).take(MAX_NAME).collect()
}

fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
