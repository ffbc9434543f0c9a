//! Genuine messages, and what other programs are known to send.

use super::*;

#[test]
fn messages_of_phones() {
    check(
        "baresip",
        genuine("baresip-register"),
        "start: REGISTER Sip - {192.0.2.1}
        via: UDP {192.0.2.10} :35266 z9hG4bKba459c4be0b26e78
        contact: [] Sip 101-0x55a05fd2d160 {192.0.2.10} :35266 tag=-
        expires: 60
        from: [] Sip 101 {192.0.2.1} tag=595bf54e4225d75e
        to: [] Sip 101 {192.0.2.1} tag=-
        call: d77c18706a2a1272
        cseq: 42881 REGISTER
        agent: baresip v1.0.0 (x86_64/linux)
        length: 0
        faults:",
    );
    check(
        "baresip over IPv6",
        genuine("baresip-register-v6"),
        "start: REGISTER Sip - {2001:db8::1}
        via: UDP {2001:db8::10} :45209 z9hG4bK586bea53340fd1ff
        contact: [] Sip 101-0x55da4e417f60 {2001:db8::10} :45209 tag=-
        from: [Alice \"A\" Example] Sip 101 {2001:db8::1} tag=712b9e5140d3f084
        faults:",
    );
    check(
        "linphone",
        genuine("linphone-register-auth"),
        "from: [Bob Example] Sip 102 {192.0.2.1} tag=Wxe5zyDxY
        to: [Bob Example] Sip 102 {192.0.2.1} tag=-
        contact: [Bob Example] Sip 102 {192.0.2.10} :5070 ;transport=udp tag=-
        expires: 3600
        agent: Linphonec/5.1.65
        cseq: 21 REGISTER
        length: -
        faults:",
    );
    check(
        "linphone's call",
        genuine("linphone-invite"),
        "start: INVITE Sip 103 {192.0.2.1}
        to: [] Sip 103 {192.0.2.1} tag=-
        length: 512
        body: 512
        faults:",
    );
}

#[test]
fn messages_of_scanners_and_servers() {
    check(
        "sipp",
        genuine("sipp-register-v6"),
        "contact: [] Sip 104 {2001:db8::10} :5060 tag=-
        call: 1-8614@2001:db8::10
        expires: 120
        agent: SIPp/Linux
        faults:",
    );
    check(
        "sipvicious",
        genuine("sipvicious-options"),
        "start: OPTIONS Sip 100 {198.51.100.1}
        via: UDP {127.0.0.1} :5060 z9hG4bK-3579096250
        from: [sipvicious] Sip 100 {1.1.1.1} tag=6336333336343031313363340132363432373132353739
        contact: [] Sip 100 {127.0.0.1} :5060 tag=-
        agent: friendly-scanner
        call: 6778396867424270236967
        cseq: 1 OPTIONS
        faults:",
    );
    check(
        "kamailio",
        genuine("kamailio-401"),
        "start: 401 Unauthorized
        server: kamailio-lab
        agent: -
        cseq: 1 REGISTER
        faults:",
    );
    let message = read(genuine("kamailio-401"), false).unwrap();
    let via = message.via.unwrap();
    assert_eq!(via.received(), "198.51.100.66".parse().ok());
    assert_eq!((via.has_rport(), via.rport()), (true, Some(5060)));
    let request = read(genuine("sipvicious-crack"), false).unwrap();
    let via = request.via.unwrap();
    assert_eq!((via.has_rport(), via.rport(), via.received()), (true, None, None));
}

#[test]
fn the_empty_lines_are_there_in_every_genuine_message() {
    for (name, payload) in GENUINE {
        let message = read(payload, false).unwrap();
        assert_eq!(message.faults(), [], "{name}");
        assert!(message.has_all_headers, "{name}");
    }
}

#[test]
fn compact_forms_folds_and_other_names() {
    let payload = sent(
        "
REGISTER sip:example.net SIP/2.0
v: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa
f: \"Folded
 name\" <sip:7@example.net>
\t;tag=a1
t: <sip:7@example.net>
i: x@192.0.2.7
CSEQ: 7
  REGISTER
m: <sip:7@192.0.2.7>
user-AGENT :  secret  words
\tof one
      user
X-Other: 1
l: 0

",
    );
    check(
        "compact",
        &payload,
        "via: UDP {192.0.2.7} z9hG4bKa
        from: [Folded name] Sip 7 example.net tag=a1
        call: x@192.0.2.7
        cseq: 7 REGISTER
        contact: [] Sip 7 {192.0.2.7} tag=-
        agent: secret  words of one user
        faults:",
    );
    let message = read(&payload, false).unwrap();
    let other = message.headers().find(|header| header.is_named("x-other")).unwrap();
    assert_eq!((other.raw, message.headers().count()), (&b"1"[..], 9));
    for name in Name::ALL {
        assert_eq!(Name::of(name.text().to_uppercase().as_bytes()), Some(*name));
        assert!(name.compact().is_none_or(|short| Name::of(short.as_bytes()) == Some(*name)));
    }
    assert_eq!((Name::of(b""), Name::of(b"vi")), (None, None));
}

#[test]
fn line_ends_with_lf_only_and_line_ends_before() {
    let lf = text(genuine("baresip-register")).replace("\r\n", "\n");
    for before in ["", "\n", "\r\n\r\n"] {
        let payload = format!("{before}{lf}");
        check(
            "LF only",
            payload.as_bytes(),
            "agent: baresip v1.0.0 (x86_64/linux)
            to: [] Sip 101 {192.0.2.1} tag=-
            faults: lines end with LF only",
        );
    }
    let payload = format!("\0\r\n{lf}");
    check(
        "a zero before",
        payload.as_bytes(),
        "faults: wrong spaces in the start line; lines end with LF only",
    );
}

#[test]
fn what_is_not_sip() {
    for payload in ["", "\r\n\r\n", "\r\n", "\0\0\0\0", " \n"] {
        assert_eq!(read(payload.as_bytes(), false).unwrap_err(), NotSip::KeepAlive, "{payload:?}");
    }
    for payload in [
        "GET / HTTP/1.1\r\nHost: example.net\r\n\r\n",
        "REGISTER",
        "REGISTER \r\n",
        "REGISTER example.net\r\n",
        "SIP/2.0/x y",
        "\u{80}\u{1}\r\n",
        "jaK",
        ": sip:example.net SIP/2.0\r\n",
        "M-SEARCH * HTTP/1.1\r\nMan: x\r\n\r\n",
        "INVITE SIP/2.0\r\n",
    ] {
        let found = read(payload.as_bytes(), false);
        let is_refused = matches!(found, Err(NotSip::StartLine));
        // A version of its own kind is still a version.
        assert_eq!(is_refused, !payload.starts_with("SIP/"), "{payload:?}: {found:?}");
    }
}

#[test]
fn a_truncated_message_gives_no_part_of_a_value() {
    let whole = genuine("linphone-register-auth");
    let place = whole.windows(6).position(|window| window == b"Agent:").unwrap() + 16;
    let message = read(&whole[..place], true).unwrap();
    assert_eq!(message.user_agent(), None);
    let seen = message.header(Name::UserAgent).unwrap();
    assert_eq!((seen.raw, seen.is_whole), (&b"Linphonec"[..], false));
    assert_eq!(message.faults(), []);
    assert_eq!(show(&message, "from"), "[Bob Example] Sip 102 {192.0.2.1} tag=Wxe5zyDxY");
    // The same bytes as a whole datagram are a message that ends too early.
    check(
        "ends early",
        &whole[..place],
        "agent: Linphonec
        faults: no empty line after the headers; the message ends within a line",
    );
    // After the line's end, a continuation might follow.
    let end = place + whole[place..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    assert_eq!(read(&whole[..end], true).unwrap().user_agent(), None);
    let next = read(&whole[..=end], true).unwrap();
    assert_eq!(show(&next, "agent"), "Linphonec/5.1.65");
}

#[test]
fn start_lines_that_are_truncated() {
    for (payload, expected) in [
        ("REGISTER sip:192.0.2.1", "REGISTER -"),
        ("REGISTER sip:192.0.2.1 SI", "REGISTER -"),
        ("REGISTER sip:192.0.2.1 SIP/", "REGISTER -"),
        ("REGISTER sip:192.0.2.1 SIP/2.0 SIP/2.0", "REGISTER -"),
        ("SIP/2.0 20", "- "),
        ("SIP/2.0 200", "- "),
        ("SIP/2.0 200 O", "200 O"),
    ] {
        let message = read(payload.as_bytes(), true).unwrap();
        assert_eq!((show(&message, "start").as_str(), message.faults()), (expected, &[][..]));
    }
    assert_eq!(read(b"REGIS", true).unwrap_err(), NotSip::StartLine);
}
