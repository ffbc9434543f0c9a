//! Which flows are cut: each kind of flow, at each kind of port.

use super::*;
use crate::audit::ourselves;
use crate::config::Rules;
use crate::features::State;
use crate::features::accounts::{Account, Entry};
use crate::features::{accounts, firewall};
use crate::posture::{Mode, Protection};
use crate::product::Product;
use crate::service::{Grant, Ports};
use crate::signalling::Learned;
use crate::time::Time;

const NOW: Time = Time::from_millis(1_000_000);

/// The firewall is up; 203.0.113.9 has an account.
fn state() -> State {
    let mut state = State::default();
    state.apply(firewall::set_protection(Protection::On { since: NOW }));
    state.apply(firewall::set_mode(Mode::Allowlist));
    state.apply(accounts::put(Account {
        hours: None,
        name: "office".parse().unwrap(),
        entries: vec![Entry::Range("203.0.113.9".parse().unwrap())],
        services: Grant::All,
        until: None,
        note: String::new(),
        allow_private: false,
        since: NOW,
        by: ourselves().to_string(),
    }));
    state
}

/// Parses `udp 203.0.113.7:4000 > 10000`: `>` the peer began it, `<` this host, `?` unknown; with
/// `silent` at the end, this host sends nothing.
fn flow(text: &str) -> LiveFlow {
    let words: Vec<&str> = text.split(' ').collect();
    let peer: std::net::SocketAddr = words[1].parse().unwrap();
    LiveFlow {
        protocol: if words[0] == "tcp" { Protocol::Tcp } else { Protocol::Udp },
        peer: peer.ip(),
        peer_port: peer.port(),
        local_port: words[3].parse().unwrap(),
        began: match words[2] {
            ">" => Began::Peer,
            "<" => Began::Host,
            _ => Began::Unknown,
        },
        host_sends: words.get(4) != Some(&"silent"),
    }
}

fn with_cutter(flows: Flows, check: impl FnOnce(&Cutter<'_>)) {
    let (state, rules) = (state(), Rules::default());
    let mut catalogue = Product::Asterisk.catalogue();
    let openvpn = catalogue.0.get_mut(&"openvpn".parse().unwrap()).unwrap();
    openvpn.ports.extend([
        Ports::new(Protocol::Tcp, 1194, 1194),
        // Shared with the web server.
        Ports::new(Protocol::Tcp, 443, 443),
    ]);
    let world = World {
        state: &state,
        rules: &rules,
        catalogue: &catalogue,
        assume_listed: None,
        learned: &Learned::default(),
        now: NOW,
    };
    check(&Cutter::new(world, flows));
}

/// For each flow: whether it is cut when strangers' flows are cut, and when an account with
/// 203.0.113.0/24 and 2001:db8::/32 was removed.
#[test]
fn which_flows_end() {
    let flows = [
        // TCP: who began it.
        ("tcp 203.0.113.7:40000 > 5061", true, true),
        ("tcp 203.0.113.7:5061 < 5061", false, true),
        ("tcp 203.0.113.7:5061 ? 5061", false, true),
        ("tcp 203.0.113.7:5061 < 50000", false, false),
        ("tcp 203.0.113.7:50001 ? 4444", false, true),
        ("tcp 203.0.113.7:50001 > 4444", true, true),
        ("tcp [2001:db8::7]:40000 > 22", true, true),
        ("tcp [::ffff:203.0.113.7]:40000 > 22", true, true),
        // UDP signalling: judged packet by packet.
        ("udp 203.0.113.7:5060 > 5060", false, false),
        ("udp 203.0.113.7:5060 < 5060", false, false),
        ("udp 203.0.113.7:4569 > 4569", false, false),
        // Media of a call: cut only if this host sends nothing.
        ("udp 203.0.113.7:4000 > 10000", false, true),
        ("udp 203.0.113.7:4000 < 10000", false, true),
        ("udp 203.0.113.7:4000 > 10000 silent", true, true),
        ("udp [2001:db8::7]:4000 > 20000 silent", true, true),
        // VPN.
        ("udp 203.0.113.7:4000 > 1194", false, true),
        ("udp 203.0.113.7:51820 < 51820", false, true),
        ("tcp 203.0.113.7:40000 > 1194", false, true),
        ("tcp 203.0.113.7:40000 > 443", true, true),
        // UDP at other services: connection tracking may take a reply for the first packet.
        ("udp 203.0.113.7:4000 > 69", true, true),
        ("udp 203.0.113.7:4000 < 69", true, true),
        ("udp 203.0.113.7:4000 ? 69", true, true),
        // UDP at ports of no service.
        ("udp 203.0.113.7:53 < 40000", false, false),
        ("udp 203.0.113.7:53 ? 40000", false, true),
        ("udp 203.0.113.7:4000 > 9999", true, true),
        // An address with an account; another address.
        ("tcp 203.0.113.9:40000 > 22", false, false),
        ("udp 203.0.113.9:4000 > 10000 silent", false, false),
        ("tcp 198.51.100.7:40000 > 22", true, false),
        ("udp 198.51.100.7:4000 < 69", true, false),
    ];
    with_cutter(Flows::BegunByPeers, |cutter| {
        for (text, ends, _) in flows {
            assert_eq!(cutter.must_end(&flow(text)), ends, "of strangers: {text}");
        }
    });
    let ranges = ["203.0.113.0/24", "2001:db8::/32"].map(|range| range.parse().unwrap());
    with_cutter(Flows::Of(ranges.to_vec()), |cutter| {
        for (text, _, ends) in flows {
            assert_eq!(cutter.must_end(&flow(text)), ends, "of the removed: {text}");
            assert!(!cutter.ends_uncut(&flow(text)), "{text}");
        }
    });
}

/// What the plan says about flows that are not cut.
#[test]
fn why_flows_continue() {
    with_cutter(Flows::BegunByPeers, |cutter| {
        for (text, expected) in [
            ("tcp 203.0.113.7:5061 ? 5061", "unknown"),
            ("tcp 203.0.113.7:50001 ? 4444", "unknown"),
            ("udp 203.0.113.7:53 ? 40000", "unknown"),
            ("udp 203.0.113.7:4000 ? 69", ""),
            ("tcp 203.0.113.9:5061 ? 5061", ""),
            ("tcp 203.0.113.7:5061 < 5061", ""),
            ("udp 203.0.113.7:4000 > 1194", "vpn"),
            ("udp 203.0.113.7:4000 ? 51820", "vpn"),
            ("tcp 203.0.113.7:40000 > 1194", "vpn"),
            ("tcp 203.0.113.7:40000 > 443", ""),
            ("udp 203.0.113.9:4000 > 1194", ""),
            ("udp 203.0.113.7:5060 > 5060", "denied"),
            ("udp 203.0.113.7:4569 > 4569", "denied"),
            ("udp 203.0.113.7:5060 < 5060", ""),
            ("udp 203.0.113.9:5060 > 5060", ""),
            ("udp 203.0.113.7:4000 > 10000 silent", "uncut"),
            ("udp 203.0.113.7:4000 > 10000", ""),
            ("udp 203.0.113.9:4000 > 10000 silent", ""),
        ] {
            let flow = flow(text);
            let said = [
                ("unknown", cutter.continues_unknown(&flow)),
                ("vpn", cutter.continues_as_vpn(&flow)),
                ("denied", cutter.denies_signalling(&flow)),
                ("uncut", cutter.ends_uncut(&flow)),
            ];
            let said: Vec<_> = said.iter().filter(|(_, is)| *is).map(|(word, _)| *word).collect();
            assert_eq!(said.concat(), expected, "{text}");
        }
    });
}
