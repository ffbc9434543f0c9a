//! Peers known from this host's own requests, and what each of them may send.

use super::ends::{
    End, INVITE, NEVER, OPTIONS, REGISTER, REQUESTS, RESPONSE, forget_flows, keys, learned,
    permitted,
};
use super::{Scene, stage};

/// Before, inbound calls passed only within 30 to 120 seconds after this host's last packet: the first
/// INVITE was dropped.
#[test]
fn a_registrar_may_call_when_connection_tracking_has_forgotten_it() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let Scene { server, pbx, carrier, .. } = &scene;
    pbx.ignores(carrier, REQUESTS);
    pbx.sends(carrier, REGISTER);
    assert_eq!(learned(server, "registered"), keys(carrier, 5060));
    for request in REQUESTS {
        forget_flows(server);
        pbx.hears(carrier, [request]);
    }
    forget_flows(server);
    pbx.hears(carrier, [RESPONSE]);
}

/// Before, every packet of the running flow passed, including a REGISTER.
#[test]
fn a_registrar_may_not_register_itself() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let Scene { server, pbx, carrier, .. } = &scene;
    pbx.sends(carrier, REGISTER);
    pbx.hears(carrier, [RESPONSE]);
    pbx.ignores(carrier, NEVER);
    forget_flows(server);
    pbx.ignores(carrier, NEVER);
    // An account allows it.
    super::allow(&scene.nightlatch, "carrier", stage.host("attacker").unwrap(), "sip");
    pbx.hears(carrier, NEVER);
}

/// Before, only the flow counted, not the port.
#[test]
fn only_the_port_that_was_asked_may_answer_and_only_to_the_port_that_asked() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "[services]\nsip = [\"udp/5060\", \"udp/5070\"]\n");
    let Scene { server, pbx, carrier, .. } = &scene;
    pbx.sends(carrier, REGISTER);
    let other_port = End::on(stage.host("attacker").unwrap(), 5061);
    let other_host = End::on(stage.host("office").unwrap(), 5060);
    let own_other = super::Pbx::at(server, stage.host("traveller").unwrap(), 5070);
    for forgets in [false, true] {
        if forgets {
            forget_flows(server);
        }
        for stranger in [&other_port, &other_host] {
            pbx.ignores(stranger, permitted());
        }
        own_other.ignores(carrier, permitted());
        pbx.hears(carrier, [INVITE]);
    }
}

/// Before, a request passed in a flow that this host's request had begun, and responses were dropped
/// once that flow had ended.
#[test]
fn what_was_only_asked_may_only_respond() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let Scene { server, pbx, carrier, .. } = &scene;
    for (number, asked) in (5100..).zip([
        OPTIONS,
        "NOTIFY sip:a@b SIP/2.0",
        "MESSAGE sip:a@b SIP/2.0",
        "INFO sip:a@b SIP/2.0",
        "REFER sip:a@b SIP/2.0",
        "PUBLISH sip:a@b SIP/2.0",
        "CANCEL sip:a@b SIP/2.0",
        "BYE sip:a@b SIP/2.0",
        "\r\n\r\n",
    ]) {
        let peer = End::on(stage.host("attacker").unwrap(), number);
        pbx.sends(&peer, asked);
        pbx.ignores(&peer, REQUESTS);
        pbx.ignores(&peer, NEVER);
        forget_flows(server);
        pbx.hears(&peer, [RESPONSE, "SIP/2.0 401 Unauthorized"]);
        pbx.ignores(&peer, REQUESTS);
    }
    assert_eq!(learned(server, "registered"), Vec::<String>::new());
    assert_eq!(learned(server, "called"), Vec::<String>::new());
    pbx.ignores(carrier, [RESPONSE]);
}

/// Before, the flow's timeout of 120 seconds counted: a later hang-up was lost.
#[test]
fn whom_this_host_called_may_hang_up() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let Scene { server, pbx, .. } = &scene;
    for (number, calls) in (5100..).zip([
        INVITE,
        "SUBSCRIBE sip:a@b SIP/2.0",
        "ACK sip:a@b SIP/2.0",
        "PRACK sip:a@b SIP/2.0",
        "UPDATE sip:a@b SIP/2.0",
    ]) {
        let peer = End::on(stage.host("attacker").unwrap(), number);
        pbx.sends(&peer, calls);
        forget_flows(server);
        pbx.hears(&peer, permitted());
        pbx.ignores(&peer, NEVER);
    }
}

/// Before, this host's own "200 OK" put the trunk's flow on the list of cut flows for two hours, e.g.
/// if a call rang for longer than the flow's timeout.
#[test]
fn its_own_response_never_disables_a_trunk_nor_makes_a_peer() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let Scene { server, pbx, carrier, .. } = &scene;
    pbx.sends(carrier, REGISTER);
    pbx.hears(carrier, [RESPONSE, INVITE]);
    for response in ["SIP/2.0 180 Ringing", "SIP/2.0 200 OK", "SIP/2.0 486 Busy Here"] {
        forget_flows(server);
        pbx.sends(carrier, response);
    }
    assert_eq!(learned(server, "cut"), Vec::<String>::new());
    pbx.sends(carrier, OPTIONS);
    pbx.hears(carrier, [RESPONSE, "BYE sip:a@b SIP/2.0", INVITE]);
    // Responses are sent to strangers, too; they add no peer.
    let stranger = End::on(stage.host("office").unwrap(), 5060);
    pbx.sends(&stranger, RESPONSE);
    forget_flows(server);
    pbx.ignores(&stranger, permitted());
    assert_eq!(learned(server, "registered"), keys(carrier, 5060));
    assert_eq!(learned(server, "called"), Vec::<String>::new());
    assert_eq!(learned(server, "asked"), keys(carrier, 5060));
}
