//! Containers: packets from a published port count as the server's own; packets of neighbours that are
//! routed, masqueraded or bridged do not.

use std::io::Read as _;
use std::net::TcpListener;
use std::time::Duration;

use nightlatch_lab::stage::{Host, HostPlan, NetworkPlan, Plan, Stage};

use super::super::ground::{TIMEOUT, any, both, ignores_tcp, patiently, shell};
use super::ends::{
    End, INVITE, OPTIONS, Pbx, REGISTER, REQUESTS, RESPONSE, forget_flows, keys, learned,
    permitted, shown,
};
use super::removed::Phone;
use super::tcp::{Connection, connection, passes};
use super::{Scene, allow};
use crate::support::{self, wait_until};

/// A container and its neighbour behind the server, on one bridge.
fn stage() -> Option<Stage> {
    if !support::installed(&["nft", "conntrack"]) {
        return None;
    }
    let network = NetworkPlan::new("containers", &["192.0.2.65/26", "2001:db8:c::1/64"]);
    let host = |name: &str, number: u8| {
        let v4 = format!("192.0.2.{}/26", 64 + number);
        HostPlan::new(name, "containers", &[&v4, &format!("2001:db8:c::{number}/64")])
    };
    // The traveller's network contains none of their addresses.
    support::stage(
        &Plan::standard()
            .network(network.behind("server"))
            .host(host("container", 2))
            .host(host("neighbour", 3)),
    )
}

/// The rules of a container engine; `publish` are those for published ports.
fn engine(server: &Host, publish: &str) {
    let rules = format!(
        "table inet engine {{\n\
         chain to {{ type nat hook prerouting priority dstnat;\n{publish}}}\n\
         chain from {{ type nat hook postrouting priority srcnat;\n\
         oifname eth0 ip saddr 192.0.2.64/26 masquerade\n\
         oifname eth0 ip6 saddr 2001:db8:c::/64 masquerade\n\
         }}\n\
         }}\n"
    );
    shell(server, &format!("nft -f - <<'END'\n{rules}END"));
}

const PUBLISHED: &str = "\
    fib daddr type local udp dport 5060 dnat ip to 192.0.2.66:5060\n\
    fib daddr type local udp dport 10000-10010 dnat ip to 192.0.2.66\n\
    fib daddr type local udp dport 5060 dnat ip6 to [2001:db8:c::2]:5060\n\
    fib daddr type local udp dport 10000-10010 dnat ip6 to 2001:db8:c::2\n";

/// The PBX in the container, as others reach it.
fn container(stage: &Stage, port: u16) -> End {
    let own = both(stage.host("server").unwrap());
    End::on(stage.host("container").unwrap(), port).reached_at(own.map(|own| (own, port).into()))
}

fn scene(stage: &Stage) -> Scene<'_> {
    let witness = End::on(stage.host("traveller").unwrap(), 5060);
    let scene = Scene::with(stage, Pbx::of(container(stage, 5060), witness), "");
    is_published(scene.server);
    scene
}

fn is_published(server: &Host) {
    wait_until("published ports are looked up", TIMEOUT * 3, || {
        shown(server, "set published6").contains("2001:db8:c::2")
    });
}

/// Before, inbound calls to a container were lost two minutes after its last packet.
#[test]
fn what_a_container_sends_from_a_published_port_makes_peers() {
    let Some(stage) = stage() else { return };
    engine(stage.host("server").unwrap(), PUBLISHED);
    let scene = scene(&stage);
    let Scene { server, pbx, .. } = &scene;
    scene.carrier_calls_and_does_not_register(5060);
    // In a flow that the carrier began.
    let office = End::on(stage.host("office").unwrap(), 5060);
    allow(&scene.nightlatch, "office", stage.host("office").unwrap(), "sip");
    pbx.hears(&office, [OPTIONS]);
    pbx.sends(&office, RESPONSE);
    assert_eq!(learned(server, "called"), Vec::<String>::new());
    pbx.sends(&office, INVITE);
    assert_eq!(learned(server, "called"), keys(&office, 5060));
}

/// Before, the container kept sending, and its packets began the flow again.
#[test]
fn a_removed_phone_is_gone_for_a_container_too() {
    let Some(stage) = stage() else { return };
    engine(stage.host("server").unwrap(), PUBLISHED);
    let scene = scene(&stage);
    let office = stage.host("office").unwrap();
    let phone = Phone::on(office, scene.server).with_media(container(&stage, 10_002));
    phone.comes_and_goes(&scene, office, "sip");
    allow(&scene.nightlatch, "phone", office, "sip");
    phone.is_in(&scene);
    for address in both(office) {
        scene.nightlatch.must(&["block", &address.to_string()]);
    }
    scene.pbx.ignores(&phone.sip, REQUESTS);
    phone.sip.heard();
    for sent in [REGISTER, OPTIONS, INVITE, RESPONSE] {
        scene.pbx.end.tell(&phone.sip, sent);
    }
    scene.pbx.ignores(&phone.sip, [INVITE, RESPONSE]);
    assert_eq!(phone.sip.heard(), []);
    assert_eq!(learned(scene.server, "registered"), Vec::<String>::new());
}

/// Before, the container's side of the connection continued.
#[test]
fn a_removed_phones_connections_to_a_container_fall_silent() {
    let Some(stage) = stage() else { return };
    let publish = PUBLISHED.replace("udp dport 5060", "meta l4proto { tcp, udp } th dport 5060");
    engine(stage.host("server").unwrap(), &publish);
    let scene = scene(&stage);
    let (office, container) = (stage.host("office").unwrap(), stage.host("container").unwrap());
    let listener = patiently(container, || TcpListener::bind(any(5060)));
    allow(&scene.nightlatch, "phone", office, "sip");
    let mut connections =
        both(scene.server).map(|own| connection(office, &listener, (own, 5060).into()));
    for Connection { begins, answers } in &mut connections {
        wait_until("it runs", TIMEOUT, || passes(begins, answers) && passes(answers, begins));
    }
    scene.nightlatch.must(&["remove", "phone"]);
    std::thread::sleep(Duration::from_millis(100));
    for Connection { begins, answers } in &mut connections {
        while begins.read(&mut [0; 1000]).is_ok() || answers.read(&mut [0; 1000]).is_ok() {}
        assert!(!passes(begins, answers) && !passes(answers, begins));
    }
    for own in both(scene.server) {
        assert!(ignores_tcp(office, (own, 5060).into()));
    }
}

/// Before, this passed, too, since nothing was learned. If forwarded packets added peers, a neighbour
/// or a guest in the network behind this host could choose the PBX's peers.
#[test]
fn a_neighbour_for_whom_this_host_routes_or_bridges_makes_no_peer() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let neighbour = End::on(stage.host("neighbour").unwrap(), 5060);
    let container = End::on(stage.host("container").unwrap(), 5060);
    let router = stage.host("router").unwrap();
    shell(
        router,
        "ip route add 192.0.2.64/26 via 198.51.100.1; ip -6 route add 2001:db8:c::/64 via 2001:db8:1::1",
    );
    // Bridged packets traverse the rules if the kernel supports it.
    let bridged = server.set_kernel("bridge/bridge-nf-call-iptables", "1").is_ok()
        && server.set_kernel("bridge/bridge-nf-call-ip6tables", "1").is_ok();
    println!("bridged packets are seen: {bridged}");
    let scene = Scene::guarded(&stage, "");
    let nothing = |when: &str| {
        for set in ["registered", "called", "asked"] {
            assert_eq!(learned(server, set), Vec::<String>::new(), "{when}");
        }
        forget_flows(server);
        scene.pbx.ignores(&scene.carrier, permitted());
    };
    let sends = |when: &str| {
        for sent in [REGISTER, INVITE, OPTIONS] {
            neighbour.reaches(&scene.carrier, sent);
            neighbour.reaches(&container, sent);
        }
        nothing(when);
    };
    sends("routed");
    engine(server, "");
    sends("masqueraded");
    shell(server, "nft delete table inet engine");
    engine(server, &PUBLISHED.replace("5060", "5070"));
    is_published(server);
    sends("with a container beside it");
}
