//! Telephones and trunks, from what Asterisk answers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::super::{Contact, Protocol};
use super::caller::read_address;

/// The most contacts that are kept.
const MOST: usize = 50_000;

/// Reads `pjsip show contacts`: registered telephones and the fixed contacts of trunks.
///
/// The column of the address is cut off where a name is long. An address that could have been cut
/// is left out: half an address is another address.
pub fn pjsip_contacts(text: &str) -> Vec<Contact> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim_start().strip_prefix("Contact:")?.trim_start();
            let (name, rest) = line.split_once("/sip")?;
            let uri = rest.split_ascii_whitespace().next()?;
            let padded = rest.get(uri.len()..)?.starts_with("  ");
            let whole = format!("sip{uri}");
            let host = sip_host(&whole)?;
            (padded || host.delimited).then(|| host.contact(name, false))
        })
        .take(MOST)
        .collect()
}

/// Reads `database show registrar/contact`: what telephones registered, in full.
pub fn registrar_contacts(text: &str) -> Vec<Contact> {
    text.lines()
        .filter_map(|line| {
            let entry = line.trim_start().strip_prefix("/registrar/contact/")?;
            let (_, json) = entry.split_once(": ")?;
            let value: Value = serde_json::from_str(json.trim()).ok()?;
            let host = sip_host(value.get("uri")?.as_str()?)?;
            let name = entry.split_once(";@").map_or(entry, |(name, _)| name);
            let name = value.get("endpoint").and_then(Value::as_str).unwrap_or(name);
            Some(host.contact(name, true))
        })
        .take(MOST)
        .collect()
}

/// Reads `sip show peers` of the old channel driver.
pub fn sip_peers(text: &str) -> Vec<Contact> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let name = words.next()?;
            let address = read_address(words.next()?)?;
            let mut dynamic = false;
            let port = words
                .inspect(|word| dynamic |= *word == "D")
                .find_map(|word| word.parse::<u16>().ok())?;
            (port != 0).then(|| Contact {
                name: shorten(name.split_once('/').map_or(name, |(name, _)| name)),
                protocol: Protocol::Udp,
                address,
                port,
                registered: dynamic,
            })
        })
        .take(MOST)
        .collect()
}

/// Joins several lists; the same address and port counts once, and as registered where any says
/// so.
pub fn join(lists: impl IntoIterator<Item = Vec<Contact>>) -> Vec<Contact> {
    let mut all: Vec<Contact> = lists.into_iter().flatten().take(MOST).collect();
    // The port of a contact of the console may be cut off: the registrar's is whole.
    let registered: BTreeSet<(String, IpAddr)> = all
        .iter()
        .filter(|contact| contact.registered)
        .map(|contact| (contact.name.clone(), contact.address))
        .collect();
    all.retain(|contact| {
        contact.registered || !registered.contains(&(contact.name.clone(), contact.address))
    });
    all.sort_by(|a, b| {
        let key = |c: &Contact| (c.address, c.port, c.protocol, !c.registered);
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    all.dedup_by(|a, b| (a.address, a.port, a.protocol) == (b.address, b.port, b.protocol));
    all
}

struct SipHost {
    address: IpAddr,
    port: u16,
    protocol: Protocol,
    /// Whether something stood behind the address, so that it is whole.
    delimited: bool,
}

impl SipHost {
    fn contact(&self, name: &str, registered: bool) -> Contact {
        Contact {
            name: shorten(name),
            protocol: self.protocol,
            address: self.address,
            port: self.port,
            registered,
        }
    }
}

/// The address, port and transport of a SIP URI; none where it names a host.
///
/// Asterisk's database writes `;` as `^3B`.
fn sip_host(uri: &str) -> Option<SipHost> {
    let (scheme, rest) = uri.split_once(':')?;
    let end = rest.find([';', '^', '?', '>']).unwrap_or(rest.len());
    let (place, parameters) = (rest.get(..end)?, rest.get(end..)?);
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let (host, port, closed) = match place.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']')?;
            (host, after.strip_prefix(':'), true)
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port), true),
            None => (place, None, false),
        },
    };
    let parameters = parameters.to_ascii_lowercase();
    let stream = ["transport=t", "transport=ws"].iter().any(|mark| parameters.contains(mark));
    let tls = scheme == "sips" || parameters.contains("transport=tls");
    let usual = if tls { 5061 } else { 5060 };
    Some(SipHost {
        address: read_address(host)?,
        port: port.and_then(|port| port.parse().ok()).unwrap_or(usual),
        protocol: if stream || tls { Protocol::Tcp } else { Protocol::Udp },
        delimited: closed || !parameters.is_empty(),
    })
}

fn shorten(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(40).collect()
}
