//! UDP signalling: what known peers may send, and which packets make a peer known.

use std::fmt::Write as _;

use super::ports::{Side, dispatch, rules};
use crate::ruleset::HostPorts;
use crate::signalling::{iax, sip};

/// The chains that inspect a packet's first bytes. `@th,64,32` is the 32 bits after the UDP header,
/// which is eight bytes long.
pub(super) fn chains(ports: &HostPorts) -> String {
    let mut text = known_peers(ports);
    text += &peer_sends();
    text += &host_sends();
    text
}

/// Accepts what known peers may send; returns for all other packets.
fn known_peers(ports: &HostPorts) -> String {
    let mut text = "\tchain known_peers {\n".to_owned();
    text += &dispatch(
        Side::Destination,
        [(&ports.sip, "goto sip_from_peer"), (&ports.iax, "goto iax_from_peer")],
    );
    text += &rules(Side::Destination, &ports.sip_tcp, "goto sip_tcp_from_peer");
    if ports.media_from_anybody {
        text += &rules(Side::Destination, &ports.media, "goto strangers_media");
    }
    text.push_str("\t}\n");
    text
}

fn peer_sends() -> String {
    let accepts = |sets: &[&str]| {
        let rule = |set: &&str| {
            format!(
                "\t\tip saddr . udp sport . udp dport @{set}4 accept\n\t\tip6 saddr . udp sport . udp dport @{set}6 accept\n"
            )
        };
        sets.iter().map(rule).collect::<String>()
    };
    let mut first: Vec<String> =
        sip::REQUESTS.iter().map(|method| format!("{method:#010x} : goto peer_request")).collect();
    first.push(format!("{:#010x} : goto peer_response", sip::RESPONSE));
    // Most packets of strangers begin like this, and are no responses of STUN.
    first.push(format!("{:#010x} : return", sip::REGISTERS));
    format!(
        "\tchain peer_request {{\n{}\t}}\n\
         \tchain peer_response {{\n{}\t}}\n\
         \tchain sip_from_peer {{\n\
         \t\t@th,64,32 vmap {{ {} }}\n\
         \t\t@th,64,16 {{ {} }} @th,96,32 {:#010x} goto peer_response\n\
         \t}}\n\
         \tchain iax_from_peer {{\n\
         \t\t@th,64,8 & {full:#04x} == 0x00 goto peer_request\n\
         \t\t@th,144,16 {{ {} }} return\n\
         \t\t@th,144,16 {{ {} }} goto peer_response\n\
         \t\tgoto peer_request\n\
         \t}}\n\
         \tchain sip_tcp_from_peer {{\n\
         \t\tip saddr @registered_tcp4 accept\n\
         \t\tip6 saddr @registered_tcp6 accept\n\
         \t}}\n",
        accepts(&["registered", "called"]),
        accepts(&["registered", "called", "asked"]),
        first.join(", "),
        words(&sip::STUN_RESPONSES),
        sip::STUN_COOKIE,
        words(&iax::REGISTRATIONS),
        words(&iax::RESPONSES),
        full = iax::FULL_FRAME,
    )
}

/// Packets that this host sends from its signalling ports, after all NAT, add peers to the sets.
/// Responses do not, because they go to strangers too.
fn host_sends() -> String {
    let mut text = String::new();
    for set in ["registered", "called", "asked"] {
        let _ = write!(
            text,
            "\tchain peer_is_{set} {{\n\
             \t\tupdate @{set}4 {{ ip daddr . udp dport . udp sport }}\n\
             \t\tupdate @{set}6 {{ ip6 daddr . udp dport . udp sport }}\n\
             \t\taccept\n\
             \t}}\n"
        );
    }
    let mut first = vec![
        format!("{:#010x} : accept", sip::RESPONSE),
        format!("{:#010x} : goto peer_is_registered", sip::REGISTERS),
    ];
    first.extend(sip::CALLS.iter().map(|method| format!("{method:#010x} : goto peer_is_called")));
    let _ = write!(
        text,
        "\tchain sip_to_peer {{\n\
         \t\t@th,64,32 vmap {{ {} }}\n\
         \t\t@th,64,16 {{ {} }} accept\n\
         \t\tgoto peer_is_asked\n\
         \t}}\n\
         \tchain iax_to_peer {{\n\
         \t\t@th,64,8 & {:#04x} == 0x00 accept\n\
         \t\t@th,144,16 vmap {{ {:#06x} : goto peer_is_registered, {:#06x} : goto peer_is_called, {:#06x} : goto peer_is_asked }}\n\
         \t\taccept\n\
         \t}}\n",
        first.join(", "),
        words(&sip::STUN_RESPONSES),
        iax::FULL_FRAME,
        iax::REGISTERS,
        iax::CALLS,
        iax::POKES,
    );
    text
}

fn words(values: &[u16]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value:#06x}")).collect();
    values.join(", ")
}
