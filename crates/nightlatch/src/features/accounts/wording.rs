//! What is said about accounts.

use nightlatch_core::audit::Record;
use nightlatch_core::features::accounts::{
    Account, AccountName, Accounts, Entry, Notice, Refusal, Reply, Request, Terms, UNCHANGED,
};
use nightlatch_core::hours::Hours;
use nightlatch_core::near::nearest;
use nightlatch_core::service::{Grant, ServiceName};
use nightlatch_core::time::{Time, show_span};
use serde::Deserialize as _;
use serde_json::Value;

use crate::features::about::{About, Claim};
use crate::features::listing::Listing;
use crate::features::report::Report;
use crate::features::worded::Worded;
use crate::shell::screen::grouped;

impl Worded for Accounts {
    fn say(reply: &Reply, _changed: bool) -> Option<String> {
        Some(match reply {
            Reply::Opened(account) => {
                let mut text =
                    format!("account \"{}\" added: {}", account.name, entries_and_services(account));
                text += &during(account.hours.as_ref());
                if let Some(until) = account.until {
                    text += &format!(", until {until} ({})", show_span(until.since(account.since)));
                }
                text
            }
            Reply::Removed(account) => format!(
                "account \"{}\" removed: {}; established connections and media streams are cut",
                account.name,
                entries_and_services(account),
            ),
            Reply::Added { name, services, entries, there } => added(name, services, entries, there),
            Reply::Dropped { name, entries, covered, left } => {
                let left = addresses(*left);
                let mut text = format!(
                    "{} no longer in account \"{name}\" ({left} left): established connections and media streams are cut",
                    is_or_are(entries)
                );
                if !covered.is_empty() {
                    let other = format!("other addresses of account \"{name}\" cover that");
                    text += &format!("\n{} still allowed: {other}", is_or_are(covered));
                }
                text
            }
            Reply::Changed { before, after, entries } => altered(before, after, *entries),
            Reply::EndsYours { origin, at, comes_back } => {
                let again = if *comes_back { ", until its hours begin again" } else { "" };
                format!(
                    "warning: your own SSH session from {origin} ends at {at} with this account, and no new one can begin{again}: to prevent that, allow {origin} in another account"
                )
            }
            Reply::ShutOut { name } => {
                format!("warning: this blocks addresses of account \"{name}\"")
            }
            Reply::StaysOpen { name } => {
                format!("account \"{name}\" is still allowed: it is more specific than the block")
            }
            Reply::Nobody => "warning: NOBODY can connect from outside, including you, because no account exists yet: create one with \"nightlatch allow NAME ADDRESS\"".to_owned(),
            Reply::TelephonyOnly { name } => format!(
                "account \"{name}\" allows telephony only, because it has a host name and DNS is not authenticated; to allow more (ssh, web), use \"nightlatch account set NAME --services LIST\""
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
            Refusal::Unknown { name, near: Some(near) } => {
                format!("there is no account \"{name}\": did you mean \"{near}\"?")
            }
            Refusal::Unknown { name, near: None } => {
                format!("there is no account \"{name}\": \"nightlatch list\" shows all of them")
            }
            Refusal::Exists { account, more } => exists(account, more),
            Refusal::NotInAccount { name, missing, has, count } => {
                let more = count.saturating_sub(has.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!(
                    "{} not in account \"{name}\", and nothing was changed: it has {}{more}",
                    is_or_are(missing),
                    ids(has)
                )
            }
            Refusal::LastAddress { name } => format!(
                "no address would be left in account \"{name}\": to remove it, \"nightlatch remove {name}\""
            ),
            Refusal::TooMany { name, most } => format!(
                "account \"{name}\" would have more than {most} addresses: use networks or ranges, or several accounts"
            ),
            Refusal::Passed { until } => {
                format!(
                    "{until} is in the past: use a future time, in UTC or with the offset of your time zone"
                )
            }
            Refusal::HostForAll { name, host } => format!(
                "account \"{name}\" allows all services, and DNS is not authenticated, so nothing was changed: create a separate account for it (\"nightlatch allow NAME {host} --services sip\"), or add --force"
            ),
            Refusal::Wide { range } => format!(
                "{range} contains {} addresses, and nothing was changed: to allow all of them, add --force",
                grouped(range.width().saturating_add(1))
            ),
            Refusal::NoAddress { name } => format!("account \"{name}\" needs an address"),
            Refusal::NoServices => "name at least one service, or \"all\"".to_owned(),
            Refusal::NoSuchService { name, known } => {
                let known: Vec<&str> = known.iter().map(ServiceName::as_str).collect();
                let meant = nearest(name.as_str(), known.iter().copied());
                let meant = meant.map_or_else(String::new, |it| format!("did you mean \"{it}\"? "));
                format!(
                    "there is no service \"{name}\" on this server: {meant}use all, or one or more of {}",
                    known.join(", ")
                )
            }
            Refusal::NobodyElse { range } => format!(
                "{range} is loopback, unspecified, multicast or reserved: no peer can have such an address"
            ),
            Refusal::Everybody { range } => format!(
                "{range} covers a large part of the internet and cannot be allowed: allow the networks that you trust, or use \"nightlatch mode open\""
            ),
        }
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::Ended { name } => format!("account \"{name}\" has expired"),
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
        const NONE: &str = "No accounts. Create one with \"nightlatch allow NAME ADDRESS\".";
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
            let now = account.hours.as_ref().map(|it| match it.contain(about.now()) {
                true => format!("{}, active now", during(Some(it))),
                false => format!("{}, not active now", during(Some(it))),
            });
            let now = now.unwrap_or_default();
            about.line(10, format!("account   {name}: {range} for {services}{now}"));
            about.because(Claim::Allow(name.to_string()), made(account, about.now()));
            let hours = during(account.hours.as_ref());
            let only = format!("account \"{name}\" allows it for {services} only{hours}");
            about.because(Claim::AllowOnly, only);
        }
    }

    fn audited(record: &Record, value: &Value) -> Option<String> {
        let mut value = value.clone();
        // Of a change there are only the entries that differ.
        let unchanged = value.as_object_mut().and_then(|fields| fields.remove(UNCHANGED));
        let account = Account::deserialize(value).ok()?;
        let until = account.until.map_or("no expiry".to_owned(), |at| format!("until {at}"));
        let hours = during(account.hours.as_ref());
        let unchanged = unchanged.and_then(|count| usize::try_from(count.as_u64()?).ok());
        let Some(count) = unchanged else {
            return Some(format!("{}{hours}, {until}", entries_and_services(&account)));
        };
        let text = changed_entries(&account, count, &record.subject);
        let note =
            if account.note.is_empty() { String::new() } else { format!(", \"{}\"", account.note) };
        Some(format!("{text}{hours}, {until}{note}"))
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

/// An account of which something changes, in the log: the entries that differ, and how many others it has.
fn changed_entries(account: &Account, others: usize, subject: &str) -> String {
    let called = match account.name.as_str() {
        name if name == subject => String::new(),
        name => format!("called \"{name}\", "),
    };
    let entries = match (account.entries.as_slice(), others) {
        ([], others) => addresses(others),
        (entries, 0) => shortened(entries),
        (entries, 1) => format!("{} and 1 other", shortened(entries)),
        (entries, others) => format!("{} and {others} others", shortened(entries)),
    };
    format!("{called}{entries} for {}", account.services)
}

/// What came into an account.
fn added(name: &AccountName, services: &Grant, entries: &[Entry], there: &[Entry]) -> String {
    let there =
        (!there.is_empty()).then(|| format!("{} in account \"{name}\" already", is_or_are(there)));
    let new = (!entries.is_empty()).then(|| {
        format!("account \"{name}\" now also allows {} for {services}", shortened(entries))
    });
    new.into_iter().chain(there).collect::<Vec<String>>().join("\n")
}

/// What became of an account without its entries.
fn altered(before: &Terms, after: &Terms, entries: usize) -> String {
    if before == after {
        return format!("account \"{}\" is already as requested: nothing was changed", after.name);
    }
    let mut changes = Vec::new();
    if before.name != after.name {
        changes.push(format!("is now called \"{}\"", after.name));
    }
    if before.services != after.services {
        let (was, is, many) = (&before.services, &after.services, addresses(entries));
        changes.push(format!("allows {many} {is} instead of {was}"));
    }
    if before.until != after.until {
        changes.push(match after.until {
            Some(until) => format!("ends at {until}"),
            None => "no longer expires".to_owned(),
        });
    }
    if before.hours != after.hours {
        changes.push(match &after.hours {
            Some(hours) => format!("is valid only {hours} ({})", hours.zone()),
            None => "is valid at any time".to_owned(),
        });
    }
    if before.note != after.note {
        changes.push(match after.note.is_empty() {
            true => "has no note now".to_owned(),
            false => format!("has the note \"{}\"", after.note),
        });
    }
    let ends = match before.services.is_within(&after.services) {
        true => "",
        false => "; connections that are no longer allowed are cut",
    };
    format!("account \"{}\" {}{ends}", before.name, changes.join(", "))
}

/// An account of that name exists; the command that adds what was asked for.
fn exists(account: &Account, more: &[Entry]) -> String {
    const MAX: usize = 20;
    let name = &account.name;
    let what = match more {
        [] => format!("to change it, use \"nightlatch account set {name}\", or use another name"),
        more if more.len() > MAX => format!(
            "to add these addresses, use \"nightlatch account add {name}\" with the same addresses"
        ),
        more => {
            let words: Vec<String> = more.iter().map(|entry| entry.id().to_string()).collect();
            format!("to add, use \"nightlatch account add {name} {}\"", words.join(" "))
        }
    };
    format!("account \"{name}\" exists already ({}): {what}", entries_and_services(account))
}

/// Entries as they were written.
fn ids(entries: &[Entry]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = entries.iter().take(SHOWN).map(|it| it.id().to_string()).collect();
    let more = entries.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// `203.0.113.7 is`, `203.0.113.7, 203.0.113.8 are`.
fn is_or_are(entries: &[Entry]) -> String {
    format!("{} {}", ids(entries), if entries.len() == 1 { "is" } else { "are" })
}

fn addresses(count: usize) -> String {
    format!("{count} {}", if count == 1 { "address" } else { "addresses" })
}

/// `, only Mon-Fri 07:00-19:00 (Europe/Berlin)`; nothing without hours.
fn during(hours: Option<&Hours>) -> String {
    hours.map_or_else(String::new, |hours| format!(", only {hours} ({})", hours.zone()))
}

/// Who made an account, when, and when it ends.
fn made(account: &Account, now: Time) -> String {
    let until = account.until.map_or_else(String::new, |until| {
        format!(", until {until}, {} left", show_span(until.since(now)))
    });
    let Account { name, services, by, since, .. } = account;
    let hours = during(account.hours.as_ref());
    format!("account \"{name}\" ({services}{hours}), created by {by} at {since}{until}")
}

fn row(account: &Account) -> Vec<String> {
    vec![
        account.name.to_string(),
        shortened(&account.entries),
        account.services.to_string(),
        end(account.until) + &during(account.hours.as_ref()),
        account.note.clone(),
    ]
}

/// When an account ends.
pub(super) fn end(until: Option<Time>) -> String {
    until.map_or_else(|| "no expiry".to_owned(), |until| until.to_string())
}

/// The first entries, and how many more there are.
fn shortened(entries: &[Entry]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = entries.iter().take(SHOWN).map(Entry::to_string).collect();
    let more = entries.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
