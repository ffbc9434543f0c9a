//! DNS queries for the names of an address, and their responses (RFC 1035, section 3.5; RFC 3596,
//! section 2.5).

use std::net::IpAddr;

use super::message::{Reader, push_name};
use super::{CLASS_IN, DnsError, MAX_ANSWER, MAX_RECORDS, TYPE_CNAME, TYPE_OPT};

/// The type of the records that name an address.
const TYPE_PTR: u16 = 12;

/// The name under which the names of an address are looked up: `7.113.0.203.in-addr.arpa`.
pub fn reverse_name(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let octets = address.octets();
            let digits = octets.iter().rev().map(|byte| format!("{:x}.{:x}", byte & 15, byte >> 4));
            format!("{}.ip6.arpa", digits.collect::<Vec<String>>().join("."))
        }
    }
}

/// The query for the names of an address.
pub fn ptr_question(id: u16, address: IpAddr) -> Vec<u8> {
    let mut packet = Vec::with_capacity(128);
    packet.extend(id.to_be_bytes());
    // A standard query with recursion desired; one question, one additional record.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    // The name of an address is always a valid one.
    let _ = push_name(&mut packet, &reverse_name(address));
    packet.extend(TYPE_PTR.to_be_bytes());
    packet.extend(CLASS_IN.to_be_bytes());
    packet.push(0);
    packet.extend(TYPE_OPT.to_be_bytes());
    packet.extend(MAX_ANSWER.to_be_bytes());
    packet.extend([0; 6]);
    packet
}

/// Reads the response to [`ptr_question`]: the names in the order of the response, each once, in lower
/// case, and of nothing but letters, digits, `-`, `_` and dots.
///
/// # Errors
///
/// See [`DnsError`]; after [`DnsError::NotOurs`], the right response may still arrive.
pub fn ptr_answer(packet: &[u8], id: u16, address: IpAddr) -> Result<Vec<String>, DnsError> {
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
    if asked != reverse_name(address) || kind != Some(TYPE_PTR) || class != Some(CLASS_IN) {
        return Err(DnsError::NotOurs);
    }
    match flags & 0x000f {
        0 => {}
        3 => return Err(DnsError::NoSuchName),
        code => return Err(DnsError::Refused(u8::try_from(code).unwrap_or(u8::MAX))),
    }
    let mut owner = asked;
    let mut names = Vec::new();
    for _ in 0..answers.min(MAX_RECORDS) {
        let name = record(&mut reader, &mut owner).ok_or(DnsError::Damaged)?;
        names.extend(name.filter(|name| !name.is_empty() && !names.contains(name)));
    }
    Ok(names)
}

/// Reads one record: the name that it gives the address, if it does. `None` if it is malformed.
#[expect(clippy::option_option, reason = "malformed, or of no interest")]
fn record(reader: &mut Reader<'_>, owner: &mut String) -> Option<Option<String>> {
    let name = reader.name()?;
    let (kind, class) = (reader.u16()?, reader.u16()?);
    let (_lifetime, _) = (reader.u16()?, reader.u16()?);
    let length = usize::from(reader.u16()?);
    let mut data = reader.part(length)?;
    if class != CLASS_IN || name != *owner {
        return Some(None);
    }
    match kind {
        // Parts of a network are delegated by aliases (RFC 2317).
        TYPE_CNAME => {
            *owner = data.name()?;
            Some(None)
        }
        TYPE_PTR => data.name().map(Some),
        _ => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "203.0.113.7";

    fn address() -> IpAddr {
        ADDRESS.parse().unwrap()
    }

    /// A response with the question of [`ADDRESS`] and these records.
    fn packet(flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = ptr_question(7, address());
        packet.truncate(12 + reverse_name(address()).len() + 2 + 4);
        packet[2..4].copy_from_slice(&flags.to_be_bytes());
        packet[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
        packet[10..12].copy_from_slice(&[0, 0]);
        packet.extend(records.concat());
        packet
    }

    fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
        let mut record = owner.to_vec();
        record.extend(kind.to_be_bytes());
        record.extend([0, 1, 0, 0, 0, 60]);
        record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        record.extend(data);
        record
    }

    fn wire(name: &str) -> Vec<u8> {
        let label =
            |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
        [name.split('.').flat_map(label).collect::<Vec<u8>>(), vec![0]].concat()
    }

    fn shown(packet: &[u8]) -> String {
        match ptr_answer(packet, 7, address()) {
            Ok(names) => names.join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_of_addresses() {
        assert_eq!(reverse_name(address()), "7.113.0.203.in-addr.arpa");
        assert_eq!(reverse_name("::ffff:203.0.113.7".parse().unwrap()), reverse_name(address()));
        let v6 = reverse_name("2001:db8::abcd".parse().unwrap());
        assert_eq!(v6, "d.c.b.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    }

    #[test]
    fn answers() {
        let asked = [0xc0, 12];
        let one = record(&asked, TYPE_PTR, &wire("Host.Example.NET"));
        assert_eq!(shown(&packet(0x8180, &[])), "");
        assert_eq!(shown(&packet(0x8180, &[one.clone(), one.clone()])), "host.example.net");
        let two = record(&asked, TYPE_PTR, &wire("b.example.net"));
        assert_eq!(shown(&packet(0x8180, &[one.clone(), two])), "host.example.net b.example.net");
        let alias = record(&asked, TYPE_CNAME, &wire("7.part.example.net"));
        let behind = record(&wire("7.part.example.net"), TYPE_PTR, &wire("c.example.net"));
        assert_eq!(shown(&packet(0x8180, &[alias, behind])), "c.example.net");
        let other = record(&wire("8.113.0.203.in-addr.arpa"), TYPE_PTR, &wire("x.example.net"));
        assert_eq!(shown(&packet(0x8180, &[other])), "");
        assert_eq!(shown(&packet(0x8183, &[])), "the name does not exist");
        assert_eq!(shown(&packet(0x8182, &[])), "the name server reports error 2");
    }

    #[test]
    fn hostile_answers() {
        let asked = [0xc0, 12];
        for name in ["a\x1b[2Jb.example.net", "a b.example.net", "a\nb", "\u{202e}x.example.net"] {
            let evil = record(&asked, TYPE_PTR, &wire(name));
            assert_eq!(
                shown(&packet(0x8180, &[evil])),
                "the DNS response is malformed",
                "{name:?}"
            );
        }
        // A pointer to itself, a record longer than the packet, a count without records.
        let whole = packet(0x8180, &[record(&asked, TYPE_PTR, &wire("host.example.net"))]);
        let at = u8::try_from(whole.len() - wire("host.example.net").len()).unwrap();
        let looped = packet(0x8180, &[record(&asked, TYPE_PTR, &[0xc0, at])]);
        assert_eq!(shown(&looped), "the DNS response is malformed");
        for length in 0..whole.len() {
            let _ = shown(&whole[..length]);
        }
        let mut many = packet(0x8180, &[]);
        many[6..8].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(shown(&many), "the DNS response is malformed");
        // Of another question, another number.
        let not_ours = "the DNS response is for another query";
        let other = ptr_answer(&whole, 7, "203.0.113.8".parse().unwrap()).unwrap_err();
        assert_eq!(other.to_string(), not_ours);
        assert_eq!(ptr_answer(&whole, 8, address()).unwrap_err().to_string(), not_ours);
        assert_eq!(shown(&ptr_question(7, address())), not_ours);
    }
}
