//! What is said about exemptions.

use nightlatch_core::AddrRange;
use nightlatch_core::audit::Record;
use nightlatch_core::entry::Entry;
use nightlatch_core::features::exemptions::{
    Exemption, Exemptions, Notice, Refusal, Reply, Request,
};
use serde::Deserialize as _;
use serde_json::Value;

use crate::features::about::About;
use crate::features::listing::Listing;
use crate::features::report::Report;
use crate::features::worded::Worded;
use crate::shell::screen::grouped;

/// How many entries are shown of a long exemption.
const SHOWN: usize = 5;

impl Worded for Exemptions {
    fn say(reply: &Reply, _changed: bool) -> Option<String> {
        Some(match reply {
            Reply::Added { name, entries, there } => {
                let there = (!there.is_empty()).then(|| {
                    format!("{} exempt already, in exemption \"{name}\"", is_or_are(there))
                });
                let new = (!entries.is_empty()).then(|| {
                    format!(
                        "{} exempt from bans and lists, and allowed nothing",
                        is_or_are(entries)
                    )
                });
                new.into_iter().chain(there).collect::<Vec<String>>().join("\n")
            }
            Reply::Removed { name, entries, left: 0 } => {
                format!("exemption \"{name}\" is removed: lists apply to {} again", ids(entries))
            }
            Reply::Removed { name, entries, left } => format!(
                "{} no longer in exemption \"{name}\" ({left} left): lists apply again",
                is_or_are(entries)
            ),
            Reply::StaysBlocked { range } => format!(
                "warning: {range} is still blocked: to unblock it, use \"nightlatch unblock {range}\""
            ),
            Reply::All(_) | Reply::Report { .. } => return None,
        })
    }

    fn refuse(refusal: &Refusal) -> String {
        match refusal {
            Refusal::Unknown { name, near: Some(near) } => {
                format!("there is no exemption \"{name}\": did you mean \"{near}\"?")
            }
            Refusal::Unknown { name, near: None } => format!(
                "there is no exemption \"{name}\": \"nightlatch exempt list\" shows all of them"
            ),
            Refusal::NoAddress { name } => format!("exemption \"{name}\" needs an address"),
            Refusal::NotIn { name, missing, has, count } => {
                let more = count.saturating_sub(has.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!(
                    "{} not in exemption \"{name}\", and nothing was changed: it has {}{more}",
                    is_or_are(missing),
                    has.iter().map(|it| it.id().to_string()).collect::<Vec<_>>().join(", ")
                )
            }
            Refusal::TooMany { name, most } => format!(
                "exemption \"{name}\" would have more than {most} addresses: use networks or ranges"
            ),
            Refusal::NobodyElse { range } => format!(
                "{range} is loopback, unspecified, multicast or reserved: no peer can have such an address"
            ),
            Refusal::Wide { range } => format!(
                "{range} contains {} addresses, and nothing was changed: to exempt all of them, add --force",
                grouped(range.width().saturating_add(1))
            ),
            Refusal::Everybody { range } => format!(
                "{range} covers a large part of the internet and cannot be exempted: to use no lists, run \"nightlatch feed remove\" and \"nightlatch country unblock\""
            ),
        }
    }

    fn notice(notice: &Notice) -> String {
        match *notice {}
    }

    fn report(reply: &Reply, report: &mut Report) {
        if let Reply::Report { count } = reply {
            report.count(71, "exemptions", *count);
        }
    }

    fn list() -> Option<Request> {
        Some(Request::List)
    }

    fn listed(reply: &Reply, listing: &mut Listing) {
        let Reply::All(exemptions) = reply else { return };
        listing.records((15, "exemptions"), exemptions, HEADER, row, "");
    }

    fn about(reply: &Reply, about: &mut About) {
        let Reply::All(exemptions) = reply else { return };
        about.field_unless_empty(71, "exemptions", exemptions);
        for exemption in exemptions {
            let holds = exemption.ranges().filter(|range| range.contains(about.address()));
            let range = holds.min_by_key(AddrRange::width);
            let range = range.map(|range| range.to_string()).unwrap_or_default();
            let Exemption { name, by, since, .. } = exemption;
            about.line(
                15,
                format!(
                    "exempt    {name}: {range}, never banned, never blocked by a list; created by {by} at {since}"
                ),
            );
        }
    }

    fn audited(_record: &Record, value: &Value) -> Option<String> {
        Exemption::deserialize(value).ok().map(|exemption| shortened(&exemption.exempt))
    }
}

pub(super) const HEADER: &[&str] = &["EXEMPT", "ADDRESSES", "SINCE", "BY"];

pub(super) fn row(exemption: &Exemption) -> Vec<String> {
    let Exemption { name, exempt, since, by } = exemption;
    vec![name.to_string(), shortened(exempt), since.to_string(), by.clone()]
}

/// The first entries, host names with their addresses, and how many more there are.
fn shortened(entries: &[Entry]) -> String {
    listed(entries, Entry::to_string)
}

/// The first entries as they were written, and how many more there are.
fn ids(entries: &[Entry]) -> String {
    listed(entries, |entry| entry.id().to_string())
}

fn listed(entries: &[Entry], show: fn(&Entry) -> String) -> String {
    let shown: Vec<String> = entries.iter().take(SHOWN).map(show).collect();
    let more = entries.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// `203.0.113.7 is`, `203.0.113.7, 203.0.113.8 are`.
fn is_or_are(entries: &[Entry]) -> String {
    format!("{} {}", ids(entries), if entries.len() == 1 { "is" } else { "are" })
}
