//! What is said about accounts.

use nightlatch_core::audit::Record;
use nightlatch_core::features::accounts::{
    Account, Accounts, Entry, Notice, Refusal, Reply, Request,
};
use nightlatch_core::service::{Grant, ServiceName};
use nightlatch_core::time::{Time, show_span};
use serde::Deserialize as _;
use serde_json::Value;

use crate::features::about::{About, Claim};
use crate::features::listing::Listing;
use crate::features::report::Report;
use crate::features::worded::Worded;

impl Worded for Accounts {
    fn say(reply: &Reply, _changed: bool) -> Option<String> {
        Some(match reply {
            Reply::Opened(account) => {
                let mut text =
                    format!("account \"{}\" is open: {}", account.name, entries_and_services(account));
                if let Some(until) = account.until {
                    text += &format!(", until {until} ({})", show_span(until.since(account.since)));
                }
                text
            }
            Reply::Removed(account) => format!(
                "account \"{}\" is removed: {} is closed, running connections and media streams are cut",
                account.name,
                entries_and_services(account),
            ),
            Reply::ShutOut { name } => {
                format!("attention: this shuts out addresses of account \"{name}\"")
            }
            Reply::StaysOpen { name } => {
                format!("account \"{name}\" stays open: it is more specific than the block")
            }
            Reply::Nobody => "attention: NOBODY from outside gets in, you neither: there is no account yet; \"nightlatch allow NAME ADDRESS\" makes one".to_owned(),
            Reply::TelephonyOnly { name } => format!(
                "account \"{name}\" opens telephony only: it has a host name, and DNS is not authenticated; if it needs more (ssh, web), make it with --services"
            ),
            Reply::Made { .. } | Reply::All(_) | Reply::One(_) | Reply::Report { .. } => return None,
        })
    }

    /// Carriers often send media from addresses other than those of their signalling. Without an account,
    /// early media (ringback, announcements) from there are dropped.
    fn hint(reply: &Reply) -> Option<String> {
        let Reply::Opened(account) = reply else { return None };
        let is_signalling = |name: &ServiceName| ["sip", "sip-tls"].contains(&name.as_str());
        match &account.services {
            Grant::Some(names) if names.iter().any(is_signalling) => Some(format!(
                "if this is a carrier that sends media from other addresses, allow those too: \"nightlatch allow {}-media NETWORK --services rtp\"",
                account.name
            )),
            _ => None,
        }
    }

    fn refuse(refusal: &Refusal) -> String {
        match refusal {
            Refusal::Unknown { name } => {
                format!("there is no account \"{name}\": \"nightlatch list\" shows all of them")
            }
            Refusal::Exists(there) => format!(
                "account \"{}\" exists already ({}): use \"nightlatch show {}\", remove it first, or take another name",
                there.name,
                entries_and_services(there),
                there.name
            ),
            Refusal::NoAddress { name } => format!("account \"{name}\" needs an address"),
            Refusal::NoServices => "name at least one service, or \"all\"".to_owned(),
            Refusal::NoSuchService { name, known } => {
                let known: Vec<&str> = known.iter().map(ServiceName::as_str).collect();
                format!(
                    "there is no service \"{name}\" on this server: write all, or some of {}",
                    known.join(", ")
                )
            }
            Refusal::NobodyElse { range } => format!(
                "{range} is the machine itself or nobody in particular: nobody comes in from there"
            ),
            Refusal::Everybody { range } => format!(
                "{range} is a great part of the internet, and an account of it would let nearly everybody in: name the networks you trust, or use \"nightlatch mode open\""
            ),
        }
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::Ended { name } => format!("account \"{name}\" has ended"),
        }
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { count, ending } = reply else { return };
        report.count(70, "accounts", *count);
        for (name, until) in ending {
            report.ending(format!("account \"{name}\""), *until);
        }
    }

    fn list() -> Option<Request> {
        Some(Request::List)
    }

    fn listed(reply: &Reply, listing: &mut Listing) {
        const HEADER: &[&str] = &["ACCOUNT", "ADDRESSES", "SERVICES", "UNTIL", "NOTE"];
        const NONE: &str = "No accounts. \"nightlatch allow NAME ADDRESS\" makes one.";
        let Reply::All(accounts) = reply else { return };
        listing.records((10, "accounts"), accounts, HEADER, row, NONE);
    }

    fn about(reply: &Reply, about: &mut About) {
        let Reply::All(accounts) = reply else { return };
        about.field(70, "accounts", accounts);
        for account in accounts {
            let Account { name, services, .. } = account;
            let range = account.range_of(about.address()).map(|range| range.to_string());
            let range = range.unwrap_or_default();
            about.line(10, format!("account   {name}: {range} for {services}"));
            about.because(Claim::Allow(name.to_string()), made(account, about.now()));
            let only = format!("account \"{name}\" lets it in for {services} only");
            about.because(Claim::AllowOnly, only);
        }
    }

    fn audited(_record: &Record, value: &Value) -> Option<String> {
        let account = Account::deserialize(value).ok()?;
        let until = account.until.map_or("for ever".to_owned(), |at| format!("until {at}"));
        Some(format!("{}, {until}", entries_and_services(&account)))
    }
}

/// `203.0.113.7, office.example.net (203.0.113.8) for sip, web`; of long lists the beginning.
fn entries_and_services(account: &Account) -> String {
    const SHOWN: usize = 5;
    let entries: Vec<String> = account.entries.iter().take(SHOWN).map(Entry::to_string).collect();
    let more = account.entries.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more} for {}", entries.join(", "), account.services)
}

/// Who made an account, when, and when it ends.
fn made(account: &Account, now: Time) -> String {
    let until = account.until.map_or_else(String::new, |until| {
        format!(", until {until}, {} left", show_span(until.since(now)))
    });
    let Account { name, services, by, since, .. } = account;
    format!("account \"{name}\" ({services}), made by {by} at {since}{until}")
}

fn row(account: &Account) -> Vec<String> {
    vec![
        account.name.to_string(),
        shortened(&account.entries),
        account.services.to_string(),
        end(account.until),
        account.note.clone(),
    ]
}

/// When an account ends.
pub(super) fn end(until: Option<Time>) -> String {
    until.map_or_else(|| "for ever".to_owned(), |until| until.to_string())
}

/// The first entries, and how many more there are.
fn shortened(entries: &[Entry]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = entries.iter().take(SHOWN).map(Entry::to_string).collect();
    let more = entries.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
