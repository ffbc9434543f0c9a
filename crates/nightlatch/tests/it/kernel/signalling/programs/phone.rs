//! A telephone: Kamailio is the PBX, which sends keep-alives to its phones every second.

use std::path::Path;
use std::time::Duration;

use nightlatch_lab::packet::Listener;
use nightlatch_lab::stage::Host;

use super::super::super::ground::{Ears, both, protect};
use super::super::allow;
use super::baresip::Baresip;
use super::linphone::Linphone;
use super::{Phone, Program, TIMEOUT, kamailio, shorten_memory, sipp, stage};
use crate::support::{installed, wait_until};

/// Registers phones, sends them keep-alives and forwards calls to them.
const PBX: &str = r#"
modparam("nathelper", "natping_interval", 1)
modparam("nathelper", "ping_nated_only", 0)
modparam("nathelper", "sipping_bflag", 1)
modparam("nathelper", "sipping_from", "sip:ping@198.51.100.1")
modparam("nathelper", "sipping_method", "OPTIONS")
request_route {
    if (is_method("REGISTER")) {
        setbflag(1);
        save("location");
        exit;
    }
    route(IN_DIALOG);
    route(TO_PHONE);
}
"#;

/// How often the telephones register, in seconds.
const INTERVAL: u64 = 6;

/// Before, the phone answered the PBX's next OPTIONS and could then register again.
#[test]
fn a_removed_telephone_does_not_come_back_and_hears_nothing() {
    is_out_until_allowed_again(|office, place| {
        let account = format!("<sip:1001@198.51.100.1>;regint={INTERVAL};answermode=manual");
        let phone = Baresip::start(office, &office.v4().to_string(), place, &account, "baresip");
        phone.is_registered();
        phone
    });
}

#[test]
fn a_removed_linphone_does_not_come_back_and_hears_nothing() {
    if !installed(&["linphonec"]) {
        return;
    }
    is_out_until_allowed_again(|office, place| {
        let account = format!(
            "reg_proxy=<sip:198.51.100.1;transport=udp>\n\
             reg_identity=sip:1001@198.51.100.1\n\
             reg_expires={INTERVAL}\n\
             reg_sendregister=1\n\
             publish=0"
        );
        let mut phone = Linphone::start(office, place, &account);
        phone.waits_for("REGISTER_OK");
        phone
    });
}

/// `start` starts a telephone, which registers at Kamailio through the firewall.
fn is_out_until_allowed_again<P: Phone>(start: impl FnOnce(&Host, &Path) -> P) {
    let Some(stage) = stage() else { return };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    shorten_memory(server);
    let (nightlatch, _daemon) = protect(server, "");
    let place = nightlatch.directory();
    let _pbx = kamailio(server, "198.51.100.1", place, PBX);
    allow(&nightlatch, "desk", office, "sip");
    let mut phone = start(office, place);
    // The PBX calls it from its own address, like one of its extensions.
    let call = |log: &str| {
        let errors = format!("{log}.errors");
        let mut arguments = vec!["-sn", "uac", "-s", "1001", "-p", "5090", "-mp", "9000"];
        arguments.extend(["-d", "100", "-recv_timeout", "4000", "-error_file", &errors]);
        arguments.push("198.51.100.1:5060");
        let command = sipp(server, "198.51.100.1", place, &arguments);
        Program::start(command, &place.join(log))
    };
    let ringing = call("rings");
    phone.waits_for("CALL_INCOMING");
    nightlatch.must(&["remove", "desk"]);
    drop(ringing);
    let mut heard = Listener::in_host(office).unwrap();
    let mut sent = Listener::in_host(server).unwrap();
    let ears = Ears::on(server);
    // Discard packets in transit.
    heard.gather(Duration::from_millis(200)).unwrap();
    ears.heard();
    phone.events();
    let mut calls_again = call("does not ring");
    phone.hangs_up();
    phone.dials("sip:1002@198.51.100.1");
    // It keeps trying to register, and the PBX keeps sending keep-alives.
    let came = heard.gather(Duration::from_secs(INTERVAL + 1)).unwrap();
    let from_pbx = came.iter().filter(|it| it.source == server.v4() || it.source == server.v6());
    assert_eq!(from_pbx.count(), 0);
    // What it sends arrives, but only as far as the firewall.
    let sent = sent.gather(Duration::ZERO).unwrap();
    for method in ["REGISTER ", "INVITE "] {
        let is_it =
            |udp: &[u8]| udp.get(8..).is_some_and(|text| text.starts_with(method.as_bytes()));
        assert!(sent.iter().any(|it| is_it(it.body())), "no {method}: {}", phone.said());
    }
    let passed = ears.heard();
    assert!(!passed.iter().any(|it| both(office).contains(&it.from)), "{passed:?}");
    let events = phone.events();
    assert!(!events.iter().any(|it| it == "CALL_INCOMING" || it == "REGISTER_OK"), "{events:?}");
    // The PBX has tried to call it: an expired registration would be answered with 404.
    wait_until("sipp ends", TIMEOUT, || calls_again.0.try_wait().unwrap().is_some());
    let errors = std::fs::read_to_string(place.join("does not ring.errors")).unwrap();
    assert!(errors.contains("receive timeout"), "{errors}");
    // Allowed again, it registers at its next attempt.
    allow(&nightlatch, "desk", office, "sip");
    phone.waits_for("REGISTER_OK");
    let _rings = call("rings again");
    phone.waits_for("CALL_INCOMING");
}
