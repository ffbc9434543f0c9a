//! The stage itself: hosts, packets, and that nothing is left behind.

use std::net::IpAddr;
use std::time::Instant;

use nightlatch::features::demo::stage::{Plan, Stage};

#[test]
fn hosts_reach_each_other() {
    #[expect(clippy::disallowed_methods, reason = "how long it takes")]
    let start = Instant::now();
    let stage = Stage::standard().unwrap();
    eprintln!("built in {:?}", start.elapsed());
    let server = stage.host("server").unwrap();
    for name in ["office", "traveller", "attacker", "router"] {
        for target in [server.v4(), server.v6()] {
            ping(&stage, name, target);
        }
    }
    let start2 = start.elapsed();
    drop(stage);
    eprintln!("dropped in {:?}", start.elapsed() - start2);
}

#[test]
fn neighbours_on_one_network_reach_each_other_and_the_world() {
    let stage = Stage::build(&Plan::standard().with_resolver()).unwrap();
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
