//! What is said about providers.

use nightlatch_core::audit::Record;
use nightlatch_core::entry::HostName;
use nightlatch_core::features::providers::{
    Enabled, Held, Notice, Provider, ProviderName, Providers, Refusal, Reply, Request, Shown,
    Status,
};
use nightlatch_core::service::ServiceName;
use serde::Deserialize as _;
use serde_json::Value;

use crate::features::about::{About, Claim};
use crate::features::listing::Listing;
use crate::features::report::Report;
use crate::features::worded::Worded;

/// The header of `provider list`.
pub(super) const HEADER: &[&str] = &["PROVIDER", "STATUS", "ENABLED", "HOSTS", "NETWORKS", "TITLE"];

/// How many names without an address `provider list` tells of each provider.
const MAX_NAMES: usize = 5;

impl Worded for Providers {
    fn say(reply: &Reply, _changed: bool) -> Option<String> {
        Some(match reply {
            Reply::Enabled(it) => {
                format!("provider \"{}\" is enabled: {}", it.name, allowed(it))
            }
            Reply::Disabled(it) => format!(
                "provider \"{}\" is disabled: {} may no longer connect, established connections and media streams end",
                it.name,
                servers(it)
            ),
            Reply::ShutOut { name } => {
                format!("warning: this denies addresses of provider \"{name}\"")
            }
            Reply::StaysOpen { name } => format!(
                "provider \"{name}\" stays allowed: its networks are more specific than the block"
            ),
            Reply::All(_)
            | Reply::AllEnabled(_)
            | Reply::One(_)
            | Reply::Held(_)
            | Reply::Report { .. } => return None,
        })
    }

    fn hint(reply: &Reply) -> Option<String> {
        let Reply::Enabled(enabled) = reply else { return None };
        let waiting = match enabled.without_address().count() {
            0 => return None,
            1 => "1 host name is".to_owned(),
            count => format!("{count} host names are"),
        };
        Some(format!(
            "{waiting} looked up now: \"nightlatch provider show {}\" shows the addresses",
            enabled.name
        ))
    }

    fn refuse(refusal: &Refusal) -> String {
        match refusal {
            Refusal::Unknown { name, near } => {
                let near: Vec<&str> = near.iter().map(ProviderName::as_str).collect();
                let near = match near.as_slice() {
                    [] => ":".to_owned(),
                    near => format!("; did you mean {}?", near.join(" or ")),
                };
                format!(
                    "the catalogue has no provider \"{name}\"{near} \"nightlatch provider list\" shows all; allow the servers of others with \"nightlatch allow NAME ADDRESS --services sip,rtp\""
                )
            }
            Refusal::EnabledAlready { name } => format!(
                "provider \"{name}\" is enabled already: see \"nightlatch provider show {name}\""
            ),
            Refusal::NotEnabled { name } => {
                format!("provider \"{name}\" is not enabled: nothing was changed")
            }
            Refusal::Unverified(provider) => unverified(provider),
            Refusal::Defunct(provider) => defunct(provider),
            Refusal::NoAddress(provider) => format!(
                "the catalogue knows no address of provider \"{name}\" ({title}): allow its servers with \"nightlatch allow {name} ADDRESS --services {services}\"",
                name = provider.name,
                title = provider.title,
                services = provider
                    .services
                    .iter()
                    .map(ServiceName::as_str)
                    .collect::<Vec<&str>>()
                    .join(","),
            ),
        }
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::Changed { name } => format!(
                "this version of Nightlatch has other addresses of provider \"{name}\", which are allowed now: see \"nightlatch provider show {name}\""
            ),
            Notice::Gone { name, since } => format!(
                "provider \"{name}\" was disabled: its service is gone{}",
                since.as_ref().map_or_else(String::new, |since| format!(" since {since}"))
            ),
        }
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { count } = reply else { return };
        report.count(72, "providers", *count);
    }

    fn list() -> Option<Request> {
        Some(Request::Enabled)
    }

    fn listed(reply: &Reply, listing: &mut Listing) {
        const HEADER: &[&str] = &["PROVIDER", "SERVERS", "SERVICES", "SINCE", "BY"];
        let Reply::AllEnabled(enabled) = reply else { return };
        let row = |it: &Enabled| {
            let since = it.since.to_string();
            vec![it.name.to_string(), servers(it), it.services.to_string(), since, it.by.clone()]
        };
        listing.records((12, "providers"), enabled, HEADER, row, "");
    }

    fn about(reply: &Reply, about: &mut About) {
        let Reply::Held(held) = reply else { return };
        about.field_unless_empty(72, "providers", held);
        for it in held {
            let Held { name, range, services, since, by, .. } = it;
            about.line(15, format!("provider  {name}: {}{range} for {services}", hosts(it)));
            let words = format!("provider \"{name}\" ({services}), enabled by {by} at {since}");
            about.because(Claim::Allow(name.to_string()), words);
            let only = format!("provider \"{name}\" is allowed for {services} only");
            about.because(Claim::AllowOnly, only);
        }
    }

    fn audited(record: &Record, value: &Value) -> Option<String> {
        if !record.action.starts_with("provider-") {
            return None;
        }
        let enabled = Enabled::deserialize(value).ok()?;
        Some(allowed(&enabled))
    }
}

/// What is allowed of a provider.
fn allowed(it: &Enabled) -> String {
    let media = match it.media.as_slice() {
        [] => String::new(),
        media => format!(", {} for rtp", counted(media.len(), "media network", "media networks")),
    };
    format!("{} for {}{media}", signalling(it), it.services)
}

/// `3 host names and 8 networks`.
fn signalling(it: &Enabled) -> String {
    let hosts = it.names().count();
    let networks = it.signalling.len().saturating_sub(hosts);
    let hosts = (hosts > 0).then(|| counted(hosts, "host name", "host names"));
    let networks = (networks > 0).then(|| counted(networks, "network", "networks"));
    let both: Vec<String> = hosts.into_iter().chain(networks).collect();
    if both.is_empty() { "nothing".to_owned() } else { both.join(" and ") }
}

/// The same with its media.
fn servers(it: &Enabled) -> String {
    match it.media.as_slice() {
        [] => signalling(it),
        media => {
            let media = counted(media.len(), "media network", "media networks");
            format!("{}, {media}", signalling(it))
        }
    }
}

fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

fn more(count: usize, shown: usize) -> String {
    match count.saturating_sub(shown) {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// The host names of a range, in front of it.
fn hosts(held: &Held) -> String {
    let names: Vec<&str> = held.hosts.iter().map(HostName::as_str).collect();
    if names.is_empty() { String::new() } else { format!("{} ", names.join(", ")) }
}

fn unverified(provider: &Provider) -> String {
    let Provider { name, title, note, sources, .. } = provider;
    let note = note.as_ref().map_or_else(String::new, |note| format!(" {note}"));
    let look = match sources.as_slice() {
        [] => "compare them with what the provider told you".to_owned(),
        sources => format!("compare them with {}", sources.join(" and ")),
    };
    format!(
        "nobody has verified the addresses of provider \"{name}\" ({title}).{note} See \"nightlatch provider show {name}\", {look}, and then add --force"
    )
}

fn defunct(provider: &Provider) -> String {
    let Provider { name, title, note, date, .. } = provider;
    let since = date.as_ref().map_or_else(String::new, |date| format!(" since {date}"));
    let note = note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
    format!(
        "provider \"{name}\" ({title}) cannot be enabled: its service is gone{since}{note} Somebody else may have its addresses now"
    )
}

/// A row of `provider list`.
pub(super) fn row(shown: &Shown) -> Vec<String> {
    let Shown { provider, enabled } = shown;
    let (hosts, networks) = match (enabled, provider) {
        (Some(it), _) => {
            let names = it.names().count();
            let without = it.without_address().count();
            let hosts = match without {
                0 => names.to_string(),
                without => format!("{names}, {without} without address"),
            };
            (hosts, it.signalling.len().saturating_sub(names) + it.media.len())
        }
        (None, Some(it)) => (it.hosts.len().to_string(), it.networks.len() + it.media.len()),
        (None, None) => (String::new(), 0),
    };
    let status = provider.as_ref().map_or("gone".to_owned(), |it| it.status.to_string());
    let title = provider.as_ref().map_or("", |it| it.title.as_str());
    vec![
        name(shown),
        status,
        if enabled.is_some() { "yes" } else { "" }.to_owned(),
        hosts,
        networks.to_string(),
        title.to_owned(),
    ]
}

fn name(shown: &Shown) -> String {
    let enabled = shown.enabled.as_ref().map(|it| it.name.to_string());
    shown.provider.as_ref().map(|it| it.name.to_string()).or(enabled).unwrap_or_default()
}

/// What is said below the list: the names without an address, and how to go on.
pub(super) fn remarks(all: &[Shown]) -> Vec<String> {
    let mut lines = vec![String::new()];
    for it in all.iter().filter_map(|shown| shown.enabled.as_ref()) {
        let names: Vec<&str> = it.without_address().map(HostName::as_str).collect();
        if !names.is_empty() {
            let shown: Vec<&str> = names.iter().take(MAX_NAMES).copied().collect();
            let more = more(names.len(), MAX_NAMES);
            lines.push(format!("no address: {}{more} of {}", shown.join(", "), it.name));
        }
    }
    lines.push("\"nightlatch provider show NAME\" shows one, \"nightlatch provider enable NAME\" allows it for telephony.".to_owned());
    lines
}

/// All that is known of a provider, in lines.
pub(super) fn one(shown: &Shown) -> Vec<String> {
    let line = |name: &str, what: String| format!("{name:<10}{what}");
    let mut lines = vec![line("provider", name(shown))];
    if let Some(it) = &shown.provider {
        lines.push(line("title", it.title.clone()));
        let date = it.date.as_ref().map_or_else(String::new, |date| match it.status {
            Status::Defunct => format!(" since {date}"),
            Status::Verified | Status::Unverified => format!(" as of {date}"),
        });
        lines.push(line("status", format!("{}{date}", it.status)));
        lines.extend(it.sources.iter().map(|source| line("source", source.clone())));
        lines.extend(it.note.iter().map(|note| line("note", note.clone())));
    } else {
        lines.push(line("status", "no longer in the catalogue of this version".to_owned()));
    }
    match (&shown.enabled, &shown.provider) {
        (Some(it), _) => {
            lines.push(line("enabled", format!("at {} by {}", it.since, it.by)));
            lines.extend(it.signalling.iter().map(|entry| match entry.host() {
                Some(name) if entry.ranges().next().is_none() => {
                    line("server", format!("{name} (no address now)"))
                }
                _ => line("server", entry.to_string()),
            }));
            lines.extend(it.media.iter().map(|range| line("media", range.to_string())));
            lines.push(line("services", it.services.to_string()));
        }
        (None, Some(it)) => {
            lines.push(line("enabled", "no".to_owned()));
            lines.extend(it.networks.iter().map(|range| line("server", range.to_string())));
            lines.extend(it.hosts.iter().map(|host| line("server", host.to_string())));
            lines.extend(it.media.iter().map(|range| line("media", range.to_string())));
            lines.push(line("services", it.grant().to_string()));
        }
        (None, None) => {}
    }
    lines
}
