//! DNS queries for SRV records, and their responses (RFC 1035, RFC 2782).
//!
//! The system resolver's interface looks up addresses, but not SRV records, with which carriers
//! publish their servers.

mod message;
pub mod ptr;

use std::net::{IpAddr, SocketAddr};

use message::{Reader, push_name};

/// The type of SRV records (RFC 2782).
const TYPE_SRV: u16 = 33;
/// The type of alias records (RFC 1035).
const TYPE_CNAME: u16 = 5;
/// The type of the EDNS options record (RFC 6891).
const TYPE_OPT: u16 = 41;
/// The class of the Internet.
const CLASS_IN: u16 = 1;
/// The most records of a response that are read.
const MAX_RECORDS: u16 = 64;
/// The largest response that is accepted, in bytes: larger ones may be fragmented.
pub const MAX_ANSWER: u16 = 1232;
/// The most name servers of `/etc/resolv.conf` that are used: the limit of the C library.
const MAX_RESOLVERS: usize = 3;

/// One server of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Srv {
    /// The priority: lower values are tried first.
    pub priority: u16,
    /// The weight among servers of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The server's name in lower case, without the trailing dot.
    pub target: String,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The servers, by priority; empty if the service is not offered.
    pub servers: Vec<Srv>,
    /// Whether servers may be missing because the response was truncated.
    pub is_partial: bool,
}

/// Why a response cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// It belongs to another query: wait for the next packet.
    #[error("the DNS response belongs to another query")]
    NotOurs,
    /// It is malformed.
    #[error("the DNS response is malformed")]
    Damaged,
    /// The name does not exist.
    #[error("the name does not exist")]
    NoSuchName,
    /// The name server reports an error with this code.
    #[error("the name server reports error {0}")]
    Refused(u8),
}

/// The query for the SRV records of `name`. `None` if it is not a valid name.
pub fn srv_question(id: u16, name: &str) -> Option<Vec<u8>> {
    let mut packet = Vec::with_capacity(64 + name.len());
    packet.extend(id.to_be_bytes());
    // A standard query with recursion desired; one question, one additional record.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    push_name(&mut packet, name)?;
    packet.extend(TYPE_SRV.to_be_bytes());
    packet.extend(CLASS_IN.to_be_bytes());
    packet.push(0);
    packet.extend(TYPE_OPT.to_be_bytes());
    packet.extend(MAX_ANSWER.to_be_bytes());
    packet.extend([0; 6]);
    Some(packet)
}

/// Reads the response to [`srv_question`]. Aliases (CNAME) are followed in the order of the response.
///
/// # Errors
///
/// See [`DnsError`]; after [`DnsError::NotOurs`], the right response may still arrive.
pub fn srv_answer(packet: &[u8], id: u16, name: &str) -> Result<Answer, DnsError> {
    let mut reader = Reader::new(packet);
    let mut header = [0_u16; 6];
    for field in &mut header {
        *field = reader.u16().ok_or(DnsError::NotOurs)?;
    }
    let [found_id, flags, questions, answers, ..] = header;
    let is_answer = flags & 0x8000 != 0 && flags & 0x7800 == 0;
    if found_id != id || !is_answer || questions != 1 {
        return Err(DnsError::NotOurs);
    }
    let asked = reader.name().ok_or(DnsError::NotOurs)?;
    let (kind, class) = (reader.u16(), reader.u16());
    let same = asked.eq_ignore_ascii_case(name.trim_end_matches('.'));
    if !same || kind != Some(TYPE_SRV) || class != Some(CLASS_IN) {
        return Err(DnsError::NotOurs);
    }
    match flags & 0x000f {
        0 => {}
        3 => return Err(DnsError::NoSuchName),
        code => return Err(DnsError::Refused(u8::try_from(code).unwrap_or(u8::MAX))),
    }
    let mut owner = asked;
    let mut servers = Vec::new();
    for _ in 0..answers.min(MAX_RECORDS) {
        record(&mut reader, &mut owner, &mut servers).ok_or(DnsError::Damaged)?;
    }
    servers.sort();
    servers.dedup();
    Ok(Answer { servers, is_partial: flags & 0x0200 != 0 || answers > MAX_RECORDS })
}

/// Reads one record and adds the server that it names for `owner`. `None` if it is malformed.
fn record(reader: &mut Reader<'_>, owner: &mut String, servers: &mut Vec<Srv>) -> Option<()> {
    let name = reader.name()?;
    let (kind, class) = (reader.u16()?, reader.u16()?);
    let (_lifetime, _) = (reader.u16()?, reader.u16()?);
    let length = usize::from(reader.u16()?);
    let mut data = reader.part(length)?;
    if class != CLASS_IN || name != *owner {
        return Some(());
    }
    match kind {
        TYPE_CNAME => *owner = data.name()?,
        TYPE_SRV => {
            let (priority, weight, port) = (data.u16()?, data.u16()?, data.u16()?);
            let target = data.name()?;
            // A target of "." means that the service is not offered.
            let is_offered = !target.is_empty() && port != 0;
            servers.extend(is_offered.then_some(Srv { priority, weight, port, target }));
        }
        _ => {}
    }
    Some(())
}

/// The name servers of `/etc/resolv.conf`, with port 53, except link-local ones.
pub fn resolvers(resolv_conf: &str) -> Vec<SocketAddr> {
    resolv_conf
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
            Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, 53))
        })
        .take(MAX_RESOLVERS)
        .collect()
}

#[cfg(test)]
mod tests;
