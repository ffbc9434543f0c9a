//! The names of chains, which follow from what a chain grants alone.

use std::time::Duration;

use crate::condition::Condition;
use crate::hours::Hours;
use crate::service::Grant;

/// A union of services as part of a chain's name: `sip.web`, `all`; a long one as a hash of the
/// names, so that it depends on nothing else.
pub(super) fn union_name(grant: &Grant) -> String {
    const MAX_LENGTH: usize = 60;
    let names: Vec<String> = Vec::<String>::from(grant.clone());
    // A "-" cannot stand in a chain's name; no service's name holds a "_".
    let name = names.join(".").replace('-', "_");
    match name.len() {
        0 => "nothing".to_owned(),
        length if length > MAX_LENGTH => {
            format!("many.{}", fingerprint(&name))
        }
        _ => name,
    }
}

/// A grant under a condition as part of a chain's name: `lease_28800s.sip`, `hours_0123456789abcdef.sip`.
pub(super) fn condition_name(
    condition: &Condition,
    idle: Option<Duration>,
    grant: &Grant,
) -> String {
    let hours = condition.hours.as_ref().map(|hours| format!("{}.", hours_name(hours)));
    let idle = idle.filter(|_| condition.leased).map(|idle| format!("lease_{}s.", idle.as_secs()));
    format!("{}{}{}", hours.unwrap_or_default(), idle.unwrap_or_default(), union_name(grant))
}

/// The name of the chain of a grant under a condition.
pub(in crate::ruleset) fn condition_chain(
    condition: &Condition,
    idle: Option<Duration>,
    grant: &Grant,
) -> String {
    shortened(format!("if.{}", condition_name(condition, idle, grant)), "if")
}

/// Hours as part of a chain's name.
pub(in crate::ruleset) fn hours_name(hours: &Hours) -> String {
    format!("hours_{:016x}", fnv(&format!("{hours} {}", hours.zone())))
}

/// A chain's name, or where that is long, its kind and a hash of it.
pub(super) fn shortened(name: String, kind: &str) -> String {
    const MAX_LENGTH: usize = 100;
    if name.len() <= MAX_LENGTH {
        return name;
    }
    format!("{kind}.many.{}", fingerprint(&name))
}

/// What follows from a text alone, in 32 characters.
pub(in crate::ruleset) fn fingerprint(text: &str) -> String {
    let reversed: String = text.chars().rev().collect();
    format!("{:016x}{:016x}", fnv(text), fnv(&reversed))
}

/// FNV-1a, 64 bits, which is the same in every run.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
