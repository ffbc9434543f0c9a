//! Real output of Asterisk 20.20.1 and Kamailio 5.6.3, see `testdata/`.

use super::kamailio::{locations, uac_registrations};
use super::*;

#[test]
fn registrations_of_pjsip() {
    let shown: Vec<String> = registrations(include_str!("testdata/pjsip-show-registrations.txt"))
        .iter()
        .map(|r| format!("{} {:?} {:?}", r.name, r.uri.as_deref().unwrap_or_default(), r.state))
        .collect();
    assert_eq!(
        shown,
        [
            // The name alone is longer than the column, so the URI cannot be known to be complete.
            "a-trunk-with-a-very-long-name-that-asterisk-may-truncate-in-its-tables \"\" Refused",
            "bad \"sip:203.0.113.70\" Refused",
            "dead \"sip:203.0.113.90:5060\" Trying",
            "ip6 \"sip:[2001:db8:70::70]:5060\" Registered",
            "itsp \"sip:203.0.113.70\" Registered",
            "name \"sip:sip.example.net\" Registered",
            "name2 \"sip:sip2.example.net\" Registered",
            "never \"sip:nobody.example.net\" Refused",
            "srv \"sip:srv.example.net\" Registered",
            "tcp \"sip:203.0.113.70;transport=tcp\" Registered",
        ]
    );
    let cut = " a-name-of-51-characters-that-leaves-no-room-for-it/si  itsp                        Registered        (exp. 3s)\n";
    let [found] = &registrations(cut)[..] else { panic!("not one") };
    assert_eq!(found.name, "a-name-of-51-characters-that-leaves-no-room-for-it");
    assert_eq!((&found.uri, found.state), (&None, RegistrationState::Registered));

    let detail = include_str!("testdata/pjsip-show-registration-itsp.txt");
    assert_eq!(settings(detail, "server_uri"), ["sip:203.0.113.70"]);
    assert_eq!(settings(detail, "transport"), ["transport-udp"]);
    assert_eq!(settings(detail, "outbound_proxy"), [""; 0]);
    let detail = include_str!("testdata/pjsip-show-registration-long.txt");
    assert_eq!(settings(detail, "server_uri"), ["sip:203.0.113.70:5060;transport=udp"]);
    assert_eq!(settings(detail, "outbound_proxy"), ["sip:203.0.113.70;lr"]);
    let detail = include_str!("testdata/pjsip-show-aor-long.txt");
    assert_eq!(
        settings(detail, "contact"),
        ["sip:203.0.113.81:5060;transport=tcp", "sip:203.0.113.80:5060"]
    );
}

#[test]
fn contacts_of_pjsip() {
    let mut shown = Vec::new();
    for aor in aors(include_str!("testdata/pjsip-show-aors.txt")) {
        let kind = if aor.max_contacts == 0 { "configured" } else { "registers" };
        shown.extend(aor.contacts.iter().map(|contact| {
            let name = contact.aor.get(..7).unwrap_or(&contact.aor);
            let cut = if contact.may_be_cut { " ..." } else { "" };
            format!("{name} {kind} {}{cut}", contact.uri)
        }));
    }
    assert_eq!(
        shown,
        [
            "1001 registers sip:1001@203.0.113.21:5061",
            "1002 registers sip:1002@203.0.113.41:38255;transport=T ...",
            "1003 registers sip:1003@[2001:db8:20::21]:5063",
            "1004 registers sip:1004@192.0.2.66:5064;x-ast-orig-hos ...",
            "a-trunk configured sip:203.0.113.81:5060;transport=tcp ...",
            "a-trunk configured sip:203.0.113.80:5060",
            "a-trunk configured sip:[2001:db8:70::80]:5060",
            "bad configured sip:203.0.113.70",
            "dead configured sip:203.0.113.90:5060",
            "fixed configured sip:203.0.113.80:5060",
            "ip6 configured sip:[2001:db8:70::70]:5060",
            "itsp configured sip:203.0.113.70",
            "name configured sip:sip.example.net",
            "name2 configured sip:sip2.example.net",
            "never configured sip:nobody.example.net",
            "srv configured sip:srv.example.net",
            "tcp configured sip:203.0.113.70;transport=tcp",
        ]
    );
    let text = include_str!("testdata/registrar.txt");
    let shown: Vec<String> =
        registrar(text).iter().map(|c| format!("{} {} {}", c.aor, c.uri, c.key)).collect();
    assert_eq!(shown.len(), 4);
    assert_eq!(shown[0], "1001 sip:1001@203.0.113.21:5061 1001;@01e7b590ded6b54eb02ebd9aecd75c8e");
    let escaped = "/registrar/contact/a;@1 : {\"endpoint\":\"b\",\"uri\":\"sip:1@192.0.2.1^3Bob\",\"path\":\"<sip:192.0.2.9;lr>\"}\n\
                   /registrar/contact/c;@2: not json\n/registrar/contact/d;@3: {\"uri\":7}\n";
    let [found] = &registrar(escaped)[..] else { panic!("not one") };
    assert_eq!((found.endpoint.as_deref(), &*found.path), (Some("b"), "<sip:192.0.2.9;lr>"));
    assert_eq!(found.key, "a;@1");
}

#[test]
fn identities_of_pjsip() {
    let found = identifies(include_str!("testdata/pjsip-show-identifies.txt"));
    let shown: Vec<String> = found
        .iter()
        .map(|identify| {
            let name = identify.endpoint.get(..7).unwrap_or(&identify.endpoint);
            let ranges: Vec<String> = identify.ranges.iter().map(ToString::to_string).collect();
            format!("{name} {}", ranges.join(" "))
        })
        .collect();
    assert_eq!(shown[0], "a-trunk 203.0.113.80 203.0.113.96/28 2001:db8:70::/64 203.0.113.70");
    assert_eq!(shown[3], "fixed 203.0.113.80 203.0.113.96/28");
    assert_eq!(shown[4], "ip6 2001:db8:70::70");
    let more = " Identify:  a/b\n      Match: 192.0.2.5:5060/32\n      Match: !192.0.2.9/32\n      Match: [2001:db8::1]:5060/128\n Identify:  c/d\n      Header: X-Trunk: 1\n";
    let [found] = &identifies(more)[..] else { panic!("not one") };
    let ranges: Vec<String> = found.ranges.iter().map(ToString::to_string).collect();
    assert_eq!((&*found.endpoint, ranges.join(" ")), ("b", "192.0.2.5 2001:db8::1".to_owned()));
}

#[test]
fn calls() {
    let text = include_str!("testdata/core-show-channels-concise.txt");
    let shown: Vec<String> = channels(text)
        .iter()
        .map(|c| format!("{} {} {} {} {}", c.driver, c.endpoint, c.state, c.dialled, c.name))
        .collect();
    assert_eq!(shown.len(), 9);
    assert_eq!(shown[0], "IAX2 itsp-iax Up s IAX2/itsp-iax-3207");
    assert_eq!(shown[4], "PJSIP 1001 Up 91555 PJSIP/1001-00000000");
    assert_eq!(channels("nothing\n!!!!\nPJSIP/!a!b!c!d\nNo such command 'x'\n"), []);
    assert_eq!(channel_count("0 active channels\n0 active calls\n"), Some(0));
    assert_eq!(channel_count("1 active channel\n"), Some(1));
    assert_eq!(channel_count("x active channels\n"), None);
}

#[test]
fn peers() {
    let peers = |found: Vec<Peer>| -> Vec<String> {
        found
            .iter()
            .map(|p| {
                let cut = if p.name_may_be_cut { " ..." } else { "" };
                format!("{}{cut} {} {} {}", p.name, p.address, p.port, p.dynamic)
            })
            .collect()
    };
    assert_eq!(
        peers(sip_peers(include_str!("testdata/sip-show-peers.txt"))),
        ["old 203.0.113.70 5060 false", "oldq 203.0.113.80 5060 false"]
    );
    assert_eq!(
        peers(iax_peers(include_str!("testdata/iax2-show-peers.txt"))),
        ["itsp-iax 203.0.113.70 4569 false"]
    );
    let more = "\
Name/username             Host                                    Dyn Forcerport Comedia    ACL Port     Status      Description
201/201                   203.0.113.31                             D  Auto (No)  No          A  5060     OK (12 ms)
a-name-of-twenty-five-let 2001:db8::31                             D  Yes        Yes            5066     OK (3 ms)
x/ 192.0.2.1 D 99         203.0.113.32                                Auto (No)  No             5070     Unmonitored
";
    assert_eq!(
        peers(sip_peers(more)),
        [
            "201 203.0.113.31 5060 true",
            "a-name-of-twenty-five-let ... 2001:db8::31 5066 true",
            "x 203.0.113.32 5070 false",
        ]
    );
}

#[test]
fn registries() {
    let registry = |found: Vec<Registry>| -> Vec<String> {
        found
            .iter()
            .map(|r| {
                let host = r.host.as_deref().unwrap_or("?");
                format!("{} {host} {} {:?}", r.user, r.port.unwrap_or(0), r.state)
            })
            .collect()
    };
    assert_eq!(
        registry(sip_registry(include_str!("testdata/sip-show-registry.txt"))),
        [
            "nl-bad 203.0.113.70 5060 Trying",
            "nl-dead 203.0.113.90 5060 Trying",
            "nl-itsp 203.0.113.70 5060 Registered",
        ]
    );
    assert_eq!(
        registry(iax_registry(include_str!("testdata/iax2-show-registry.txt"))),
        [
            "nldead 203.0.113.90 4569 Trying",
            "nlbad 203.0.113.70 4569 Refused",
            "nlpbx 203.0.113.70 4569 Registered",
        ]
    );
    let cut = "\
Host                                    dnsmgr Username       Refresh State                Reg.Time
a-registrar-by-a-long-name.example.net: N      trunk              105 Registered           Sat
sip-registrar-by-a-longer-name.example. N      trunk              105 Registered           Sat
a-server-by-a-long-name.example.net:506 N      trunk              105 Registered           Sat
sip.example.net:5060                    N      trunk              105 Registered           Sat
";
    assert_eq!(
        registry(sip_registry(cut)),
        [
            "trunk ? 0 Registered",
            "trunk ? 0 Registered",
            "trunk ? 0 Registered",
            "trunk sip.example.net 5060 Registered",
        ]
    );
}

#[test]
fn answers_of_kamailio() {
    let found = uac_registrations(include_str!("testdata/kamcmd-uac-reg-dump.txt"));
    let shown: Vec<String> = found
        .iter()
        .map(|r| {
            let proxy = r.proxy.as_ref().map_or("", |proxy| &proxy.host);
            format!("{} {} {:?} [{proxy}] {:?}", r.name, r.server.host, r.server.port, r.state)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "trunk2 sip.example.net None [203.0.113.70] Registered",
            "trunk3 203.0.113.99 Some(5080) [] Trying",
            "trunk1 203.0.113.70 None [] Registered",
        ]
    );
    // Telephone 1002 sends a User-Agent of two lines; the second one is an address.
    let shown: Vec<String> = locations(include_str!("testdata/kamcmd-ul-dump.txt"))
        .iter()
        .map(|l| format!("{} {} {}:{}", l.table, l.aor, l.place.host, l.place.port.unwrap_or(0)))
        .collect();
    assert_eq!(
        shown,
        [
            "location 1002 203.0.113.21:5063",
            "location 1002 192.0.2.66:5060",
            "location 1002 203.0.113.21:5063",
            "location 1003 phone.example.com:0",
            "location 1003 203.0.113.21:5064",
            "location 1003 203.0.113.21:5090",
            "location 1001 192.0.2.77:5062",
            "location 1001 203.0.113.21:5061",
        ]
    );
}
