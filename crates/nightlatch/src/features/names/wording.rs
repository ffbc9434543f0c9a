//! What is said about host names.

use nightlatch_core::features::names::{
    MAX_CHANGES_A_DAY, Name, Names, Notice, Refusal, Reply, Request, Senseless,
};
use serde_json::json;

use crate::features::report::Report;
use crate::features::worded::Worded;

/// How many addresses are shown of one name.
const SHOWN: usize = 4;

impl Worded for Names {
    fn say(_reply: &Reply, _changed: bool) -> Option<String> {
        None
    }

    fn refuse(refusal: &Refusal) -> String {
        match *refusal {}
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::Gone { name, since, addresses: 0, .. } => format!(
                "the host name {name} does not exist, or has no address, since {since}: check how it is written (\"nightlatch names\" shows who uses it)"
            ),
            Notice::Gone { name, since, until, addresses } => format!(
                "the host name {name} no longer exists, or has no address, since {since}: its last {} until {until}; if somebody still needs access, allow the address itself",
                counted(*addresses)
            ),
            Notice::Lost { name, addresses } => format!(
                "the host name {name} could not be looked up for too long: {} no longer allowed by it",
                with_verb(&shown(addresses), addresses.len())
            ),
            Notice::Often { name } => format!(
                "the host name {name} got new addresses more than {MAX_CHANGES_A_DAY} times within a day: whoever controls it decides who has access"
            ),
            Notice::Refused { name, refused } => format!(
                "the name server returned addresses for {name} that are not accepted: {}{}",
                refused_addresses(refused),
                private_hint(refused)
            ),
        }
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { count, troubled, first } = reply else { return };
        let names = json!({ "count": count, "troubled": troubled, "first": first });
        report.field(155, "names", &names);
        if *count > 0 {
            let troubled =
                if *troubled > 0 { format!(", {troubled} with trouble") } else { String::new() };
            let names = if *count == 1 { "name" } else { "names" };
            report.line(75, format!("names     {count} host {names}{troubled}"));
        }
        for name in first {
            report.line(76, format!("name      {}: {}", name.name, trouble(name)));
        }
        let more = troubled.saturating_sub(first.len());
        if more > 0 {
            report.line(76, format!("name      and {more} more (see \"nightlatch names\")"));
        }
    }

    fn list() -> Option<Request> {
        None
    }
}

/// A name in a table.
pub(super) fn row(name: &Name) -> Vec<String> {
    let of: Vec<&str> = name.of.keys().map(String::as_str).take(SHOWN).collect();
    vec![
        name.name.to_string(),
        if name.addresses.is_empty() { "none yet".to_owned() } else { shown(&name.addresses) },
        name.changed.map_or_else(String::new, |at| at.to_string()),
        with_more(of.join(", "), name.of.len()),
        trouble(name),
    ]
}

/// What is not as it should be.
fn trouble(name: &Name) -> String {
    let mut troubles = Vec::new();
    let until = name.ends().map_or_else(String::new, |until| format!(" until {until}"));
    let count = match name.addresses.len() {
        0 => String::new(),
        some => format!("; its last {}{until}", counted(some)),
    };
    if let Some(gone) = &name.gone {
        let sure = if gone.confirmed { "" } else { ", not confirmed yet" };
        troubles.push(format!("no such name or no address since {}{sure}{count}", gone.since));
    } else if let Some(failing) = name.fails() {
        troubles.push(format!("{} since {}{count}", failing.why, failing.since));
    }
    if !name.refused.is_empty() {
        let refused = refused_addresses(&name.refused);
        troubles.push(format!("not accepted: {refused}{}", private_hint(&name.refused)));
    }
    troubles.join("; ")
}

/// `address counts`, `3 addresses count`.
fn counted(addresses: usize) -> String {
    match addresses {
        1 => "address stays valid".to_owned(),
        more => format!("{more} addresses stay valid"),
    }
}

fn with_verb(subject: &str, count: usize) -> String {
    format!("{subject} {}", if count == 1 { "is" } else { "are" })
}

fn shown(addresses: &[std::net::IpAddr]) -> String {
    let first: Vec<String> = addresses.iter().take(SHOWN).map(ToString::to_string).collect();
    with_more(first.join(", "), addresses.len())
}

fn with_more(text: String, count: usize) -> String {
    match count.saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// `10.0.0.1 (private), 127.0.0.1 (loopback)`.
fn refused_addresses(refused: &[Senseless]) -> String {
    let refused: Vec<String> =
        refused.iter().map(|it| format!("{} ({})", it.address, it.why.text())).collect();
    refused.join(", ")
}

fn private_hint(refused: &[Senseless]) -> &'static str {
    use nightlatch_core::features::names::Why;

    match refused.iter().any(|it| it.why == Why::Private) {
        true => " (for names of your own network, \"nightlatch allow\" has --allow-private)",
        false => "",
    }
}
