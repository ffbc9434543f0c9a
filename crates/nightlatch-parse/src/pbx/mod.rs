//! What telephone servers (PBX) answer on their consoles.
//!
//! Most of these texts contain names that strangers and users choose (SIP URIs, user agents,
//! caller names), so they are read as any other bytes from outside. Each reader takes the whole
//! answer and never fails: a line that it does not understand is skipped. At most
//! [`MAX_ENTRIES`] entries are returned.
//!
//! Names by which something can be removed are returned as they are, since another text is another
//! name; all others are cleaned, see [`shown`].
//!
//! Columns of Asterisk's console are cut off where a text is longer than its column. Half an
//! address is another address, so each text that may be cut off is marked, never guessed.

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

/// The most characters of a name that are shown. Asterisk's own names are shorter.
const MAX_NAME: usize = 200;

/// Whether a PBX is registered at a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegistrationState {
    /// The server accepted the last REGISTER.
    Registered,
    /// The PBX has asked or is about to ask. Asterisk shows this for some seconds also while it
    /// renews a registration that is in force.
    Trying,
    /// The server refused, or did not answer often enough.
    Refused,
    /// The registration is disabled in the PBX.
    Disabled,
}

/// An address as PBXs print it: IPv6 possibly in brackets, possibly with a zone. IPv4 written as
/// IPv6 becomes IPv4.
pub fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// A name as it may be shown: without control characters and without characters that change the
/// direction of the text around them, at most 200 characters.
pub fn shown(name: &str) -> String {
    name.trim().chars().filter(|letter| !is_hidden(*letter)).take(MAX_NAME).collect()
}

fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
