//! Sources that attack and are not banned, e.g. because they have an account: the service that they attack is
//! limited for them, except for their registered phones. Rendered only while there is such a source.

use std::fmt::Write as _;

use super::over::DROPPED;
use super::ports::{Side, single_rules};
use crate::ban::{LIMIT_FREE, LIMIT_STRICT, Limited};
use crate::ruleset::Structure;

/// The addresses of packets as keys of the sets: the digit of the family, the address of a phone, and the
/// source.
const KEYS: [(u8, &str, &str); 2] =
    [(4, "ip saddr", "ip saddr"), (6, "ip6 saddr", "ip6 saddr & ffff:ffff:ffff:ffff::")];

/// What a source may send that went on although it was limited: too little to guess a hundred passwords in an
/// hour.
const STRICT: &str = "limit rate over 40/hour burst 5 packets";

/// What each limited source has sent. It is counted for longer than the stricter limit looks back.
pub(super) fn meters(structure: &Structure) -> String {
    if structure.limited.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    for (digit, family) in [(4, "ipv4_addr"), (6, "ipv6_addr")] {
        for name in ["limit_meter", "limit_slow"] {
            let _ = write!(
                text,
                "\tset {name}{digit} {{\n\t\ttype {family}\n\t\tsize 65536\n\t\tflags dynamic,timeout\n\t\ttimeout 2h\n\t}}\n"
            );
        }
    }
    text
}

/// The look-ups by which limited sources come to the chains of [`chains`], which return for what is accepted.
pub(super) fn lookups(structure: &Structure) -> String {
    let mut text = String::new();
    for (limited, ports) in &structure.limited {
        // Connections of SSH that run are an administrator's.
        let begins = match limited {
            Limited::Ssh => "tcp flags & (syn | ack) == syn ",
            _ => "",
        };
        for (digit, _, source) in KEYS {
            let set = limited.set().name;
            let follows = format!("{begins}{source} @{set}{digit} jump limited_source");
            text += &single_rules(Side::Destination, ports, &follows);
        }
    }
    text
}

/// Drops what is too much.
pub(super) fn chains(structure: &Structure) -> String {
    if structure.limited.is_empty() {
        return String::new();
    }
    let (rate, dropped) = (structure.limits.rate, DROPPED);
    let mut strict = "\tchain limited_strictly {\n".to_owned();
    let mut text = "\tchain limited_source {\n".to_owned();
    for (digit, phone, source) in KEYS {
        let _ = writeln!(text, "\t\t{phone} . th sport @{}{digit} return", LIMIT_FREE.name);
        let _ = writeln!(text, "\t\t{source} @{}{digit} goto limited_strictly", LIMIT_STRICT.name);
        let _ = writeln!(strict, "\t\tupdate @limit_slow{digit} {{ {source} {STRICT} }} {dropped}");
    }
    for (digit, _, source) in KEYS {
        let _ = writeln!(
            text,
            "\t\tupdate @limit_meter{digit} {{ {source} limit rate over {}/second burst {} packets }} {dropped}",
            rate.packets, rate.burst
        );
    }
    strict + "\t}\n" + &text + "\t}\n"
}
