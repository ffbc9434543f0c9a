//! The structure as text for `nft -f -`: what an administrator reads with `nft list ruleset`.

use std::fmt::Write as _;

use super::{ListSet, ListSets, OpenServices, ServiceChain, Structure, TABLE, names};
use crate::Family;
use crate::address::from_number;
use crate::ledger::Cut;
use crate::service::{Opening, Ports, Protocol};

/// One transaction that makes the table's chains and rules what `structure` says. Elements of
/// sets, their running time-outs and the counters stay as they are.
pub fn render(structure: &Structure) -> String {
    let mut text = String::with_capacity(4096);
    let chains: String =
        structure.chains.iter().map(|(name, chain)| account_chain(name, chain)).collect();
    // A table that is not there cannot be flushed, and `destroy` is unknown to nft 1.0.6.
    let _ =
        writeln!(text, "add table inet {TABLE}\nflush table inet {TABLE}\ntable inet {TABLE} {{");
    text.push_str(&counters());
    text.push_str(&sets());
    structure.list_sets.all().for_each(|set| text.push_str(&list_set(&set)));
    text.push_str(&chains);
    text.push_str(&base_chains(structure));
    text.push_str(&fresh(structure.open.as_ref(), &structure.list_sets));
    text.push_str("}\n");
    text
}

/// The transaction before the first one: answers are held back for the moment in which the whole
/// table is loaded.
///
/// The kernel begins to track connections while it still examines the rules, some milliseconds
/// before they hold. An answer that leaves in between would be taken for the beginning of a flow.
/// The whole table takes the place of this chain.
pub fn render_hush() -> String {
    format!(
        "table inet {TABLE} {{\n\
         \tchain outgoing {{\n\
         \t\ttype filter hook output priority 0; policy accept;\n\
         \t\toif \"lo\" accept\n\
         \t\tmeta l4proto udp @th,64,32 {SIP_RESPONSE} drop\n\
         \t\ttcp flags & syn == 0 tcp sport < {EPHEMERAL} drop\n\
         \t}}\n}}\n"
    )
}

/// The transaction that makes the sets of lists anew and empty, where `stale` are those of them, or
/// of others in the same place, that may be there. It is refused, and changes nothing, where rules
/// still ask one of the stale ones.
pub fn render_list_sets<'a>(sets: &ListSets, stale: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for name in stale {
        let _ = writeln!(text, "delete set inet {TABLE} {name}");
    }
    let _ = writeln!(text, "table inet {TABLE} {{");
    sets.all().for_each(|set| text.push_str(&list_set(&set)));
    text.push_str("}\n");
    text
}

fn list_set(set: &ListSet) -> String {
    let family = match set.family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    };
    let how = if set.prefix.is_none() { "\t\tflags interval\n" } else { "" };
    format!("\tset {} {{\n\t\ttype {family}\n{how}\t}}\n", set.name)
}

/// How many packets of listed addresses are counted by address in a second, of each family.
pub const COUNTED_BY_ADDRESS: u64 = 1_000;
/// "SIP/", the first four bytes of a response's payload (RFC 3261, section 7.2); requests begin with
/// their method.
const SIP_RESPONSE: &str = "0x5349502f";
/// From this port on the kernel takes the ports of connections that the host begins
/// (`net.ipv4.ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;

fn counters() -> String {
    let counter = |name| format!("\tcounter {name} {{\n\t}}\n");
    [names::SILENT, names::BLOCKED, names::LISTED, names::LIMITED]
        .into_iter()
        .map(counter)
        .collect()
}

fn sets() -> String {
    use names::{ACCOUNTS_V4, ACCOUNTS_V6, BLOCKS_V4, BLOCKS_V6, CUTS_V4, CUTS_V6};
    use names::{HITS_V4, HITS_V6, HOSTS_V4, HOSTS_V6, METER_V4, METER_V6};
    let mut text = String::new();
    for (family, [hosts, accounts, blocks, cuts, hits, meter]) in [
        ("ipv4_addr", [HOSTS_V4, ACCOUNTS_V4, BLOCKS_V4, CUTS_V4, HITS_V4, METER_V4]),
        ("ipv6_addr", [HOSTS_V6, ACCOUNTS_V6, BLOCKS_V6, CUTS_V6, HITS_V6, METER_V6]),
    ] {
        let flow = format!("{family} . inet_proto . inet_service . inet_service");
        let ranges = "flags interval\n";
        let kept = |size, seconds| format!("size {size}\n\t\tflags dynamic,timeout\n\t\t{seconds}");
        for (kind, name, key, how) in [
            ("map", hosts, format!("{family} : verdict"), String::new()),
            ("map", accounts, format!("{family} : verdict"), ranges.to_owned()),
            ("set", blocks, family.to_owned(), ranges.to_owned()),
            ("set", cuts, flow, kept(262_144, "")),
            ("set", hits, family.to_owned(), kept(65_536, "timeout 1h\n")),
            ("set", meter, family.to_owned(), kept(65_536, "timeout 1m\n")),
        ] {
            let _ = write!(text, "\t{kind} {name} {{\n\t\ttype {key}\n\t\t{how}\t}}\n");
        }
    }
    let _ = write!(text, "\tset {} {{\n\t\ttype nf_proto\n\t\tflags timeout\n\t}}\n", names::TRIAL);
    text
}

/// Everything an account of these services may reach. For the rest it is a stranger, though one
/// that no list is held against; inside a wider block it ends here.
fn account_chain(name: &str, chain: &ServiceChain) -> String {
    let mut text = format!("\tchain {name} {{\n");
    match &chain.opening {
        None => text.push_str("\t\taccept\n"),
        Some(opening) => text.push_str(&accepting(opening, "accept")),
    }
    if chain.walled {
        let _ = writeln!(text, "\t\tcounter name {} drop", names::BLOCKED);
    } else if chain.opening.is_some() {
        text.push_str("\t\tgoto strangers\n");
    }
    text.push_str("\t}\n");
    text
}

/// The rules for all ports of an opening, and for ping.
fn accepting(opening: &Opening, verdict: &str) -> String {
    let mut text = String::new();
    for ports in port_matches(opening) {
        let _ = writeln!(text, "\t\t{ports} {verdict}");
    }
    if opening.ping {
        let _ = writeln!(text, "\t\ticmp type echo-request {verdict}");
        let _ = writeln!(text, "\t\ticmpv6 type echo-request {verdict}");
    }
    text
}

/// `tcp dport { 80, 443 }`, and each run of ports by itself: `udp dport 10000-20000`.
///
/// A run inside the braces would make a set of intervals of them, and such a set inside a rule is
/// empty for the moment in which its transaction takes hold (seen on kernel 6.18): packets of
/// everybody would be misjudged at each change.
fn port_matches(opening: &Opening) -> Vec<String> {
    let mut matches = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let (single, runs): (Vec<&Ports>, Vec<&Ports>) =
            opening.of(protocol).partition(|ports| ports.first == ports.last);
        let single: Vec<String> = single.iter().map(|ports| ports.first.to_string()).collect();
        if !single.is_empty() {
            matches.push(format!("{protocol} dport {{ {} }}", single.join(", ")));
        }
        let run = |ports: &&Ports| format!("{protocol} dport {}-{}", ports.first, ports.last);
        matches.extend(runs.iter().map(run));
    }
    matches
}

/// The two places where packets enter, what is done before anything is looked up, and the errors
/// that the kernel sends without asking us.
///
/// Both stand in prerouting, before the addresses of published container ports are rewritten
/// (-100), so that those are judged as what the sender asked for. `guard` comes before connection
/// tracking (-200): blocks hold for running flows too, and a stranger's first TCP packet, which
/// can never be an answer, is dropped before it costs a connection entry.
///
/// What is addressed to another host is no business of theirs. Whether it is so they ask the
/// kernel's table of local addresses; but rules of routing may have others delivered here (a VRF,
/// a transparent proxy), and what comes in that way is judged by `late`.
///
/// The kernel itself answers some packets before any of this can drop them: fragments whose others
/// never come, and hop-by-hop options that it does not know. `outgoing` keeps these errors back.
///
/// A flow that was **cut** stays so for as long as its peer goes on sending: each of its packets
/// that comes to `ended` begins the time of its element anew. Only what is in the set gets there,
/// so no stranger can fill it. That table is not asked of them: only this host's own flows are cut.
///
/// It also sees to it that **an answer begins no flow**. When the table comes up on a machine that
/// did not track connections, the first packet seen of a stranger's running conversation may be the
/// server's own; it would make the server the one who began, whose peers are let in. What can only
/// be the middle of something (a SIP response, a TCP packet without SYN from a port that servers
/// use) puts its flow among the cut ones, so that the peer's packets are judged like first ones.
fn base_chains(structure: &Structure) -> String {
    let trial = if structure.trial {
        format!("\t\tmeta nfproto != @{} accept\n", names::TRIAL)
    } else {
        String::new()
    };
    // Nothing else can be essential; most packets are spared the rest of the questions. ICMP and
    // ICMPv6 by their numbers: a small system has no /etc/protocols to find "ipv6-icmp" in.
    let essential = "\t\tmeta l4proto { 1, 58 } jump essential\n\
                     \t\tudp dport { 68, 546 } jump essential\n";
    let (blocks4, blocks6) = (names::BLOCKS_V4, names::BLOCKS_V6);
    let (cuts4, cuts6) = (names::CUTS_V4, names::CUTS_V6);
    let blocked = format!("counter name {} drop", names::BLOCKED);
    let limited = structure.open.as_ref().map(|open| still_limited(&open.limited));
    let lasts = Cut::LASTS.as_secs();
    let flow4 = "ip saddr . meta l4proto . th sport . th dport";
    let flow6 = "ip6 saddr . meta l4proto . th sport . th dport";
    // Not in open mode: there the packet would be counted twice against the limits.
    let early = match structure.open {
        None => "\t\ttcp flags & (fin | syn | rst | ack) == syn goto fresh\n",
        Some(_) => "",
    };
    format!(
        "\tchain guard {{\n\
         \t\ttype filter hook prerouting priority -300; policy accept;\n\
         {trial}\
         \t\tiif \"lo\" accept\n\
{essential}\
         \t\tip saddr @{blocks4} {blocked}\n\
         \t\tip6 saddr @{blocks6} {blocked}\n\
         {early}\
         \t}}\n\
         \tchain gate {{\n\
         \t\ttype filter hook prerouting priority -150; policy accept;\n\
         {trial}\
         \t\tiif \"lo\" accept\n\
         \t\tct state established,related goto running\n\
{essential}\
         \t\tgoto fresh\n\
         \t}}\n\
         \tchain running {{\n\
         \t\t{flow4} @{cuts4} goto ended\n\
         \t\t{flow6} @{cuts6} goto ended\n\
         \t\tct state established ct direction original meta l4proto != {{ tcp, udp }} goto fresh\n\
         {}\
         \t\taccept\n\
         \t}}\n\
         \tchain ended {{\n\
         \t\tupdate @{cuts4} {{ {flow4} timeout {lasts}s }}\n\
         \t\tupdate @{cuts6} {{ {flow6} timeout {lasts}s }}\n\
         \t\tgoto judged\n\
         \t}}\n\
         \tchain essential {{\n\
         \t\ticmp type destination-unreachable icmp code frag-needed accept\n\
         \t\ticmpv6 type packet-too-big accept\n\
         \t\ticmpv6 type {{ nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }} ip6 hoplimit 255 accept\n\
         \t\ticmpv6 type {{ mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report }} ip6 saddr fe80::/10 ip6 hoplimit 1 accept\n\
         \t\tmeta nfproto ipv4 udp sport 67 udp dport 68 fib daddr type broadcast accept\n\
         \t\tip6 saddr fe80::/10 udp sport 547 udp dport 546 accept\n\
         \t}}\n\
         \tchain late {{\n\
         \t\ttype filter hook input priority -150; policy accept;\n\
{trial}\
         \t\tct state established,related accept\n\
         \t\tiif \"lo\" accept\n\
         \t\tfib daddr type != unicast accept\n\
{essential}\
         \t\tgoto judged\n\
         \t}}\n\
         \tchain outgoing {{\n\
         \t\ttype filter hook output priority 0; policy accept;\n\
{trial}\
         \t\toif \"lo\" accept\n\
         \t\ticmp type time-exceeded icmp code 1 drop\n\
         \t\ticmp type parameter-problem drop\n\
         \t\ticmpv6 type time-exceeded icmpv6 code 1 drop\n\
         \t\ticmpv6 type parameter-problem icmpv6 code != 1 drop\n\
         \t\tct state new meta l4proto udp @th,64,32 {SIP_RESPONSE} goto answers\n\
         \t\tct state new tcp flags & syn == 0 tcp sport < {EPHEMERAL} goto answers\n\
         \t}}\n\
         \tchain answers {{\n\
         \t\tupdate @{cuts4} {{ ip daddr . meta l4proto . th dport . th sport timeout {lasts}s }}\n\
         \t\tupdate @{cuts6} {{ ip6 daddr . meta l4proto . th dport . th sport timeout {lasts}s }}\n\
         \t}}\n",
        limited.unwrap_or_default()
    )
}

/// In open mode, what peers send within flows they began themselves stays under the limits of its
/// service: a guesser of passwords needs but one flow.
fn still_limited(limited: &Opening) -> String {
    port_matches(limited).into_iter().fold(String::new(), |mut text, ports| {
        let _ = writeln!(text, "\t\tct direction original {ports} goto fresh");
        text
    })
}

/// The judgement of a packet that is addressed to this host and belongs to no running flow. Lists
/// are asked only in open mode: otherwise a stranger meets silence, listed or not.
fn fresh(open: Option<&OpenServices>, lists: &ListSets) -> String {
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
    if open.is_some() {
        for set in lists.all() {
            let _ = writeln!(text, "\t\t{} @{} goto listed", looked_up(&set), set.name);
        }
    }
    text.push_str("\t\tgoto strangers\n\t}\n");
    text.push_str(&strangers(open));
    if let Some(open) = open {
        text.push_str(&listed());
        text.push_str(&limits(open));
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

/// What strangers reach, and silence for the rest.
fn strangers(open: Option<&OpenServices>) -> String {
    let mut text = "\tchain strangers {\n".to_owned();
    if let Some(open) = open {
        text.push_str(&accepting(&open.limited, "goto limits"));
        text.push_str(&accepting(&open.opening, "accept"));
    }
    let _ = write!(text, "\t\tcounter name {} drop\n\t}}\n", names::SILENT);
    text
}

/// Counts each listed address by itself, so that the lists can be told apart that hold it: up to
/// so many packets a second, as an entry for each address of a flood would cost more than all the
/// rest. Beyond, and where the set is full, the packet is dropped all the same, and counted in the
/// sum.
fn listed() -> String {
    let limit =
        format!("limit rate {COUNTED_BY_ADDRESS}/second burst {COUNTED_BY_ADDRESS} packets");
    format!(
        "\tchain listed {{\n\
         \t\tmeta nfproto ipv4 {limit} update @{} {{ ip saddr counter }}\n\
         \t\tmeta nfproto ipv6 {limit} update @{} {{ ip6 saddr counter }}\n\
         \t\tcounter name {} drop\n\
         \t}}\n",
        names::HITS_V4,
        names::HITS_V6,
        names::LISTED
    )
}

/// The limit of each source, and behind it that of all together: a full meter no longer counts
/// new sources, and then the second one still holds.
fn limits(open: &OpenServices) -> String {
    let (source, total) = (open.per_source, open.total);
    let over = format!("limit rate over {}/second burst {} packets", source.packets, source.burst);
    let limited = format!("counter name {} drop", names::LIMITED);
    let (meter4, meter6) = (names::METER_V4, names::METER_V6);
    format!(
        "\tchain limits {{\n\
         \t\tupdate @{meter4} {{ ip saddr {over} }} {limited}\n\
         \t\tupdate @{meter6} {{ ip6 saddr & ffff:ffff:ffff:ffff:: {over} }} {limited}\n\
         \t\tlimit rate over {}/second burst {} packets {limited}\n\
         \t\taccept\n\
         \t}}\n",
        total.packets, total.burst
    )
}
