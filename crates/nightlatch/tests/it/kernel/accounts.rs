//! Accounts open doors, for their services, as long as they last, and no longer.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use nightlatch_lab::packet::Packet;
use nightlatch_lab::stage::{Host, Plan, Stage};

use super::ground::{
    Ears, Echo, Prober, Stream, TIMEOUT, Talk, answers_udp, both, connect, ignores_tcp,
    ignores_udp, protect, settle,
};
use crate::support::{self, Installation, now, wait_until};

/// How long a running flow may outlive its door: "within a second", and what the machine needs.
const ENDS_WITHIN: Duration = Duration::from_millis(1500);

#[test]
fn addresses_networks_and_ranges_of_both_families() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (nightlatch, _daemon) = protect(server, "");
    nightlatch.must(&[
        "allow",
        "many",
        "203.0.113.7",
        "203.0.113.64/29",
        "203.0.113.100-203.0.113.102",
        "2001:db8:2::7",
        "2001:db8:2:8::/61",
        "2001:db8:2::100-2001:db8:2::1ff",
    ]);
    let ears = Ears::on(server);
    let prober = Prober::on(attacker);
    let cases = [
        ("203.0.113.6", false),
        ("203.0.113.7", true),
        ("203.0.113.8", false),
        ("203.0.113.63", false),
        ("203.0.113.64", true),
        ("203.0.113.71", true),
        ("203.0.113.72", false),
        ("203.0.113.99", false),
        ("203.0.113.100", true),
        ("203.0.113.102", true),
        ("203.0.113.103", false),
        ("2001:db8:2::6", false),
        ("2001:db8:2::7", true),
        ("2001:db8:2::8", false),
        ("2001:db8:2:7:ffff:ffff:ffff:ffff", false),
        ("2001:db8:2:8::", true),
        ("2001:db8:2:f:ffff:ffff:ffff:ffff", true),
        ("2001:db8:2:10::", false),
        ("2001:db8:2::ff", false),
        ("2001:db8:2::100", true),
        ("2001:db8:2::1ff", true),
        ("2001:db8:2::200", false),
    ];
    for (source, _) in cases {
        let source: IpAddr = source.parse().unwrap();
        let target = if source.is_ipv4() { server.v4() } else { server.v6() };
        let (from, to) = (SocketAddr::new(source, 4000), SocketAddr::new(target, 9999));
        prober.send(&Packet::udp(from, to, b"hello"));
    }
    std::thread::sleep(Duration::from_millis(300));
    let heard: Vec<IpAddr> = ears.heard().into_iter().map(|heard| heard.from).collect();
    for (source, open) in cases {
        assert_eq!(heard.contains(&source.parse().unwrap()), open, "{source}");
    }
}

#[test]
fn services_and_the_union_of_accounts() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let _echo = Echo::on(server, &[5060, 10_000, 4569], &[80, 22]);
    let (nightlatch, _daemon) = protect(server, "");
    let reach = |udp: &[(u16, bool)], tcp: &[(u16, bool)]| {
        for own in both(server) {
            for &(port, open) in udp {
                let reached = match open {
                    true => answers_udp(office, SocketAddr::new(own, port)),
                    false => !ignores_udp(office, SocketAddr::new(own, port)),
                };
                assert_eq!(reached, open, "{own} udp/{port}");
            }
            for &(port, open) in tcp {
                let reached = match open {
                    true => connect(office, SocketAddr::new(own, port)).is_ok(),
                    false => !ignores_tcp(office, SocketAddr::new(own, port)),
                };
                assert_eq!(reached, open, "{own} tcp/{port}");
            }
        }
    };
    let network = ["203.0.113.0/24", "2001:db8:2::/48"];
    let host = ["203.0.113.10", "2001:db8:2::10"];
    nightlatch.must(&["allow", "calls", network[0], network[1], "--services", "sip"]);
    reach(&[(5060, true), (10_000, true), (4569, false)], &[(80, false)]);
    nightlatch.must(&["allow", "pages", host[0], host[1], "--services", "web"]);
    reach(&[(5060, true), (4569, false)], &[(80, true), (22, false)]);
    // Removing one does not close the other's door, neither the wider nor the narrower.
    nightlatch.must(&["remove", "calls"]);
    reach(&[(5060, false)], &[(80, true)]);
    nightlatch.must(&["allow", "calls", network[0], network[1], "--services", "sip,ssh"]);
    nightlatch.must(&["remove", "pages"]);
    reach(&[(5060, true)], &[(80, false), (22, true)]);
}

/// A phone's running flows: a TCP connection and a UDP flow on which both sides send all the time.
fn running(phone: &Host, server: &Host, place: SocketAddr) -> (Talk, Stream) {
    (Talk::between(phone, server, place), Stream::between(phone, server, place))
}

fn both_running(stage: &Stage, phone: &Host) -> Vec<(Talk, Stream)> {
    both_running_on(stage, phone, 5060)
}

fn both_running_on(stage: &Stage, phone: &Host, port: u16) -> Vec<(Talk, Stream)> {
    let server = stage.host("server").unwrap();
    let flows = both(server).map(|own| running(phone, server, SocketAddr::new(own, port)));
    flows.into_iter().collect()
}

/// All flows get through, in both directions.
fn all_run(flows: &[(Talk, Stream)]) {
    for (talk, stream) in flows {
        wait_until("the datagrams flow", TIMEOUT, || talk.silent_for() < Duration::from_millis(50));
        wait_until("the stream flows", TIMEOUT, || stream.silent_for() < Duration::from_millis(50));
    }
}

/// No flow brings anything to the server any more, and stays so.
fn all_end(flows: &[(Talk, Stream)], within: Duration) {
    let quiet = Duration::from_millis(500);
    wait_until("the flows end", within + quiet, || {
        flows.iter().all(|(talk, stream)| talk.silent_for() > quiet && stream.silent_for() > quiet)
    });
    std::thread::sleep(Duration::from_secs(1));
    for (talk, stream) in flows {
        assert!(talk.silent_for() > quiet && stream.silent_for() > quiet);
    }
}

#[test]
fn an_account_that_expires_ends_its_running_flows() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let (nightlatch, _daemon) = protect(server, "");
    allow(&nightlatch, office, &["--for", "3s"]);
    let allowed = now();
    let flows = both_running(&stage, office);
    all_run(&flows);
    let left = Duration::from_secs(3).saturating_sub(allowed.elapsed());
    std::thread::sleep(left.saturating_sub(Duration::from_millis(200)));
    all_end(&flows, ENDS_WITHIN + Duration::from_millis(200));
    // Allowed again, new and old flows work again.
    allow(&nightlatch, office, &[]);
    for (talk, _) in &flows {
        wait_until("the datagrams flow again", TIMEOUT, || {
            talk.silent_for() < Duration::from_millis(50)
        });
    }
    drop(flows);
    all_run(&both_running(&stage, office));
}

fn allow(nightlatch: &Installation<'_>, host: &Host, more: &[&str]) {
    let addresses = both(host).map(|address| address.to_string());
    let mut arguments = vec!["allow", "phone", &addresses[0], &addresses[1]];
    arguments.extend(more);
    nightlatch.must(&arguments);
}

#[test]
fn an_account_that_is_removed_ends_its_running_flows() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let traveller = stage.host("traveller").unwrap();
    let (nightlatch, _daemon) = protect(server, "");
    allow(&nightlatch, office, &["--services", "sip"]);
    nightlatch.must(&["allow", "other", "192.0.2.0/25", "2001:db8:3::/64"]);
    let others = both_running_on(&stage, traveller, 4000);
    let flows = both_running(&stage, office);
    all_run(&flows);
    nightlatch.must(&["remove", "phone"]);
    all_end(&flows, ENDS_WITHIN);
    all_run(&others);
    drop(flows);
    // Removed and allowed again while the flows try all the time.
    allow(&nightlatch, office, &["--services", "sip"]);
    let flows = both_running(&stage, office);
    all_run(&flows);
    for _ in 0..3 {
        // UDP flows continue; a TCP connection was reset and would have to be opened again.
        for (talk, _) in &flows {
            wait_until("the UDP flow continues", TIMEOUT, || {
                talk.silent_for() < super::ground::SILENCE
            });
        }
        nightlatch.must(&["remove", "phone"]);
        allow(&nightlatch, office, &["--services", "sip"]);
    }
}

/// A flow on one service goes on when only another service of its account closes, and one that is
/// covered by a second account goes on when the first is removed.
#[test]
fn flows_that_another_account_lets_in_go_on() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let (nightlatch, _daemon) = protect(server, "");
    allow(&nightlatch, office, &[]);
    nightlatch.must(&["allow", "house", "203.0.113.0/24", "2001:db8:2::/64", "--services", "sip"]);
    let flows = both_running(&stage, office);
    all_run(&flows);
    nightlatch.must(&["remove", "phone"]);
    std::thread::sleep(Duration::from_secs(1));
    all_run(&flows);
}

/// Protocols without ports end as well: whoever was allowed everything may be pinging, or sending
/// SCTP, when the door closes.
#[test]
fn pings_and_other_protocols_end_with_their_account() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let (nightlatch, _daemon) = protect(server, "");
    allow(&nightlatch, office, &[]);
    let ears = Ears::on(server);
    let prober = Prober::on(office);
    let send = || {
        for (source, target) in both(office).into_iter().zip(both(server)) {
            prober.send(&Packet::echo(source, target, 77, b"still there?"));
            for number in [47, 132, 253] {
                let body = [0x13, 0xc4, 0x13, 0xc4, 0, 0, 0, 0, 1, 0, 0, 20, 0, 0, 0, 0];
                prober.send(&Packet::other(source, target, number, &body));
            }
        }
        std::thread::sleep(Duration::from_millis(200));
        ears.heard().iter().filter(|heard| both(office).contains(&heard.from)).count()
    };
    assert_eq!(send(), 8);
    assert_eq!(send(), 8);
    nightlatch.must(&["remove", "phone"]);
    settle(&ears);
    assert_eq!(send(), 0);
}

/// The same socket, closed out and let in again, is served at once.
#[test]
fn a_door_opened_again_needs_no_new_socket() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let _echo = Echo::on(server, &[5060], &[5060]);
    let (nightlatch, _daemon) = protect(server, "");
    let phone = office.run(|| UdpSocket::bind(super::ground::any(5060))).unwrap().unwrap();
    let v6 = SocketAddr::new(server.v6(), 5060);
    for _ in 0..3 {
        assert!(!super::ground::asks_from(&phone, v6, Duration::from_millis(200)));
        allow(&nightlatch, office, &["--services", "sip"]);
        assert!(super::ground::asks_from(&phone, v6, TIMEOUT));
        let stream: TcpStream = connect(office, v6).unwrap();
        drop(stream);
        nightlatch.must(&["remove", "phone"]);
    }
}
