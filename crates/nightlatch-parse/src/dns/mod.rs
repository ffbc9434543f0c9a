//! DNS queries for NAPTR and SRV records and for addresses, and their responses (RFC 1035, RFC 2782, RFC 3403,
//! RFC 3596); the files of the system's resolver.
//!
//! The system resolver's interface looks up addresses, but neither the records with which carriers
//! publish their servers, nor how long an answer is valid.

mod addresses;
mod files;
mod message;
mod naptr;
pub mod ptr;

pub use addresses::{Addresses, Kind, MAX_RECORDS_READ, address_answer, address_question};
pub use files::{Resolving, hosts, resolv_conf, resolvers};
use message::{Reader, push_name};
pub use naptr::{MAX_SERVICES, Services, naptr_answer, naptr_question};

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
    /// For how many seconds it is valid; `None` without a record.
    pub lifetime: Option<u32>,
}

/// Why a response cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// It belongs to another query: wait for the next packet.
    #[error("the DNS response is for another query")]
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
    let Header { mut reader, asked, answers, is_truncated } = header(packet, id, name, TYPE_SRV)?;
    let mut owner = asked;
    let (mut servers, mut lifetime) = (Vec::new(), None);
    for _ in 0..answers.min(MAX_RECORDS) {
        let (more, seconds) = record(&mut reader, &mut owner).ok_or(DnsError::Damaged)?;
        servers.extend(more);
        lifetime = [lifetime, seconds].into_iter().flatten().min();
    }
    servers.sort();
    servers.dedup();
    Ok(Answer { servers, is_partial: is_truncated || answers > MAX_RECORDS, lifetime })
}

/// What stands before the records of a response.
struct Header<'a> {
    /// At the first record.
    reader: Reader<'a>,
    /// The name that was asked for, in lower case.
    asked: String,
    /// How many records follow, as it says.
    answers: u16,
    /// Whether not all of them fitted into the packet.
    is_truncated: bool,
}

/// Reads the header and the question of the response to one query.
fn header<'a>(packet: &'a [u8], id: u16, name: &str, kind: u16) -> Result<Header<'a>, DnsError> {
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
    let (found_kind, class) = (reader.u16(), reader.u16());
    let same = asked.eq_ignore_ascii_case(name.trim_end_matches('.'));
    if !same || found_kind != Some(kind) || class != Some(CLASS_IN) {
        return Err(DnsError::NotOurs);
    }
    match flags & 0x000f {
        0 => {}
        3 => return Err(DnsError::NoSuchName),
        code => return Err(DnsError::Refused(u8::try_from(code).unwrap_or(u8::MAX))),
    }
    Ok(Header { reader, asked, answers, is_truncated: flags & 0x0200 != 0 })
}

/// Reads one record: the server that it names for `owner`, and for how many seconds it is valid if it
/// belongs to the answer. `None` if it is malformed.
fn record(reader: &mut Reader<'_>, owner: &mut String) -> Option<(Option<Srv>, Option<u32>)> {
    let Record { name, kind, class, lifetime, mut data } = Record::read(reader)?;
    if class != CLASS_IN || name != *owner {
        return Some((None, None));
    }
    match kind {
        TYPE_CNAME => {
            *owner = data.name()?;
            Some((None, Some(lifetime)))
        }
        TYPE_SRV => {
            let (priority, weight, port) = (data.u16()?, data.u16()?, data.u16()?);
            let target = data.name()?;
            // A target of "." means that the service is not offered.
            let is_offered = !target.is_empty() && port != 0;
            let server = Srv { priority, weight, port, target };
            Some((is_offered.then_some(server), Some(lifetime)))
        }
        _ => Some((None, None)),
    }
}

/// A resource record (RFC 1035, section 4.1.3).
struct Record<'a> {
    name: String,
    kind: u16,
    class: u16,
    /// In seconds.
    lifetime: u32,
    data: Reader<'a>,
}

impl<'a> Record<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Record<'a>> {
        let name = reader.name()?;
        let (kind, class) = (reader.u16()?, reader.u16()?);
        let (high, low) = (reader.u16()?, reader.u16()?);
        let lifetime = u32::from(high) << 16 | u32::from(low);
        let length = usize::from(reader.u16()?);
        Some(Record { name, kind, class, lifetime, data: reader.part(length)? })
    }
}

#[cfg(test)]
mod tests;
