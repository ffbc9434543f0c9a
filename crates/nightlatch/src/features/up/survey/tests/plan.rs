//! What would be cut, and what is proposed.

use super::super::logic::addresses::connected_networks;
use super::super::logic::flows::{MAX_LINES, flows_of_contacts};
use super::super::{
    Began, Caller, CallerSource, Cloud, Contact, FlowContext, Gateway, Interface, InterfaceKind,
    LiveFlow, OwnAddress, Proposal, Protocol, RtpRange, SipPort, Socket, SshPorts, Survey,
    all_flows, describe, proposal,
};
use super::ip;

fn flow(text: &str) -> LiveFlow {
    // "udp 203.0.113.20:5060 > 5060": ">" the peer began it, "<" this host, "?" unknown.
    let words: Vec<&str> = text.split(' ').collect();
    let place: std::net::SocketAddr = words[1].parse().unwrap();
    LiveFlow {
        protocol: if words[0] == "tcp" { Protocol::Tcp } else { Protocol::Udp },
        peer: place.ip(),
        peer_port: place.port(),
        local_port: words[3].parse().unwrap(),
        began: match words[2] {
            ">" => Began::Peer,
            "<" => Began::Host,
            _ => Began::Unknown,
        },
        host_sends: true,
    }
}

fn contact(name: &str, address: &str, port: u16, registered: bool) -> Contact {
    Contact {
        name: name.to_owned(),
        protocol: Protocol::Udp,
        address: ip(address),
        port,
        registered,
        driver: crate::shell::pbx::Driver::Pjsip,
        removal: None,
    }
}

fn office() -> Survey {
    Survey {
        caller: Caller {
            name: Some("alice".to_owned()),
            address: Some(ip("203.0.113.9")),
            port: Some(50_022),
            found: CallerSource::SshProcess,
            live: true,
            ..Caller::default()
        },
        ssh: SshPorts { ports: vec![22], found: vec!["listening".to_owned()] },
        sip: vec![SipPort { protocol: Protocol::Udp, port: 5060, tls: false }],
        rtp: Some(RtpRange { first: 10_000, last: 20_000, source: "rtp.conf".to_owned() }),
        contacts: vec![
            contact("101", "203.0.113.20", 5060, true),
            contact("102", "203.0.113.20", 1025, true),
            contact("carrier", "198.51.100.7", 5060, false),
        ],
        ..Survey::default()
    }
}

#[test]
fn connections_have_names() {
    let mut survey = office();
    survey.flows = [
        "tcp 203.0.113.9:50022 > 22",
        "tcp 203.0.113.9:50023 > 22",
        "tcp 203.0.113.50:1000 > 443",
        "tcp 203.0.113.50:1001 > 443",
        "tcp 203.0.113.51:1001 > 5038",
        "tcp 198.51.100.80:443 < 40000",
    ]
    .map(flow)
    .to_vec();
    let tracked = [
        "udp 203.0.113.20:5060 > 5060",
        "udp 203.0.113.30:5060 > 5060",
        "udp 198.51.100.7:5060 < 5060",
        "udp 203.0.113.20:4000 > 10002",
        "udp 203.0.113.20:4001 > 10003",
        "udp 203.0.113.60:4569 > 4569",
        "tcp 203.0.113.9:50022 > 22",
        "udp 127.0.0.1:99 > 10004",
    ]
    .map(flow);
    let lines = describe(&FlowContext::of(&survey), &all_flows(&survey, tracked), |_| true);
    let shown: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        shown,
        [
            "your SSH session from 203.0.113.9",
            "1 other SSH session from 203.0.113.9",
            "2 registered phones at 203.0.113.20",
            "SIP trunk \"carrier\" at 198.51.100.7",
            "1 SIP peer at 203.0.113.30",
            "1 IAX peer at 203.0.113.60",
            "2 media streams of calls with 203.0.113.20",
            "1 web session at 203.0.113.50 (2 connections)",
            "1 connection from 203.0.113.51 to Asterisk manager (tcp/5038)",
            "1 connection of this machine to 198.51.100.80 tcp/443",
        ]
    );
}

#[test]
fn silent_telephones_count_too() {
    let survey = office();
    let flows = all_flows(&survey, []);
    assert_eq!(flows, flows_of_contacts(&survey.contacts, &survey.sip));
    let lines = describe(&FlowContext::of(&survey), &flows, |flow| flow.began == Began::Peer);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].text, "2 registered phones at 203.0.113.20");
    assert_eq!(lines[0].count, 2);
}

#[test]
fn long_lists_are_bounded() {
    let mut survey = office();
    survey.contacts =
        (0..=255).map(|last| contact("x", &format!("203.0.113.{last}"), 5060, true)).collect();
    let context = FlowContext::of(&survey);
    let lines = describe(&context, &all_flows(&survey, []), |_| true);
    assert_eq!(lines.len(), MAX_LINES + 1);
    assert_eq!(lines[MAX_LINES].text, "and 236 more, with 236 registered phones");
    assert_eq!(describe(&context, &[], |_| true), []);
}

/// A survey with interfaces: name, kind, address with prefix.
fn machine(cloud: bool, interfaces: &[(&str, InterfaceKind, &str)]) -> Survey {
    let mut survey = office();
    survey.cloud = Cloud {
        is_cloud: cloud,
        name: cloud.then(|| "Example Cloud".to_owned()),
        reason: String::new(),
    };
    survey.interfaces = interfaces
        .iter()
        .map(|(name, kind, address)| {
            let (address, prefix) = address.split_once('/').unwrap();
            Interface {
                name: (*name).to_owned(),
                kind: *kind,
                up: true,
                flags: Vec::new(),
                addresses: vec![OwnAddress {
                    address: ip(address),
                    prefix: prefix.parse().unwrap(),
                    scope: "global".to_owned(),
                }],
            }
        })
        .collect();
    survey.networks = connected_networks(&survey.interfaces, &[]);
    survey
}

fn accounts(proposal: &Proposal) -> Vec<String> {
    proposal
        .accounts
        .iter()
        .map(|account| {
            let addresses: Vec<String> =
                account.addresses.iter().map(ToString::to_string).collect();
            format!("{}: {}", account.name, addresses.join(" "))
        })
        .collect()
}

fn warnings(proposal: &Proposal) -> Vec<&str> {
    proposal.warnings.iter().map(|warning| warning.id.as_str()).collect()
}

#[test]
fn networks_are_proposed_where_they_are_ours() {
    use InterfaceKind::{Containers, Physical, Tunnel};
    let admin = "admin: 203.0.113.9";
    for (cloud, interfaces, expected) in [
        (false, &[("eth0", Physical, "192.168.1.5/24")][..], "local-network: 192.168.1.0/24"),
        (false, &[("eth0", Physical, "10.1.2.3/16")], "local-network: 10.1.0.0/16"),
        // The machine's own network is a whole private range: allowed, with a warning.
        (false, &[("eth0", Physical, "10.1.2.3/8")], "local-network: 10.0.0.0/8"),
        (false, &[("eth0", Physical, "192.0.2.5/24")], ""),
        (false, &[("eth0", Physical, "100.64.0.5/10")], ""),
        (false, &[("eth0", Physical, "fd00:1::5/64")], "local-network: fd00:1::/64"),
        (false, &[("eth0", Physical, "2001:db8::5/64")], ""),
        (false, &[("eth0", Physical, "fd00::5/8")], ""),
        // Strangers share the private network of a data centre.
        (true, &[("eth0", Physical, "172.16.0.5/12")], ""),
        (true, &[("eth0", Physical, "10.0.0.5/8")], ""),
        (true, &[("eth0", Physical, "172.31.5.5/20")], ""),
        (true, &[("eth0", Physical, "fd00:1::5/64")], ""),
        (true, &[("wg0", Tunnel, "10.8.0.1/24")], "vpn: 10.8.0.0/24"),
        (true, &[("wg0", Tunnel, "10.8.0.1/8")], ""),
        (false, &[("wg0", Tunnel, "10.8.0.1/8")], ""),
        (false, &[("tun0", Tunnel, "10.8.0.1/32")], ""),
        (true, &[("docker0", Containers, "172.17.0.1/16")], "containers: 172.17.0.0/16"),
    ] {
        let proposal = proposal(&machine(cloud, interfaces));
        let expected = match expected {
            "" => vec![admin.to_owned()],
            network => vec![admin.to_owned(), network.to_owned()],
        };
        assert_eq!(accounts(&proposal), expected, "cloud {cloud} {interfaces:?}");
        let named = proposal.accounts.iter().all(|account| !account.reason.is_empty());
        assert!(named && !proposal.needs_explicit_allow);
    }
    let wide = proposal(&machine(false, &[("eth0", Physical, "10.1.2.3/8")]));
    assert_eq!(warnings(&wide), ["wide-network"]);
    let rented = proposal(&machine(true, &[("eth0", Physical, "10.0.0.5/24")]));
    assert_eq!(
        rented.left_out[0].reason,
        "10.0.0.0/24 on eth0: in the data centre of Example Cloud other customers may share it; allow it yourself if it is yours alone"
    );
}

#[test]
fn a_caller_who_is_not_found_must_say_more() {
    let nowhere = Caller::default();
    let proposed = |caller: Caller| {
        proposal(&Survey {
            caller,
            ..machine(false, &[("eth0", InterfaceKind::Physical, "192.0.2.5/24")])
        })
    };
    let lost = proposed(Caller {
        candidates: vec![ip("203.0.113.1"), ip("203.0.113.2")],
        ..nowhere.clone()
    });
    assert!(lost.needs_explicit_allow && lost.accounts.is_empty());
    assert!(lost.warnings[0].text.contains("203.0.113.1, 203.0.113.2"));
    let console = proposed(Caller { console: true, ..nowhere.clone() });
    assert!(!console.needs_explicit_allow);
    assert_eq!(warnings(&console), ["caller-at-console"]);
    for own in ["127.0.0.1", "192.0.2.5", "::1"] {
        let inside = proposed(Caller { address: Some(ip(own)), ..nowhere.clone() });
        assert!(inside.needs_explicit_allow, "{own}");
    }
}

#[test]
fn traps_are_said() {
    let mut survey = machine(
        false,
        &[
            ("eth0", InterfaceKind::Physical, "192.0.2.5/24"),
            ("eth0", InterfaceKind::Physical, "2001:db8::5/64"),
        ],
    );
    assert_eq!(warnings(&proposal(&survey)), ["two-families", "ipv6"]);
    survey.interfaces.pop();
    survey.caller.live = false;
    survey.gateways = vec![Gateway { address: ip("203.0.113.9"), interface: "eth0".to_owned() }];
    survey.ssh.ports.clear();
    let socket = |address: &str, port| Socket {
        protocol: Protocol::Tcp,
        address: ip(address),
        port,
        program: None,
        pid: None,
        only_loopback: ip(address).is_loopback(),
    };
    survey.sockets = vec![socket("0.0.0.0", 5038), socket("::", 8021), socket("127.0.0.1", 5038)];
    let found = proposal(&survey);
    assert_eq!(
        warnings(&found),
        ["caller-not-live", "caller-is-gateway", "management-port", "management-port", "no-ssh"]
    );
    assert!(found.warnings[3].text.contains("[::]:8021"), "{}", found.warnings[3].text);
}

#[test]
fn what_is_printed_as_json_reads_back() {
    let survey = machine(true, &[("docker0", InterfaceKind::Containers, "172.17.0.1/16")]);
    let text = serde_json::to_string(&survey).unwrap();
    assert_eq!(serde_json::from_str::<Survey>(&text).unwrap(), survey);
    let proposal = proposal(&survey);
    let text = serde_json::to_string(&proposal).unwrap();
    assert_eq!(serde_json::from_str::<Proposal>(&text).unwrap(), proposal);
}
