//! URIs: `sip:user@host:port;parameters?headers` (RFC 3261, section 19.1; RFC 3966).

use std::net::IpAddr;

use super::Parameters;
use super::scan::{from, position, split, split_once, trim};
use crate::pbx::{self, Transport};

/// The longest host that is accepted: the limit of DNS.
const MAX_HOST: usize = 255;

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `sip`.
    Sip,
    /// `sips`: SIP over TLS.
    Sips,
    /// `tel`: a telephone number.
    Tel,
    /// Any other.
    Other,
}

/// A host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host<'a> {
    /// An address; an IPv4-mapped IPv6 address is IPv4.
    Address(IpAddr),
    /// A name as it was sent: only letters, digits, dots, dashes and underscores.
    Name(&'a str),
}

/// A URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The URI as it was sent.
    pub raw: &'a [u8],
    /// The scheme.
    pub scheme: Scheme,
    /// The user with escapes, without a password; the number of a `tel` URI.
    pub user: Option<&'a [u8]>,
    /// The host of a `sip` or `sips` URI; `None` if it is malformed.
    pub host: Option<Host<'a>>,
    /// The port; `None` also if it is malformed.
    pub port: Option<u16>,
    /// The parameters.
    pub parameters: Parameters<'a>,
    /// The headers after `?`, without it.
    pub headers: &'a [u8],
    /// Whether everything in it is as it must be. Nothing is known of other schemes, so they are sound.
    pub is_sound: bool,
}

impl<'a> Uri<'a> {
    /// Parses a URI without angle brackets. `None` if it has no scheme.
    pub fn parse(text: &'a [u8]) -> Option<Uri<'a>> {
        let raw = trim(text);
        let (scheme, Some(rest)) = split_once(raw, b':') else {
            return None;
        };
        let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
            && position(scheme, |byte| {
                !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'-' | b'.')
            })
            .is_none();
        if !is_scheme {
            return None;
        }
        let uri = Uri {
            raw,
            scheme: Scheme::of(scheme),
            user: None,
            host: None,
            port: None,
            parameters: Parameters::default(),
            headers: &[],
            is_sound: position(raw, |byte| !is_allowed(byte)).is_none(),
        };
        Some(match uri.scheme {
            Scheme::Sip | Scheme::Sips => uri.with_place(rest),
            Scheme::Tel => uri.with_number(rest),
            Scheme::Other => uri,
        })
    }

    fn with_number(self, rest: &'a [u8]) -> Uri<'a> {
        let end = position(rest, |byte| byte == b';').unwrap_or(rest.len());
        let (number, parameters) = split(rest, end);
        let user = Some(trim(number)).filter(|number| !number.is_empty());
        let parameters = Parameters(parameters);
        let is_sound = self.is_sound && user.is_some() && parameters.are_named();
        Uri { user, parameters, is_sound, ..self }
    }

    fn with_place(self, rest: &'a [u8]) -> Uri<'a> {
        // A user name may contain `;` and `?`, so it is removed first. It ends at the first `@`.
        let (user, place) = match split_once(rest, b'@') {
            (user, Some(place)) => (Some(split_once(user, b':').0), place),
            (place, None) => (None, place),
        };
        let end = position(place, |byte| matches!(byte, b';' | b'?')).unwrap_or(place.len());
        let (host_port, after) = split(place, end);
        let (parameters, headers) = split_once(after, b'?');
        let HostPort { host, port, is_sound } = HostPort::parse(host_port);
        // These are allowed elsewhere in a URI.
        let is_user = |user: &[u8]| {
            let is_wrong = |byte| matches!(byte, b'[' | b']' | b'#');
            !user.is_empty() && position(user, is_wrong).is_none()
        };
        let is_sound = is_sound && self.is_sound && user.is_none_or(is_user);
        let parameters = Parameters(parameters);
        let is_sound =
            is_sound && parameters.are_named() && headers.is_none_or(|it| !it.is_empty());
        let headers = headers.unwrap_or_default();
        Uri { user, host, port, parameters, headers, is_sound, ..self }
    }

    /// The transport that it asks for; `None` if it asks for none, or for an unknown one.
    pub fn transport(&self) -> Option<Transport> {
        match self.scheme {
            Scheme::Sips => Some(Transport::Tls),
            _ => Transport::named(self.parameters.value("transport")?),
        }
    }
}

impl Scheme {
    fn of(text: &[u8]) -> Scheme {
        let known = [("sip", Scheme::Sip), ("sips", Scheme::Sips), ("tel", Scheme::Tel)];
        let mut known = known.into_iter();
        let found = known.find(|(name, _)| text.eq_ignore_ascii_case(name.as_bytes()));
        found.map_or(Scheme::Other, |(_, scheme)| scheme)
    }
}

/// Whether a byte may be part of a URI (RFC 3986, section 2).
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// `host:port`, in URIs and in `Via`.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostPort<'a> {
    pub(super) host: Option<Host<'a>>,
    pub(super) port: Option<u16>,
    /// Whether both are well-formed.
    pub(super) is_sound: bool,
}

impl<'a> HostPort<'a> {
    pub(super) fn parse(text: &'a [u8]) -> HostPort<'a> {
        let text = trim(text);
        if text.first() == Some(&b'[') {
            let (inner, Some(after)) = split_once(from(text, 1), b']') else {
                return HostPort { host: None, port: None, is_sound: false };
            };
            let host = address(inner).map(Host::Address).filter(|_| inner.contains(&b':'));
            let (port, is_sound) = match split_once(trim(after), b':') {
                ([], Some(port)) => port_of(port),
                ([], None) => (None, true),
                _ => (None, false),
            };
            return HostPort { host, port, is_sound: is_sound && host.is_some() };
        }
        // An IPv6 address without brackets is an error, but unmistakable if it has no port.
        if let Some(address) = address(text).filter(IpAddr::is_ipv6) {
            return HostPort { host: Some(Host::Address(address)), port: None, is_sound: false };
        }
        let (host, port) = split_once(text, b':');
        let host = Host::of(trim(host));
        let (port, is_sound) = port.map_or((None, true), port_of);
        HostPort { host, port, is_sound: is_sound && host.is_some() }
    }
}

/// The port, and whether it is one.
fn port_of(text: &[u8]) -> (Option<u16>, bool) {
    let number = super::scan::number(trim(text));
    let port = number.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
    (port, port.is_some())
}

impl<'a> Host<'a> {
    /// A name or an IPv4 address.
    fn of(text: &'a [u8]) -> Option<Host<'a>> {
        let is_name = !text.is_empty()
            && text.len() <= MAX_HOST
            && position(text, |byte| {
                !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'-' | b'_')
            })
            .is_none();
        let name = std::str::from_utf8(text).ok().filter(|_| is_name)?;
        Some(address(text).map_or(Host::Name(name), Host::Address))
    }

    /// The address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Host::Address(address) => Some(*address),
            Host::Name(_) => None,
        }
    }
}

/// An address, also with a zone.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    // No address is longer; text of another length is not looked at.
    const MAX_ADDRESS: usize = 64;
    let short = Some(text).filter(|text| text.len() <= MAX_ADDRESS)?;
    pbx::address(std::str::from_utf8(short).ok()?)
}
