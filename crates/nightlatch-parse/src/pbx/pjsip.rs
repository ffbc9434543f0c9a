//! Asterisk's channel driver `chan_pjsip`.

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::Deserialize;

use super::{MAX_ENTRIES, RegistrationState, address, shown};
use crate::address::AddrRange;

/// A line of `pjsip show registrations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PjsipRegistration {
    /// The name of the registration.
    pub name: String,
    /// The server's URI; `None` if it may be truncated.
    pub uri: Option<String>,
    /// Whether the server accepted.
    pub state: RegistrationState,
}

/// Reads `pjsip show registrations` (`res_pjsip_outbound_registration.c`, `cli_print_body`).
pub fn registrations(text: &str) -> Vec<PjsipRegistration> {
    text.lines().filter_map(registration).take(MAX_ENTRIES).collect()
}

fn registration(line: &str) -> Option<PjsipRegistration> {
    let line = line.strip_prefix(' ').filter(|rest| !rest.starts_with([' ', '<']))?;
    let (field, rest) = line.split_once("  ")?;
    let (name, uri) = name_and_uri(field)?;
    let mut words = rest.split_ascii_whitespace().rev();
    let state = words.find_map(|word| match word {
        "Registered" => Some(RegistrationState::Registered),
        "Unregistered" => Some(RegistrationState::Trying),
        "Rejected" => Some(RegistrationState::Refused),
        _ => None,
    })?;
    let uri = rest.starts_with(' ').then(|| uri.to_owned());
    Some(PjsipRegistration { name: shown(name), uri, state })
}

/// Splits `name/sip:...`; the URI may be truncated within its first letters, or missing.
fn name_and_uri(field: &str) -> Option<(&str, &str)> {
    let at = field.find("/sip:").or_else(|| field.find("/sips:")).or_else(|| field.rfind('/'))?;
    let (name, uri) = field.split_at_checked(at)?;
    Some((name, uri.strip_prefix('/')?))
}

/// The values of a setting in `pjsip show registration NAME` or `pjsip show aor NAME`, which print each
/// one untruncated as `name : value` on a line of its own. Empty values are skipped.
pub fn settings<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (_, settings) = text.split_once("ParameterName").unwrap_or_default();
    let values = settings.lines().filter_map(|line| {
        let (key, value) = line.split_once(" : ")?;
        (key.trim() == name).then(|| value.trim())
    });
    values.filter(|value| !value.is_empty()).take(MAX_ENTRIES).collect()
}

/// An address of record of `pjsip show aors`: where an endpoint can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aor {
    /// How many contacts may register; 0 if all contacts are configured.
    pub max_contacts: u32,
    /// Its contacts, both registered and configured.
    pub contacts: Vec<AorContact>,
}

/// A contact of `pjsip show aors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AorContact {
    /// The name of the address of record.
    pub aor: String,
    /// The URI, possibly truncated.
    pub uri: String,
    /// Whether the URI may be truncated.
    pub may_be_cut: bool,
}

/// Reads `pjsip show aors` (`res_pjsip/location.c`). Those without a contact are skipped.
pub fn aors(text: &str) -> Vec<Aor> {
    let mut found: Vec<Aor> = Vec::new();
    let mut max_contacts = None;
    let mut number = 0;
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(rest) = line.strip_prefix("Aor:") {
            max_contacts = rest.split_ascii_whitespace().next_back().and_then(|n| n.parse().ok());
            continue;
        }
        let contact = line.strip_prefix("Contact:").and_then(aor_contact);
        let Some(contact) = contact.filter(|_| number < MAX_ENTRIES) else {
            continue;
        };
        number += 1;
        match found.last_mut() {
            Some(last) if last.contacts.last().is_some_and(|known| known.aor == contact.aor) => {
                last.contacts.push(contact);
            }
            // If the number cannot be read, assume that phones may register.
            _ => {
                found
                    .push(Aor { max_contacts: max_contacts.unwrap_or(1), contacts: vec![contact] });
            }
        }
    }
    found
}

fn aor_contact(text: &str) -> Option<AorContact> {
    let text = text.trim_start();
    let (aor, _) = name_and_uri(text).filter(|(aor, _)| !aor.starts_with('<'))?;
    let rest = text.get(aor.len() + 1..)?;
    let uri = rest.split(' ').next()?;
    let is_padded = rest.get(uri.len()..)?.starts_with("  ");
    Some(AorContact { aor: shown(aor), uri: uri.to_owned(), may_be_cut: !is_padded })
}

/// A telephone's own registration in Asterisk's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrarContact {
    /// Its key, unchanged, below `registrar/contact`: the name of the address of record, `;@` and a hash.
    pub key: String,
    /// The name of the address of record.
    pub aor: String,
    /// The endpoint that registered, if it is given.
    pub endpoint: Option<String>,
    /// The URI at which the telephone wants to be called.
    pub uri: String,
    /// The proxies in front of it (`Path`); usually empty.
    pub path: String,
}

/// Reads `database show registrar/contact`: what telephones registered, untruncated
/// (`res_pjsip_registrar.c`; each value is a JSON object of strings).
pub fn registrar(text: &str) -> Vec<RegistrarContact> {
    text.lines().filter_map(registrar_line).take(MAX_ENTRIES).collect()
}

#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
    #[serde(borrow, default)]
    endpoint: Cow<'a, str>,
    #[serde(borrow, default)]
    path: Cow<'a, str>,
}

fn registrar_line(line: &str) -> Option<RegistrarContact> {
    let entry = line.trim_start().strip_prefix("/registrar/contact/")?;
    let (key, json) = entry.split_once(": ")?;
    let key = key.trim_end();
    let stored: Stored<'_> = serde_json::from_str(json.trim()).ok()?;
    let aor = key.split_once(";@").map_or(key, |(aor, _)| aor);
    Some(RegistrarContact {
        key: key.to_owned(),
        aor: shown(aor),
        endpoint: Some(shown(&stored.endpoint)).filter(|name| !name.is_empty()),
        uri: unescape(&stored.uri),
        path: unescape(&stored.path),
    })
}

/// Older versions of Asterisk write `;` as `^3B` in the database.
fn unescape(text: &str) -> String {
    text.replace("^3B", ";")
}

/// An entry of `pjsip show identifies`: addresses identified as an endpoint without registering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identify {
    /// The endpoint.
    pub endpoint: String,
    /// The addresses and networks.
    pub ranges: Vec<AddrRange>,
}

/// Reads `pjsip show identifies` (`res_pjsip_endpoint_identifier_ip.c`). Matches by header, exceptions
/// (`!`) and entries without an address are skipped.
pub fn identifies(text: &str) -> Vec<Identify> {
    let mut found: Vec<Identify> = Vec::new();
    let mut number = 0;
    for line in text.lines() {
        let line = line.trim();
        if let Some(names) = line.strip_prefix("Identify:").map(str::trim) {
            let endpoint = names.rsplit_once('/').filter(|_| !names.starts_with('<'));
            let endpoint = endpoint.map(|(_, name)| shown(name)).unwrap_or_default();
            found.push(Identify { endpoint, ranges: Vec::new() });
            continue;
        }
        let range = line.strip_prefix("Match:").and_then(|text| match_range(text.trim()));
        if let (Some(range), Some(last)) = (range, found.last_mut())
            && number < MAX_ENTRIES
        {
            number += 1;
            last.ranges.push(range);
        }
    }
    found.retain(|identify| !identify.endpoint.is_empty() && !identify.ranges.is_empty());
    found
}

/// `203.0.113.0/28`, also with the port that a match may name: `203.0.113.5:5060/32`.
fn match_range(text: &str) -> Option<AddrRange> {
    let (place, prefix) = text.rsplit_once('/')?;
    let address = match place.parse::<SocketAddr>() {
        Ok(socket) => socket.ip().to_canonical(),
        Err(_) => address(place)?,
    };
    AddrRange::network(address, prefix.parse().ok()?)
}
