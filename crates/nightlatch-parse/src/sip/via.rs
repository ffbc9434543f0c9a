//! `Via`: `SIP/2.0/UDP host:port;branch=...` (RFC 3261, section 20.42; RFC 3581).

use std::net::IpAddr;

use super::scan::{is_space, is_word, number, outside_quotes, position, split, split_once, trim};
use super::uri::{HostPort, address};
use super::{Host, Parameters};

/// One hop of the way back of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// The transport as it was sent: `UDP`, `TCP`, `TLS`, `WS`, ...
    pub transport: &'a [u8],
    /// The host that the sender says it has; `None` if it is malformed.
    pub host: Option<Host<'a>>,
    /// The port that the sender says it has.
    pub port: Option<u16>,
    /// The parameters.
    pub parameters: Parameters<'a>,
    /// Whether everything in it is as it must be.
    pub is_sound: bool,
}

impl<'a> Via<'a> {
    /// Parses one value. `None` if it has not the form of one.
    pub fn parse(value: &'a [u8]) -> Option<Via<'a>> {
        let end = outside_quotes(value, b';').unwrap_or(value.len());
        let (head, parameters) = split(value, end);
        let (protocol, rest) = split_once(head, b'/');
        let (version, rest) = split_once(rest?, b'/');
        let rest = trim(rest?);
        let (transport, sent_by) = split(rest, position(rest, is_space).unwrap_or(rest.len()));
        let HostPort { host, port, is_sound } = HostPort::parse(sent_by);
        let is_sip = trim(protocol).eq_ignore_ascii_case(b"SIP") && trim(version) == b"2.0";
        let parameters = Parameters(parameters);
        let is_sound = is_sound && is_sip && is_word(transport) && parameters.is_sound();
        Some(Via { transport, host, port, parameters, is_sound })
    }

    /// What tells this request apart from others.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.parameters.value("branch")
    }

    /// The address from which a server received the request.
    pub fn received(&self) -> Option<IpAddr> {
        address(self.parameters.value("received")?)
    }

    /// Whether the sender asks for the response at the port that it sends from.
    pub fn has_rport(&self) -> bool {
        self.parameters.get("rport").is_some()
    }

    /// The port from which a server received the request.
    pub fn rport(&self) -> Option<u16> {
        u16::try_from(number(self.parameters.value("rport")?)?).ok().filter(|port| *port != 0)
    }
}
