//! Queries for the addresses of a name, and their responses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::{Reader, push_name};
use super::{CLASS_IN, DnsError, Header, Record, TYPE_CNAME, header};

/// The type of IPv4 addresses (RFC 1035).
const TYPE_A: u16 = 1;
/// The type of IPv6 addresses (RFC 3596).
const TYPE_AAAA: u16 = 28;
/// The most records of a response that are read: more than any name that this program accepts has.
pub const MAX_RECORDS_READ: usize = 256;
/// The most aliases that are followed from one to the next.
const MAX_ALIASES: usize = 16;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Kind::A => TYPE_A,
            Kind::Aaaa => TYPE_AAAA,
        }
    }
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Each once, sorted; none if the name has none of the kind that was asked for.
    pub addresses: Vec<IpAddr>,
    /// For how many seconds the answer is valid, aliases included; `None` without an address.
    pub lifetime: Option<u32>,
    /// Whether addresses may be missing because the response was truncated: ask again over TCP.
    pub is_truncated: bool,
}

/// The query for the addresses of `name`. `None` if it is not a valid name.
pub fn address_question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut packet = Vec::with_capacity(20 + name.len());
    packet.extend(id.to_be_bytes());
    // A standard query with recursion desired, and one question. Without EDNS: what does not fit into
    // 512 bytes is asked over TCP, which all name servers understand.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    push_name(&mut packet, name)?;
    packet.extend(kind.number().to_be_bytes());
    packet.extend(CLASS_IN.to_be_bytes());
    Some(packet)
}

/// Reads the response to [`address_question`]. Aliases (CNAME) are followed in whichever order they
/// stand, up to 16 of them; addresses of other names are ignored.
///
/// # Errors
///
/// See [`DnsError`]; after [`DnsError::NotOurs`], the right response may still arrive.
pub fn address_answer(
    packet: &[u8],
    id: u16,
    name: &str,
    kind: Kind,
) -> Result<Addresses, DnsError> {
    let found = header(packet, id, name, kind.number())?;
    let Header { mut reader, asked, answers, is_truncated } = found;
    if is_truncated {
        // The records may end anywhere; all of them come over TCP.
        return Ok(Addresses { addresses: Vec::new(), lifetime: None, is_truncated });
    }
    let (mut aliases, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..usize::from(answers).min(MAX_RECORDS_READ) {
        let read = Record::read(&mut reader).ok_or(DnsError::Damaged)?;
        if read.class != CLASS_IN {
            continue;
        }
        let Record { name, kind: found, lifetime, mut data, .. } = read;
        if found == TYPE_CNAME {
            aliases.push((name, data.name().ok_or(DnsError::Damaged)?, lifetime));
        } else if found == kind.number() {
            addresses.push((name, address(&mut data, kind).ok_or(DnsError::Damaged)?, lifetime));
        }
    }
    let (mut owner, mut lifetime) = (asked, u32::MAX);
    for _ in 0..MAX_ALIASES {
        let Some((_, target, seconds)) = aliases.iter().find(|(from, ..)| *from == owner) else {
            break;
        };
        owner.clone_from(target);
        lifetime = lifetime.min(*seconds);
    }
    let own = addresses.into_iter().filter(|(name, ..)| *name == owner);
    let mut addresses = Vec::new();
    for (_, address, seconds) in own {
        addresses.push(address);
        lifetime = lifetime.min(seconds);
    }
    addresses.sort_unstable();
    addresses.dedup();
    let lifetime = (!addresses.is_empty()).then_some(lifetime);
    Ok(Addresses { addresses, lifetime, is_truncated })
}

/// The address in the data of a record, which must hold nothing else.
fn address(data: &mut Reader<'_>, kind: Kind) -> Option<IpAddr> {
    let address = match kind {
        Kind::A => IpAddr::V4(Ipv4Addr::from(data.bytes::<4>()?)),
        Kind::Aaaa => IpAddr::V6(Ipv6Addr::from(data.bytes::<16>()?)),
    };
    data.is_at_end().then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "office.example.net";

    fn record(owner: &[u8], kind: u16, lifetime: u32, data: &[u8]) -> Vec<u8> {
        let mut record = owner.to_vec();
        record.extend(kind.to_be_bytes());
        record.extend([0, 1]);
        record.extend(lifetime.to_be_bytes());
        record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        record.extend(data);
        record
    }

    fn packet(kind: Kind, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = address_question(7, NAME, kind).unwrap();
        packet[2..4].copy_from_slice(&flags.to_be_bytes());
        packet[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
        packet.extend(records.concat());
        packet
    }

    fn shown(kind: Kind, packet: &[u8]) -> String {
        match address_answer(packet, 7, NAME, kind) {
            Ok(Addresses { is_truncated: true, .. }) => "truncated".to_owned(),
            Ok(Addresses { addresses, lifetime, .. }) => {
                let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                format!("{} {:?}", all.join(","), lifetime.unwrap_or(0))
            }
            Err(error) => error.to_string(),
        }
    }

    // 0xc00c is the name asked for, 0xc013 is "example.net" in it.
    const ASKED: &[u8] = &[0xc0, 12];
    const ALIAS: &[u8] = &[1, b'a', 0xc0, 19];

    fn a(owner: &[u8], lifetime: u32, last: u8) -> Vec<u8> {
        record(owner, TYPE_A, lifetime, &[192, 0, 2, last])
    }

    #[test]
    fn questions() {
        let question = address_question(0x0102, "a.example.", Kind::Aaaa).unwrap();
        assert_eq!(question, b"\x01\x02\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x1c\0\x01");
        for name in ["", ".", "a..b", "a b", &"a".repeat(64)] {
            assert_eq!(address_question(1, name, Kind::A), None, "{name}");
        }
    }

    #[test]
    fn answers() {
        let alias = |lifetime| record(ASKED, TYPE_CNAME, lifetime, ALIAS);
        let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        let damaged = "the DNS response is malformed";
        for (flags, records, expected) in [
            (0x8180, vec![a(ASKED, 60, 2), a(ASKED, 30, 1)], "192.0.2.1,192.0.2.2 30"),
            (0x8180, vec![a(ASKED, 60, 1), a(ASKED, 60, 1)], "192.0.2.1 60"),
            (0x8180, vec![alias(20), a(ALIAS, 60, 1)], "192.0.2.1 20"),
            // Behind the address, as some name servers write it.
            (0x8180, vec![a(ALIAS, 60, 1), alias(90)], "192.0.2.1 60"),
            (0x8180, vec![alias(90)], " 0"),
            (0x8180, vec![record(ASKED, TYPE_CNAME, 9, ASKED), a(ASKED, 60, 1)], "192.0.2.1 9"),
            (0x8180, vec![a(ALIAS, 60, 1)], " 0"),
            (0x8180, vec![record(ASKED, TYPE_AAAA, 60, &v6)], " 0"),
            (0x8180, vec![], " 0"),
            (0x8380, vec![], "truncated"),
            (0x8183, vec![], "the name does not exist"),
            (0x8182, vec![], "the name server reports error 2"),
            (0x8180, vec![record(ASKED, TYPE_A, 60, &[192, 0, 2])], damaged),
            (0x8180, vec![record(ASKED, TYPE_A, 60, &[192, 0, 2, 1, 0])], damaged),
            (0x8180, vec![record(ASKED, TYPE_CNAME, 60, &[0xc0, 0xff])], damaged),
        ] {
            assert_eq!(shown(Kind::A, &packet(Kind::A, flags, &records)), expected);
        }
        let both = packet(Kind::Aaaa, 0x8180, &[record(ASKED, TYPE_AAAA, 60, &v6)]);
        assert_eq!(shown(Kind::Aaaa, &both), "2001:db8::7 60");
        assert_eq!(shown(Kind::A, &both), "the DNS response is for another query");
        for length in 0..both.len() {
            assert!(address_answer(&both[..length], 7, NAME, Kind::Aaaa).is_err(), "{length}");
        }
    }

    #[test]
    fn many_records_are_read_in_bounds() {
        let records: Vec<Vec<u8>> = (0..=255).map(|last| a(ASKED, 60, last)).collect();
        let all = address_answer(&packet(Kind::A, 0x8180, &records), 7, NAME, Kind::A).unwrap();
        assert_eq!(all.addresses.len(), 256);
        let more = [records.clone(), records].concat();
        let all = address_answer(&packet(Kind::A, 0x8180, &more), 7, NAME, Kind::A).unwrap();
        assert_eq!(all.addresses.len(), MAX_RECORDS_READ);
    }
}
