//! Addresses that only rules of routing make this host's own: floating ones, those of a VRF.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan};

use super::ground::{Ears, protect, run};
use crate::support;

#[test]
fn an_address_that_is_local_by_a_rule_of_routing_is_guarded() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let office = stage.host("office").unwrap();
    // As for a transparent proxy or a floating address: not in the table of local addresses.
    let address = Ipv4Addr::new(198, 51, 100, 77);
    run(server, &format!("ip rule add pref 5 to {address} lookup 100"));
    run(server, &format!("ip route add local {address} dev lo table 100"));
    let router = stage.host("router").unwrap();
    run(router, &format!("ip route add {address}/32 via {}", server.v4()));
    let ears = Ears::on(server);
    let arrives = |from: &Host| {
        let socket = from.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
        (0..8).any(|_| {
            socket.send_to(b"hello", (address, 5060)).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            ears.count(from.v4(), 17) > 0
        })
    };
    // Without our firewall everybody reaches it: else the test would prove nothing.
    assert!(arrives(stranger) && arrives(office));
    let (nightlatch, _daemon) = protect(server, "");
    nightlatch.must(&["allow", "office", &office.v4().to_string()]);
    assert!(!arrives(stranger), "a stranger's packet came through");
    assert!(arrives(office), "the office does not come in");
}
