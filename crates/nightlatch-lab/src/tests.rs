//! The pure parts of the demo.

use std::net::{IpAddr, SocketAddr};

use crate::cli::{Arguments, Asked};
use crate::packet::{Caught, Extension, Packet, flags};
use crate::report::{Answer, Ports, Probe, Reach, Report};
use crate::{cli, sip};

fn reach(from: &str, source: &str, seen: bool) -> Reach {
    let open = if seen { vec![5060] } else { Vec::new() };
    let ports = |tried: usize| Ports {
        tried,
        open: open.clone(),
        refused: if seen { tried - 1 } else { 0 },
        silent: if seen { 0 } else { tried },
    };
    let answer = |answer: Answer| if seen { answer } else { Answer::Silence };
    let probe = |name: &str, answer| Probe { name: name.to_owned(), answer };
    Reach {
        from: from.to_owned(),
        source: source.parse().unwrap(),
        target: "198.51.100.1".parse().unwrap(),
        tcp: ports(65_535),
        udp: ports(36),
        probes: vec![probe("ping", answer(Answer::Echo))],
        sip: vec![probe("SIP OPTIONS", answer(Answer::Reply("SIP/2.0 200 OK".to_owned())))],
    }
}

#[test]
fn the_table_and_the_conclusion() {
    let both = |seen| {
        let v6 = reach("attacker", "2001:db8:66::66", seen);
        vec![reach("attacker", "192.0.2.166", seen), v6]
    };
    let mut report = Report { before: both(true), after: both(false) };
    let expected = "
                                          before                          after
                                          IPv4 / IPv6                     IPv4 / IPv6
attacker                                  192.0.2.166 / 2001:db8:66::66
  TCP ports that answer, of 65,535        65,535 / 65,535                 0 / 0
  TCP ports open                          5060 / 5060                     none / none
  common UDP ports that answer, of 36     36 / 36                         0 / 0
  UDP ports open                          5060 / 5060                     none / none
  odd packets answered                    1 of 1 / 1 of 1                 0 of 1 / 0 of 1
  SIP OPTIONS                             200 OK / 200 OK                 silence / silence
";
    assert_eq!(format!("\n{}", report.table()), expected);
    assert!(!report.is_visible_to("attacker"));
    assert!(report.is_visible_to("nobody who tried"));

    // One single answer is enough to be seen, and is named.
    report.after[1].probes[0].answer = Answer::Error(4, 1);
    assert!(report.is_visible_to("attacker"));
    let conclusion = report.conclusion("attacker");
    assert!(conclusion.starts_with("The attacker still got 1 answers:"), "{conclusion}");
    assert!(conclusion.contains("ping: ICMP error 4/1"), "{conclusion}");
}

#[test]
fn the_report_as_json() {
    let report = Report { before: vec![reach("office", "203.0.113.10", true)], after: Vec::new() };
    let json = serde_json::to_value(&report).unwrap();
    let office = &json["before"][0];
    assert_eq!(office["from"], "office");
    assert_eq!(office["tcp"]["open"], serde_json::json!([5060]));
    assert_eq!(office["probes"][0]["answer"], serde_json::json!({ "kind": "echo" }));
    let reply = serde_json::json!({ "kind": "reply", "detail": "SIP/2.0 200 OK" });
    assert_eq!(office["sip"][0]["answer"], reply);
}

#[test]
fn the_stand_in_answers_sip_only() {
    let source: SocketAddr = "[2001:db8::5]:5070".parse().unwrap();
    let target: SocketAddr = "[2001:db8::1]:5060".parse().unwrap();
    let check = |request: &str, expected: Option<&str>| {
        let response = sip::response(request.as_bytes());
        assert_eq!(response.as_deref().and_then(|text| text.lines().next()), expected, "{request}");
    };
    check(&sip::request("OPTIONS", source, target), Some("SIP/2.0 200 OK"));
    check(&sip::request("REGISTER", source, target), Some("SIP/2.0 401 Unauthorized"));
    check(&sip::request("BYE", source, target), Some("SIP/2.0 405 Method Not Allowed"));
    check("GET / HTTP/1.0\r\n\r\n", None);
    check("", None);

    let response = sip::response(sip::request("OPTIONS", source, target).as_bytes()).unwrap();
    assert!(response.contains("Via: SIP/2.0/UDP [2001:db8::5]:5070;branch="), "{response}");
    assert!(response.contains("To: <sip:[2001:db8::1]>;tag=stand-in\r\n"), "{response}");
}

#[test]
fn a_first_line_for_people() {
    let check = |message: &[u8], expected: &str| assert_eq!(sip::first_line(message), expected);
    check(b"SIP/2.0 200 OK\r\nVia: x\r\n", "SIP/2.0 200 OK");
    check(b"", "0 bytes");
    check(&[0x80, 0, 1, 2], "4 bytes");
    check(&[b'a'; 300], &"a".repeat(80));
}

#[test]
fn a_packet_byte_by_byte() {
    let packet =
        Packet::udp("192.0.2.1:53".parse().unwrap(), "198.51.100.1:5060".parse().unwrap(), b"hi");
    let header =
        [0x45, 0, 0, 30, 0x4e, 0x4c, 0, 0, 64, 17, 0x40, 0x4d, 192, 0, 2, 1, 198, 51, 100, 1];
    let body = [0, 53, 0x13, 0xc4, 0, 10, 0x97, 0x41, b'h', b'i'];
    assert_eq!(packet.bytes(), [&header[..], &body].concat());
    let caught = Caught::parse(&packet.bytes()).unwrap();
    assert_eq!((caught.checksum_is_right(), caught.data()), (Some(true), &b"hi"[..]));
}

#[test]
fn pieces_cover_the_whole_packet() {
    let source: SocketAddr = "[2001:db8::5]:5070".parse().unwrap();
    let target: SocketAddr = "[2001:db8::1]:5060".parse().unwrap();
    let packet = Packet::udp(source, target, &[7; 100]).with_extension(Extension::HopByHop);
    for piece in [0, 1, 8, 17, 64, 1000] {
        let fragments = packet.fragments(piece);
        let bodies: Vec<u8> = fragments
            .iter()
            .flat_map(|fragment| Caught::parse(fragment).unwrap().body().to_vec())
            .collect();
        assert_eq!(bodies.len(), 108, "pieces of {piece}");
        assert_eq!(&bodies, Caught::parse(&packet.bytes()).unwrap().body());
        let first = Caught::parse(&fragments[0]).unwrap();
        assert_eq!((first.later_fragment, first.origin()), (false, Some(source)));
        for later in &fragments[1..] {
            assert!(Caught::parse(later).unwrap().later_fragment);
        }
    }
}

#[test]
fn families_that_do_not_fit() {
    let v4: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let v6: SocketAddr = "[2001:db8::1]:1".parse().unwrap();
    assert_eq!(Packet::tcp(v4, v6, flags::SYN).source(), "::".parse::<IpAddr>().unwrap());
    assert_eq!(Packet::tcp(v6, v4, flags::SYN).source(), "0.0.0.0".parse::<IpAddr>().unwrap());
}

#[test]
fn the_arguments() {
    let check = |words: &[&str], expected: Result<Asked, &str>| {
        let parsed = cli::parse(words.iter().map(std::ffi::OsString::from));
        assert_eq!(parsed, expected.map_err(str::to_owned), "{words:?}");
    };
    let demo = |json| Ok(Asked::Demo(Arguments { program: "/bin/nightlatch".into(), json }));
    check(&["demo", "--program", "/bin/nightlatch"], demo(false));
    check(&["demo", "--json", "--program", "/bin/nightlatch"], demo(true));
    check(&["--help"], Ok(Asked::Help));
    check(&["demo", "-h"], Ok(Asked::Help));
    check(&[], Err("no command"));
    check(&["scan"], Err("unknown command: scan"));
    check(&["demo", "--program"], Err("--program needs the path of nightlatch"));
    check(&["demo", "host"], Err("unknown argument: host"));
    let missing = "--program is missing; use \"nightlatch demo\", which gives it";
    check(&["demo", "--json"], Err(missing));
}
