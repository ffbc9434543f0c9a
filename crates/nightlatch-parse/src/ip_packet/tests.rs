use proptest::prelude::*;

use super::*;

/// Bytes from hexadecimal digits.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
    let pair = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// What is read, in one line.
fn shown(packet: &[u8]) -> String {
    let read = match read(packet) {
        Ok(read) => read,
        Err(error) => return format!("{error:?}"),
    };
    let what = match read.transport {
        Transport::Udp { payload, is_truncated } => {
            let cut = if is_truncated { ", cut short" } else { "" };
            format!("udp {:?}{cut}", String::from_utf8_lossy(payload))
        }
        Transport::Tcp(flags) => format!("tcp {:#04x}", flags.0),
    };
    format!("{} > {} {what}", read.source, read.destination)
}

#[track_caller]
fn check(packet: &str, expected: &str) {
    assert_eq!(shown(&bytes(packet)), expected, "{packet}");
}

const FROM4: &str = "cb00714b c633640a";
const FROM6: &str = "20010db8000000000000000000000075 20010db8000000000000000000000010";
/// Ports 40408 and 62201, four bytes of payload.
const UDP4: &str = "9dd8f2f9 000c0000 61626364";
/// Ports 40408 and 1000, flags SYN, ECE and CWR, no options.
const SYN: &str = "9dd803e8 00000001 00000000 50c2ffff 00000000";

const ENDS4: &str = "203.0.113.75:40408 > 198.51.100.10:62201";
const ENDS6: &str = "[2001:db8::75]:40408 > [2001:db8::10]:62201";

#[test]
fn datagrams_and_segments() {
    check(&format!("45000020 00004000 40110000 {FROM4} {UDP4}"), &format!("{ENDS4} udp \"abcd\""));
    check(&format!("60000000 000c1140 {FROM6} {UDP4}"), &format!("{ENDS6} udp \"abcd\""));
    let syn = "198.51.100.10:1000 tcp 0xc2";
    check(
        &format!("45000028 00004000 40060000 {FROM4} {SYN}"),
        &format!("203.0.113.75:40408 > {syn}"),
    );
    check(
        &format!("60000000 00140640 {FROM6} {SYN}"),
        "[2001:db8::75]:40408 > [2001:db8::10]:1000 tcp 0xc2",
    );
}

#[test]
fn options_and_extension_headers_are_skipped() {
    let options = "46000024 00004000 40110000 cb00714b c633640a 01010101";
    check(&format!("{options} {UDP4}"), &format!("{ENDS4} udp \"abcd\""));
    // Hop-by-hop options, destination options of 16 bytes, routing, and a fragment that is the only one.
    let extensions =
        "3c00050200000000 2b01050200000000 0000000000000000 2c00040000000000 1100000000000000";
    check(
        &format!("60000000 00340040 {FROM6} {extensions} {UDP4}"),
        &format!("{ENDS6} udp \"abcd\""),
    );
}

#[test]
fn only_the_first_fragment_has_ports() {
    let first = format!("{ENDS4} udp \"abcd\", cut short");
    let long = "9dd8f2f9 03e80000 61626364";
    check(&format!("45000020 00002000 40110000 {FROM4} {long}"), &first);
    check(&format!("45000020 00002001 40110000 {FROM4} {long}"), "LaterFragment");
    check(&format!("45000020 00000010 40110000 {FROM4} {UDP4}"), "LaterFragment");
    let first = format!("{ENDS6} udp \"abcd\", cut short");
    check(&format!("60000000 00142c40 {FROM6} 1100000100000001 {long}"), &first);
    check(&format!("60000000 00142c40 {FROM6} 1100000900000001 {long}"), "LaterFragment");
    check(&format!("60000000 00142c40 {FROM6} 1100ffff00000001 {long}"), "LaterFragment");
}

#[test]
fn lengths_limit_the_payload() {
    // The IP packet ends before its bytes do, the datagram before the IP packet.
    let v4 = |total: &str, rest: &str| format!("4500{total} 00004000 40110000 {FROM4} {rest}");
    check(&v4("0020", &format!("{UDP4} 65666768")), &format!("{ENDS4} udp \"abcd\""));
    check(&v4("0020", "9dd8f2f9 000a0000 61626364"), &format!("{ENDS4} udp \"ab\""));
    check(&v4("001c", "9dd8f2f9 00080000"), &format!("{ENDS4} udp \"\""));
    // Cut short by the kernel.
    check(&v4("0024", "9dd8f2f9 00100000 6162"), &format!("{ENDS4} udp \"ab\", cut short"));
    // A datagram longer than its packet, or shorter than its header.
    check(&v4("0020", "9dd8f2f9 000d0000 61626364"), "WrongLength");
    check(&v4("0020", "9dd8f2f9 00070000 61626364"), "WrongLength");
    check(&v4("0020", "9dd8f2f9 00000000 61626364"), "WrongLength");
    // An IP packet shorter than the header of UDP or its own.
    check(&v4("001b", UDP4), "WrongLength");
    check(&v4("0014", UDP4), "HeaderCutShort");
    check(&v4("0013", UDP4), "WrongLength");
    check(&format!("44000020 00004000 40110000 {FROM4} {UDP4}"), "WrongLength");
    check(&format!("4f000040 00004000 40110000 {FROM4} {UDP4}"), "HeaderCutShort");
    // IPv6: an extension header that ends behind the packet, and a jumbogram.
    check(&format!("60000000 000c0040 {FROM6} 1101000000000000 00000000"), "WrongLength");
    check(&format!("60000000 00000040 {FROM6} 1100c20400010000 {UDP4}"), "WrongLength");
    // TCP: a header shorter than one can be, and longer than the packet.
    let tcp = |rest: &str| format!("45000028 00004000 40060000 {FROM4} {rest}");
    check(&tcp("9dd803e8 00000001 00000000 4002ffff 00000000"), "WrongLength");
    check(&tcp("9dd803e8 00000001 00000000 6002ffff 00000000"), "WrongLength");
    check(&tcp("9dd803e8 00000001 00000000 50"), "HeaderCutShort");
}

#[test]
fn other_packets_are_refused() {
    check("", "HeaderCutShort");
    check("00640800 45000020", "NotIp");
    check(&format!("45000020 00004000 40010000 {FROM4} 08000000"), "OtherProtocol(1)");
    check(&format!("60000000 00043a40 {FROM6} 80000000"), "OtherProtocol(58)");
    check(&format!("60000000 00183340 {FROM6} 1104000000000000"), "OtherProtocol(51)");
    let many = "3c00050200000000".repeat(50);
    check(&format!("60000000 01903c40 {FROM6} {many}"), "TooManyExtensions");
}

#[test]
fn requests_for_a_connection() {
    for (flags, expected) in [
        (0x02, true),
        (0xc2, true),
        (0x0a, true),
        (0x12, false),
        (0x06, false),
        (0x03, false),
        (0, false),
    ] {
        assert_eq!(TcpFlags(flags).is_request(), expected, "{flags:#04x}");
    }
}

/// A packet of this size in a datagram with random lengths and options.
fn datagram() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, usize)> {
    let payload = proptest::collection::vec(any::<u8>(), 0..100);
    (any::<bool>(), 0_u8..=10, payload, 0_usize..300).prop_map(|(is_v4, options, payload, cut)| {
        let length = u16::try_from(8 + payload.len()).unwrap();
        let mut packet;
        if is_v4 {
            packet = bytes(&format!("45000000 00000000 40110000 {FROM4}"));
            packet[0] += options;
            packet.resize(20 + 4 * usize::from(options), 1);
            let total = u16::try_from(packet.len()).unwrap() + length;
            packet[2..4].copy_from_slice(&total.to_be_bytes());
        } else {
            packet = bytes(&format!("60000000 00003c40 {FROM6} 1100010400000000"));
            packet[41] = options;
            packet.resize(48 + 8 * usize::from(options), 0);
            let total = u16::try_from(packet.len() - 40).unwrap() + length;
            packet[4..6].copy_from_slice(&total.to_be_bytes());
        }
        let body = packet.len() + 8;
        packet.extend([0x9d, 0xd8, 0xf2, 0xf9]);
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(&payload);
        packet.truncate(cut);
        (packet, payload, body)
    })
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&packet);
    }

    #[test]
    fn the_payload_is_what_is_there_of_it((packet, payload, body) in datagram()) {
        match read(&packet) {
            Ok(IpPacket { transport: Transport::Udp { payload: found, is_truncated }, .. }) => {
                let there = packet.len() - body;
                prop_assert_eq!(found, &payload[..there]);
                prop_assert_eq!(is_truncated, there < payload.len());
            }
            Err(error) => {
                prop_assert_eq!(error, HeaderCutShort);
                prop_assert!(packet.len() < body);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// Where both read a whole datagram, they say the same.
    #[test]
    fn it_agrees_with_the_reader_of_headers((packet, _, _) in datagram()) {
        if let Ok(found) = read(&packet) {
            let datagram = crate::packet::udp(&packet).unwrap();
            prop_assert_eq!(found.source, datagram.source);
            prop_assert_eq!(found.destination, datagram.destination);
        }
    }
}
