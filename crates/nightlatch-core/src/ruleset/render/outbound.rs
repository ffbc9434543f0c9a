//! What this host sends: errors by which the kernel itself would betray it, what is closed to
//! removed addresses, and the requests by which peers become known.

use super::ports::{Side, dispatch};
use super::trial;
use crate::ruleset::{Structure, names};
use crate::signalling::sip;

/// The kernel itself answers some packets before any rule can drop them: fragments whose others
/// never come, and hop-by-hop options that it does not know. `sending` keeps these errors back.
///
/// It also ends **half-open handshakes**: a stranger whose first packet came before the firewall did
/// would get the answer to it for a minute more.
///
/// It is not called "outgoing", as a chain of another type was: the kernel changes no type, and an
/// update would fail.
///
/// It is a chain of type route, since what goes to closed addresses takes another way (`to_nobody`).
/// A socket that is bound to an interface would not take it: `leaving` drops its packets.
///
/// `leaving` stands behind all translation of addresses, so that it sees packets as the peer will.
/// What counts is what this host sends itself, which comes from no interface and from a socket, and
/// what a container sends from a port that is published to it: a neighbour for whom this host routes
/// or bridges makes no peer. (Where bridged packets pass these rules, they come from no interface
/// either.)
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
        "\tchain answers {{\n\
         \t\tct state new,invalid drop\n\
         \t\tip daddr . meta l4proto . th dport . th sport @{cuts4} drop\n\
         \t\tip6 daddr . meta l4proto . th dport . th sport @{cuts6} drop\n\
         \t}}\n\
         \tchain sending {{\n\
         \t\ttype route hook output priority 0; policy accept;\n\
{trial}\
         \t\toif \"lo\" accept\n\
         \t\tip daddr vmap @{}\n\
         \t\tip6 daddr vmap @{}\n\
         \t\tmeta l4proto 17 accept\n\
         \t\ttcp flags & (syn | ack) == (syn | ack) goto answers\n\
{quiet}\
         \t}}\n\
{chain}\
         \tchain leaving {{\n\
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
        // The most frequent packet, which makes no peer: the socket need not be asked for.
        response = sip::RESPONSE,
        trial = trial(structure),
    )
}

/// What is forwarded: only what a published port sends counts, whoever began the flow.
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
        "\tchain published {{\n\
         \t\tip daddr vmap @{}\n\
         \t\tip6 daddr vmap @{}\n\
{peers}\
         \t}}\n\
         \tchain forwarded {{\n\
{rules}\
         \t}}\n",
        names::CLOSED_FORWARD_V4,
        names::CLOSED_FORWARD_V6,
    )
}
