//! The part of a SIP URI that determines where packets go (RFC 3261, section 19.1).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::address;

/// The longest host that is accepted: the limit of DNS.
const MAX_HOST: usize = 255;

/// The transport of SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP, or WebSocket over it.
    Tcp,
    /// TLS over TCP, or secure WebSocket.
    Tls,
}

/// Where a SIP URI points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipPlace {
    /// The host: a name in lower case, or an address without brackets.
    pub host: String,
    /// The port; `None` if the URI has none.
    pub port: Option<u16>,
    /// The transport; `None` if the URI has none.
    pub transport: Option<Transport>,
    /// Whether a character follows host and port, so that neither can be truncated.
    pub is_delimited: bool,
}

impl Transport {
    /// The transport of this name, in upper or lower case.
    pub(crate) fn named(name: &[u8]) -> Option<Transport> {
        let known = [
            ("udp", Transport::Udp),
            ("tcp", Transport::Tcp),
            ("ws", Transport::Tcp),
            ("tls", Transport::Tls),
            ("wss", Transport::Tls),
        ];
        let is_named = |known: &&(&str, _)| name.eq_ignore_ascii_case(known.0.as_bytes());
        known.iter().find(is_named).map(|(_, transport)| *transport)
    }
}

impl SipPlace {
    /// Parses a URI: `sip:101@203.0.113.20:5060;transport=tcp`, also in angle brackets. Asterisk's
    /// database writes `;` as `^3B`, its configuration as `\;`.
    pub fn parse(uri: &str) -> Option<SipPlace> {
        let uri = uri.trim();
        let uri = uri.strip_prefix('<').unwrap_or(uri);
        let (scheme, rest) = uri.split_once(':')?;
        let secure = scheme.eq_ignore_ascii_case("sips");
        if !secure && !scheme.eq_ignore_ascii_case("sip") {
            return None;
        }
        // A user name may contain `;` and `?`, so it is removed first. It ends at the first `@`, as in
        // Asterisk's own parser.
        let end = rest.find(['>', ' ']).unwrap_or(rest.len());
        let (whole, _) = rest.split_at_checked(end)?;
        let start = whole.find('@').map_or(0, |at| at + 1);
        let rest = rest.get(start..)?;
        let end = rest.find([';', '^', '?', '>', '\\', ',', ' ']).unwrap_or(rest.len());
        let (place, parameters) = rest.split_at_checked(end)?;
        let (host, port) = match place.strip_prefix('[') {
            Some(inner) => {
                let (host, after) = inner.split_once(']')?;
                (host, after.strip_prefix(':'))
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = match port {
            Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port != 0)?),
            None => None,
        };
        let named = transport(parameters);
        Some(SipPlace {
            host: host_of(host)?,
            port,
            transport: if secure { Some(Transport::Tls) } else { named },
            is_delimited: !parameters.is_empty(),
        })
    }

    /// The address, if the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        address(&self.host)
    }
}

/// The first `<sip:...>` of a `Path` or `Route` header or of Asterisk's `outbound_proxy`: where
/// packets go instead of the URI itself.
pub fn first_route(text: &str) -> Option<SipPlace> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let inner = text.split_once('<').map_or(text, |(_, inner)| inner);
    SipPlace::parse(inner)
}

/// A host name or an address; `None` for anything else, so that it is safe to print and to look up.
pub(super) fn host_of(text: &str) -> Option<String> {
    let host = text.to_ascii_lowercase();
    let is_sound = !host.is_empty()
        && host.len() <= MAX_HOST
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'%'));
    is_sound.then_some(host)
}

fn transport(parameters: &str) -> Option<Transport> {
    let parameters = parameters.to_ascii_lowercase();
    let (_, value) = parameters.split_once("transport=")?;
    let end = value.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(value.len());
    match value.get(..end)? {
        // The word may be truncated at the end of a console column.
        "tl" => Some(Transport::Tls),
        "tc" | "t" => Some(Transport::Tcp),
        name => Transport::named(name.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_uris() {
        for (uri, expected) in [
            ("sip:1@192.0.2.1:5070;ob", "192.0.2.1 Some(5070) None true"),
            ("sip:1@192.0.2.1;transport=tcp", "192.0.2.1 None Some(Tcp) true"),
            ("sip:1@192.0.2.1^3Btransport=TLS", "192.0.2.1 None Some(Tls) true"),
            ("sip:192.0.2.1\\;transport=udp", "192.0.2.1 None Some(Udp) true"),
            ("<sips:1@192.0.2.1>;q=1", "192.0.2.1 None Some(Tls) true"),
            ("sip:a:b@[2001:db8::1]:5062", "2001:db8::1 Some(5062) None false"),
            ("SIP:Host.Example.COM", "host.example.com None None false"),
            ("sip:1@host.example.com:5060", "host.example.com Some(5060) None false"),
            ("sip:203.0.113.9;x?@192.0.2.66:5060", "192.0.2.66 Some(5060) None false"),
            ("sip:a;transport=tcp@192.0.2.66", "192.0.2.66 None None false"),
            ("<sip:192.0.2.66>;x=a@203.0.113.9", "192.0.2.66 None None true"),
            ("sip:a@192.0.2.66@203.0.113.9", ""),
            ("sip:1@192.0.2.1:", ""),
            ("sip:1@192.0.2.1:0", ""),
            ("sip:1@192.0.2.1:70000", ""),
            ("sip:1@ho$t", ""),
            ("sip:@:", ""),
            ("tel:+1555", ""),
            ("", ""),
        ] {
            let shown = SipPlace::parse(uri).map_or(String::new(), |place| {
                let SipPlace { host, port, transport, is_delimited } = place;
                format!("{host} {port:?} {transport:?} {is_delimited}")
            });
            assert_eq!(shown, expected, "{uri}");
        }
    }

    #[test]
    fn the_first_route_counts() {
        for (text, expected) in [
            ("<sip:203.0.113.21:5090;lr>,<sip:203.0.113.22;lr>", Some("203.0.113.21")),
            ("sip:203.0.113.70;lr", Some("203.0.113.70")),
            ("", None),
            ("[not set]", None),
        ] {
            assert_eq!(first_route(text).map(|place| place.host).as_deref(), expected, "{text}");
        }
    }
}
