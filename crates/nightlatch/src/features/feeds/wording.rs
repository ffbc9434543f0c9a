//! What is said about feeds.

use nightlatch_core::audit::Record;
use nightlatch_core::features::feeds::{
    Came, Feed, FeedState, Feeds, Held, Note, Noted, Notice, Outcome, Refusal, Reply, Trouble,
};
use nightlatch_core::lists::{Refused, Remark, SparedBy};
use nightlatch_core::posture::Mode;
use nightlatch_core::time::{Time, show_span};
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use crate::features::about::About;
use crate::features::report::Report;
use crate::features::worded::Worded;

impl Worded for Feeds {
    fn say(reply: &Reply, _changed: bool) -> Option<String> {
        const SHOWS: &str = "\"nightlatch feed list\" shows the progress";
        Some(match reply {
            Reply::Added { name, mode, twin } => {
                let mut text = format!("feed \"{name}\" added and being fetched: {SHOWS}");
                if *mode == Mode::Allowlist {
                    text += "\nin mode allowlist strangers are dropped, listed or not";
                }
                if let Some(twin) = twin {
                    text += &format!("\nfeed \"{twin}\" has the same source");
                }
                text
            }
            Reply::Removed { name } => {
                format!(
                    "feed \"{name}\" removed; addresses that only it listed are no longer blocked"
                )
            }
            Reply::Fetching(names) => match names.as_slice() {
                [one] => format!("feed \"{one}\" is being fetched: {SHOWS}"),
                several => format!("{} feeds are being fetched: {SHOWS}", several.len()),
            },
            Reply::All(_) | Reply::Held(_) | Reply::Report { .. } => return None,
        })
    }

    fn refuse(refusal: &Refusal) -> String {
        match refusal {
            Refusal::Unknown { name } => {
                format!("there is no feed \"{name}\": \"nightlatch feed list\" shows all of them")
            }
            Refusal::Exists { name, source } => format!(
                "feed \"{name}\" exists already ({source}): remove it first, or use another name"
            ),
            Refusal::Wrong { what } => what.clone(),
            Refusal::None => {
                "there is no feed: add one with \"nightlatch feed add NAME\"".to_owned()
            }
        }
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::InForce { name, result } => {
                format!("feed \"{name}\": {}", outcome(name.as_str(), result))
            }
            Notice::Failed { name, result, .. } => {
                format!("feed \"{name}\" not updated: {}", outcome(name.as_str(), result))
            }
            Notice::NotKept { keep: true, error, .. } => {
                format!("a list is active but could not be cached for the next start: {error}")
            }
            Notice::NotKept { name, keep: false, error } => {
                format!("the cached list {name}: {error}")
            }
        }
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { count, troubles } = reply else { return };
        report.lists(100, "feeds", *count, ("feed", "feeds"));
        troubles.iter().for_each(|it| report.trouble(trouble(it)));
    }

    fn about(reply: &Reply, about: &mut About) {
        let Reply::Held(lists) = reply else { return };
        for held in lists {
            about.list(&ShownList { list: "feed", held }, names(held, about.now()));
        }
    }

    fn audited(record: &Record, value: &Value) -> Option<String> {
        if let Ok(feed) = Feed::deserialize(value) {
            return Some(format!("{} every {}", feed.source, show_span(feed.every)));
        }
        let state = FeedState::deserialize(value).ok().filter(|_| record.action == "feed")?;
        Some(outcome(&record.subject, &state.result))
    }
}

/// What came of a look at a feed.
pub(super) fn outcome(name: &str, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Said(said) => said.clone(),
        Outcome::Is(Came::Entries { entries, merged_from }) => {
            let noun = if *entries == 1 { "entry" } else { "entries" };
            let merged =
                merged_from.map_or_else(String::new, |read| format!(", merged from {read}"));
            format!("{entries} {noun}{merged}")
        }
        Outcome::Is(Came::NothingNew) => "nothing new".to_owned(),
        Outcome::Is(Came::Failed(reason)) => reason.clone(),
        Outcome::Is(Came::Refused(why)) => {
            let advice = match why {
                Refused::Shrank { .. } | Refused::Grew { .. } => {
                    format!("; \"nightlatch feed refresh {name} --force\" accepts it")
                }
                _ => String::new(),
            };
            refused(why) + &advice
        }
    }
}

/// Why content is refused as a whole.
fn refused(refused: &Refused) -> String {
    match refused {
        Refused::Empty { remarks } => {
            let reasons = match remarks.as_slice() {
                [] => String::new(),
                [one] => format!(": {}", remark(one)),
                [first, more @ ..] => {
                    format!(": {}; and {} more like that", remark(first), more.len())
                }
            };
            format!("it has no usable entries{reasons}")
        }
        Refused::Shrank { old, new } => {
            format!("it shrank from {old} to {new} entries, and is rejected until it recovers")
        }
        Refused::Grew { old, new } => {
            format!("it grew from {old} to {new} entries, and is rejected")
        }
        Refused::ManyEights { eights } => {
            format!("it covers most of {eights} of the 256 /8 networks: no list of attackers does")
        }
        Refused::MuchOfIpv4 => {
            "it covers more than a quarter of all IPv4 addresses: no list of attackers does"
                .to_owned()
        }
        Refused::MuchOfIpv6 => {
            "it covers more than a part in 64 of all IPv6 addresses: no list of attackers does"
                .to_owned()
        }
    }
}

/// What to know about the content.
pub(super) fn note(note: &Note) -> String {
    match note {
        Note::Said(said) => said.clone(),
        Note::Is(Noted::Spared { origin }) => format!(
            "{origin} is your own address, and no account covers it: skipped; to allow it, add it to an account"
        ),
        Note::Is(Noted::Remark(it)) => remark(it),
    }
}

/// What was taken out of a list.
fn remark(remark: &Remark) -> String {
    match remark {
        Remark::TooWide { first, count: 1 } => {
            format!("{first} is too wide for a blocklist: skipped")
        }
        Remark::TooWide { first, count } => {
            format!("{count} entries are too wide for a blocklist, e.g. {first}: skipped")
        }
        Remark::Spared { entry, range, is } => {
            let place = match (entry == range, range.covers(entry)) {
                (true, _) => "is".to_owned(),
                (false, true) => format!("lies in {range}, which is"),
                (false, false) => format!("overlaps {range}, which is"),
            };
            let what = match is {
                SparedBy::Special => "a reserved range".to_owned(),
                SparedBy::Server { what } => what.clone(),
                SparedBy::Account { name } => format!("in account \"{name}\""),
            };
            format!("{entry} {place} {what}: skipped")
        }
        Remark::MostOf { eight } => format!("most of {eight} is listed: all of that is skipped"),
        Remark::More { count } => format!("and {count} more"),
    }
}

/// What is wrong with a feed.
fn trouble(trouble: &Trouble) -> String {
    let Trouble { name, result, in_force, stale } = trouble;
    let force = match (in_force, stale) {
        (false, _) => ", and no entries are active",
        (true, true) => ", and the active version is stale",
        (true, false) => "",
    };
    format!("feed \"{name}\": {}{force}", outcome(name.as_str(), result))
}

/// A list that holds an address, in JSON.
#[derive(Serialize)]
struct ShownList<'a> {
    list: &'static str,
    #[serde(flatten)]
    held: &'a Held,
}

fn names(held: &Held, now: Time) -> String {
    let age = held.fetched.map_or_else(
        || "of unknown age".to_owned(),
        |at| format!("fetched {} ago", show_span(now.since(at))),
    );
    format!("feed \"{}\" lists {}, {age}", held.name, held.entry)
}
