//! Addresses that no account covers: what they can reach, under which limits, and with which share of
//! connection tracking.

use std::fmt::Write as _;

use super::over::DROPPED;
use super::ports::{Side, offered, ping, rules};
use super::{conditions, knocks, requests};
use crate::config::Rate;
use crate::ruleset::{OpenServices, StrangersShare, Structure, names};
use crate::service::Opening;

/// How many packets of listed addresses are counted by address in a second, of each family.
pub const COUNTED_BY_ADDRESS: u64 = 1_000;

/// Whether strangers may begin any flow.
fn admits(structure: &Structure) -> bool {
    structure.open.is_some() || structure.ports.media_from_anybody
}

/// The timeouts of strangers' flows. The names contain the values: an existing object keeps the values
/// with which it was first loaded.
pub(super) fn timeouts(structure: &Structure) -> String {
    if !admits(structure) {
        return String::new();
    }
    let (udp, tcp) = (StrangersShare::UDP_TIMEOUT, StrangersShare::TCP_TIMEOUT);
    let mut text = String::new();
    for (number, family) in [(4, "ip"), (6, "ip6")] {
        // Plain seconds: nft 1.0.6 does not take "3s" here.
        let _ = write!(
            text,
            "\tct timeout {} {{\n\t\tprotocol udp;\n\t\tl3proto {family}\n\
             \t\tpolicy = {{ unreplied : {udp}, replied : {udp} }}\n\t}}\n\
             \tct timeout {} {{\n\t\tprotocol tcp;\n\t\tl3proto {family}\n\
             \t\tpolicy = {{ syn_sent : {tcp}, syn_recv : {tcp} }}\n\t}}\n",
            timeout_name("udp", number),
            timeout_name("tcp", number),
        );
    }
    text
}

fn timeout_name(protocol: &str, number: u8) -> String {
    let seconds = match protocol {
        "udp" => StrangersShare::UDP_TIMEOUT,
        _ => StrangersShare::TCP_TIMEOUT,
    };
    format!("strangers_{protocol}{number}_{seconds}s")
}

/// The sets of strangers' running media streams. An existing set keeps its size, so the name contains
/// it.
pub(super) fn streams(structure: &Structure) -> String {
    if !admits(structure) {
        return String::new();
    }
    let (size, timeout) = (structure.share.streams(), StrangersShare::UDP_TIMEOUT);
    let mut text = String::new();
    for (number, address) in [(4, "ipv4_addr"), (6, "ipv6_addr")] {
        let name = streams_name(structure.share, number);
        let _ = write!(
            text,
            "\tset {name} {{\n\t\ttype {address} . inet_service . inet_service\n\t\tsize {size}\n\
             \t\tflags dynamic,timeout\n\t\ttimeout {timeout}s\n\t}}\n"
        );
    }
    text
}

fn streams_name(share: StrangersShare, number: u8) -> String {
    format!("streams{number}_{}_{}s", share.streams(), StrangersShare::UDP_TIMEOUT)
}

pub(super) fn chains(structure: &Structure) -> String {
    // An account that does not grant the service gets here, exempt from the lists.
    let mut text = "\tchain strangers {\n\t\tjump known_peers\n".to_owned();
    text += &requests::agents(structure);
    text += "\t\tgoto open_services\n\t}\n";
    text += &admission(structure);
    if let Some(open) = &structure.open {
        text += &listed(structure);
        text += &rate_limits(open);
        text += &admitted(structure);
    }
    if admits(structure) {
        text += &media(structure);
    }
    text
}

/// Accepts what strangers may reach, and drops the rest.
fn admission(structure: &Structure) -> String {
    let (open, ports) = (structure.open.as_ref(), &structure.ports);
    let mut text = String::new();
    let mut admission = "\tchain open_services {\n".to_owned();
    if let Some(open) = open.filter(|open| open.admissions.is_empty()) {
        admission += &admitting(&open.limited, &open.opening);
    }
    for part in open.iter().flat_map(|open| &open.admissions) {
        let offered = admitting(&part.limited, &part.opening);
        let Some(chain) = &part.chain else {
            admission += &offered;
            continue;
        };
        let _ = write!(text, "\tchain {chain} {{\n{offered}\t}}\n");
        admission += &conditions::during(&part.windows, ports, &format!("jump {chain}"));
    }
    admission += &knocks::drops(structure);
    admission.push_str("\t}\n");
    text + &admission
}

/// Sends what open services offer to its limits.
fn admitting(limited: &Opening, opening: &Opening) -> String {
    let mut text = offered(limited, "goto rate_limits");
    text += &rules(Side::Destination, &opening.ports, "goto strangers_new_flows");
    text += &ping(opening.ping, "goto strangers_ping");
    text
}

/// Counts each listed address by itself, so that the lists can be told apart that hold it: up to
/// so many packets a second, as an entry for each address of a flood would cost more than all the
/// rest. Beyond, and where the set is full, the packet is dropped all the same, and counted in the
/// sum.
fn listed(structure: &Structure) -> String {
    let limit =
        format!("limit rate {COUNTED_BY_ADDRESS}/second burst {COUNTED_BY_ADDRESS} packets");
    format!(
        "\tchain blocklisted {{\n\
         \t\tmeta nfproto ipv4 {limit} update @{} {{ ip saddr counter }}\n\
         \t\tmeta nfproto ipv6 {limit} update @{} {{ ip6 saddr counter }}\n\
         \t\tcounter name {}\n\
         {}\
         \t\tdrop\n\
         \t}}\n",
        names::HITS_V4,
        names::HITS_V6,
        names::LISTED,
        knocks::listens(structure),
    )
}

/// The limit of each source, and behind it that of all together: a full meter no longer counts
/// new sources, and then the second one still holds.
fn rate_limits(open: &OpenServices) -> String {
    let (source, dropped) = (over(open.per_source), DROPPED);
    let limited = limited();
    let (meter4, meter6) = (names::METER_V4, names::METER_V6);
    format!(
        "\tchain rate_limits {{\n\
         \t\tupdate @{meter4} {{ ip saddr {source} }} {dropped}\n\
         \t\tupdate @{meter6} {{ ip6 saddr & ffff:ffff:ffff:ffff:: {source} }} {dropped}\n\
         \t\t{} {limited}\n\
         \t\tgoto strangers_new_flows\n\
         \t}}\n",
        over(open.total)
    )
}

/// Limits each packet that begins or prolongs a connection tracking entry.
fn admitted(structure: &Structure) -> String {
    let (share, limited) = (structure.share, limited());
    let begins = |protocol, rate| {
        format!("\t\tct state new meta l4proto {protocol} {} {limited}\n", over(rate))
    };
    let mut text = "\tchain strangers_new_flows {\n".to_owned();
    text += &rules(Side::Destination, &structure.ports.media, "goto strangers_media");
    text += &begins(17, share.new_udp());
    let _ = writeln!(text, "\t\tmeta l4proto 17 {} {limited}", over(share.udp()));
    text += &accepted_for("udp");
    text += &begins(6, share.new_tcp());
    text += &accepted_for("tcp");
    text.push_str("\t\taccept\n\t}\n");
    let pings = over(share.pings());
    let _ = write!(text, "\tchain strangers_ping {{\n\t\t{pings} {limited}\n\t\taccept\n\t}}\n");
    text
}

/// Running streams continue, whoever else sends; new ones are rate-limited. If the set is full, no new
/// stream can begin.
fn media(structure: &Structure) -> String {
    let share = structure.share;
    let limited = limited();
    let calling = conditions::calling(structure);
    let (mut runs, mut goes_on) = (String::new(), String::new());
    for (number, family, address) in [(4, "ipv4", "ip"), (6, "ipv6", "ip6")] {
        let stream = format!("{address} saddr . udp sport . udp dport");
        let (set, timeout) = (streams_name(share, number), timeout_name("udp", number));
        let _ = writeln!(runs, "\t\t{stream} @{set} goto strangers_stream");
        let _ = writeln!(
            goes_on,
            "\t\tmeta nfproto {family} update @{set} {{ {stream} }} ct timeout set \"{timeout}\" accept"
        );
    }
    format!(
        "\tchain strangers_stream {{\n\
{calling}\
{goes_on}\
         \t\t{limited}\n\
         \t}}\n\
         \tchain strangers_media {{\n\
{runs}\
         \t\t{} {limited}\n\
         \t\tgoto strangers_stream\n\
         \t}}\n",
        over(share.new_streams()),
    )
}

/// Accepts, with the short timeout for a new flow.
fn accepted_for(protocol: &str) -> String {
    let number = if protocol == "udp" { 17 } else { 6 };
    let mut text = String::new();
    for (digit, family) in [(4, "ipv4"), (6, "ipv6")] {
        let name = timeout_name(protocol, digit);
        let _ = writeln!(
            text,
            "\t\tmeta nfproto {family} meta l4proto {number} ct timeout set \"{name}\" accept"
        );
    }
    text
}

fn over(rate: Rate) -> String {
    format!("limit rate over {}/second burst {} packets", rate.packets, rate.burst)
}

fn limited() -> String {
    format!("counter name {} drop", names::LIMITED)
}
