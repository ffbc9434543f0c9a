//! Queries for the servers of a SIP domain (NAPTR, RFC 3403 and RFC 3263, section 4.1), and their responses.

use super::message::{Reader, push_name};
use super::{
    CLASS_IN, DnsError, Header, MAX_ANSWER, MAX_RECORDS, Record, TYPE_CNAME, TYPE_OPT, header,
};

/// The type of NAPTR records (RFC 3403).
const TYPE_NAPTR: u16 = 35;
/// The most names of SRV records that count.
pub const MAX_SERVICES: usize = 8;
/// The services whose records count: SIP over UDP and TCP, SIP over TLS.
const SERVICES: [&str; 3] = ["SIP+D2U", "SIP+D2T", "SIPS+D2T"];

/// Where the servers of a SIP domain are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services {
    /// The names whose SRV records name them, each once, those first that the domain prefers.
    pub names: Vec<String>,
    /// Whether there are more names than count.
    pub is_partial: bool,
    /// Whether names may be missing because the response was truncated: ask again over TCP.
    pub is_truncated: bool,
    /// For how many seconds it is valid; `None` without a record that counts.
    pub lifetime: Option<u32>,
}

/// The query for the NAPTR records of `domain`. `None` if it is not a valid name.
pub fn naptr_question(id: u16, domain: &str) -> Option<Vec<u8>> {
    let mut packet = Vec::with_capacity(64 + domain.len());
    packet.extend(id.to_be_bytes());
    // A standard query with recursion desired; one question, one additional record.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    push_name(&mut packet, domain)?;
    packet.extend(TYPE_NAPTR.to_be_bytes());
    packet.extend(CLASS_IN.to_be_bytes());
    packet.push(0);
    packet.extend(TYPE_OPT.to_be_bytes());
    packet.extend(MAX_ANSWER.to_be_bytes());
    packet.extend([0; 6]);
    Some(packet)
}

/// Reads the response to [`naptr_question`]. Records of other services, with other flags than "s" or with
/// a regular expression do not count. Aliases (CNAME) are followed in the order of the response.
///
/// # Errors
///
/// See [`DnsError`]; after [`DnsError::NotOurs`], the right response may still arrive.
pub fn naptr_answer(packet: &[u8], id: u16, domain: &str) -> Result<Services, DnsError> {
    let found = header(packet, id, domain, TYPE_NAPTR)?;
    let Header { mut reader, asked, answers, is_truncated } = found;
    if is_truncated {
        // The records may end anywhere; all of them come over TCP.
        return Ok(Services { names: Vec::new(), is_partial: false, is_truncated, lifetime: None });
    }
    let (mut owner, mut rules, mut lifetime) = (asked, Vec::new(), None);
    for _ in 0..answers.min(MAX_RECORDS) {
        let read = Record::read(&mut reader).ok_or(DnsError::Damaged)?;
        if read.class != CLASS_IN || read.name != owner {
            continue;
        }
        let Record { kind, lifetime: seconds, mut data, .. } = read;
        if kind == TYPE_CNAME {
            owner = data.name().ok_or(DnsError::Damaged)?;
        } else if kind == TYPE_NAPTR {
            let Some(rule) = rule(&mut data).ok_or(DnsError::Damaged)? else { continue };
            rules.push(rule);
        } else {
            continue;
        }
        lifetime = [lifetime, Some(seconds)].into_iter().flatten().min();
    }
    rules.sort();
    let mut names = Vec::new();
    for (_, _, name) in rules {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let is_partial = answers > MAX_RECORDS || names.len() > MAX_SERVICES;
    names.truncate(MAX_SERVICES);
    let lifetime = lifetime.filter(|_| !names.is_empty());
    Ok(Services { names, is_partial, is_truncated, lifetime })
}

/// The order, preference and target in the data of a record, if it counts. `None` if it is malformed.
#[expect(clippy::option_option, reason = "malformed and without a target are two things")]
fn rule(data: &mut Reader<'_>) -> Option<Option<(u16, u16, String)>> {
    let (order, preference) = (data.u16()?, data.u16()?);
    let (flags, service, expression) = (data.text()?, data.text()?, data.text()?);
    let is_known = SERVICES.iter().any(|known| service.eq_ignore_ascii_case(known.as_bytes()));
    if !is_known || !flags.eq_ignore_ascii_case(b"s") || !expression.is_empty() {
        // Its target may be no host name, and nobody asks for it.
        return Some(None);
    }
    let target = data.name()?;
    Some((!target.is_empty()).then_some((order, preference, target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "example.net";
    // 0xc00c is the name asked for.
    const ASKED: &[u8] = &[0xc0, 12];

    fn record(owner: &[u8], kind: u16, lifetime: u32, data: &[u8]) -> Vec<u8> {
        let mut record = owner.to_vec();
        record.extend(kind.to_be_bytes());
        record.extend([0, 1]);
        record.extend(lifetime.to_be_bytes());
        record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        record.extend(data);
        record
    }

    fn wire(name: &str) -> Vec<u8> {
        let label =
            |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
        [name.split('.').flat_map(label).collect::<Vec<u8>>(), vec![0]].concat()
    }

    /// The data of a record, e.g. `10 20 s SIP+D2U - _sip._udp.example.net`; `-` is nothing.
    fn data(text: &str) -> Vec<u8> {
        let fields: Vec<&str> = text.split(' ').map(|it| if it == "-" { "" } else { it }).collect();
        let mut data = Vec::new();
        for number in &fields[..2] {
            data.extend(number.parse::<u16>().unwrap().to_be_bytes());
        }
        for text in &fields[2..5] {
            data.push(u8::try_from(text.len()).unwrap());
            data.extend(text.as_bytes());
        }
        data.extend(if fields[5].is_empty() { vec![0] } else { wire(fields[5]) });
        data
    }

    fn naptr(text: &str) -> Vec<u8> {
        record(ASKED, TYPE_NAPTR, 60, &data(text))
    }

    fn packet(flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = naptr_question(7, DOMAIN).unwrap();
        packet.truncate(12 + DOMAIN.len() + 2 + 4);
        packet[2..4].copy_from_slice(&flags.to_be_bytes());
        packet[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
        packet[10..12].copy_from_slice(&[0, 0]);
        packet.extend(records.concat());
        packet
    }

    fn shown(packet: &[u8]) -> String {
        match naptr_answer(packet, 7, DOMAIN) {
            Ok(Services { is_truncated: true, .. }) => "truncated".to_owned(),
            Ok(Services { names, is_partial, lifetime, .. }) => {
                let partial = if is_partial { " partial" } else { "" };
                format!("{} {}{partial}", names.join(","), lifetime.unwrap_or(0))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn questions() {
        let question = naptr_question(0x0102, "a.example.").unwrap();
        let expected = b"\x01\x02\x01\0\0\x01\0\0\0\0\0\x01\x01a\x07example\0\0\x23\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0";
        assert_eq!(question, expected);
        for name in ["", ".", "a..b", "a b", &"a".repeat(64)] {
            assert_eq!(naptr_question(1, name), None, "{name}");
        }
    }

    #[test]
    fn answers() {
        let (udp, tcp) = ("_sip._udp.example.net", "_sip._tcp.example.net");
        let alias = record(ASKED, TYPE_CNAME, 20, &wire("sip.example.net"));
        let behind = record(
            &wire("sip.example.net"),
            TYPE_NAPTR,
            60,
            &data(&format!("1 1 s SIP+D2U - {udp}")),
        );
        for (flags, records, expected) in [
            (
                0x8180,
                vec![
                    naptr(&format!("20 1 S sip+d2t - {tcp}")),
                    naptr(&format!("10 9 s SIP+D2U - {udp}")),
                    naptr("10 1 s SIPS+D2T - _sips._tcp.example.net"),
                    naptr(&format!("30 1 s SIP+D2U - {udp}")),
                ],
                "_sips._tcp.example.net,_sip._udp.example.net,_sip._tcp.example.net 60",
            ),
            // Of another service, with another flag or a regular expression, without a target.
            (0x8180, vec![naptr("1 1 u E2U+sip !^.*$!sip:a@b! -")], " 0"),
            (0x8180, vec![naptr(&format!("1 1 a SIP+D2U - {udp}"))], " 0"),
            (0x8180, vec![naptr(&format!("1 1 - SIP+D2U - {udp}"))], " 0"),
            (0x8180, vec![naptr(&format!("1 1 s SIP+D2S - {udp}"))], " 0"),
            (0x8180, vec![naptr(&format!("1 1 s SIP+D2U !a!b! {udp}"))], " 0"),
            (0x8180, vec![naptr("1 1 s SIP+D2U - -")], " 0"),
            // The target of what does not count may be anything.
            (0x8180, vec![naptr("1 1 s x-eduroam:radius.tls - a(b.example.net")], " 0"),
            (0x8180, vec![alias, behind.clone()], "_sip._udp.example.net 20"),
            (0x8180, vec![behind], " 0"),
            (0x8180, vec![], " 0"),
            (0x8380, vec![naptr(&format!("1 1 s SIP+D2U - {udp}"))], "truncated"),
            (0x8183, vec![], "the name does not exist"),
            (0x8182, vec![], "the name server reports error 2"),
            (0x0100, vec![], "the DNS response is for another query"),
        ] {
            assert_eq!(shown(&packet(flags, &records)), expected);
        }
    }

    #[test]
    fn hostile_answers() {
        let damaged = "the DNS response is malformed";
        let sound = data("1 1 s SIP+D2U - _sip._udp.example.net");
        for length in 0..sound.len() {
            let cut = packet(0x8180, &[record(ASKED, TYPE_NAPTR, 60, &sound[..length])]);
            assert_eq!(shown(&cut), damaged, "{length}");
        }
        for target in ["a\x1b[2Jb.example.net", "a b.example.net", "a(b"] {
            let evil = naptr("1 1 s SIP+D2U - x");
            let evil = [&evil[..evil.len() - 3], &wire(target)].concat();
            let mut evil = packet(0x8180, &[evil]);
            let length = u8::try_from(4 + 2 + 8 + 1 + wire(target).len()).unwrap();
            let at = 12 + DOMAIN.len() + 2 + 4 + 11;
            evil[at] = length;
            assert_eq!(shown(&evil), damaged, "{target:?}");
        }
        // A text that is longer than its record, a target that is a pointer to itself.
        let long = [&[0, 1, 0, 1, 200], b"s".as_slice()].concat();
        assert_eq!(shown(&packet(0x8180, &[record(ASKED, TYPE_NAPTR, 60, &long)])), damaged);
        let at = u8::try_from(12 + DOMAIN.len() + 2 + 4 + 12 + 4 + 2 + 8 + 1).unwrap();
        let looped = [&sound[..15], &[0xc0, at]].concat();
        assert_eq!(shown(&packet(0x8180, &[record(ASKED, TYPE_NAPTR, 60, &looped)])), damaged);
        let whole = packet(0x8180, &[naptr("1 1 s SIP+D2U - _sip._udp.example.net")]);
        assert_eq!(naptr_answer(&whole, 8, DOMAIN), Err(DnsError::NotOurs));
        assert_eq!(naptr_answer(&whole, 7, "example.org"), Err(DnsError::NotOurs));
        for length in 0..whole.len() {
            assert!(naptr_answer(&whole[..length], 7, DOMAIN).is_err(), "{length}");
        }
        // More records than count.
        let many: Vec<Vec<u8>> = (0..70)
            .map(|number| naptr(&format!("1 {number} s SIP+D2U - _sip._udp.h{number}.example.net")))
            .collect();
        let all = naptr_answer(&packet(0x8180, &many), 7, DOMAIN).unwrap();
        assert!(all.names.len() == MAX_SERVICES && all.is_partial);
        assert_eq!(all.names[7], "_sip._udp.h7.example.net");
    }
}
