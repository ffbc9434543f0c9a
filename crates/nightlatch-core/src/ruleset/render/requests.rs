//! Copies of packets that may open an address, for the program: SPA packets, and what SIP phones register
//! with.
//!
//! Nothing here accepts a packet or answers it: each goes on to where it would have gone, which is nowhere
//! for strangers. One set of ports serves all users. No running flow and no packet of signalling comes
//! here, except a REGISTER that would be dropped.

use std::fmt::Write as _;

use nightlatch_parse::spa::{MAX_PAYLOAD, MIN_PAYLOAD};

use super::ports::{Side, run, single_rules};
use crate::config::Rate;
use crate::ruleset::Structure;
use crate::service::Ports;
use crate::watched::{AGENT_PREFIX, NFLOG_GROUP, SPA_PREFIX};

/// What a source may send, an IPv6 network of 64 bits counting as one: a phone repeats a REGISTER after half
/// a second, and a person an SPA packet after some.
const PER_SOURCE: Rate = Rate { packets: 5, burst: 20 };
/// What all sources may send together: more than a million packets a minute, so that these do not take the
/// place of a genuine one.
const TOTAL: Rate = Rate { packets: 25_000, burst: 5_000 };
/// The most sources that are counted. Where there are more, the limit of all together is left.
const MAX_SOURCES: u32 = 65_536;
/// How much of a packet is copied, in bytes: all that a link of 1,500 bytes carries.
const COPIED: u16 = 1_500;
/// The first eight bytes of a request to register (RFC 3261, section 7.1), and where they are: behind the
/// eight bytes of the UDP header.
const REGISTER: u64 = u64::from_be_bytes(*b"REGISTER");
/// The length of the UDP header, which counts in its length field.
const UDP_HEADER: usize = 8;

/// The sets that limit sources. They are not learned state: they are empty after a load.
pub(super) fn sets() -> String {
    let mut text = String::new();
    for (digit, address) in [(4, "ipv4_addr"), (6, "ipv6_addr")] {
        let _ = write!(
            text,
            "\tset request_meter{digit} {{\n\t\ttype {address}\n\t\tsize {MAX_SOURCES}\n\
             \t\tflags dynamic,timeout\n\t\ttimeout 1m\n\t}}\n"
        );
    }
    text
}

pub(super) fn chains(structure: &Structure) -> String {
    let mut text = String::new();
    if !structure.watched.spa.reveal().is_empty() {
        text += &copies("spa_request", SPA_PREFIX);
    }
    if structure.watched.agents {
        text += &copies("agent_request", AGENT_PREFIX);
    }
    text
}

/// Returns in any case.
fn copies(chain: &str, prefix: &str) -> String {
    let over = |rate: Rate| {
        format!("limit rate over {}/second burst {} packets", rate.packets, rate.burst)
    };
    let source = over(PER_SOURCE);
    format!(
        "\tchain {chain} {{\n\
         \t\tfib daddr type unicast return\n\
         \t\tupdate @request_meter4 {{ ip saddr {source} }} return\n\
         \t\tupdate @request_meter6 {{ ip6 saddr & ffff:ffff:ffff:ffff:: {source} }} return\n\
         \t\t{} return\n\
         \t\tlog prefix \"{prefix}\" group {NFLOG_GROUP} snaplen {COPIED} queue-threshold 1\n\
         \t}}\n",
        over(TOTAL)
    )
}

/// The rule for SPA packets, for a chain of UDP packets.
pub(super) fn spa(structure: &Structure) -> String {
    let ports = structure.watched.spa.reveal();
    if ports.is_empty() {
        return String::new();
    }
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!(
        "\t\tth dport {{ {} }} udp length {}-{} jump spa_request\n",
        ports.join(", "),
        UDP_HEADER + MIN_PAYLOAD,
        UDP_HEADER + MAX_PAYLOAD
    )
}

/// The rules for requests to register, for a chain to which all packets come.
pub(super) fn agents(structure: &Structure) -> String {
    if !structure.watched.agents {
        return String::new();
    }
    let sip: Vec<Ports> = structure.ports.sip.clone();
    single_rules(Side::Destination, &sip, &format!("@th,64,64 {REGISTER:#x} jump agent_request"))
}

/// The same for a chain of UDP signalling. Most of it is no such request, and passes one comparison.
pub(super) fn agents_among_signalling(structure: &Structure) -> String {
    let sip = structure.ports.sip.iter().filter(|_| structure.watched.agents);
    sip.fold(String::new(), |mut text, ports| {
        let _ = writeln!(
            text,
            "\t\t@th,64,64 {REGISTER:#x} th dport {} jump agent_request",
            run(*ports)
        );
        text
    })
}
