//! The structure as text for `nft -f -`: what an administrator reads with `nft list ruleset`.

mod bans;
mod closed;
mod conditions;
mod datagrams;
mod inbound;
mod knocks;
mod limits;
mod outbound;
mod over;
mod ports;
mod requests;
mod signalling;
mod strangers;

use std::fmt::Write as _;

use super::{ListSet, ListSets, ServiceChain, Structure, TABLE, names};
use crate::Family;
use crate::learned::SetSpec;

use inbound::PreroutingJudges;

pub use strangers::COUNTED_BY_ADDRESS;

/// One transaction that makes the table's chains and rules what `structure` says. Elements of
/// sets, their running timeouts and the counters stay as they are.
pub fn render(structure: &Structure) -> String {
    render_where(structure, PreroutingJudges::TheRest)
}

/// The same, but signalling that `raw_prerouting` judges is judged by `prerouting` once more: to be loaded before
/// [`render`] where packets may be on their way from the one to the other that `raw_prerouting` did not judge (see
/// [`Structure::raw_prerouting_judges_more_than`]).
pub fn render_judging_twice(structure: &Structure) -> String {
    render_where(structure, PreroutingJudges::All)
}

fn render_where(structure: &Structure, prerouting_judges: PreroutingJudges) -> String {
    let mut text = String::with_capacity(16 * 1024);
    // A table that is not there cannot be flushed, and `destroy` is unknown to nft 1.0.6.
    let _ =
        writeln!(text, "add table inet {TABLE}\nflush table inet {TABLE}\ntable inet {TABLE} {{");
    text.push_str(&counters());
    text.push_str(&sets());
    text.push_str(&knocks::sets(structure));
    structure.list_sets.all().for_each(|set| text.push_str(&list_set(&set)));
    text.push_str(&strangers::timeouts(structure));
    text.push_str(&strangers::streams(structure));
    text.push_str(&requests::sets());
    text.push_str(&limits::meters(structure));
    structure.chains.iter().for_each(|(name, chain)| text.push_str(&account_chain(name, chain)));
    text.push_str(&conditions::chains(structure));
    text.push_str(&knocks::chains(structure));
    text.push_str(&closed::chains(structure));
    text.push_str(&bans::chains(structure));
    text.push_str(&over::chain(structure));
    text.push_str(&limits::chains(structure));
    text.push_str(&requests::chains(structure));
    text.push_str(&signalling::chains(&structure.ports));
    text.push_str(&inbound::chains(structure, prerouting_judges));
    text.push_str(&strangers::chains(structure));
    text.push_str(&datagrams::chains(structure));
    text.push_str(&outbound::chains(structure));
    text.push_str("}\n");
    text
}

/// A table that has the sets of learned state and nothing else: it judges no packet. Their elements are
/// put back into it before its chains are loaded.
pub fn render_learned_sets() -> String {
    format!("table inet {TABLE} {{\n{}}}\n", learned_sets())
}

fn learned_sets() -> String {
    let of =
        |set: &SetSpec| [Family::V4, Family::V6].map(|family| set.declaration(family)).concat();
    crate::learned::all().map(of).collect()
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
    let family = address_type(set.family);
    let how = if set.prefix.is_none() { "\t\tflags interval\n" } else { "" };
    format!("\tset {} {{\n\t\ttype {family}\n{how}\t}}\n", set.name)
}

const fn address_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    }
}

fn counters() -> String {
    let counter = |name| format!("\tcounter {name} {{\n\t}}\n");
    [
        names::SILENT,
        names::BLOCKED,
        names::BANNED,
        names::DENIED,
        names::LISTED,
        names::LIMITED,
        names::KNOCK_FULL,
    ]
    .into_iter()
    .map(counter)
    .collect()
}

fn sets() -> String {
    let mut text = String::new();
    for family in [Family::V4, Family::V6] {
        let address = address_type(family);
        let number = if family == Family::V4 { 4 } else { 6 };
        let mut add = |kind: &str, name: &str, key: String, how: &str| {
            let _ = write!(text, "\t{kind} {name}{number} {{\n\t\ttype {key}\n{how}\t}}\n");
        };
        let to_chain = || format!("{address} : verdict");
        let endpoint = format!("{address} . inet_service");
        let interval = "\t\tflags interval\n";
        let kept = |size: u32, timeout: &str| {
            format!("\t\tsize {size}\n\t\tflags dynamic,timeout\n{timeout}")
        };
        add("map", "host", to_chain(), "");
        add("map", "account", to_chain(), interval);
        add("map", "kept", to_chain(), "");
        for hook in ["in", "out", "forward"] {
            add("map", &format!("closed_{hook}"), to_chain(), interval);
        }
        add("map", "ban_except", to_chain(), interval);
        add("set", "published", endpoint, "");
        add("set", "hit", address.to_owned(), &kept(65_536, "\t\ttimeout 1h\n"));
        add("set", "meter", address.to_owned(), &kept(65_536, "\t\ttimeout 1m\n"));
        add("set", "over", address.to_owned(), &kept(4_096, "\t\ttimeout 1m\n"));
    }
    text += &learned_sets();
    let _ = write!(text, "\tset {} {{\n\t\ttype nf_proto\n\t\tflags timeout\n\t}}\n", names::TRIAL);
    text
}

/// Everything that an account with these services may reach. For everything else it is a stranger, but
/// exempt from the lists; inside a wider block, everything else is dropped.
fn account_chain(name: &str, chain: &ServiceChain) -> String {
    let mut text = format!("\tchain {name} {{\n");
    match &chain.opening {
        None => text.push_str("\t\taccept\n"),
        Some(opening) => text.push_str(&ports::offered(opening, "accept")),
    }
    for condition in &chain.conditional {
        let _ = writeln!(text, "\t\tjump {condition}");
    }
    if !chain.walled {
        text += &ports::rules(ports::Side::Destination, &chain.only_in_hours, "goto open_services");
    }
    if chain.walled {
        let _ = writeln!(text, "\t\tcounter name {} drop", names::BLOCKED);
    } else if chain.opening.is_some() {
        text.push_str("\t\tgoto strangers\n");
    }
    text.push_str("\t}\n");
    text
}

/// The first rule of every base chain during a trial: without the families in the set, which leave
/// it by themselves, everything passes.
fn trial(structure: &Structure) -> String {
    if structure.trial {
        format!("\t\tmeta nfproto != @{} accept\n", names::TRIAL)
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests;
