//! A telephone: Kamailio is the PBX, which sends keep-alives to its phones every second.

use std::time::Duration;

use nightlatch::features::demo::packet::Listener;

use super::super::super::ground::protect;
use super::super::allow;
use super::baresip::Baresip;
use super::{Program, kamailio, shorten_memory, sipp, stage};

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

/// Before, the phone answered the PBX's next OPTIONS and could then register again.
#[test]
fn a_removed_telephone_does_not_come_back_and_hears_nothing() {
    let Some(stage) = stage() else { return };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    shorten_memory(server);
    let (nightlatch, _daemon) = protect(server, "");
    let place = nightlatch.directory();
    let _pbx = kamailio(server, "198.51.100.1", place, PBX);
    allow(&nightlatch, "desk", office, "sip");
    let account = "<sip:1001@198.51.100.1>;regint=3;answermode=manual";
    let mut phone = Baresip::start(office, &office.v4().to_string(), place, account, "baresip");
    phone.is_registered();
    // The PBX calls it from its own address, like one of its extensions.
    let call = |log: &str| {
        let mut arguments = vec!["-sn", "uac", "-s", "1001", "-p", "5090", "-mp", "9000"];
        arguments.extend(["-d", "100", "-recv_timeout", "4000", "198.51.100.1:5060"]);
        let command = sipp(server, "198.51.100.1", place, &arguments);
        Program::start(command, &place.join(log))
    };
    let ringing = call("rings");
    phone.waits_for("CALL_INCOMING");
    nightlatch.must(&["remove", "desk"]);
    drop(ringing);
    let mut heard = Listener::in_host(office).unwrap();
    // Discard packets in transit.
    heard.gather(Duration::from_millis(200)).unwrap();
    phone.events();
    let calls_again = call("does not ring");
    // It keeps trying to register, and the PBX keeps sending keep-alives.
    let came = heard.gather(Duration::from_secs(5)).unwrap();
    let from_pbx = came.iter().filter(|it| it.source == server.v4() || it.source == server.v6());
    assert_eq!(from_pbx.count(), 0);
    let events = phone.events();
    assert!(!events.iter().any(|it| it == "CALL_INCOMING" || it == "REGISTER_OK"), "{events:?}");
    drop(calls_again);
    // Allowed again, it registers at its next attempt.
    allow(&nightlatch, "desk", office, "sip");
    phone.waits_for("REGISTER_OK");
    let _rings = call("rings again");
    phone.waits_for("CALL_INCOMING");
}
