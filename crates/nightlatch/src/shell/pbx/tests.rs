//! Console output, and what is concluded from it.

use std::net::UdpSocket;

use super::resolve::resolve_with;
use super::*;

const DATABASE: &str = include_str!("../../../../nightlatch-parse/src/pbx/testdata/registrar.txt");
const AORS: &str =
    include_str!("../../../../nightlatch-parse/src/pbx/testdata/pjsip-show-aors.txt");
const REGISTRATIONS: &str =
    include_str!("../../../../nightlatch-parse/src/pbx/testdata/pjsip-show-registrations.txt");
const CHANNELS: &str =
    include_str!("../../../../nightlatch-parse/src/pbx/testdata/core-show-channels-concise.txt");
const IDENTIFIES: &str =
    include_str!("../../../../nightlatch-parse/src/pbx/testdata/pjsip-show-identifies.txt");
const LOCATIONS: &str =
    include_str!("../../../../nightlatch-parse/src/pbx/testdata/kamcmd-ul-dump.txt");
const UAC: &str =
    include_str!("../../../../nightlatch-parse/src/pbx/testdata/kamcmd-uac-reg-dump.txt");
const LONG: &str = "a-trunk-with-a-very-long-name-that-asterisk-may-truncate-in-its-tables";

/// Recorded answers of Asterisk.
fn asterisk(command: &str) -> String {
    let long_registration = format!("pjsip show registration {LONG}");
    let long_aor = format!("pjsip show aor {LONG}");
    match command {
        "database show registrar/contact" => DATABASE.to_owned(),
        "pjsip show aors" => AORS.to_owned(),
        "pjsip show registrations" => REGISTRATIONS.to_owned(),
        "pjsip show identifies" => IDENTIFIES.to_owned(),
        "core show channels concise" => CHANNELS.to_owned(),
        "core show channels count" => "9 active channels\n5 active calls\n".to_owned(),
        _ if command == long_registration => {
            " ParameterName : ParameterValue\n server_uri : sip:203.0.113.70:5060;transport=udp\n \
             outbound_proxy : sip:203.0.113.71;lr\n"
                .to_owned()
        }
        _ if command == long_aor => {
            " ParameterName : ParameterValue\n contact : sip:203.0.113.81:5060;transport=tcp\n \
             contact : sip:203.0.113.80:5060\n contact : sip:[2001:db8:70::80]:5060\n"
                .to_owned()
        }
        _ => format!("No such command '{command}' (type 'core show help' for more)\n"),
    }
}

fn ask_asterisk(
    subjects: Subjects,
    mut run: impl FnMut(&str) -> Result<String, String>,
) -> PbxAnswer {
    let mut answer = PbxAnswer::default();
    super::asterisk::ask(subjects, &mut run, &mut answer);
    answer
}

fn shown(contacts: &[Contact]) -> Vec<String> {
    contacts
        .iter()
        .map(|c| {
            let name = c.name.get(..7).unwrap_or(&c.name);
            format!("{name} {} {} {} {}", c.protocol, c.address, c.port, c.registered)
        })
        .collect()
}

#[test]
fn a_genuine_asterisk() {
    let answer = ask_asterisk(Subjects::ALL, |command| Ok(asterisk(command)));
    assert_eq!(answer.unread, []);
    let registrations: Vec<String> = answer
        .registrations
        .iter()
        .map(|r| {
            let Server { host, port, transport } = &r.server;
            let name = r.name.get(..7).unwrap_or(&r.name);
            format!("{name} {host} {port:?} {transport:?} {:?} {:?}", r.registrar, r.state)
        })
        .collect();
    assert_eq!(registrations.len(), 10);
    assert_eq!(registrations[0], "a-trunk 203.0.113.71 None None Some(\"203.0.113.70\") Refused");
    assert_eq!(registrations[3], "ip6 2001:db8:70::70 Some(5060) None None Registered");
    assert_eq!(registrations[9], "tcp 203.0.113.70 None Some(Tcp) None Registered");
    assert_eq!(
        shown(&answer.contacts),
        [
            "1001 udp 203.0.113.21 5061 true",
            "1002 tcp 203.0.113.41 38255 true",
            "1003 udp 2001:db8:20::21 5063 true",
            "1004 udp 192.0.2.66 5064 true",
            "a-trunk tcp 203.0.113.81 5060 false",
            "a-trunk udp 203.0.113.80 5060 false",
            "a-trunk udp 2001:db8:70::80 5060 false",
            "bad udp 203.0.113.70 5060 false",
            "dead udp 203.0.113.90 5060 false",
            "fixed udp 203.0.113.80 5060 false",
            "ip6 udp 2001:db8:70::70 5060 false",
            "itsp udp 203.0.113.70 5060 false",
            "tcp tcp 203.0.113.70 5060 false",
        ]
    );
    let named: Vec<&str> = answer.named.iter().map(|named| named.server.host.as_str()).collect();
    assert_eq!(named[..2], ["sip.example.net", "sip2.example.net"]);
    assert_eq!((answer.identifies.len(), answer.channels.len()), (11, 9));
    let json = serde_json::to_string(&answer).unwrap();
    assert_eq!(serde_json::from_str::<PbxAnswer>(&json).unwrap(), answer);
}

#[test]
fn a_contact_counts_as_configured_only_where_that_is_certain() {
    let aors = "      Aor:  mixed                                                1\n    \
                Contact:  mixed/sip:203.0.113.84:5060                  5f2163761c NonQual         nan\n";
    for (mappings, registered) in [
        ("Config Engine: sqlite3\n", false),
        ("Config Engine: odbc\n===> ps_contacts (db=asterisk, table=ps_contacts)\n", true),
        ("", true),
    ] {
        let answer = ask_asterisk(Subjects::CONTACTS, |command| {
            Ok(match command {
                "pjsip show aors" => aors.to_owned(),
                "core show config mappings" => mappings.to_owned(),
                _ => String::new(),
            })
        });
        let expected = format!("mixed udp 203.0.113.84 5060 {registered}");
        assert_eq!(shown(&answer.contacts), [expected], "{mappings}");
    }
}

#[test]
fn a_silent_console_is_asked_once() {
    let mut asked = 0;
    let answer = ask_asterisk(Subjects::ALL, |_| {
        asked += 1;
        Err("asterisk did not answer within 3 seconds".to_owned())
    });
    assert_eq!((asked, answer.unread.len(), answer.is_empty()), (1, 1, true));
    assert_eq!(answer.unread[0].what, "asterisk -rx \"pjsip show registrations\"");

    // A caller's number with a line break forges a call, which is reported.
    let answer = ask_asterisk(Subjects::CALLS, |command| {
        Ok(match command {
            "core show channels count" => "1 active channel\n".to_owned(),
            "core show channels concise" => "PJSIP/1-1!a!b!1!Up\nPJSIP/2-2!a!b!1!Up\n".to_owned(),
            _ => String::new(),
        })
    });
    assert_eq!((answer.channels.len(), answer.unread.len()), (2, 1));
}

#[test]
fn a_genuine_kamailio() {
    let mut answer = PbxAnswer::default();
    let mut run =
        |arguments: &[&str]| Ok(if arguments == ["ul.dump"] { LOCATIONS } else { UAC }.to_owned());
    super::kamailio::ask(Subjects::ALL, &mut run, &mut answer);
    let servers: Vec<String> = answer
        .registrations
        .iter()
        .map(|r| format!("{} {} {:?}", r.name, r.server.host, r.registrar))
        .collect();
    assert_eq!(
        servers,
        [
            "trunk2 203.0.113.70 Some(\"sip.example.net\")",
            "trunk3 203.0.113.99 None",
            "trunk1 203.0.113.70 None",
        ]
    );
    assert_eq!(answer.contacts.len(), 7);
    assert_eq!(answer.named[0].server.host, "phone.example.com");
    let left = remaining(&answer, &["192.0.2.77".parse().unwrap()], false);
    assert_eq!(left.commands, [] as [&str; 0]);
    assert_eq!(
        left.left_out,
        [
            "\"1001\" is also registered at 203.0.113.21; to remove it there too, run: kamcmd ul.rm location 's:1001'"
        ]
    );
    let left = remaining(&answer, &["203.0.113.0/24".parse().unwrap()], false);
    assert_eq!(left.commands, ["kamcmd ul.rm location 's:1003'"]);
}

#[test]
fn what_remains() {
    let answer = ask_asterisk(Subjects::ALL, |command| Ok(asterisk(command)));
    let check = |ranges: &[&str], trunks: bool, commands: &[&str], left_out: &[&str]| {
        let ranges: Vec<AddrRange> = ranges.iter().map(|text| text.parse().unwrap()).collect();
        let left = remaining(&answer, &ranges, trunks);
        assert_eq!(left.commands, commands, "{ranges:?}");
        assert_eq!(left.left_out, left_out, "{ranges:?}");
    };
    check(&["198.51.100.0/24"], false, &[], &[]);
    check(
        &["203.0.113.21", "192.0.2.0/24"],
        false,
        &[
            "asterisk -rx 'database del registrar/contact 1001;@01e7b590ded6b54eb02ebd9aecd75c8e'",
            "asterisk -rx 'database del registrar/contact 1004;@47af5161eee276b4f1a6fe1f4c4aa4f6'",
            "asterisk -rx 'channel request hangup PJSIP/1001-00000000'",
            "asterisk -rx 'channel request hangup PJSIP/1004-00000004'",
        ],
        &[],
    );
    // The PBX registers at this trunk, so it keeps working unless it is blocked.
    check(&["2001:db8:70::70"], false, &[], &[]);
    check(
        &["2001:db8:70::70"],
        true,
        &[
            "asterisk -rx 'pjsip send unregister ip6'",
            "asterisk -rx 'channel request hangup PJSIP/ip6-00000003'",
        ],
        &[],
    );
}

#[test]
fn names_that_a_shell_misreads_are_left_out() {
    let contact = |name: &str, address: &str, removal| Contact {
        name: name.to_owned(),
        protocol: Protocol::Udp,
        address: address.parse().unwrap(),
        port: 5060,
        registered: true,
        driver: Driver::Sip,
        removal,
    };
    let channel = |name: &str, endpoint: &str| Channel {
        name: name.to_owned(),
        driver: Some(Driver::Sip),
        endpoint: endpoint.to_owned(),
        state: "Up".to_owned(),
    };
    let peer = |name: &str| Some(Removal::SipPeer(name.to_owned()));
    let answer = PbxAnswer {
        contacts: vec![
            contact("201", "192.0.2.1", peer("201")),
            contact("202", "192.0.2.1", peer("202'; reboot; '")),
            contact("203", "192.0.2.1", Some(Removal::IaxPeer("203".to_owned()))),
            contact("204", "192.0.2.1", peer("2\u{200b}04")),
            contact("205", "192.0.2.1", peer("front desk")),
            contact("206", "192.0.2.1", None),
            contact("207", "192.0.2.1", peer("all")),
            contact("201", "198.51.100.9", peer("201")),
        ],
        channels: vec![channel("SIP/201-01", "201"), channel("SIP/202'\n-02", "202")],
        ..PbxAnswer::default()
    };
    let left = remaining(&answer, &["192.0.2.0/24".parse().unwrap()], false);
    assert_eq!(
        left.commands,
        [
            "asterisk -rx 'sip unregister 201'",
            "asterisk -rx 'iax2 unregister 203'",
            "asterisk -rx 'sip unregister \"front desk\"'",
        ]
    );
    let misread = "its name contains characters that a shell or the console may misinterpret";
    assert_eq!(
        left.left_out,
        [
            format!("the contact \"202\\'; reboot; \\'\": {misread}"),
            format!("the contact \"2\\u{{200b}}04\": {misread}"),
            "the contact of \"206\" at 192.0.2.1: Asterisk truncates its name or stores it in another database".to_owned(),
            format!("the contact \"all\": {misread}"),
            "the call \"SIP/201-01\" may belong to \"201\" at 198.51.100.9; to hang it up, run: asterisk -rx 'channel request hangup SIP/201-01'".to_owned(),
            format!("the call \"SIP/202\\'\\n-02\": {misread}"),
        ]
    );
}

#[test]
fn servers_are_resolved() {
    let name_server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = name_server.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        // Three services are queried. The first answer to each has a wrong ID and is ignored.
        for service in 0..3 {
            let (length, from) = name_server.recv_from(&mut buffer).unwrap();
            // Without the OPT record at the end.
            let mut packet = buffer[..length - 11].to_vec();
            packet[10..12].copy_from_slice(&[0, 0]);
            packet[2] |= 0x80;
            if service == 0 {
                packet[7] = 1;
                packet.extend(
                    b"\xc0\x0c\0\x21\0\x01\0\0\0\x3c\0\x11\0\x01\0\x01\x13\xd8\x09localhost\0",
                );
            } else {
                packet[3] |= 3;
            }
            let mut wrong = packet.clone();
            wrong[0] ^= 1;
            name_server.send_to(&wrong, from).unwrap();
            name_server.send_to(&packet, from).unwrap();
        }
    });
    let server = |host: &str, port, transport| Server { host: host.to_owned(), port, transport };
    let check = |server: &Server, driver, expected: &[&str]| {
        let resolved = resolve_with(server, driver, &[address]);
        assert_eq!(resolved.unread, []);
        let mut places: Vec<String> =
            resolved.places.iter().map(|p| format!("{} {}", p.protocol, p.address)).collect();
        // localhost may have an IPv6 address, too.
        places.retain(|place| !place.contains("[::1]"));
        assert_eq!(places, expected);
    };
    check(
        &server("localhost", None, None),
        Driver::Pjsip,
        &["udp 127.0.0.1:5060", "udp 127.0.0.1:5080"],
    );
    check(&server("localhost", Some(5070), None), Driver::Pjsip, &["udp 127.0.0.1:5070"]);
    check(&server("localhost", None, None), Driver::Iax2, &["udp 127.0.0.1:4569"]);
    let tls = Some(Transport::Tls);
    check(&server("192.0.2.1", None, tls), Driver::Pjsip, &["tcp 192.0.2.1:5061"]);
    check(&server("2001:db8::1", None, None), Driver::Sip, &["udp [2001:db8::1]:5060"]);
}
