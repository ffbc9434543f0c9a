//! Addresses that are local because of routing rules.

use std::net::IpAddr;

use super::super::ground::run;
use super::ends::{
    End, NEVER, Pbx, REGISTER, RESPONSE, everything, forget_flows, keys, learned, permitted,
};
use super::{Scene, allow, stage};

/// Before, inbound calls were lost, as at any other address.
#[test]
fn at_an_address_of_a_rule_of_routing_peers_are_known_and_removed_phones_gone() {
    let Some(stage) = stage() else { return };
    let (server, router) = (stage.host("server").unwrap(), stage.host("router").unwrap());
    let addresses: [IpAddr; 2] = ["198.51.100.77", "2001:db8:1::77"].map(|it| it.parse().unwrap());
    for (address, (own, family)) in
        addresses.into_iter().zip([(server.v4(), "-4"), (server.v6(), "-6")])
    {
        run(server, &format!("ip {family} rule add pref 5 to {address} lookup 100"));
        run(server, &format!("ip {family} route add local {address} dev lo table 100"));
        run(router, &format!("ip {family} route add {address} via {own}"));
    }
    let pbx = End::transparent(server, addresses, 5060);
    let pbx = Pbx::of(pbx, End::on(stage.host("traveller").unwrap(), 5060));
    let scene = Scene::with(&stage, pbx, "");
    let Scene { pbx, carrier, .. } = &scene;
    let office = stage.host("office").unwrap();
    pbx.ignores(carrier, everything());
    pbx.sends(carrier, REGISTER);
    assert_eq!(learned(server, "registered"), keys(carrier, 5060));
    for _ in 0..2 {
        pbx.hears(carrier, permitted());
        pbx.ignores(carrier, NEVER);
        forget_flows(server);
    }
    let phone = End::on(office, 5060);
    allow(&scene.nightlatch, "phone", office, "sip");
    pbx.hears(&phone, [REGISTER]);
    pbx.sends(&phone, RESPONSE);
    scene.nightlatch.must(&["remove", "phone"]);
    phone.heard();
    for _ in 0..2 {
        pbx.ignores(&phone, everything());
        for sent in permitted() {
            pbx.end.tell(&phone, sent);
        }
        pbx.ignores(&phone, everything());
        assert_eq!(phone.heard(), []);
        forget_flows(server);
    }
}
