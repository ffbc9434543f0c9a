//! Port knocking: what the kernel does with the SYNs of a stranger, and whom it has opened to.
//!
//! The packet's mark holds a stage, and then a move: the packet is dropped in any case, so nobody else sees
//! it. A map in the kernel is not changed by `update`, so an element is deleted and added.
//!
//! Nearly all packets that come here are of strangers who have done nothing. One set of sources tells them
//! apart from all who have begun a sequence or completed one: it is the only look-up by source that they cost.
//! A source that is missing there has begun nothing, whatever the other sets say. Of SYNs a second look-up
//! tells whether the port is somebody's first. The kernel makes a bitmap of a set of ports without ranges.

use std::fmt::Write as _;

use super::ports::{Side, matches, of_known_protocol, rules};
use crate::Family;
use crate::condition::{LEASE, LEASE_END};
use crate::knock::{
    FULL_PREFIX, KNOCKED, MAX_BEGUN, Move, OPENED_PREFIX, Stage, TIMEOUT, WRONG_PREFIX, moves,
};
use crate::ruleset::{KnockClass, KnockRules, Structure, names};
use crate::service::Protocol;
use crate::watched::NFLOG_GROUP;

/// The fields with the sender's address, its type, and the digit in the names of sets, by family.
const SENDERS: [(&str, &str, char); 2] =
    [("ip saddr", "ipv4_addr", '4'), ("ip6 saddr", "ipv6_addr", '6')];

/// The fields with the receiver's address, and the digit in the names of sets, by family.
const RECEIVERS: [(&str, char); 2] = [("ip daddr", '4'), ("ip6 daddr", '6')];
/// The hook of packets of containers.
const FORWARD: &str = "forward";

/// What tells the first packet of a connection.
const SYN: &str = "tcp flags & (fin | syn | rst | ack) == syn";

/// The mark of a repetition. Smaller than all others.
const STAY: u32 = 1;
/// Added to the second port, as the mark of its stage.
const SECOND: u32 = 1 << 16;
/// Added to the number of a class, as the mark of a completed sequence.
const OPENS: u32 = 2 << 16;

/// How many packets of each kind are copied for the daemon in a second.
const COPIED: u32 = 50;
/// How many bytes of each: the headers.
const COPIED_BYTES: u32 = 96;

/// The sets of sources that have begun a sequence, and how far these have come.
pub(super) fn sets(structure: &Structure) -> String {
    let mut text = String::new();
    let timeout = TIMEOUT.as_secs();
    for (_, address, digit) in SENDERS {
        for (kind, name, key, size) in [
            ("set", names::KNOCK_KNOWN, address.to_owned(), MAX_BEGUN + LEASE.size),
            ("set", names::KNOCK_BEGUN, address.to_owned(), MAX_BEGUN),
            ("map", names::KNOCK_AT, format!("{address} : mark"), MAX_BEGUN),
        ] {
            let _ = write!(
                text,
                "\t{kind} {name}{digit} {{\n\t\ttype {key}\n\t\tsize {size}\n\
                 \t\tflags dynamic,timeout\n\t\ttimeout {timeout}s\n\t}}\n"
            );
        }
    }
    for (name, family) in structure.knocks.sets() {
        let address = super::address_type(family);
        let size = KNOCKED.size;
        let _ = write!(
            text,
            "\tset {name} {{\n\t\ttype {address}\n\t\tsize {size}\n\t\tflags dynamic,timeout\n\t}}\n"
        );
    }
    text
}

/// The rule that looks at the SYNs of listed addresses, which have been counted.
pub(super) fn listens(structure: &Structure) -> String {
    match structure.knocks.is_empty() {
        true => String::new(),
        false => format!("\t\t{SYN} goto knock.blocklisted\n"),
    }
}

/// Where the SYNs go that `raw_prerouting` judges, if they have a way of their own.
pub(super) fn syn_chain(structure: &Structure) -> &'static str {
    if structure.knocks.is_empty() { "to_this_host" } else { "knock.new_syn" }
}

/// The rules that accept the packets of those who have knocked.
pub(super) fn accepts(structure: &Structure) -> String {
    let senders = SENDERS.iter().filter(|_| !structure.knocks.is_empty());
    senders.fold(String::new(), |mut text, (sender, _, digit)| {
        let _ = writeln!(text, "\t\t{sender} @{}{digit} jump knock.opened", names::KNOCK_KNOWN);
        text
    })
}

/// The end of the way of strangers, who are counted and dropped unless they have knocked.
pub(super) fn drops(structure: &Structure) -> String {
    let end = drops_datagrams(structure);
    match structure.knocks.is_empty() {
        true => end,
        false => format!("\t\t{SYN} goto knock.syn\n{end}"),
    }
}

/// The same where no SYN comes.
pub(super) fn drops_datagrams(structure: &Structure) -> String {
    let drop = format!("counter name {} drop\n", names::SILENT);
    match structure.knocks.is_empty() {
        true => format!("\t\t{drop}"),
        false => format!("{}\t\tjump knock.opened\n\t\t{drop}", unknown(&drop)),
    }
}

/// The same for a chain to which packets of one family come.
pub(super) fn drops_datagrams_of(structure: &Structure, family: Family) -> String {
    let drop = format!("counter name {} drop\n", names::SILENT);
    let [v4, v6] = SENDERS;
    let (sender, _, digit) = if family == Family::V4 { v4 } else { v6 };
    let known = names::KNOCK_KNOWN;
    match structure.knocks.is_empty() {
        true => format!("\t\t{drop}"),
        false => {
            format!("\t\t{sender} != @{known}{digit} {drop}\t\tjump knock.opened\n\t\t{drop}")
        }
    }
}

/// The rules for those who have begun nothing.
fn unknown(does: &str) -> String {
    SENDERS.iter().fold(String::new(), |mut text, (sender, _, digit)| {
        let _ = write!(text, "\t\t{sender} != @{}{digit} {does}", names::KNOCK_KNOWN);
        text
    })
}

/// The rules that let packets go to those who have knocked.
pub(super) fn accepts_outwards(structure: &Structure, hook: &str) -> String {
    if structure.knocks.is_empty() || (hook == FORWARD && !structure.containers) {
        return String::new();
    }
    let mut text = String::new();
    for (field, digit) in RECEIVERS {
        let (lease, end) = (LEASE.name, LEASE_END.name);
        let _ = writeln!(
            text,
            "\t\t{field} @{lease}{digit} {field} @{end}{digit} jump knock.opened_{hook}"
        );
    }
    text
}

pub(super) fn chains(structure: &Structure) -> String {
    let knocks = &structure.knocks;
    if knocks.is_empty() {
        return String::new();
    }
    let mut text: String = knocks.classes.iter().map(|class| opens(knocks, class)).collect();
    text += &opened(knocks);
    text += &opened_outwards(structure, "out", "goto output_drop_errors");
    if structure.containers {
        text += &opened_outwards(structure, FORWARD, "goto published_to_peer");
    }
    text += &first(knocks);
    text += &next(knocks);
    text += &counted(structure);
    text += &syn(structure);
    if structure.open.is_none() {
        text += &new_syn(structure);
    }
    text
}

/// Where SYNs come in. Those of sources that have begun nothing end here, unless their port is somebody's
/// first. A set in braces may be found empty while its rule is replaced: then nobody begins.
fn syn(structure: &Structure) -> String {
    let firsts = structure.knocks.sequences.iter().map(|(ports, _)| ports.reveal()[0].to_string());
    let firsts: Vec<String> = firsts.collect();
    // Of every packet here the protocol is known, and `tcp dport` would look at it again.
    let is_first = format!("th dport {{ {} }}", firsts.join(", "));
    let counted = format!("counter name {}", names::SILENT);
    let mut text = format!(
        "\tchain knock.syn {{\n\
         \t\t{is_first} goto knock.examined\n\
{}\
         \t\tgoto knock.examined\n\
         \t}}\n\
         \tchain knock.examined {{\n\
         \t\tjump knock.opened\n\
         \t\t{counted}\n\
         \t\tgoto knock.counted\n\
         \t}}\n",
        unknown(&format!("{counted} drop\n")),
    );
    if structure.open.is_some() {
        let _ = write!(
            text,
            "\tchain knock.blocklisted {{\n\
             \t\t{is_first} goto knock.counted\n\
{}\
             \t\tgoto knock.counted\n\
             \t}}\n",
            unknown("drop\n"),
        );
    }
    text
}

/// Where `raw_prerouting` sends SYNs: the rules of `accounts`, then those for SIP over TCP, which alone concern a
/// stranger's SYN on its usual way; what is left belongs to nobody else.
fn new_syn(structure: &Structure) -> String {
    let mut text = "\tchain knock.new_syn {\n\t\tfib daddr type unicast accept\n".to_owned();
    text += &super::inbound::accounts();
    text += &of_known_protocol(&structure.ports.sip_tcp, "jump sip_tcp_from_peer");
    text.push_str("\t\tgoto knock.syn\n\t}\n");
    text
}

/// What SYNs do. What is sent to services changes nothing.
fn counted(structure: &Structure) -> String {
    let mut text = "\tchain knock.counted {\n".to_owned();
    let services: Vec<_> = structure.ports.services.of(Protocol::Tcp).copied().collect();
    for ports in matches(Side::Destination, &services) {
        let _ = writeln!(text, "\t\t{ports} drop");
    }
    for (sender, _, digit) in SENDERS {
        let _ = writeln!(text, "\t\t{sender} @{}{digit} goto knock.next", names::KNOCK_BEGUN);
    }
    text.push_str("\t\tgoto knock.first\n\t}\n");
    text
}

/// A source that has begun nothing, and one that begins. A full set takes no more.
fn first(knocks: &KnockRules) -> String {
    let firsts = knocks.sequences.iter().map(|(ports, _)| ports.reveal()[0]);
    let firsts: Vec<String> = firsts.map(|port| format!("{port} : {port}")).collect();
    let mut text = format!(
        "\tchain knock.first {{\n\
         \t\tmeta mark set tcp dport map {{ {} }} goto knock.begins\n\
         \t\tdrop\n\
         \t}}\n\
         \tchain knock.begins {{\n",
        firsts.join(", ")
    );
    let (within, longest) = (TIMEOUT.as_secs(), knocks.longest());
    for (sender, _, digit) in SENDERS {
        let (begun, at, known) = (names::KNOCK_BEGUN, names::KNOCK_AT, names::KNOCK_KNOWN);
        let lease = LEASE.name;
        let begins = format!(
            "add @{begun}{digit} {{ {sender} }} add @{at}{digit} {{ {sender} : meta mark }} \
             update @{known}{digit} {{ {sender} timeout"
        );
        // An open address stays known for as long as it may be open.
        let _ = write!(
            text,
            "\t\tdelete @{at}{digit} {{ {sender} : meta mark }}\n\
             \t\t{sender} != @{lease}{digit} {begins} {within}s }} drop\n\
             \t\t{sender} @{lease}{digit} {begins} {longest}s }} drop\n"
        );
    }
    text += &copies(FULL_PREFIX, "1/minute burst 3");
    let _ = write!(text, "\t\tcounter name {} drop\n\t}}\n", names::KNOCK_FULL);
    text
}

/// A source that has begun: one of the moves, or back to the beginning.
fn next(knocks: &KnockRules) -> String {
    let table = knocks.sequences.iter().flat_map(|(ports, class)| {
        let class = u32::try_from(*class).unwrap_or(u32::MAX - OPENS);
        moves(*ports.reveal()).map(|((stage, port), does)| {
            let does = match does {
                Move::Stay => STAY,
                Move::Advance(stage) => mark(stage),
                Move::Open(_) => OPENS + class,
            };
            format!("{} . {port} : {does}", mark(stage))
        })
    });
    let table: Vec<String> = table.collect();
    let mut text = "\tchain knock.next {\n".to_owned();
    for (sender, _, digit) in SENDERS {
        let _ = writeln!(text, "\t\tmeta mark set {sender} map @{}{digit}", names::KNOCK_AT);
    }
    let _ = writeln!(
        text,
        "\t\tmeta mark set meta mark . tcp dport map {{ {} }} goto knock.moves",
        table.join(", ")
    );
    text += &copies(WRONG_PREFIX, &format!("{COPIED}/second burst {COPIED}"));
    text += &forgets(names::KNOCK_BEGUN, "");
    text += &forgets(names::KNOCK_AT, " : meta mark");
    text.push_str("\t\tgoto knock.first\n\t}\n\tchain knock.moves {\n");
    let _ = writeln!(text, "\t\tmeta mark {STAY} drop");
    text += &forgets(names::KNOCK_AT, " : meta mark");
    for (sender, _, digit) in SENDERS {
        let (at, last) = (names::KNOCK_AT, OPENS - 1);
        let _ = writeln!(
            text,
            "\t\tmeta mark {SECOND}-{last} add @{at}{digit} {{ {sender} : meta mark }} drop"
        );
    }
    text += &forgets(names::KNOCK_BEGUN, "");
    let classes = (OPENS..).zip(&knocks.classes);
    let classes: Vec<String> =
        classes.map(|(mark, class)| format!("{mark} : goto {}", class.chain())).collect();
    let _ = write!(text, "\t\tmeta mark vmap {{ {} }}\n\t\tdrop\n\t}}\n", classes.join(", "));
    text
}

fn forgets(name: &str, data: &str) -> String {
    SENDERS.iter().fold(String::new(), |mut text, (sender, _, digit)| {
        let _ = writeln!(text, "\t\tdelete @{name}{digit} {{ {sender}{data} }}");
        text
    })
}

fn mark(stage: Stage) -> u32 {
    match stage {
        Stage::First(port) => port.into(),
        Stage::Second(port) => SECOND + u32::from(port),
    }
}

/// Opens the sender's address: for new packets at once, and for the daemon, which makes a lease of it.
fn opens(knocks: &KnockRules, class: &KnockClass) -> String {
    let mut text = format!("\tchain {} {{\n", class.chain());
    let (known, longest) = (names::KNOCK_KNOWN, knocks.longest());
    let (idle, lasts) = (class.idle, class.lasts);
    for (sender, _, digit) in SENDERS {
        let family = if digit == '4' { Family::V4 } else { Family::V6 };
        let set = class.set(family);
        let _ = write!(
            text,
            "\t\tupdate @{known}{digit} {{ {sender} timeout {longest}s }}\n\
             \t\tupdate @{lease}{digit} {{ {sender} timeout {idle}s }}\n\
             \t\tupdate @{end}{digit} {{ {sender} timeout {lasts}s }}\n\
             \t\tupdate @{set} {{ {sender} timeout {lasts}s }}\n\
             \t\tupdate @{knocked}{digit} {{ {sender} . tcp dport timeout {lasts}s }}\n",
            lease = LEASE.name,
            end = LEASE_END.name,
            knocked = KNOCKED.name,
        );
    }
    text += &copies(OPENED_PREFIX, &format!("{COPIED}/second burst {COPIED}"));
    text.push_str("\t\tdrop\n\t}\n");
    text
}

/// Whom a knock has opened to: the conditions are those of leases.
fn opened(knocks: &KnockRules) -> String {
    let mut text = "\tchain knock.opened {\n".to_owned();
    for class in &knocks.classes {
        for (sender, _, digit) in SENDERS {
            let family = if digit == '4' { Family::V4 } else { Family::V6 };
            let _ = writeln!(text, "\t\t{sender} @{} jump {}", class.set(family), class.condition);
        }
    }
    text.push_str("\t}\n");
    text
}

/// To whom a knock has opened, for packets of this host or of a container: where a denial would otherwise
/// end in a drop. Hours are examined for packets from there alone.
fn opened_outwards(structure: &Structure, hook: &str, follows: &str) -> String {
    let mut text = format!("\tchain knock.opened_{hook} {{\n");
    for class in &structure.knocks.classes {
        let opening = structure.conditions.get(&class.condition).map(|chain| &chain.opening);
        for (field, digit) in RECEIVERS {
            let family = if digit == '4' { Family::V4 } else { Family::V6 };
            let follows = format!("{field} @{} {follows}", class.set(family));
            match opening {
                Some(Some(opening)) => text += &rules(Side::Source, &opening.ports, &follows),
                Some(None) => {
                    let _ = writeln!(text, "\t\t{follows}");
                }
                None => {}
            }
        }
    }
    text.push_str("\t}\n");
    text
}

/// Copies the packet for the daemon.
fn copies(prefix: &str, rate: &str) -> String {
    format!(
        "\t\tlimit rate {rate} packets log prefix \"{prefix}\" group {NFLOG_GROUP} snaplen {COPIED_BYTES} queue-threshold 1\n"
    )
}
