//! Products, ports, telephones.

use proptest::prelude::*;

use super::super::logic::contacts::join;
use super::super::logic::pbx::{
    asterisk_rtp, asterisk_sip, find_pbx, freeswitch_rtp, freeswitch_sip, rtpengine_rtp, sip_ports,
};
use super::super::{Contact, Product, Protocol, RtpRange, Socket};
use super::ip;
use crate::shell::pbx::Driver;

#[test]
fn the_product_is_chosen() {
    use Product::{Asterisk, FreePbx, FreeSwitch, FusionPbx, Kamailio, ThreeCx, VitalPbx};
    for (files, processes, expected) in [
        (&[][..], &[][..], None),
        (&["/etc/freepbx.conf", "/etc/asterisk"], &["asterisk"], Some(FreePbx)),
        (&["/etc/freepbx.conf", "/etc/asterisk"], &[], Some(FreePbx)),
        (&["/usr/share/vitalpbx", "/etc/asterisk"], &["asterisk"], Some(VitalPbx)),
        (&["/etc/asterisk"], &["asterisk", "nginx"], Some(Asterisk)),
        (&[], &["asterisk"], Some(Asterisk)),
        (&[], &["asterisk-helper"], None),
        (&["/etc/fusionpbx", "/etc/freeswitch"], &["freeswitch"], Some(FusionPbx)),
        (&["/usr/local/freeswitch/conf"], &[], Some(FreeSwitch)),
        // Left-over files of one, another runs.
        (&["/etc/asterisk", "/etc/kamailio"], &["kamailio"], Some(Kamailio)),
        (&["/var/lib/3cxpbx"], &["3CXPhoneSystem0"], Some(ThreeCx)),
    ] {
        let names: Vec<String> = processes.iter().map(|&name| name.to_owned()).collect();
        let pbx = find_pbx(|file| files.contains(&file), &names);
        assert_eq!(pbx.chosen, expected, "{files:?} {processes:?}");
        assert!(!pbx.reason.is_empty());
    }
    let pbx = find_pbx(
        |file| file.starts_with("/etc/freepbx") || file == "/etc/asterisk",
        &["asterisk".to_owned()],
    );
    assert_eq!(
        pbx.reason,
        "FreePBX runs (/etc/freepbx.conf, process asterisk); also there: Asterisk"
    );
}

#[test]
fn media_ports() {
    let asterisk = |texts: &[&str]| {
        let files: Vec<(String, String)> =
            texts.iter().map(|&text| ("rtp.conf".to_owned(), text.to_owned())).collect();
        asterisk_rtp(&files).map(|range| (range.first, range.last))
    };
    assert_eq!(asterisk(&["[general]\nrtpstart=10000\nrtpend=20000\n"]), Some((10_000, 20_000)));
    assert_eq!(
        asterisk(&[
            "; rtpstart=5000\n#include rtp_additional.conf\n",
            "rtpstart = 11000 ; low\nrtpend=>12000"
        ]),
        Some((11_000, 12_000))
    );
    assert_eq!(asterisk(&["rtpstart=10000\nrtpend=9000\n"]), None);
    assert_eq!(asterisk(&["rtpstart=x\n"]), None);
    let xml = "<configuration><settings>\n<!-- <param name=\"rtp-start-port\" value=\"1\"/> -->\n\
               <param name=\"rtp-start-port\" value=\"16384\"/>\n<param name=\"rtp-end-port\" value=\"32768\"/>";
    assert_eq!(
        freeswitch_rtp("switch.conf.xml", xml),
        Some(RtpRange { first: 16_384, last: 32_768, source: "switch.conf.xml".to_owned() })
    );
    assert_eq!(freeswitch_rtp("x", "<!-- <param name=\"rtp-start-port\" value=\"1\"/>"), None);
    let engine = rtpengine_rtp("x", "[rtpengine]\nport-min = 30000\nport-max = 40000\n").unwrap();
    assert_eq!((engine.first, engine.last), (30_000, 40_000));
}

#[test]
fn sip_ports_of_configuration_and_sockets() {
    let pjsip = "[0.0.0.0-udp]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:5060\n\
                 [0.0.0.0-tls]\ntype=transport\nprotocol=tls\nbind=0.0.0.0:5161\n[x]\nbind=192.0.2.1\n";
    assert_eq!(asterisk_sip(pjsip), [(5060, false), (5161, true), (5060, false)]);
    assert_eq!(asterisk_sip("bindport=7060\ntlsbindaddr=0.0.0.0\n"), [(7060, false), (5061, true)]);
    let vars = "<X-PRE-PROCESS cmd=\"set\" data=\"internal_sip_port=5060\"/>\n\
                <X-PRE-PROCESS cmd=\"set\" data=\"internal_tls_port=5071\"/>\n\
                <!-- <X-PRE-PROCESS cmd=\"set\" data=\"external_sip_port=1\"/> -->";
    assert_eq!(freeswitch_sip(vars), [(5060, false), (5071, true)]);

    let socket = |protocol, address: &str, port, program: &str| Socket {
        protocol,
        address: ip(address),
        port,
        program: Some(program.to_owned()),
        pid: None,
        only_loopback: ip(address).is_loopback(),
    };
    let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
    let sockets = [
        socket(udp, "0.0.0.0", 5060, "asterisk"),
        socket(udp, "::", 5060, "asterisk"),
        socket(tcp, "0.0.0.0", 5061, "asterisk"),
        socket(udp, "0.0.0.0", 7060, "asterisk"),
        socket(udp, "0.0.0.0", 4569, "asterisk"),
        socket(udp, "0.0.0.0", 15_000, "asterisk"),
        socket(tcp, "0.0.0.0", 5038, "asterisk"),
        socket(udp, "127.0.0.1", 5070, "asterisk"),
        socket(udp, "0.0.0.0", 5062, "other"),
    ];
    let found: Vec<String> = sip_ports(&sockets, &[(7060, false)])
        .iter()
        .map(|sip| format!("{}/{} {}", sip.protocol, sip.port, sip.tls))
        .collect();
    assert_eq!(found, ["tcp/5061 true", "udp/5060 false", "udp/7060 false"]);
}

#[test]
fn duplicate_contacts_are_merged() {
    let contact = |name: &str, port: u16, registered: bool| Contact {
        name: name.to_owned(),
        protocol: Protocol::Udp,
        address: ip("203.0.113.20"),
        port,
        registered,
        driver: Driver::Pjsip,
        removal: None,
    };
    let joined = join(vec![
        contact("z", 5062, false),
        contact("b", 5060, false),
        contact("c", 5060, true),
        contact("a", 5060, false),
    ]);
    let shown: Vec<String> =
        joined.iter().map(|c| format!("{} {} {}", c.name, c.port, c.registered)).collect();
    assert_eq!(shown, ["c 5060 true", "z 5062 false"]);
}

proptest! {
    #[test]
    fn no_answer_breaks_a_reader(text in "(\\PC|[\n/:@;\\[\\]^={}\"]|Contact:|sip:|/registrar/contact/|<!--|data=\"){0,120}") {
        asterisk_sip(&text);
        freeswitch_sip(&text);
        freeswitch_rtp("x", &text);
        asterisk_rtp(&[(String::new(), text.clone())]);
    }
}
