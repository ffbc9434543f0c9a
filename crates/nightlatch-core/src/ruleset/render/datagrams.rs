//! Ways of their own for UDP packets of strangers, where there are users with credentials.
//!
//! What users need, a look-up of SPA ports and one of sources that have knocked, is paid for here by what such
//! a packet need not pass: rules for other protocols, and comparisons of the protocol with UDP. So it passes no
//! more expressions than where there are no users (the test counts them). Nothing else is decided here than
//! in `accounts`, `strangers` and `open_services`, where the packets of accounts come as well.

use super::inbound::{DHCP_ESSENTIAL, accounts, accounts_of};
use super::ports::of_known_protocol;
use super::{knocks, requests};
use crate::Family;
use crate::ruleset::Structure;

/// Where the signalling goes that `raw_prerouting` judges.
pub(super) fn signalling_chain(structure: &Structure) -> &'static str {
    if structure.has_signalling_way() { "strangers.signalling" } else { "to_this_host" }
}

/// The rules of `prerouting` for the UDP packets that belong to no flow and are no signalling.
pub(super) fn in_prerouting(structure: &Structure) -> &'static str {
    if structure.has_users() { "\t\tmeta l4proto 17 goto strangers.udp\n" } else { DHCP_ESSENTIAL }
}

pub(super) fn chains(structure: &Structure) -> String {
    let mut text = String::new();
    if structure.has_users() {
        text += &datagrams(structure);
    }
    if structure.has_signalling_way() {
        text += &signalling(structure);
    }
    text
}

/// What the rest of `prerouting` does with UDP packets, and in the mode `allowlist` whatever follows.
fn datagrams(structure: &Structure) -> String {
    let mut text = "\tchain strangers.udp {\n\
                    \t\tth dport 68 jump essential\n\
                    \t\tth dport 546 jump essential\n"
        .to_owned();
    text += &requests::spa(structure);
    if structure.open.is_some() {
        return text + "\t\tgoto to_this_host\n\t}\n";
    }
    text += "\t\tfib daddr type unicast accept\n";
    text += &accounts();
    if structure.ports.media_from_anybody {
        text += &of_known_protocol(&structure.ports.media, "goto strangers_media");
    }
    text += &knocks::drops_datagrams(structure);
    text + "\t}\n"
}

/// What `raw_prerouting` judges, by family: each has its own rules for accounts and knocks.
fn signalling(structure: &Structure) -> String {
    let mut text = "\tchain strangers.peers {\n".to_owned();
    text += &of_known_protocol(&structure.ports.sip, "goto sip_from_peer");
    text += &of_known_protocol(&structure.ports.iax, "goto iax_from_peer");
    text += "\t}\n";
    for (family, begins) in [
        (Family::V6, "\tchain strangers.signalling6 {\n"),
        (
            Family::V4,
            "\tchain strangers.signalling {\n\
             \t\tfib daddr type unicast accept\n\
             \t\tmeta nfproto ipv6 goto strangers.signalling6\n",
        ),
    ] {
        text += begins;
        text += &accounts_of(family);
        text += "\t\tjump strangers.peers\n";
        text += &requests::agents_among_signalling(structure);
        text += &knocks::drops_datagrams_of(structure, family);
        text += "\t}\n";
    }
    text
}
