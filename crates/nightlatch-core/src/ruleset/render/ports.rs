//! Rule matches for ports and services.

use std::fmt::Write as _;

use crate::service::{Opening, Ports, Protocol};

/// Which port of a packet is matched: this host's port is the destination port of inbound packets and
/// the source port of outbound ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Destination,
    Source,
}

impl Side {
    const fn word(self) -> &'static str {
        match self {
            Side::Destination => "dport",
            Side::Source => "sport",
        }
    }
}

/// `tcp dport { 80, 443 }`, and each run of ports by itself: `udp dport 10000-20000`.
///
/// A run inside the braces would make a set of intervals of them, and such a set inside a rule is
/// empty for the moment in which its transaction takes hold (seen on kernel 6.18): packets of
/// everybody would be misjudged at each change.
pub(super) fn matches(side: Side, ports: &[Ports]) -> Vec<String> {
    let side = side.word();
    let mut matches = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let of = ports.iter().filter(|ports| ports.protocol == protocol);
        let (single, runs): (Vec<&Ports>, Vec<&Ports>) =
            of.partition(|ports| ports.first == ports.last);
        match single.as_slice() {
            [] => {}
            [one] => matches.push(format!("{protocol} {side} {}", one.first)),
            several => {
                let single: Vec<String> =
                    several.iter().map(|ports| ports.first.to_string()).collect();
                matches.push(format!("{protocol} {side} {{ {} }}", single.join(", ")));
            }
        }
        let run = |ports: &&Ports| format!("{protocol} {side} {}-{}", ports.first, ports.last);
        matches.extend(runs.iter().map(run));
    }
    matches
}

/// One rule for each match: the match, then what follows.
pub(super) fn rules(side: Side, ports: &[Ports], follows: &str) -> String {
    matches(side, ports).into_iter().fold(String::new(), |mut text, ports| {
        let _ = writeln!(text, "\t\t{ports} {follows}");
        text
    })
}

/// One rule for each run of ports, without sets in braces: for rules whose miss would accept a packet,
/// and for few ports that must be matched quickly. While a transaction is being committed, a packet may
/// still traverse the old rules and find their sets already empty.
pub(super) fn single_rules(side: Side, ports: &[Ports], follows: &str) -> String {
    ports.iter().fold(String::new(), |mut text, ports| {
        let _ = writeln!(text, "\t\t{} {} {} {follows}", ports.protocol, side.word(), run(*ports));
        text
    })
}

/// One rule for each run of ports, for a chain to which only packets of their protocol come: `tcp dport` would
/// look at the protocol again.
pub(super) fn of_known_protocol(ports: &[Ports], follows: &str) -> String {
    ports.iter().fold(String::new(), |mut text, ports| {
        let _ = writeln!(text, "\t\tth dport {} {follows}", run(*ports));
        text
    })
}

/// `5060`, or `10000-20000`.
pub(super) fn run(ports: Ports) -> String {
    match ports.first == ports.last {
        true => ports.first.to_string(),
        false => format!("{}-{}", ports.first, ports.last),
    }
}

/// The rules for all ports of an opening and for ping, inbound.
pub(super) fn offered(opening: &Opening, follows: &str) -> String {
    rules(Side::Destination, &opening.ports, follows) + &ping(opening.ping, follows)
}

/// The rules for echo requests.
pub(super) fn ping(wanted: bool, follows: &str) -> String {
    if !wanted {
        return String::new();
    }
    format!("\t\ticmp type echo-request {follows}\n\t\ticmpv6 type echo-request {follows}\n")
}

/// Rules that send two kinds of UDP ports to one chain each. One comparison for each run of ports: there
/// are few, and each costs a tenth of a set lookup.
pub(super) fn dispatch(side: Side, kinds: [(&[Ports], &str); 2]) -> String {
    kinds.into_iter().map(|(ports, verdict)| single_rules(side, ports, verdict)).collect()
}
