//! Where packets come in, and what is decided before anybody is a stranger.

use super::ports::{Side, rules, single_rules};
use super::trial;
use crate::Family;
use crate::address::from_number;
use crate::cut::CUT_TIMEOUT;
use crate::ruleset::{ListSet, StrangersShare, Structure, names};
use crate::service::Ports;

/// A flow as it comes in, as the key of the sets of cut flows.
const FLOW_V4: &str = "ip saddr . meta l4proto . th sport . th dport";
const FLOW_V6: &str = "ip6 saddr . meta l4proto . th sport . th dport";

/// The two places in prerouting where packets enter, and one in the input hook.
///
/// Both stand before the addresses of published container ports are rewritten (-100), so that those
/// are judged as what the sender asked for. `guard` comes before connection tracking (-200): what is
/// closed is closed to running flows too, and in mode allowlist signalling and a stranger's first TCP
/// packet, which can never be an answer, are judged before they cost a connection entry. `gate`
/// judges the rest behind it; in mode open everything, as a packet that is judged twice would be
/// counted twice against the limits.
///
/// What is addressed to another host is no business of theirs. Whether it is so they ask the
/// kernel's table of local addresses; but rules of routing may have others delivered here (a VRF,
/// a transparent proxy), and what comes in that way is judged by `late`.
pub(super) fn chains(structure: &Structure) -> String {
    let mut text = guard(structure);
    text += &gate(structure);
    text += &running(structure);
    text += &essential();
    text += &late(structure);
    text += &judged(structure);
    text
}

fn signalling_rules(structure: &Structure, verdict: &str) -> String {
    let ports = structure.ports.sip.iter().chain(&structure.ports.iax);
    single_rules(Side::Destination, &crate::service::merge(ports.copied().collect()), verdict)
}

/// ICMP and ICMPv6 by their numbers: a small system has no /etc/protocols to find "ipv6-icmp" in.
const ICMP_ESSENTIAL: &str =
    "\t\tmeta l4proto 1 jump essential\n\t\tmeta l4proto 58 jump essential\n";
const DHCP_ESSENTIAL: &str = "\t\tudp dport 68 jump essential\n\t\tudp dport 546 jump essential\n";

fn guard(structure: &Structure) -> String {
    let closed = format!(
        "\t\tip saddr vmap @{}\n\t\tip6 saddr vmap @{}\n",
        names::CLOSED_IN_V4,
        names::CLOSED_IN_V6
    );
    let (datagrams, streams) = match structure.open {
        None => (
            signalling_rules(structure, "goto guard_signalling"),
            "\t\ttcp flags & (fin | syn | rst | ack) == syn goto fresh\n",
        ),
        Some(_) => (String::new(), ""),
    };
    format!(
        "\tchain guard_signalling {{\n\
{closed}\
         \t\tgoto fresh\n\
         \t}}\n\
         \tchain guard_udp {{\n\
{datagrams}\
{DHCP_ESSENTIAL}\
{closed}\
         \t}}\n\
         \tchain guard {{\n\
         \t\ttype filter hook prerouting priority -300; policy accept;\n\
{trial}\
         \t\tiif \"lo\" goto loopback\n\
         \t\tmeta l4proto 17 goto guard_udp\n\
{ICMP_ESSENTIAL}\
{closed}\
{streams}\
         \t}}\n",
        trial = trial(structure)
    )
}

/// Signalling comes first, as each of its packets is judged, within a flow or not: in mode allowlist
/// `guard` has done so.
fn gate(structure: &Structure) -> String {
    let judged = if structure.open.is_some() { "goto fresh" } else { "accept" };
    let signalling = signalling_rules(structure, judged);
    format!(
        "\tchain gate {{\n\
         \t\ttype filter hook prerouting priority -150; policy accept;\n\
{trial}\
         \t\tiif \"lo\" accept\n\
{signalling}\
         \t\tct state established,related goto running\n\
{ICMP_ESSENTIAL}\
{DHCP_ESSENTIAL}\
         \t\tgoto fresh\n\
         \t}}\n",
        trial = trial(structure)
    )
}

/// Packets of running flows, signalling left out.
///
/// A stream of **media** that runs is one to which this host sends: it belongs to a call of the PBX. A
/// flow that was **cut** stays so for as long as its peer
/// goes on sending: each of its packets that comes to `ended` begins the time of its element anew.
/// Only what is in the set gets there, so no stranger can fill it.
///
/// What strangers were admitted to in mode open stays under its limits, also within one flow: a
/// guesser of passwords needs but one, and each packet prolongs an entry of connection tracking.
/// Their UDP flows are told by their short time-out.
fn running(structure: &Structure) -> String {
    let ports = &structure.ports;
    let mut text = "\tchain running {\n".to_owned();
    let media = rules(Side::Destination, &ports.media, "accept");
    // Calls of strangers to whom the media ports were open go on when these are closed.
    let media_is_open = ports.media_from_anybody
        || structure.open.as_ref().is_some_and(|open| {
            let is_open = |ports: &Ports| open.opening.contains(ports.protocol, ports.first);
            ports.media.iter().any(is_open)
        });
    if !media_is_open {
        text += &media;
    }
    if structure.open.is_some() || ports.media_from_anybody {
        let short = StrangersShare::UDP_TIMEOUT + 1;
        text += &format!(
            "\t\tct direction original meta l4proto 17 ct expiration < {short}s goto fresh\n"
        );
    }
    if media_is_open {
        text += &media;
    }
    let (cuts4, cuts6, lasts) = (names::CUTS_V4, names::CUTS_V6, CUT_TIMEOUT.as_secs());
    text += &format!(
        "\t\t{FLOW_V4} @{cuts4} goto ended\n\
         \t\t{FLOW_V6} @{cuts6} goto ended\n\
         \t\tct state established ct direction original meta l4proto != {{ tcp, udp }} goto fresh\n"
    );
    if let Some(open) = &structure.open {
        for ports in super::ports::matches(Side::Destination, &open.limited.ports) {
            text += &format!("\t\tct direction original {ports} goto fresh\n");
        }
    }
    text += &format!(
        "\t\taccept\n\
         \t}}\n\
         \tchain ended {{\n\
         \t\tupdate @{cuts4} {{ {FLOW_V4} timeout {lasts}s }}\n\
         \t\tupdate @{cuts6} {{ {FLOW_V6} timeout {lasts}s }}\n\
         \t\tgoto judged\n\
         \t}}\n"
    );
    text
}

/// What IPv4 and IPv6 cannot work without.
fn essential() -> String {
    "\tchain essential {\n\
     \t\ticmp type destination-unreachable icmp code frag-needed accept\n\
     \t\ticmpv6 type packet-too-big accept\n\
     \t\ticmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept\n\
     \t\ticmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } ip6 saddr fe80::/10 ip6 hoplimit 1 accept\n\
     \t\tmeta nfproto ipv4 udp sport 67 udp dport 68 fib daddr type broadcast accept\n\
     \t\tip6 saddr fe80::/10 udp sport 547 udp dport 546 accept\n\
     \t}\n"
        .to_owned()
}

fn late(structure: &Structure) -> String {
    format!(
        "\tchain late {{\n\
         \t\ttype filter hook input priority -150; policy accept;\n\
{trial}\
{signalling}\
         \t\tct state established,related accept\n\
         \t\tiif \"lo\" accept\n\
         \t\tfib daddr type != unicast accept\n\
{ICMP_ESSENTIAL}\
{DHCP_ESSENTIAL}\
         \t\tgoto judged\n\
         \t}}\n\
         \tchain late_signalling {{\n\
         \t\tiif \"lo\" accept\n\
         \t\tfib daddr type != unicast accept\n\
         \t\tgoto judged\n\
         \t}}\n",
        trial = trial(structure),
        signalling = signalling_rules(structure, "goto late_signalling"),
    )
}

/// The judgement of a packet that is addressed to this host. Lists are asked only in open mode, and
/// behind the peers that this host made known itself: otherwise a stranger meets silence, listed or
/// not.
fn judged(structure: &Structure) -> String {
    let mut text = format!(
        "\tchain fresh {{\n\
         \t\tfib daddr type unicast accept\n\
         \t\tgoto judged\n\
         \t}}\n\
         \tchain judged {{\n\
         \t\tip saddr vmap @{}\n\
         \t\tip saddr vmap @{}\n\
         \t\tip6 saddr vmap @{}\n\
         \t\tip6 saddr vmap @{}\n",
        names::HOSTS_V4,
        names::ACCOUNTS_V4,
        names::HOSTS_V6,
        names::ACCOUNTS_V6
    );
    if structure.open.is_some() {
        text.push_str("\t\tjump known_peers\n");
        for set in structure.list_sets.all() {
            text += &format!("\t\t{} @{} goto listed\n", looked_up(&set), set.name);
        }
        text.push_str("\t\tgoto admission\n\t}\n");
    } else {
        text.push_str("\t\tgoto strangers\n\t}\n");
    }
    text
}

/// What of a packet is looked for in a set of lists: `ip saddr & 255.255.255.0`.
fn looked_up(set: &ListSet) -> String {
    let source = match set.family {
        Family::V4 => "ip saddr",
        Family::V6 => "ip6 saddr",
    };
    let bits = set.family.bits();
    match set.prefix {
        Some(prefix) if prefix < bits => {
            let hosts = set.family.highest() >> prefix;
            let mask = from_number(set.family, set.family.highest() & !hosts);
            format!("{source} & {mask}")
        }
        _ => source.to_owned(),
    }
}
