//! The server itself does NAT: a public address on a server with a private one, and translated source
//! ports. Peers are recorded with the address and port of this host that they see.

use std::net::{IpAddr, SocketAddr};

use nightlatch_lab::stage::{Host, Stage};

use super::super::ground::{both, run, shell};
use super::ends::{
    End, INVITE, OPTIONS, Pbx, REGISTER, RESPONSE, forget_flows, keys, learned, permitted,
};
use super::removed::Phone;
use super::{Scene, allow, stage};

/// Another address of each family, which the router routes to the server.
fn floating(stage: &Stage) -> [IpAddr; 2] {
    let (server, router) = (stage.host("server").unwrap(), stage.host("router").unwrap());
    run(router, &format!("ip route add 198.51.100.77/32 via {}", server.v4()));
    run(router, &format!("ip route add 2001:db8:1::77/128 via {}", server.v6()));
    ["198.51.100.77", "2001:db8:1::77"].map(|text| text.parse().unwrap())
}

/// Translates these addresses to the server's own ones, in both directions.
fn translate(server: &Host, [v4, v6]: [IpAddr; 2]) {
    let (own4, own6) = (server.v4(), server.v6());
    let rules = format!(
        "table inet translation {{\n\
         chain to {{ type nat hook prerouting priority dstnat;\n\
         ip daddr {v4} dnat ip to {own4}\n\
         ip6 daddr {v6} dnat ip6 to {own6}\n\
         }}\n\
         chain from {{ type nat hook postrouting priority srcnat;\n\
         ip saddr {own4} snat ip to {v4}\n\
         ip6 saddr {own6} snat ip6 to {v6}\n\
         }}\n\
         }}\n"
    );
    shell(server, &format!("nft -f - <<'END'\n{rules}END"));
}

/// The same scene, with the PBX reached at other addresses and ports than its socket has.
fn scene<'a>(stage: &'a Stage, at: [SocketAddr; 2], configuration: &str) -> Scene<'a> {
    let (server, witness) = (stage.host("server").unwrap(), stage.host("traveller").unwrap());
    let pbx = Pbx::of(End::on(server, 5060).reached_at(at), End::on(witness, 5060));
    Scene::with(stage, pbx, configuration)
}

/// A phone with an account has access, with and without a flow.
fn phone_is_in(scene: &Scene<'_>, stage: &Stage, at: [IpAddr; 2]) -> Phone {
    let office = stage.host("office").unwrap();
    let phone = Phone::on(office, scene.server).of_server_at(at);
    allow(&scene.nightlatch, "phone", office, "sip");
    phone.is_in(scene);
    forget_flows(scene.server);
    phone.is_in(scene);
    phone
}

/// Before, inbound calls were lost, as at an address that is not translated.
#[test]
fn behind_an_address_of_its_own_that_is_translated_peers_and_accounts_are_who_they_are() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let at = floating(&stage);
    run(server, &format!("ip address add {}/32 dev eth0", at[0]));
    run(server, &format!("ip address add {}/128 dev eth0 nodad", at[1]));
    translate(server, at);
    let scene = scene(&stage, at.map(|at| SocketAddr::new(at, 5060)), "");
    scene.carrier_calls_and_does_not_register(5060);
    let phone = phone_is_in(&scene, &stage, at);
    scene.nightlatch.must(&["remove", "phone"]);
    phone.is_gone(&scene);
    forget_flows(server);
    phone.is_gone(&scene);
}

/// An address that the host has only through NAT. Before, this passed, too, but for every peer.
#[test]
fn a_floating_address_lets_peers_and_accounts_in() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let at = floating(&stage);
    translate(server, at);
    let scene = scene(&stage, at.map(|at| SocketAddr::new(at, 5060)), "");
    let Scene { pbx, carrier, .. } = &scene;
    pbx.sends(carrier, REGISTER);
    assert_eq!(learned(server, "registered"), keys(carrier, 5060));
    forget_flows(server);
    pbx.hears(carrier, permitted());
    phone_is_in(&scene, &stage, at);
}

/// Before, inbound calls were lost here, too. The carrier's port is translated in both directions.
#[test]
fn a_port_that_leaves_as_another_is_known_as_that_other() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let [own4, own6] = both(server);
    let rules = format!(
        "table inet translation {{\n\
         chain to {{ type nat hook prerouting priority dstnat;\n\
         fib daddr type local udp dport 6060 redirect to :5060\n\
         }}\n\
         chain from {{ type nat hook postrouting priority srcnat;\n\
         ip saddr {own4} udp sport 5060 snat ip to {own4}:6060\n\
         ip6 saddr {own6} udp sport 5060 snat ip6 to [{own6}]:6060\n\
         }}\n\
         }}\n"
    );
    shell(server, &format!("nft -f - <<'END'\n{rules}END"));
    let at = both(server).map(|own| SocketAddr::new(own, 6060));
    let services = "[services]\nsip = [\"udp/5060\", \"udp/6060\"]\n";
    let scene = scene(&stage, at, services);
    scene.carrier_calls_and_does_not_register(6060);
    let office = End::on(stage.host("office").unwrap(), 5060);
    scene.pbx.sends(&office, OPTIONS);
    assert_eq!(learned(server, "asked"), keys(&office, 6060));
    forget_flows(server);
    scene.pbx.hears(&office, [RESPONSE]);
    scene.pbx.ignores(&office, [INVITE]);
}
