//! The inbound base chains, and the decisions made before a packet counts as a stranger's.

use super::ports::{Side, rules, single_rules};
use super::{bans, datagrams, limits, requests, trial};
use crate::Family;
use crate::address::from_number;
use crate::cut::CUT_TIMEOUT;
use crate::ruleset::{BLOCKED, ListSet, StrangersShare, Structure, closing_chain, names};
use crate::service::Ports;

/// The key of an inbound flow in the sets of cut flows.
const FLOW_V4: &str = "ip saddr . meta l4proto . th sport . th dport";
const FLOW_V6: &str = "ip6 saddr . meta l4proto . th sport . th dport";

/// Two base chains in prerouting, and one in the input hook.
///
/// The first two run before the addresses of published container ports are rewritten (-100), so that
/// packets are filtered on their original destination. `raw_prerouting` runs before connection tracking (-200):
/// blocks and denials apply to running flows too, and in allowlist mode signalling and TCP SYN packets,
/// which can never be replies, are judged before they create a connection tracking entry. `prerouting` runs
/// after it and judges the rest; in open mode it judges all of them, since a packet that is judged
/// twice would count twice against the limits.
///
/// Both leave packets to other hosts alone, according to the kernel's table of local addresses. Policy
/// routing may deliver further packets locally (a VRF, a transparent proxy); `input` judges those.
pub(super) fn chains(structure: &Structure, judges: PreroutingJudges) -> String {
    let mut text = raw_prerouting(structure);
    text += &prerouting(structure, judges);
    text += &established(structure);
    text += &essential();
    text += &input(structure);
    text += &dispatch(structure);
    text
}

/// Which signalling `prerouting` judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PreroutingJudges {
    /// What `raw_prerouting` has not judged.
    TheRest,
    /// All of it: a packet that is on its way from `raw_prerouting` to `prerouting` while rules are loaded has passed
    /// the old rules of `raw_prerouting`, which may not have judged it, and meets the new ones of `prerouting`.
    All,
}

fn signalling_rules(structure: &Structure, verdict: &str) -> String {
    let ports = structure.ports.sip.iter().chain(&structure.ports.iax);
    single_rules(Side::Destination, &crate::service::merge(ports.copied().collect()), verdict)
}

/// ICMP and ICMPv6 by number: a minimal system has no /etc/protocols to resolve "ipv6-icmp".
const ICMP_ESSENTIAL: &str =
    "\t\tmeta l4proto 1 jump essential\n\t\tmeta l4proto 58 jump essential\n";
pub(super) const DHCP_ESSENTIAL: &str =
    "\t\tudp dport 68 jump essential\n\t\tudp dport 546 jump essential\n";

/// The chains `raw_drop_closed...` return only for blocked addresses (see
/// [`closing_chain`](crate::ruleset::closing_chain)); for all others they end with a verdict.
fn raw_prerouting(structure: &Structure) -> String {
    let closed = format!(
        "{}{}\t\tip saddr vmap @{}\n\t\tip6 saddr vmap @{}\n",
        bans::lookups("in"),
        limits::lookups(structure),
        names::CLOSED_IN_V4,
        names::CLOSED_IN_V6
    );
    let blocked = closing_chain("in", BLOCKED);
    let (datagrams, streams) = match structure.open {
        None => (
            signalling_rules(structure, "goto raw_signalling"),
            format!(
                "\t\ttcp flags & (fin | syn | rst | ack) == syn goto {}\n",
                super::knocks::syn_chain(structure)
            ),
        ),
        Some(_) => (String::new(), String::new()),
    };
    format!(
        "\tchain raw_drop_closed_signalling {{\n\
{closed}\
         \t\tgoto {signalling_chain}\n\
         \t}}\n\
         \tchain raw_drop_closed_udp {{\n\
{closed}\
         \t\taccept\n\
         \t}}\n\
         \tchain raw_drop_closed {{\n\
{closed}\
{streams}\
         \t\taccept\n\
         \t}}\n\
         \tchain raw_signalling {{\n\
         \t\tjump raw_drop_closed_signalling\n\
         \t\tgoto {blocked}\n\
         \t}}\n\
         \tchain raw_udp {{\n\
{datagrams}\
{DHCP_ESSENTIAL}\
         \t\tjump raw_drop_closed_udp\n\
         \t\tgoto {blocked}\n\
         \t}}\n\
         \tchain raw_prerouting {{\n\
         \t\ttype filter hook prerouting priority -300; policy accept;\n\
{trial}\
         \t\tiif \"lo\" goto loopback\n\
         \t\tmeta l4proto 17 goto raw_udp\n\
{ICMP_ESSENTIAL}\
         \t\tjump raw_drop_closed\n\
         \t\tgoto {blocked}\n\
         \t}}\n",
        trial = trial(structure),
        signalling_chain = datagrams::signalling_chain(structure),
    )
}

/// Signalling comes first, because each of its packets is judged, within a flow or not. In allowlist
/// mode, `raw_prerouting` has already done so.
fn prerouting(structure: &Structure, judges: PreroutingJudges) -> String {
    let is_judged = structure.open.is_none() && judges == PreroutingJudges::TheRest;
    let judged = if is_judged { "accept" } else { "goto to_this_host" };
    let signalling = signalling_rules(structure, judged);
    format!(
        "\tchain prerouting {{\n\
         \t\ttype filter hook prerouting priority -150; policy accept;\n\
{trial}\
         \t\tiif \"lo\" accept\n\
{signalling}\
         \t\tct state established,related goto established\n\
{datagrams}\
{ICMP_ESSENTIAL}\
         \t\tgoto to_this_host\n\
         \t}}\n",
        trial = trial(structure),
        datagrams = datagrams::in_prerouting(structure),
    )
}

/// Packets of established flows, except signalling.
///
/// An established **media** stream is one to which this host sends: it belongs to a call of the PBX. A
/// flow that was **cut** stays cut for as long as its peer keeps sending: each of its packets that
/// reaches `cut_flows` restarts the timeout of its element. Only flows in the set get there, so strangers
/// cannot fill it.
///
/// In open mode, strangers' flows stay under the limits: one flow is enough to guess passwords, and
/// each packet prolongs a connection tracking entry. Their UDP flows are recognised by their short
/// timeout.
fn established(structure: &Structure) -> String {
    let ports = &structure.ports;
    let mut text = "\tchain established {\n".to_owned();
    // A packet that keeps a lease alive does so only where it is accepted.
    let alive = super::conditions::keeping_alive(structure);
    let calling = super::conditions::calling(structure);
    let accepted = if alive.is_empty() { "accept" } else { "goto established_accepted" };
    let media = calling + &rules(Side::Destination, &ports.media, accepted);
    // Strangers' calls that began while the media ports were open continue after these are closed.
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
            "\t\tct direction original meta l4proto 17 ct expiration < {short}s goto to_this_host\n"
        );
    }
    if media_is_open {
        text += &media;
    }
    let (cuts4, cuts6, lasts) = (names::CUTS_V4, names::CUTS_V6, CUT_TIMEOUT.as_secs());
    text += &format!(
        "\t\t{FLOW_V4} @{cuts4} goto cut_flows\n\
         \t\t{FLOW_V6} @{cuts6} goto cut_flows\n\
         \t\tct state established ct direction original meta l4proto != {{ tcp, udp }} goto to_this_host\n"
    );
    if let Some(open) = &structure.open {
        for ports in super::ports::matches(Side::Destination, &open.limited.ports) {
            text += &format!("\t\tct direction original {ports} goto to_this_host\n");
        }
    }
    text += &format!(
        "{alive}\
         \t\taccept\n\
         \t}}\n\
         \tchain cut_flows {{\n\
         \t\tupdate @{cuts4} {{ {FLOW_V4} timeout {lasts}s }}\n\
         \t\tupdate @{cuts6} {{ {FLOW_V6} timeout {lasts}s }}\n\
         \t\tgoto accounts\n\
         \t}}\n"
    );
    if !alive.is_empty() {
        text += &format!("\tchain established_accepted {{\n{alive}\t\taccept\n\t}}\n");
    }
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

fn input(structure: &Structure) -> String {
    format!(
        "\tchain input {{\n\
         \t\ttype filter hook input priority -150; policy accept;\n\
{trial}\
{signalling}\
         \t\tct state established,related accept\n\
         \t\tiif \"lo\" accept\n\
         \t\tfib daddr type != unicast accept\n\
{ICMP_ESSENTIAL}\
{DHCP_ESSENTIAL}\
         \t\tgoto accounts\n\
         \t}}\n\
         \tchain input_signalling {{\n\
         \t\tiif \"lo\" accept\n\
         \t\tfib daddr type != unicast accept\n\
         \t\tgoto accounts\n\
         \t}}\n",
        trial = trial(structure),
        signalling = signalling_rules(structure, "goto input_signalling"),
    )
}

/// Judges a packet addressed to this host. Lists are looked up only in open mode, after the known
/// peers: in allowlist mode strangers are dropped anyway, listed or not.
fn dispatch(structure: &Structure) -> String {
    let mut text = format!(
        "\tchain to_this_host {{\n\
         \t\tfib daddr type unicast accept\n\
         \t\tgoto accounts\n\
         \t}}\n\
         \tchain accounts {{\n\
{}",
        accounts()
    );
    if structure.open.is_some() {
        text.push_str("\t\tjump known_peers\n");
        text += &super::knocks::accepts(structure);
        text += &requests::agents(structure);
        for set in structure.list_sets.all() {
            text += &format!("\t\t{} @{} goto blocklisted\n", lookup_key(&set), set.name);
        }
        text.push_str("\t\tgoto open_services\n\t}\n");
    } else {
        text.push_str("\t\tgoto strangers\n\t}\n");
    }
    text
}

/// The rules that lead to the chains of accounts.
pub(super) fn accounts() -> String {
    accounts_of(Family::V4) + &accounts_of(Family::V6)
}

/// Those for packets of a family.
pub(super) fn accounts_of(family: Family) -> String {
    let (source, hosts, accounts) = match family {
        Family::V4 => ("ip saddr", names::HOSTS_V4, names::ACCOUNTS_V4),
        Family::V6 => ("ip6 saddr", names::HOSTS_V6, names::ACCOUNTS_V6),
    };
    format!("\t\t{source} vmap @{hosts}\n\t\t{source} vmap @{accounts}\n")
}

/// The lookup key for a set of lists, e.g. `ip saddr & 255.255.255.0`.
fn lookup_key(set: &ListSet) -> String {
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
