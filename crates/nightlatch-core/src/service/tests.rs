//! Services, their ports and roles, and grants.

use super::*;

#[test]
fn ports_as_written() {
    for (text, shown) in [
        ("udp/5060", "udp/5060"),
        ("UDP/5060-5069", "udp/5060-5069"),
        ("443/tcp", "tcp/443"),
        ("tcp/1-65535", "tcp/1-65535"),
    ] {
        assert_eq!(text.parse::<Ports>().unwrap().to_string(), shown);
    }
    for text in ["5060", "udp/0", "udp/65536", "udp/9-1", "udp/", "sctp/1", "udp/tcp", "udp/+5"] {
        assert!(text.parse::<Ports>().is_err(), "{text}");
    }
}

#[test]
fn a_service_brings_others_even_in_a_ring() {
    let name = |text: &str| text.parse::<ServiceName>().unwrap();
    let service = |ports: &str, brings: &str| Service {
        ports: vec![ports.parse().unwrap()],
        brings: vec![name(brings)],
        ..Service::default()
    };
    let catalogue = Catalogue(BTreeMap::from([
        (name("sip"), service("udp/5060", "rtp")),
        (name("rtp"), service("udp/10000-20000", "sip")),
    ]));
    let opening = catalogue.opening([&name("sip")]);
    assert_eq!(format!("{:?}", opening.ports), "[udp/5060, udp/10000-20000]");
}

#[test]
fn a_port_of_several_roles() {
    let service = |ports: &str, role| Service {
        ports: vec![ports.parse().unwrap()],
        role,
        ..Service::default()
    };
    let name = |text: &str| text.parse::<ServiceName>().unwrap();
    let catalogue = Catalogue(BTreeMap::from([
        (name("sip"), service("udp/5060", Role::Sip)),
        (name("iax"), service("udp/5060-5062", Role::Iax)),
        (name("rtp"), service("udp/5000-5070", Role::Media)),
        (name("web"), service("tcp/5060", Role::Plain)),
    ]));
    let shown = |role| format!("{:?}", catalogue.udp_ports(role));
    assert_eq!(shown(Role::Sip), "[udp/5060]");
    assert_eq!(shown(Role::Iax), "[udp/5061-5062]");
    assert_eq!(shown(Role::Media), "[udp/5000-5059, udp/5063-5070]");
    for (port, role) in
        [(5060, Role::Sip), (5061, Role::Iax), (5063, Role::Media), (80, Role::Plain)]
    {
        assert_eq!(catalogue.role(port), role);
    }
}

#[test]
fn grants() {
    assert_eq!(Grant::parse("web,sip").unwrap().to_string(), "sip, web");
    assert_eq!(Grant::parse("sip,ALL").unwrap(), Grant::All);
    assert!(Grant::parse("s_p").is_err());
}
