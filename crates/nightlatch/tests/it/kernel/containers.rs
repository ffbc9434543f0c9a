//! Ports that containers publish do not slip past, and containers go on working.

use std::net::SocketAddr;

use nightlatch_lab::stage::{HostPlan, NetworkPlan, Plan};

use super::ground::{
    Echo, TIMEOUT, answers_udp, both, connect, echoes, ignores_tcp, ignores_udp, protect, shell,
};
use crate::support;

/// A container behind the server, whose ports the server publishes as container engines do.
fn plan() -> Plan {
    let network = NetworkPlan::new("containers", &["192.0.2.65/26", "2001:db8:c::1/64"]);
    let container = ["192.0.2.66/26", "2001:db8:c::2/64"];
    Plan::standard().without("traveller").network(network.behind("server")).host(HostPlan::new(
        "container",
        "containers",
        &container,
    ))
}

const PUBLISHED: &str = "nft -f - <<'END'
table inet engine {
    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local tcp dport 8080 dnat ip to 192.0.2.66:80
        fib daddr type local udp dport 5062 dnat ip to 192.0.2.66:5060
        fib daddr type local tcp dport 8080 dnat ip6 to [2001:db8:c::2]:80
        fib daddr type local udp dport 5062 dnat ip6 to [2001:db8:c::2]:5060
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname eth0 ip saddr 192.0.2.64/26 masquerade
        oifname eth0 ip6 saddr 2001:db8:c::/64 masquerade
    }
}
END";

#[test]
fn published_ports_of_containers_are_guarded() {
    let Some(stage) = support::stage(&plan()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let (office, stranger) = (stage.host("office").unwrap(), stage.host("attacker").unwrap());
    let container = stage.host("container").unwrap();
    let _echo = Echo::on(container, &[5060], &[80]);
    let _outside = Echo::on(stranger, &[53], &[443]);
    shell(server, PUBLISHED);
    let published = |own, port| SocketAddr::new(own, port);
    // Without our firewall everybody reaches them: else the test would prove nothing.
    for own in both(server) {
        assert!(answers_udp(stranger, published(own, 5062)));
        assert!(connect(stranger, published(own, 8080)).is_ok());
    }
    let (nightlatch, _daemon) = protect(server, "");
    nightlatch.must(&["allow", "office", "203.0.113.0/24", "2001:db8:2::/64"]);
    for (place, own) in both(server).into_iter().enumerate() {
        assert!(ignores_udp(stranger, published(own, 5062)));
        assert!(ignores_tcp(stranger, published(own, 8080)));
        assert!(answers_udp(office, published(own, 5062)));
        assert!(echoes(&mut connect(office, published(own, 8080)).unwrap(), TIMEOUT));
        // What the container itself begins gets its answers.
        let outside = both(stranger)[place];
        assert!(answers_udp(container, SocketAddr::new(outside, 53)));
        let mut stream = connect(container, SocketAddr::new(outside, 443)).unwrap();
        assert!(echoes(&mut stream, TIMEOUT));
    }
    // A door that closes ends the flows into the container too.
    let mut stream = connect(office, published(server.v4(), 8080)).unwrap();
    assert!(echoes(&mut stream, TIMEOUT));
    nightlatch.must(&["remove", "office"]);
    assert!(!echoes(&mut stream, std::time::Duration::from_secs(1)));
    assert!(ignores_udp(office, published(server.v6(), 5062)));
}

#[test]
fn services_are_judged_by_the_port_that_was_asked_for() {
    let Some(stage) = support::stage(&plan()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let office = stage.host("office").unwrap();
    let _echo = Echo::on(stage.host("container").unwrap(), &[5060], &[80]);
    shell(server, PUBLISHED);
    let (nightlatch, _daemon) = protect(server, "[services]\nintranet = [\"tcp/8080\"]\n");
    let addresses = both(office).map(|address| address.to_string());
    nightlatch.must(&["allow", "office", &addresses[0], &addresses[1], "--services", "intranet"]);
    for own in both(server) {
        assert!(connect(office, SocketAddr::new(own, 8080)).is_ok());
        // Inside it is port 5060, but that is not what the sender sees.
        assert!(ignores_udp(office, SocketAddr::new(own, 5062)));
    }
}
