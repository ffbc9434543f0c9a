//! Bans: hash tables of addresses and networks that are denied everything for a time. The kernel counts the
//! time, so that they end while the daemon is stopped.

use std::fmt::Write as _;

use super::closed;
use crate::Family;
use crate::address::from_number;
use crate::ban::{BAN, BAN_48, BAN_56};
use crate::ruleset::{Structure, names};

/// The hooks in which bans are looked up, each with the direction of the address.
const HOOKS: [(&str, &str); 3] = [("in", "saddr"), ("out", "daddr"), ("forward", "daddr")];

/// The look-ups that lead banned addresses to a chain of [`chains`], which returns for addresses that no ban
/// concerns. They come before connection tracking, so that they end running flows.
pub(super) fn lookups(hook: &str) -> String {
    let side = HOOKS.iter().find(|(name, _)| *name == hook).map_or("saddr", |(_, side)| side);
    let mut text = format!("\t\tip {side} @{} jump banned_{hook}\n", BAN.name_of(Family::V4));
    for (set, prefix) in [(&BAN, 64), (&BAN_56, 56), (&BAN_48, 48)] {
        let mask = from_number(Family::V6, !(u128::MAX >> prefix));
        let set = set.name_of(Family::V6);
        let _ = writeln!(text, "\t\tip6 {side} & {mask} @{set} jump banned_{hook}");
    }
    text
}

/// What happens to packets from a banned address, to one, and from a container to one.
pub(super) fn chains(structure: &Structure) -> String {
    let counted = format!("counter name {}", names::BANNED);
    let mut text = String::new();
    for (hook, side) in HOOKS {
        let _ = write!(
            text,
            "\tchain banned_{hook} {{\n\t\tip {side} vmap @{}\n\t\tip6 {side} vmap @{}\n",
            names::BAN_EXCEPT_V4,
            names::BAN_EXCEPT_V6
        );
        match hook {
            "in" => {
                let _ = writeln!(text, "\t\t{counted} drop");
            }
            hook => text += &closed::all_outwards(hook, structure, &counted),
        }
        text.push_str("\t}\n");
    }
    text
}
