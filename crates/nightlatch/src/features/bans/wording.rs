//! What is said about bans.

use nightlatch_core::AddrRange;
use nightlatch_core::attack::{Evidence, Service, Weight};
use nightlatch_core::audit::Record;
use nightlatch_core::ban::Limited;
use nightlatch_core::features::bans::{Ban, BanCause, Bans, Limit, Notice, Refusal, Reply, Spared};
use nightlatch_core::ranges::Untouchable;
use nightlatch_core::time::{Time, show_span};
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use crate::features::about::{About, Claim};
use crate::features::places::{Place, Places};
use crate::features::report::Report;
use crate::features::worded::Worded;
use crate::shell::{clock, screen};

impl Worded for Bans {
    fn say(reply: &Reply, _changed: bool) -> Option<String> {
        Some(match reply {
            Reply::Banned(ban) => {
                let (until, length) = (ban.until, show_span(ban.until.since(ban.since)));
                let except = except(ban);
                format!("{} is banned until {until} ({length}){except}", ban.range)
            }
            Reply::Unbanned { count: 0, .. } => "nothing is banned".to_owned(),
            Reply::Unbanned { ranges, count } => {
                let named: Vec<String> = ranges.iter().take(10).map(ToString::to_string).collect();
                let more = match count.saturating_sub(named.len()) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("no longer banned: {}{more}", named.join(", "))
            }
            Reply::All { .. } | Reply::About(_) | Reply::Report { .. } => return None,
        })
    }

    fn refuse(refusal: &Refusal) -> String {
        match refusal {
            Refusal::Network { range } => format!(
                "{range} is not banned: a ban is for one address, or an IPv6 network of 64, 56 or 48 bits; use \"nightlatch block {range} --for 1d\""
            ),
            Refusal::Untouchable { range, what } => {
                let what = match what {
                    Untouchable::Loopback => "this machine itself",
                    Untouchable::Link => "the link's own addresses",
                    Untouchable::Multicast => "no address of a single host",
                };
                format!("{range} cannot be banned: it is {what}")
            }
            Refusal::Guarded { range, guarded, what } => {
                let named = if guarded == range { String::new() } else { format!("{guarded}, ") };
                format!("{range} is not banned: it is {named}{what}, and the server needs it")
            }
            Refusal::Allowed { range, names } => format!(
                "{range} is not banned: it is allowed by {}, and no ban counts there; remove it there first, or use \"nightlatch block {range}\"",
                names.join(", ")
            ),
            Refusal::TooLong { most } => format!(
                "a ban lasts {} at most; \"nightlatch block\" blocks for ever",
                show_span(*most)
            ),
            Refusal::Full { most } => format!(
                "there are {most} bans, and no more than that; \"nightlatch unban --all\" ends all of them"
            ),
            Refusal::NotBanned { range } => {
                format!("{range} is not banned: \"nightlatch bans\" lists all bans")
            }
        }
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::Banned(ban) => format!(
                "{} is banned until {} ({}): {}",
                ban.range,
                ban.until,
                show_span(ban.until.since(ban.since)),
                cause(ban)
            ),
            Notice::Many { count } => format!(
                "{count} sources were banned within a minute: no more of them are told here; \"nightlatch bans\" lists all"
            ),
            Notice::Spared { range, because, limited_until, evidence } => {
                let limited = match limited_until {
                    Some(until) => format!("is limited until {until} instead of banned"),
                    None => "is not banned".to_owned(),
                };
                format!(
                    "{range} attacks and {limited}, because {}: {}",
                    spared(because),
                    seen(evidence)
                )
            }
            Notice::Full { range, most, brief: true } => format!(
                "{range} is not banned: {most} sources are banned for what somebody else could have forged, and no more than that at a time (max-brief in [bans])"
            ),
            Notice::Full { range, most, brief: false } => {
                format!("{range} is not banned: there are {most} bans, and no more than that")
            }
        }
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { count, limited } = reply else { return };
        report.count(82, "bans", *count);
        report.banned = *count;
        if *limited > 0 {
            report.count(83, "limits", *limited);
        }
    }

    fn about(reply: &Reply, about: &mut About) {
        let Reply::About(bans) = reply else { return };
        about.field_unless_empty(82, "bans", bans);
        for ban in bans {
            if let Some(limit) = &ban.limit {
                about.line(21, format!("limited   {}: {}", limited(limit), set(ban, about.now())));
                continue;
            }
            let until = show_span(ban.until.since(about.now()));
            about.line(21, format!("ban       {}, {until} left: {}", ban.range, cause(ban)));
            about.because(Claim::Ban(ban.range), set(ban, about.now()));
        }
    }

    fn audited(_record: &Record, value: &Value) -> Option<String> {
        let ban = Ban::deserialize(value).ok()?;
        let limit =
            ban.limit.as_ref().map_or_else(String::new, |it| format!("limited: {}, ", limited(it)));
        Some(format!("{limit}until {}: {}", ban.until, cause(&ban)))
    }
}

/// Since when and until when it is banned, and why.
fn set(ban: &Ban, now: Time) -> String {
    let what = if ban.limit.is_none() { "banned" } else { "limited" };
    format!(
        "{} is {what} since {} until {}, {} left: {}",
        ban.range,
        ban.since,
        ban.until,
        show_span(ban.until.since(now)),
        cause(ban)
    )
}

/// What is limited, in words.
fn limited(limit: &Limit) -> String {
    let names: Vec<&str> = limit
        .services
        .iter()
        .map(|it| match it {
            Limited::Sip => "sip",
            Limited::Iax => "iax",
            Limited::Web => "web",
            Limited::Ssh => "new connections of ssh",
        })
        .collect();
    let free = match limit.free.len() {
        0 => String::new(),
        phones => format!(", except {phones} registered phones"),
    };
    let strict = if limit.strict { ", strictly, because it went on" } else { "" };
    format!("{}{free}{strict}", names.join(", "))
}

fn except(ban: &Ban) -> String {
    let except: Vec<String> = ban.except.iter().map(ToString::to_string).collect();
    if except.is_empty() { String::new() } else { format!(", except {}", except.join(", ")) }
}

/// Why a source is banned.
fn cause(ban: &Ban) -> String {
    match &ban.cause {
        BanCause::ByHand { by, reason } if reason.is_empty() => format!("by hand, by {by}"),
        BanCause::ByHand { by, reason } => {
            format!("by hand, by {by}: {}", screen::printable(reason))
        }
        BanCause::Attack { weight, evidence } => {
            let times = match ban.times {
                0 | 1 => String::new(),
                times => format!("; {times} times in a row"),
            };
            let brief = match weight {
                Weight::Brief => "; somebody else could have forged that",
                Weight::Full => "",
            };
            format!("{}{times}{brief}", seen(evidence))
        }
    }
}

/// What was seen, in words. The attacker's text stands in quotes.
fn seen(evidence: &Evidence) -> String {
    let Evidence { service, attempts, since, last, threshold, accounts_tried, .. } = evidence;
    let (most, seconds) = threshold;
    let within = show_span(last.since(*since));
    let limit = show_span(std::time::Duration::from_secs(*seconds));
    let named: Vec<String> =
        evidence.accounts.iter().take(3).map(|name| screen::quoted(name)).collect();
    let accounts = match (accounts_tried, named.is_empty()) {
        (0, true) => String::new(),
        (tried, true) => format!(" at {tried} accounts"),
        (tried, false) if usize::try_from(*tried).is_ok_and(|tried| tried > named.len()) => {
            format!(" at {tried} accounts ({}, ...)", named.join(", "))
        }
        (_, false) => format!(" at {}", named.join(", ")),
    };
    let line = evidence.lines.last().map_or_else(String::new, |line| {
        let log = screen::printable(&line.log);
        format!("; {} in {log}: {}", line.at, screen::quoted(&line.text))
    });
    format!(
        "{attempts} failed attempts at {}{accounts} within {within} until {last} (limit: {most} within {limit}){line}",
        service_name(*service)
    )
}

const fn service_name(service: Service) -> &'static str {
    match service {
        Service::Sip => "sip",
        Service::Iax => "iax",
        Service::Ami => "the manager interface",
        Service::Web => "web",
        Service::Provisioning => "provisioning",
        Service::Ssh => "ssh",
        Service::Other => "a service",
    }
}

fn spared(because: &Spared) -> String {
    match because {
        Spared::Guarded { what } if what.is_empty() => {
            "such addresses are used in many networks".to_owned()
        }
        Spared::Guarded { what } => format!("it is {what}"),
        Spared::Allowed { names } => format!("it is allowed by {}", names.join(", ")),
        Spared::Trusted { since } => format!("somebody logs in from there since {since}"),
        Spared::Registered => "it is registered".to_owned(),
        Spared::Administers => "somebody administers this server from there".to_owned(),
    }
}

/// The bans as JSON.
#[derive(Serialize)]
pub(super) struct Listed<'a> {
    bans: Vec<ListedBan<'a>>,
    count: usize,
    limits: Vec<ListedBan<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limited: Option<Vec<Over>>,
}

/// A source over a rate limit.
#[derive(Serialize)]
struct Over {
    source: AddrRange,
    packets: u64,
    #[serde(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct ListedBan<'a> {
    #[serde(flatten)]
    ban: &'a Ban,
    #[serde(flatten)]
    place: Place,
    words: String,
}

pub(super) fn json<'a>(
    bans: &'a [Ban],
    count: usize,
    limits: &'a [Ban],
    over: Option<&[(AddrRange, u64)]>,
    places: &Places,
) -> Listed<'a> {
    let one = |ban: &'a Ban| {
        let place = places.at(ban.range.first_address());
        ListedBan { ban, place, words: cause(ban) }
    };
    let listed = |bans: &'a [Ban]| bans.iter().map(one).collect();
    let rate_limited = over.map(|over| {
        let place = |source: &AddrRange| places.at(source.first_address());
        let over = over.iter().map(|(source, packets)| (*source, *packets, place(source)));
        over.map(|(source, packets, place)| Over { source, packets, place }).collect()
    });
    Listed { bans: listed(bans), count, limits: listed(limits), rate_limited }
}

/// How many sources over a rate limit are shown.
const MAX_OVER: usize = 200;

pub(super) fn over_table(over: &[(AddrRange, u64)], places: &Places) {
    if over.is_empty() {
        screen::say("No source has exceeded a rate limit within the last minute.");
        return;
    }
    let row = |(source, packets): &(AddrRange, u64)| {
        let place = places.at(source.first_address());
        let packets = screen::grouped((*packets).into());
        vec![source.to_string(), packets, place.country().to_owned(), place.network()]
    };
    let rows: Vec<Vec<String>> = over.iter().take(MAX_OVER).map(row).collect();
    screen::say("");
    screen::table(&["OVER A RATE LIMIT", "DROPPED PACKETS", "COUNTRY", "NETWORK"], &rows);
    if over.len() > MAX_OVER {
        screen::say(format!("These are the first {MAX_OVER} of {}.", over.len()));
    }
}

pub(super) fn limits_table(limits: &[Ban], places: &Places) {
    if limits.is_empty() {
        screen::say("Nothing is limited.");
        return;
    }
    let now = clock::now();
    let row = |ban: &Ban| {
        let what = ban.limit.as_ref().map_or_else(String::new, limited);
        let left = show_span(ban.until.since(now));
        let place = places.at(ban.range.first_address());
        let (country, network) = (place.country().to_owned(), place.network());
        let (range, since) = (ban.range.to_string(), ban.since.to_string());
        vec![range, since, left, country, network, what, cause(ban)]
    };
    let rows: Vec<Vec<String>> = limits.iter().map(row).collect();
    let head = ["SOURCE", "SINCE", "LEFT", "COUNTRY", "NETWORK", "LIMITED", "BECAUSE"];
    screen::table(&head, &rows);
}

pub(super) fn table(bans: &[Ban], count: usize, places: &Places) {
    if bans.is_empty() {
        screen::say("Nothing is banned.");
        return;
    }
    let now = clock::now();
    let row = |ban: &Ban| {
        let left = show_span(ban.until.since(now));
        let place = places.at(ban.range.first_address());
        let (country, network) = (place.country().to_owned(), place.network());
        vec![ban.range.to_string(), ban.since.to_string(), left, country, network, cause(ban)]
    };
    let rows: Vec<Vec<String>> = bans.iter().map(row).collect();
    screen::table(&["BANNED", "SINCE", "LEFT", "COUNTRY", "NETWORK", "BECAUSE"], &rows);
    if count > bans.len() {
        screen::say(format!("These are the last {} of {count}.", bans.len()));
    }
}
