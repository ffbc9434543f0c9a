//! What is granted under conditions: hours by the kernel's clock, leases by sets with timeouts.

use std::fmt::Write as _;

use super::ports::{Side, offered, rules};
use crate::condition::{IN_CALL, LEASE, LEASE_END};
use crate::learned::SetSpec;
use crate::ruleset::{ConditionChain, HostPorts, Structure, keeping_chain, names, renewal_chain};

/// The fields with the sender's address, and the digit in the names of sets, by family.
const SENDERS: [(&str, char); 2] = [("ip saddr", '4'), ("ip6 saddr", '6')];

pub(super) fn chains(structure: &Structure) -> String {
    let mut text = String::new();
    for idle in structure.idle_limits() {
        let _ = writeln!(text, "\tchain {} {{", renewal_chain(idle));
        text += &renews(idle);
        text.push_str("\t\taccept\n\t}\n");
        text += &keeps(idle);
    }
    for (name, chain) in &structure.conditions {
        text += &condition(name, chain, &structure.ports);
    }
    text
}

/// The rules by which accepted packets of running flows keep leases alive: each address has the limit of its
/// own leases.
pub(super) fn keeping_alive(structure: &Structure) -> String {
    if structure.idle_limits().is_empty() {
        return String::new();
    }
    let (kept4, kept6) = (names::KEPT_V4, names::KEPT_V6);
    format!("\t\tip saddr vmap @{kept4}\n\t\tip6 saddr vmap @{kept6}\n")
}

/// Renews a lease that is there, and none that has ended.
fn keeps(idle: u64) -> String {
    let mut text = format!("\tchain {} {{\n", keeping_chain(idle));
    for (sender, digit) in SENDERS {
        let (set, renewed) = (named(&LEASE, digit), renewal_chain(idle));
        let _ = writeln!(text, "\t\t{sender} @{set} goto {renewed}");
    }
    text.push_str("\t\taccept\n\t}\n");
    text
}

/// The rules by which packets of media make their sender one that is in a call.
pub(super) fn calling(structure: &Structure) -> String {
    match structure.watches_calls() {
        true => calls(&structure.ports),
        false => String::new(),
    }
}

/// Only where this host sends too: a packet to a media port is no call, and its sender may be forged.
fn calls(ports: &HostPorts) -> String {
    let mut text = String::new();
    for (sender, digit) in SENDERS {
        let set = named(&IN_CALL, digit);
        let update = format!("ct state established update @{set} {{ {sender} }}");
        text += &rules(Side::Destination, &ports.media, &update);
    }
    text
}

fn renews(idle: u64) -> String {
    SENDERS.iter().fold(String::new(), |mut text, (sender, digit)| {
        let set = named(&LEASE, *digit);
        let _ = writeln!(text, "\t\tupdate @{set} {{ {sender} timeout {idle}s }}");
        text
    })
}

/// The rules that lead on within windows of time, and for calls that run at their end.
pub(super) fn during(windows: &[(i64, i64)], ports: &HostPorts, follows: &str) -> String {
    let mut text = String::new();
    for (from, to) in windows {
        let _ = writeln!(text, "\t\tmeta time >= {from} meta time < {to} {follows}");
    }
    for (sender, digit) in SENDERS {
        let runs = format!("{sender} @{} {follows}", named(&IN_CALL, digit));
        text += &rules(Side::Destination, &ports.of_calls, &runs);
    }
    text
}

/// Returns where the condition is not met, or the packet asks for something else.
fn condition(name: &str, chain: &ConditionChain, ports: &HostPorts) -> String {
    let mut text = format!("\tchain {name} {{\n");
    if let Some(windows) = &chain.windows {
        text += &during(windows, ports, &format!("goto {name}.open"));
        let _ = write!(text, "\t}}\n\tchain {name}.open {{\n");
    }
    if chain.idle.is_some() {
        for (sender, digit) in SENDERS {
            let lease = named(&LEASE, digit);
            for other in [&LEASE_END, &IN_CALL] {
                let other = named(other, digit);
                let _ = writeln!(text, "\t\t{sender} @{lease} {sender} @{other} goto {name}.met");
            }
        }
        let _ = write!(text, "\t}}\n\tchain {name}.met {{\n");
    }
    text += &calls(ports);
    let verdict =
        chain.idle.map_or("accept".to_owned(), |idle| format!("goto {}", renewal_chain(idle)));
    match &chain.opening {
        None => {
            let _ = writeln!(text, "\t\t{verdict}");
        }
        Some(opening) => text += &offered(opening, &verdict),
    }
    text.push_str("\t}\n");
    text
}

fn named(set: &SetSpec, digit: char) -> String {
    format!("{}{digit}", set.name)
}
