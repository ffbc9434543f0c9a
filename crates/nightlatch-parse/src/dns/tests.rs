//! Responses of name servers, valid and hostile.

use super::*;

const NAME: &str = "_sip._udp.example.net";

/// A response with one question and the given records.
fn packet(flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = srv_question(7, NAME).unwrap();
    packet.truncate(12 + NAME.len() + 2 + 4);
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

fn srv(owner: &[u8], priority: u8, port: u16, target: &[u8]) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    record(owner, TYPE_SRV, &[&[0, priority, 0, 5, high, low], target].concat())
}

fn shown(packet: &[u8]) -> String {
    match srv_answer(packet, 7, NAME) {
        Ok(answer) => {
            let servers: Vec<String> = answer
                .servers
                .iter()
                .map(|s| format!("{} {} {}:{}", s.priority, s.weight, s.target, s.port))
                .collect();
            format!("{}{}", servers.join(", "), if answer.is_partial { " partial" } else { "" })
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn questions() {
    let question = srv_question(0x0102, "a.example.").unwrap();
    let expected = b"\x01\x02\x01\0\0\x01\0\0\0\0\0\x01\x01a\x07example\0\0\x21\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0";
    assert_eq!(question, expected);
    let long = "a".repeat(64);
    let many = "abcdefgh.".repeat(29);
    for name in ["", ".", "a..b", "a b", "a\0b", "\u{e4}.example", &long, &many] {
        assert_eq!(srv_question(1, name), None, "{name}");
    }
}

#[test]
fn answers() {
    // 0xc00c is the name asked for, 0xc016 is "example.net" in it.
    let asked = [0xc0, 12];
    let below = |host: &str| {
        let mut name = vec![u8::try_from(host.len()).unwrap()];
        name.extend(host.as_bytes());
        name.extend([0xc0, 22]);
        name
    };
    let (one, two) = (below("Sip1"), below("sip2"));
    let alias = record(&asked, TYPE_CNAME, &below("alias"));
    for (flags, records, expected) in [
        (
            0x8180,
            vec![srv(&asked, 20, 5060, &two), srv(&asked, 10, 5080, &one)],
            "10 5 sip1.example.net:5080, 20 5 sip2.example.net:5060",
        ),
        (0x8380, vec![srv(&asked, 1, 5060, &one)], "1 5 sip1.example.net:5060 partial"),
        (0x8180, vec![], ""),
        (0x8180, vec![srv(&asked, 0, 0, &[0]), srv(&asked, 0, 5060, &[0])], ""),
        (0x8180, vec![alias.clone(), srv(&below("alias"), 1, 1, &one)], "1 5 sip1.example.net:1"),
        (0x8180, vec![srv(&below("other"), 1, 1, &one)], ""),
        (0x8180, vec![record(&asked, 1, &[192, 0, 2, 1])], ""),
        (0x8183, vec![], "the name does not exist"),
        (0x8185, vec![], "the name server reports error 5"),
        (0x0100, vec![], "the DNS response is for another query"),
        // A pointer to itself, one forwards, one beyond the packet, a label that does not end.
        (0x8180, vec![srv(&[0xc0, 39], 1, 1, &one)], "the DNS response is malformed"),
        (0x8180, vec![srv(&asked, 1, 1, &[0xc0, 57])], "the DNS response is malformed"),
        (0x8180, vec![srv(&asked, 1, 1, &[0xff, 0xff])], "the DNS response is malformed"),
        (0x8180, vec![srv(&asked, 1, 1, &[60, b'a'])], "the DNS response is malformed"),
        (0x8180, vec![srv(&asked, 1, 1, &[0x80, 1])], "the DNS response is malformed"),
        (0x8180, vec![srv(&asked, 1, 1, &[1, b' ', 0])], "the DNS response is malformed"),
        (0x8180, vec![record(&asked, TYPE_SRV, &[0, 1, 0])], "the DNS response is malformed"),
    ] {
        assert_eq!(shown(&packet(flags, &records)), expected);
    }
    let sound = packet(0x8180, &[srv(&asked, 1, 1, &one)]);
    assert_eq!(srv_answer(&sound, 8, NAME), Err(DnsError::NotOurs));
    assert_eq!(srv_answer(&sound, 7, "example.net"), Err(DnsError::NotOurs));
    for length in 0..sound.len() {
        assert!(srv_answer(&sound[..length], 7, NAME).is_err(), "{length}");
    }
}

#[test]
fn name_servers() {
    let text = "# nameserver 192.0.2.1\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n\
                search example.com\nnameserver 2001:db8::53\nnameserver 192.0.2.54\nnameserver 192.0.2.55\n";
    let found: Vec<String> = resolvers(text).iter().map(ToString::to_string).collect();
    assert_eq!(found, ["192.0.2.53:53", "[2001:db8::53]:53", "192.0.2.54:53"]);
}
