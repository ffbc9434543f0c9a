//! Outbound packets: errors with which the kernel itself would reveal the host, packets to closed
//! addresses, and the requests by which peers become known.

use super::ports::{Side, dispatch};
use super::{bans, trial};
use crate::ruleset::{BLOCKED, Structure, closing_chain, names};
use crate::signalling::sip;

/// The kernel itself answers some packets before any rule can drop them: fragments that are never
/// completed, and unknown hop-by-hop options. `output` drops these errors.
///
/// It also drops the replies to **half-open handshakes**: otherwise a stranger whose first packet came
/// before the firewall would get answers for another minute.
///
/// It is not called "outgoing" because an older version had a chain of another type with that name:
/// the kernel cannot change a chain's type, so an update would fail.
///
/// It is a chain of type route, since packets to closed addresses are rerouted (`to_discard_port`). Packets
/// of a socket that is bound to an interface are not rerouted; `postrouting` drops them.
///
/// The chains `..._drop_closed` return only for blocked addresses (see [`closing_chain`]); for all
/// others they end with a verdict.
///
/// `postrouting` runs after all NAT, so that it sees packets as the peer will. Only packets that this host
/// itself sends (from a socket, with no input interface) or that a container sends from a published
/// port make a peer known; packets of neighbours for which this host routes or bridges do not. (Bridged
/// packets have no input interface here either, hence the test for a socket.)
pub(super) fn chains(structure: &Structure) -> String {
    let quiet = "\t\ticmp type time-exceeded icmp code 1 drop\n\
                 \t\ticmp type parameter-problem drop\n\
                 \t\ticmpv6 type time-exceeded icmpv6 code 1 drop\n\
                 \t\ticmpv6 type parameter-problem icmpv6 code != 1 drop\n";
    let (cuts4, cuts6) = (names::CUTS_V4, names::CUTS_V6);
    let peers = dispatch(
        Side::Source,
        [(&structure.ports.sip, "goto sip_to_peer"), (&structure.ports.iax, "goto iax_to_peer")],
    );
    let own = dispatch(
        Side::Source,
        [(&structure.ports.sip, "goto own_sip"), (&structure.ports.iax, "goto own_iax")],
    );
    let (forwarded, chain) = match structure.containers {
        true => ("iif != 0 goto forwarded", containers(&peers)),
        false => ("iif != 0 accept", String::new()),
    };
    format!(
        "\tchain output_tcp_replies {{\n\
         \t\tct state new,invalid drop\n\
         \t\tip daddr . meta l4proto . th dport . th sport @{cuts4} drop\n\
         \t\tip6 daddr . meta l4proto . th dport . th sport @{cuts6} drop\n\
         \t\taccept\n\
         \t}}\n\
         \tchain output_drop_errors {{\n\
         \t\tmeta l4proto 17 accept\n\
         \t\ttcp flags & (syn | ack) == (syn | ack) goto output_tcp_replies\n\
{quiet}\
         \t\taccept\n\
         \t}}\n\
         \tchain output_drop_closed {{\n\
         \t\tip daddr vmap @{}\n\
         \t\tip6 daddr vmap @{}\n\
         \t\tgoto output_drop_errors\n\
         \t}}\n\
         \tchain output {{\n\
         \t\ttype route hook output priority 0; policy accept;\n\
{trial}\
         \t\toif \"lo\" accept\n\
{banned}\
         \t\tjump output_drop_closed\n\
         \t\tjump {blocked}\n\
         \t\tgoto output_drop_errors\n\
         \t}}\n\
{chain}\
         \tchain postrouting {{\n\
         \t\ttype filter hook postrouting priority 200; policy accept;\n\
{trial}\
         \t\toif \"lo\" accept\n\
         \t\tip daddr 127.0.0.1 drop\n\
         \t\tip6 daddr ::1 drop\n\
         \t\t{forwarded}\n\
{own}\
         \t}}\n\
         \tchain own_sip {{\n\
         \t\t@th,64,32 {response:#010x} accept\n\
         \t\tmeta skuid >= 0 goto sip_to_peer\n\
         \t}}\n\
         \tchain own_iax {{\n\
         \t\tmeta skuid >= 0 goto iax_to_peer\n\
         \t}}\n",
        names::CLOSED_OUT_V4,
        names::CLOSED_OUT_V6,
        // The most frequent packet. It makes no peer known, so the socket need not be checked.
        response = sip::RESPONSE,
        blocked = closing_chain("out", BLOCKED),
        banned = bans::lookups("out"),
        trial = trial(structure),
    )
}

/// Forwarded packets: only those from a published port matter, whoever began the flow.
fn containers(peers: &str) -> String {
    let mut rules = String::new();
    for (family, number) in [("ip", 4), ("ip6", 6)] {
        for protocol in [17, 6] {
            for direction in ["original", "reply"] {
                rules += &format!(
                    "\t\tmeta l4proto {protocol} ct direction {direction} ct {direction} {family} saddr . ct {direction} proto-src @published{number} goto published\n"
                );
            }
        }
    }
    format!(
        "\tchain published_to_peer {{\n\
{peers}\
         \t\taccept\n\
         \t}}\n\
         \tchain published_drop_closed {{\n\
         \t\tip daddr vmap @{}\n\
         \t\tip6 daddr vmap @{}\n\
         \t\tgoto published_to_peer\n\
         \t}}\n\
         \tchain published {{\n\
{banned}\
         \t\tjump published_drop_closed\n\
         \t\tjump {blocked}\n\
         \t\tgoto published_to_peer\n\
         \t}}\n\
         \tchain forwarded {{\n\
{rules}\
         \t}}\n",
        names::CLOSED_FORWARD_V4,
        names::CLOSED_FORWARD_V6,
        blocked = closing_chain("forward", BLOCKED),
        banned = bans::lookups("forward"),
    )
}
