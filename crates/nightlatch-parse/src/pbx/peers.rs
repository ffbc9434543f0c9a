//! Peers and registrations of Asterisk's channel drivers `chan_sip` and `chan_iax2`.

use std::net::{IpAddr, SocketAddr};

use super::columns::{below, column};
use super::uri::host_of;
use super::{MAX_ENTRIES, RegistrationState, address, shown};

/// A telephone or trunk of `sip show peers` or `iax2 show peers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The name, unchanged, without the slash and user name that may follow it.
    pub name: String,
    /// Whether the name may be truncated.
    pub name_may_be_cut: bool,
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whether it registers dynamically, so that the address is what it claims.
    pub dynamic: bool,
}

/// Reads `sip show peers`. Peers without an address are skipped.
pub fn sip_peers(text: &str) -> Vec<Peer> {
    below(text, ["Name/username", "Host"])
        .filter_map(|(line, [_, host])| {
            let words = line.get(host..)?.split_ascii_whitespace();
            peer(column(line, 0, host), " ", words, "D")
        })
        .take(MAX_ENTRIES)
        .collect()
}

/// Reads `iax2 show peers`. Peers without an address are skipped.
pub fn iax_peers(text: &str) -> Vec<Peer> {
    below(text, ["Name/Username", "Host"])
        .filter_map(|(line, [_, host])| {
            let words = line.get(host..)?.split_ascii_whitespace();
            peer(column(line, 0, host), "  ", words, "(D)")
        })
        .take(MAX_ENTRIES)
        .collect()
}

fn peer<'a>(
    field: &str,
    gap: &str,
    mut words: impl Iterator<Item = &'a str>,
    mark: &str,
) -> Option<Peer> {
    let address = address(words.next()?)?;
    let mut dynamic = false;
    let port = words
        .inspect(|word| dynamic |= *word == mark)
        .find_map(|word| word.parse::<u16>().ok())
        .filter(|port| *port != 0)?;
    let (name, name_may_be_cut) = match field.split_once('/') {
        Some((name, _)) => (name, false),
        None => (field, !is_whole(field, gap)),
    };
    Some(Peer { name: name.trim().to_owned(), name_may_be_cut, address, port, dynamic })
}

/// Whether a text is followed by more blanks than the gap between two columns, so that it is complete.
fn is_whole(field: &str, gap: &str) -> bool {
    field.trim_end().len() + gap.len() < field.len()
}

/// A registration of `sip show registry` or `iax2 show registry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// The user name at the server; it may be truncated, so it is only for display.
    pub user: String,
    /// The server: a host name or an address. `None` if it may be truncated or is not known yet.
    pub host: Option<String>,
    /// The server's port, if it is complete.
    pub port: Option<u16>,
    /// Whether the server accepted.
    pub state: RegistrationState,
}

/// Reads `sip show registry`. Asterisk shows the standard port even if none is configured, and does not
/// show the transport.
pub fn sip_registry(text: &str) -> Vec<Registry> {
    below(text, ["Host", "dnsmgr", "Username", "State", "Reg.Time"])
        .filter_map(|(line, [_, dnsmgr, user, state, time])| {
            let server = column(line, 0, dnsmgr);
            registry(server, " ", column(line, user, state), column(line, state, time))
        })
        .take(MAX_ENTRIES)
        .collect()
}

/// Reads `iax2 show registry`. The server is always an address.
pub fn iax_registry(text: &str) -> Vec<Registry> {
    below(text, ["Host", "dnsmgr", "Username", "Perceived", "State"])
        .filter_map(|(line, [_, dnsmgr, user, perceived, state])| {
            let server = column(line, 0, dnsmgr);
            let user = column(line, user, perceived);
            registry(server, "  ", user, column(line, state, line.len()))
        })
        .take(MAX_ENTRIES)
        .collect()
}

fn registry(server: &str, gap: &str, user: &str, state: &str) -> Option<Registry> {
    let state = match state.trim() {
        "Registered" => RegistrationState::Registered,
        "Rejected" | "No Authentication" | "Failed" => RegistrationState::Refused,
        "" => return None,
        _ => RegistrationState::Trying,
    };
    let place = is_whole(server, gap).then(|| server_of(server.trim())).flatten();
    let (host, port) = place.map_or((None, None), |(host, port)| (Some(host), port));
    let user = shown(user.split_ascii_whitespace().next().unwrap_or_default());
    Some(Registry { user, host, port, state })
}

fn server_of(text: &str) -> Option<(String, Option<u16>)> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some((socket.ip().to_canonical().to_string(), Some(socket.port())));
    }
    let (host, port) = text.rsplit_once(':')?;
    Some((host_of(host)?, port.parse().ok().filter(|port| *port != 0)))
}
