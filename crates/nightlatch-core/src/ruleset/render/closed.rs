//! What is closed to a range of addresses in both directions, including its running flows.

use std::fmt::Write as _;

use super::knocks;
use super::ports::{Side, ping, rules, single_rules};
use super::requests;
use crate::ruleset::{BLOCKED, HostPorts, Structure, closing_chain, names};
use crate::service::{Opening, Ports, Protocol};

/// Three chains for each kind of closure: for packets from such an address, from this host to it, and
/// from a container with a published port to it.
///
/// A block drops every packet from the address. Outbound packets, and denials, are limited to the
/// services and media of this host and to SIP over TCP: flows that the host began from other ports
/// continue.
pub(super) fn chains(structure: &Structure) -> String {
    let counted = format!("counter name {}", names::BLOCKED);
    let nothing = Opening::default();
    let mut text = to_discard_port();
    text += &format!("\tchain {} {{\n\t\t{counted} drop\n\t}}\n", closing_chain("in", BLOCKED));
    text += &outwards(BLOCKED, &nothing, structure, &counted);
    let counted = format!("counter name {}", names::DENIED);
    for (name, granted) in &structure.closures {
        let watched = requests::agents(structure) + &knocks::accepts(structure);
        text += &inwards(name, granted, &structure.ports.services, &watched, &counted);
        text += &outwards(name, granted, structure, &counted);
    }
    text
}

/// Sends packets nowhere: they are routed to the loopback interface and dropped there. With a plain
/// drop in the output hook, the PBX's `sendto` would fail (EPERM) for each packet of a call, and some
/// PBXs log each failure. Port 9 is "discard" (RFC 863).
fn to_discard_port() -> String {
    "\tchain to_discard_port {\n\t\tudp dport set 9\n\t\tip daddr set 127.0.0.1\n\t\tip6 daddr set ::1\n\t}\n\
     \tchain loopback {\n\
     \t\tudp dport 9 ip daddr 127.0.0.1 ip saddr != 127.0.0.0/8 drop\n\
     \t\tudp dport 9 ip6 daddr ::1 ip6 saddr != ::1 drop\n\
     \t\taccept\n\
     \t}\n"
        .to_owned()
}

/// An address at which a user's lease has ended is denied: its phone may register again, so what is
/// `watched` comes before.
fn inwards(
    name: &str,
    granted: &Opening,
    services: &Opening,
    watched: &str,
    counted: &str,
) -> String {
    let mut text = format!("\tchain {} {{\n", closing_chain("in", name));
    // Packets addressed to another host are left alone.
    text.push_str("\t\tfib daddr type unicast return\n");
    text += &rules(Side::Destination, &granted.ports, "return");
    text += watched;
    text += &single_rules(Side::Destination, &services.ports, &format!("{counted} drop"));
    text += &ping(services.ping && !granted.ping, &format!("{counted} drop"));
    text.push_str("\t}\n");
    text
}

/// To the PBX, a closed address looks like an unplugged phone: datagrams get no answer, and TCP
/// connections are reset.
fn outwards(name: &str, granted: &Opening, structure: &Structure, counted: &str) -> String {
    let mut text = String::new();
    for hook in ["out", "forward"] {
        let _ = writeln!(text, "\tchain {} {{", closing_chain(hook, name));
        text += &rules(Side::Source, &granted.ports, "return");
        if name != BLOCKED {
            text += &knocks::accepts_outwards(structure, hook);
        }
        text += &nothing_but(granted, hook, structure, counted);
        text.push_str("\t}\n");
    }
    text
}

/// The rules that let no service send to an address.
pub(super) fn all_outwards(hook: &str, structure: &Structure, counted: &str) -> String {
    nothing_but(&Opening::default(), hook, structure, counted)
}

/// The rules that let no service send, behind those for what is granted.
fn nothing_but(granted: &Opening, hook: &str, structure: &Structure, counted: &str) -> String {
    let ports = &structure.ports;
    let (udp, tcp) = match hook {
        "out" => ("goto to_discard_port", "reject with tcp reset"),
        _ => ("drop", "drop"),
    };
    let (datagrams, streams): (Vec<Ports>, Vec<Ports>) =
        ports.services.ports.iter().partition(|ports| ports.protocol == Protocol::Udp);
    let mut text = single_rules(Side::Source, &datagrams, &format!("{counted} {udp}"));
    text += &single_rules(Side::Source, &streams, &format!("{counted} {tcp}"));
    text += &calls(granted, ports, &format!("{counted} {tcp}"));
    text
}

/// SIP connections that this host itself opens, whatever its local port.
fn calls(granted: &Opening, ports: &HostPorts, verdict: &str) -> String {
    const USUAL: Ports = Ports::new(Protocol::Tcp, 5060, 5061);
    let reached = crate::service::merge(ports.sip_tcp.iter().copied().chain([USUAL]).collect());
    let granted: Vec<Ports> = granted.of(Protocol::Tcp).copied().collect();
    let mut text = rules(Side::Destination, &granted, "return");
    text += &single_rules(Side::Destination, &reached, verdict);
    text
}
