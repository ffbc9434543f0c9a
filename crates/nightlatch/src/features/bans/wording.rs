//! What is said about bans.

use nightlatch_core::AddrRange;
use nightlatch_core::attack::{Evidence, Weight};
use nightlatch_core::audit::Record;
use nightlatch_core::ban::Limited;
use nightlatch_core::features::bans::{
    Ban, BanCause, Bans, Limit, NeverBanned, Notice, Refusal, Reply, Spared,
};
use nightlatch_core::ranges::Untouchable;
use nightlatch_core::time::{Time, show_span};
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use crate::features::about::{About, Claim, Sparing};
use crate::features::attempts;
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
            Reply::All { .. } | Reply::About { .. } | Reply::Report { .. } => return None,
        })
    }

    fn refuse(refusal: &Refusal) -> String {
        match refusal {
            Refusal::Network { range } => format!(
                "{range} is not banned: a ban is for one address, or an IPv6 network of 64, 56 or 48 bits; use \"nightlatch block {range} --for 1d\""
            ),
            Refusal::Untouchable { range, what } => {
                let what = match what {
                    Untouchable::Loopback => "is this machine itself",
                    Untouchable::Link => "is used on the local link only",
                    Untouchable::Multicast => "is not the address of a single host",
                };
                format!("{range} cannot be banned: it {what}")
            }
            Refusal::Guarded { range, guarded, what } => {
                let named = if guarded == range { String::new() } else { format!("{guarded}, ") };
                format!("{range} is not banned: it is {named}{what}, and the server needs it")
            }
            Refusal::Allowed { range, names } => format!(
                "{range} is not banned: it is allowed by {}, and a ban has no effect on what is allowed; remove it there first, or use \"nightlatch block {range}\"",
                names.join(", ")
            ),
            Refusal::TooLong { most } => format!(
                "a ban lasts {} at most; \"nightlatch block\" blocks permanently",
                show_span(*most)
            ),
            Refusal::Full { most } => format!(
                "there are {most} bans already, the most that are possible; \"nightlatch unban --all\" ends all of them"
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
                "{count} sources were banned within a minute: further ones are not reported one by one; \"nightlatch bans\" lists all"
            ),
            Notice::Spared { range, because, limited_until, evidence } => {
                let limited = match limited_until {
                    Some(until) => format!("is limited until {until}, not banned,"),
                    None => "is not banned".to_owned(),
                };
                format!(
                    "{range} attacks and {limited} because {}: {}",
                    spared(because),
                    seen(evidence)
                )
            }
            Notice::Full { range, most, brief: true } => format!(
                "{range} attacks and is not banned: {most} sources are banned on evidence that somebody else could have forged, which is the most at a time (max-brief under [bans])"
            ),
            Notice::Full { range, most, brief: false } => {
                format!(
                    "{range} attacks and is not banned: there are {most} bans already, the most that are possible; \"nightlatch unban --all\" ends all of them"
                )
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
        let Reply::About { bans, spared } = reply else { return };
        about.field_unless_empty(82, "bans", bans);
        if let Some(never) = spared {
            never_banned(never, about);
        }
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

/// Says that no attack leads to a ban; in a line of its own where no other line shows why.
fn never_banned(never: &NeverBanned, about: &mut About) {
    let words = spared(&never.because);
    let is_shown = matches!(never.because, Spared::Registered | Spared::Administers);
    if is_shown {
        let instead = if never.limited { "only limited, not banned" } else { "not banned" };
        about.line(22, format!("attacks   {instead}, because {words}"));
    }
    let because = match never.because {
        Spared::Guarded { .. } => "guarded",
        Spared::Allowed { .. } => "allowed",
        Spared::Trusted { .. } => "trusted",
        Spared::Registered => "registered",
        Spared::Administers => "administers",
    };
    about.never_banned(84, Sparing { because, limited: never.limited, words });
}

/// Since when and until when it is banned, and why.
fn set(ban: &Ban, now: Time) -> String {
    let what = if ban.limit.is_none() { "banned" } else { "limited" };
    format!(
        "{} is {what} from {} until {} ({} left): {}",
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
        1 => ", except its registered phone".to_owned(),
        phones => format!(", except its {phones} registered phones"),
    };
    let strict = if limit.strict { "; more strictly, because the attack went on" } else { "" };
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
                times => format!("; banned {times} times in a row"),
            };
            let brief = match weight {
                Weight::Brief => "; somebody else could have forged this",
                Weight::Full => "",
            };
            format!("{}{times}{brief}", seen(evidence))
        }
    }
}

/// What was seen, with the last line.
fn seen(evidence: &Evidence) -> String {
    let last = match evidence.lines.last() {
        Some(line) => {
            format!(
                "at {} in {}: {}",
                line.at,
                screen::printable(&line.log),
                screen::quoted(&line.text)
            )
        }
        None => format!("at {}", evidence.last),
    };
    format!("{}; the last one {last}", attempts::seen(evidence))
}

fn spared(because: &Spared) -> String {
    match because {
        Spared::Guarded { what } if what.is_empty() => {
            "it is a private or reserved address".to_owned()
        }
        Spared::Guarded { what } => format!("it is {what}"),
        Spared::Allowed { names } => format!("it is allowed by {}", names.join(", ")),
        Spared::Trusted { since } => format!("people have logged in from there since {since}"),
        Spared::Registered => {
            "a phone is registered from there, or this server is registered there".to_owned()
        }
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
