//! Messages like those that RFC 4475 describes, in our own bytes, and more of the kind. Each has the
//! headers that it must have, from [`base`], unless it says otherwise.

use super::*;

/// A message of a start line, the headers that every message has, and more.
fn base(start: &str, more: &str) -> Vec<u8> {
    sent(&format!(
        "{start}
Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1
From: <sip:a@example.net>;tag=1
To: <sip:b@example.net>
Call-ID: c1
CSeq: 1 OPTIONS
{more}
"
    ))
}

/// The same with one line replaced.
fn with(line: &str) -> Vec<u8> {
    let (name, _) = line.split_once(':').unwrap();
    let message = text(&base("OPTIONS sip:b@example.net SIP/2.0", ""));
    let lines: Vec<String> = message
        .split("\r\n")
        .map(|found| {
            let is_it = found.starts_with(&format!("{name}:"));
            if is_it { line.replace('\n', "\r\n") } else { found.to_owned() }
        })
        .collect();
    lines.join("\r\n").into_bytes()
}

#[test]
fn a_short_tortuous_invite() {
    let payload = sent(
        "
INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0
TO :
 sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n
from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@192.0.2.1
Content-Length   : 5
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Contact:
 \"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com>, <sip:second@example.net>

body!",
    );
    check(
        "wsinv",
        &payload,
        "start: INVITE Sip vivekg chair-dnrc.example.com ;unknownparam
        to: [] Sip vivekg chair-dnrc.example.com tag=1918181833n
        from: [J Rosenberg \\\"] Sip jdrosen example.com tag=98asjd8
        call: wsinv.ndaksdj@192.0.2.1
        cseq: 9 INVITE
        vias: UDP {192.0.2.2} 390skdjuw | TCP spindle.example.com z9hG4bK9ikj8 | UDP {192.168.255.111} z9hG4bK30239
        contacts: [Quoted string \"\"] Sip jdrosen example.com tag=- | [Quoted string \"\"] Sip jdrosen example.com tag=- | [] Sip second example.net tag=-
        length: 5
        body: 5
        faults:",
    );
    let message = read(&payload, false).unwrap();
    let contact = message.contact.unwrap();
    assert_eq!(contact.parameters.value("Q"), Some(&b"0.33"[..]));
    assert_eq!(contact.parameters.get("secondparam").unwrap().value, None);
}

#[test]
fn requests() {
    for (start, expected, faults) in [
        ("OPTIONS sip:b@example.net SIP/2.0", "OPTIONS Sip b example.net", ""),
        (
            "OPTIONS  sip:b@example.net SIP/2.0",
            "OPTIONS Sip b example.net",
            "wrong spaces in the start line",
        ),
        (
            "OPTIONS sip:b@example.net  SIP/2.0",
            "OPTIONS Sip b example.net",
            "wrong spaces in the start line",
        ),
        (
            "OPTIONS\tsip:b@example.net SIP/2.0",
            "OPTIONS Sip b example.net",
            "wrong spaces in the start line",
        ),
        (
            "OPTIONS sip:b@example.net\tSIP/2.0",
            "OPTIONS Sip b example.net",
            "wrong spaces in the start line",
        ),
        (
            "OPTIONS sip:b@example.net SIP/2.0  ",
            "OPTIONS Sip b example.net",
            "wrong spaces in the start line",
        ),
        (
            "OPTIONS sip:b@example.net SIP/7.0",
            "OPTIONS Sip b example.net",
            "the version is not SIP/2.0",
        ),
        ("OPTIONS sip:b@example.net", "OPTIONS Sip b example.net", "the version is not SIP/2.0"),
        ("OPTIONS <sip:b@example.net> SIP/2.0", "OPTIONS Sip b example.net", "invalid request URI"),
        (
            "OPTIONS sip:b@example.net; lr SIP/2.0",
            "OPTIONS Sip b example.net ; lr",
            "invalid request URI",
        ),
        (
            "OPTIONS sip:b;par=u%40example.net@example.com SIP/2.0",
            "OPTIONS Sip b;par=u%40example.net example.com",
            "",
        ),
        (
            "OPTIONS sip:b:pw@example.net:5070;transport=tcp?x=y SIP/2.0",
            "OPTIONS Sip b example.net :5070 ;transport=tcp",
            "",
        ),
        ("OPTIONS sip:%75se%72@example.net SIP/2.0", "OPTIONS Sip %75se%72 example.net", ""),
    ] {
        let expected = format!("start: {expected}\nfaults: {faults}");
        check(start, &base(start, ""), &expected);
    }
}

#[test]
fn request_uris() {
    for (start, expected, faults) in [
        ("OPTIONS sips:[2001:db8::1]:5061 SIP/2.0", "OPTIONS Sips - {2001:db8::1} :5061", ""),
        ("OPTIONS sip:[::ffff:192.0.2.1] SIP/2.0", "OPTIONS Sip - {192.0.2.1}", ""),
        ("OPTIONS sip:2001:db8::1 SIP/2.0", "OPTIONS Sip - {2001:db8::1}", "invalid request URI"),
        ("OPTIONS sip:[192.0.2.1] SIP/2.0", "OPTIONS Sip - -", "invalid request URI"),
        ("OPTIONS sip:[2001:db8::1 SIP/2.0", "OPTIONS Sip - -", "invalid request URI"),
        (
            "OPTIONS sip:[2001:db8::1]x SIP/2.0",
            "OPTIONS Sip - {2001:db8::1}",
            "invalid request URI",
        ),
        (
            "OPTIONS sip:b@example.net:70000 SIP/2.0",
            "OPTIONS Sip b example.net",
            "invalid request URI",
        ),
        ("OPTIONS sip:b@c@example.net SIP/2.0", "OPTIONS Sip b -", "invalid request URI"),
        ("OPTIONS sip:@example.net SIP/2.0", "OPTIONS Sip  example.net", "invalid request URI"),
        (
            "OPTIONS sip:' or 1=1--@example.net SIP/2.0",
            "OPTIONS Sip ' or 1=1-- example.net",
            "invalid request URI",
        ),
        (
            "OPTIONS tel:+1-201-555-0123;phone-context=x SIP/2.0",
            "OPTIONS Tel +1-201-555-0123 - ;phone-context=x",
            "",
        ),
        ("OPTIONS nobodyknowsthis:totallyopaque SIP/2.0", "OPTIONS Other - -", ""),
        ("OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0", "OPTIONS Other - -", ""),
        ("OPTIONS example.net SIP/2.0", "OPTIONS -", "invalid request URI"),
    ] {
        let expected = format!("start: {expected}\nfaults: {faults}");
        check(start, &base(start, ""), &expected);
    }
}

#[test]
fn unusual_methods_and_responses() {
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    let start = format!("{method} sip:example.net SIP/2.0");
    check("intmeth", &base(&start, ""), "faults: CSeq has another method than the request");
    for (start, expected, faults) in [
        ("SIP/2.0 200 OK", "200 OK", ""),
        ("SIP/2.0 200", "200 ", ""),
        ("SIP/2.0 100 ", "100 ", "wrong spaces in the start line"),
        ("sip/2.0 200 \u{431}", "200 \u{431}", "the version is not SIP/2.0"),
        (
            "SIP/2.0 4294967301 better not break the receiver",
            "- better not break the receiver",
            "invalid status code",
        ),
        ("SIP/2.0 200\tOK", "200 OK", "wrong spaces in the start line"),
        ("SIP/2.0 099 x", "- x", "invalid status code"),
        ("SIP/2.0", "- ", "invalid status code"),
    ] {
        let payload = base(start, "");
        let message = read(&payload, false).unwrap();
        assert_eq!(show(&message, "start"), expected, "{start}");
        assert_eq!(show(&message, "faults"), faults, "{start}");
    }
}

#[test]
fn addresses() {
    for (value, expected, faults) in [
        ("a@b <sip:c@example.net>", "[a@b] Sip c example.net tag=-", "invalid From"),
        ("< sip:c@example.net >", "[] Sip c example.net tag=-", "invalid From"),
        ("<sip:c@example.net;>", "[] Sip c example.net ; tag=-", "invalid From"),
        ("<sip:c@example.net?>", "[] Sip c example.net tag=-", "invalid From"),
        ("<sip:c\"d@example.net>", "[] Sip c\"d example.net tag=-", "invalid From"),
        ("<sip:*97#@example.net>", "[] Sip *97# example.net tag=-", "invalid From"),
        ("caller<sip:c@example.net>;tag=323", "[caller] Sip c example.net tag=323", ""),
        ("a b  c <sip:c@example.net>", "[a b  c] Sip c example.net tag=-", ""),
        ("sip:c@example.net;tag=x", "[] Sip c example.net tag=x", ""),
        ("<sip:c@example.net;tag=in>;tag=\"out\"", "[] Sip c example.net ;tag=in tag=out", ""),
        ("<sip:c@example.net> ; TAG = x", "[] Sip c example.net tag=x", ""),
        ("\"<sip:x@y>\" <sip:c@example.net>;tag=x", "[<sip:x@y>] Sip c example.net tag=x", ""),
        ("\"a\\\"b\" <sip:c@example.net>", "[a\"b] Sip c example.net tag=-", ""),
        ("\"\" <sip:c@example.net>", "[] Sip c example.net tag=-", ""),
        ("<tel:+12015550123>;tag=1", "[] Tel +12015550123 - tag=1", ""),
        ("sip:c@example.net;x=\"<sip:d@e>;tag=no\";tag=1", "[] Sip c example.net tag=1", ""),
        // A quote without an end, a bracket without one, and text at places where nothing may be.
        (
            "\"Mr. J. User <sip:c@example.net>;tag=x",
            "[\"Mr. J. User] Sip c example.net tag=x",
            "invalid From",
        ),
        ("<sip:c@example.net;tag=x", "[] Sip c example.net ;tag=x tag=-", "invalid From"),
        ("\"a\" b <sip:c@example.net>", "[a] Sip c example.net tag=-", "invalid From"),
        ("\"a\" sip:c@example.net", "[a] Sip c example.net tag=-", "invalid From"),
        ("<sip:c@example.net> x;tag=1", "[] Sip c example.net tag=1", "invalid From"),
        ("sip:c@example.net?x=y", "[] Sip c example.net tag=-", "invalid From"),
        ("<>;tag=1", "[] - tag=1", "invalid From"),
        ("c@example.net", "[] - tag=-", "invalid From"),
        ("", "[] - tag=-", "invalid From"),
        ("\"", "[] - tag=-", "invalid From"),
        ("<sip:c d@example.net>", "[] Sip c d example.net tag=-", "invalid From"),
        ("\"\\", "[] - tag=-", "invalid From"),
        ("\"\u{431}\" <sip:c@example.net>", "[\u{431}] Sip c example.net tag=-", ""),
    ] {
        let payload = with(&format!("From: {value}"));
        let message = read(&payload, false).unwrap();
        assert_eq!(show(&message, "from"), expected, "{value}");
        assert_eq!(show(&message, "faults"), faults, "{value}");
    }
    let payload = base("OPTIONS sip:example.net SIP/2.0", "Contact: *\nExpires: 0\n");
    let message = read(&payload, false).unwrap();
    assert!(message.contact.unwrap().is_star());
    assert_eq!((message.expires, message.faults()), (Some(0), &[][..]));
}

#[test]
fn contacts_and_lists() {
    for (value, expected, faults) in [
        ("\"Joe\" <sip:joe@example.org>;;;;", "[Joe] Sip joe example.org tag=-", "invalid Contact"),
        (
            "<sip:a,b@x.example>, \"c,d\" <sip:c@x.example> ,, ",
            "[] Sip a,b x.example tag=- | [c,d] Sip c x.example tag=-",
            "",
        ),
        ("sip:u@example.com?Route=%3Csip:x%3E", "[] Sip u example.com tag=-", "invalid Contact"),
        (
            "\"a, <sip:c@x.example>, <sip:d@x.example>",
            "[] - tag=- | [] Sip c x.example tag=- | [] Sip d x.example tag=-",
            "invalid Contact",
        ),
        ("<sip:c@x.example, <sip:d@x.example>", "[] Sip c - tag=-", "invalid Contact"),
        (",", "", "invalid Contact"),
    ] {
        let more = format!("Contact: {value}\n");
        let payload = base("OPTIONS sip:b@example.net SIP/2.0", &more);
        let message = read(&payload, false).unwrap();
        assert_eq!(show(&message, "contacts"), expected, "{value}");
        assert_eq!(show(&message, "faults"), faults, "{value}");
    }
    let many = format!("Contact: {}\n", "<sip:a@b>,".repeat(500));
    let payload = base("OPTIONS sip:b@example.net SIP/2.0", &many);
    assert_eq!(read(&payload, false).unwrap().contacts().count(), MAX_VALUES);
}

#[test]
fn vias() {
    for (value, expected, faults) in [
        ("SIP/2.0/TLS a.example:5061;branch=b", "TLS a.example :5061 b", ""),
        ("SIP / 2.0 / UDP a.example : 5061 ; branch = b", "UDP a.example :5061 b", ""),
        ("SIP/2.0/UDP [2001:db8::1];received=2001:db8::2", "UDP {2001:db8::1} -", ""),
        ("SIP/2.0/UDP 192.0.2.15,;,;,,", "UDP {192.0.2.15} -", ""),
        ("SIP/2.0/UDP a;rport;branch=\"b\";x=[::1]:5", "UDP a b", ""),
        ("SIP/2.0/UDP a;branch=b c", "UDP a b c", "invalid Via"),
        ("SIP/2.0/UDP a;branch=", "UDP a -", "invalid Via"),
        ("SIP/2.0/UDP 192.0.2.15;;,;,,", "UDP {192.0.2.15} -", "invalid Via"),
        ("SIP/2.0/UDP 192.0.2.15:0", "UDP {192.0.2.15} -", "invalid Via"),
        ("SIP/3.0/UDP 192.0.2.15", "UDP {192.0.2.15} -", "invalid Via"),
        ("SIP/2.0/UDP", "UDP - -", "invalid Via"),
        ("SIP/2.0", "-", "invalid Via"),
        ("", "-", "invalid Via"),
    ] {
        let payload = with(&format!("Via: {value}"));
        let message = read(&payload, false).unwrap();
        assert_eq!(show(&message, "via"), expected, "{value}");
        assert_eq!(show(&message, "faults"), faults, "{value}");
    }
    let payload = with("Via: SIP/2.0/UDP a;received=[2001:db8::2];rport=70000");
    let via = read(&payload, false).unwrap().via.unwrap();
    assert_eq!((via.received(), via.rport()), ("2001:db8::2".parse().ok(), None));
}

#[test]
fn numbers() {
    for (line, what, expected, faults) in [
        ("CSeq: 0009 OPTIONS", "cseq", "9 OPTIONS", ""),
        ("CSeq: 2147483647 OPTIONS", "cseq", "2147483647 OPTIONS", ""),
        ("CSeq: 2147483648 OPTIONS", "cseq", "-", "invalid CSeq"),
        ("CSeq: 36893488147419103232 OPTIONS", "cseq", "-", "invalid CSeq"),
        ("CSeq: -1 OPTIONS", "cseq", "-", "invalid CSeq"),
        ("CSeq: 8 INVITE", "cseq", "8 INVITE", "CSeq has another method than the request"),
        ("CSeq: 8 INVITE x", "cseq", "-", "invalid CSeq"),
        ("CSeq: 8", "cseq", "-", "invalid CSeq"),
        ("CSeq: OPTIONS", "cseq", "-", "invalid CSeq"),
        ("CSeq: 1 OPTIONS\nExpires: 4294967295", "expires", "4294967295", ""),
        ("CSeq: 1 OPTIONS\nExpires: 4294967296", "expires", "-", "invalid Expires"),
        ("CSeq: 1 OPTIONS\nExpires: ", "expires", "-", "invalid Expires"),
        ("CSeq: 1 OPTIONS\nContact: <sip:a@b>;expires=7\nExpires: 9", "expires", "7", ""),
        (
            "CSeq: 1 OPTIONS\nContact: <sip:a@b>;expires=1e9\nExpires: 9",
            "expires",
            "-",
            "invalid Contact",
        ),
        ("CSeq: 1 OPTIONS\nContent-Length: -999", "length", "-", "invalid Content-Length"),
        (
            "CSeq: 1 OPTIONS\nContent-Length: 9999",
            "length",
            "9999",
            "the body is shorter than Content-Length",
        ),
    ] {
        let payload = with(line);
        let message = read(&payload, false).unwrap();
        assert_eq!(show(&message, what), expected, "{line}");
        assert_eq!(show(&message, "faults"), faults, "{line}");
    }
}

#[test]
fn lines_and_bodies() {
    let start = "OPTIONS sip:b@example.net SIP/2.0";
    for (payload, expected) in [
        (
            with("From: <sip:x@example.net>\nFrom: <sip:y@example.net>"),
            "from: [] Sip x example.net tag=-\nfaults: From occurs more than once",
        ),
        (with("Call-ID: a\nno colon here"), "call: a\nfaults: a line without a colon"),
        (with("Call-ID: a\nbad name: x"), "call: a\nfaults: invalid name of a header"),
        (with("Call-ID: a\nContact\n : <sip:a@b>"), "contact: -\nfaults: invalid name of a header"),
        (with("Call-ID: a\n: x"), "faults: invalid name of a header"),
        (with("Call-ID: a\u{0}b"), "faults: a byte 0 in the headers"),
        (with("Call-ID: a\rb"), "faults: a CR without LF; invalid Call-ID"),
        (with("Call-ID: "), "call: -\nfaults: invalid Call-ID"),
        (with("Call-ID: a\n b"), "faults: invalid Call-ID"),
        (
            sent(&format!("{start}\n folded: x\n\n")),
            "faults: white space before the first header; Via is missing; From is missing; To is missing; Call-ID is missing; CSeq is missing",
        ),
        (
            sent(&format!("{start}\n")),
            "faults: no empty line after the headers; Via is missing; From is missing; To is missing; Call-ID is missing; CSeq is missing",
        ),
        (base(start, "Content-Length: 2\n\nabcd"), "body: 2\nfaults: bytes after the body"),
        (base(start, "\nabcd\n"), "body: 8\nfaults:"),
        // Two messages in one datagram: only the first one counts.
        (
            [base(start, "l: 0\n"), base("INVITE sip:x SIP/2.0", "")].concat(),
            "start: OPTIONS Sip b example.net\nbody: 0\nfaults: bytes after the body",
        ),
    ] {
        check(&text(&payload), &payload, expected);
    }
    let names = format!("User-Agent: a\n{}", "User-Agent: b\n".repeat(2000));
    check("repeated", &base(start, &names), "agent: a\nfaults: User-Agent occurs more than once");
}
