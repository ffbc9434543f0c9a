//! The stage itself: hosts, packets, and that nothing is left behind.

use std::net::IpAddr;

use nightlatch::features::demo::stage::{Plan, Stage};

use crate::support;

#[test]
fn hosts_reach_each_other() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    for name in ["office", "traveller", "attacker", "router"] {
        for target in [server.v4(), server.v6()] {
            ping(&stage, name, target);
        }
    }
}

#[test]
fn neighbours_on_one_network_reach_each_other_and_the_world() {
    let Some(stage) = support::stage(&Plan::standard().with_resolver()) else {
        return;
    };
    let resolver = stage.host("resolver").unwrap();
    ping(&stage, "server", resolver.v6());
    ping(&stage, "server", resolver.v4());
    ping(&stage, "attacker", resolver.v4());
    ping(&stage, "attacker", resolver.v6());
}

fn ping(stage: &Stage, from: &str, target: IpAddr) {
    let mut command = stage.host(from).unwrap().command("ping");
    let ping = command
        .args(["-c1", "-W1", "-q", &target.to_string()])
        .output()
        .unwrap();
    assert!(ping.status.success(), "{from} to {target}: {ping:?}");
}
