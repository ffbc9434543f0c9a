//! What is said about countries.

use std::collections::BTreeSet;

use nightlatch_core::audit::Record;
use nightlatch_core::features::countries::{
    Countries, CountryRules, Doubt, Held, Notice, Outcome, Refusal, Reply, TakenBack, Trouble,
};
use nightlatch_core::posture::Mode;
use nightlatch_core::time::{Time, show_span};
use nightlatch_parse::country::{CountryCode, name};
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};

use super::io::Place;
use crate::features::about::About;
use crate::features::report::Report;
use crate::features::worded::Worded;

impl Worded for Countries {
    fn say(reply: &Reply, _changed: bool) -> Option<String> {
        Some(match reply {
            Reply::Set { rules, has_table, mode } => {
                let mut text = describe(rules);
                if !has_table && !rules.is_empty() {
                    text += "\nthe GeoIP table is being loaded: \"nightlatch country list\" shows when it is active";
                }
                if *mode == Mode::Allowlist && !rules.is_empty() {
                    text += "\nin mode allowlist strangers are dropped, whatever their country";
                }
                text
            }
            Reply::BlockedAlready(countries) => {
                format!("already blocked: strangers from {}", names(countries))
            }
            Reply::OnlyAlready(only) if only.is_empty() => {
                "strangers may already connect from everywhere except the blocked countries"
                    .to_owned()
            }
            Reply::OnlyAlready(only) => {
                format!("strangers may connect only from {} already", names(only))
            }
            Reply::Reading => {
                "the GeoIP table is being loaded: \"nightlatch country list\" shows the progress"
                    .to_owned()
            }
            Reply::All(_) | Reply::Held(_) | Reply::Report { .. } => return None,
        })
    }

    fn refuse(refusal: &Refusal) -> String {
        match refusal {
            Refusal::NotBlocked { countries, only } if only.is_empty() => format!(
                "not blocked: {}: \"nightlatch country list\" shows which are",
                names(countries)
            ),
            Refusal::NotBlocked { countries, only } => format!(
                "not blocked: {}: strangers may connect only from {}; \"nightlatch country allow\" sets from where",
                names(countries),
                names(only)
            ),
            Refusal::Blocked { both } => {
                let codes: Vec<String> = both.iter().map(ToString::to_string).collect();
                format!(
                    "blocked: {}; \"nightlatch country unblock {}\" unblocks them (\"country allow\" would block all other countries)",
                    names(both),
                    codes.join(" ")
                )
            }
            Refusal::OneOfTheOnly { only, both } => format!(
                "strangers may connect only from {}: use \"nightlatch country allow\" with all countries to allow, without {}",
                names(only),
                names(both)
            ),
            Refusal::NoneNamed => "no country is blocked, so no table is needed: \"nightlatch country block CC\" blocks one".to_owned(),
        }
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::InForce(it) => format!("the GeoIP table is active: {}", outcome(it)),
            Notice::Failed(it) => {
                format!("the GeoIP table was not updated: {}", outcome(it))
            }
            Notice::TakenBack(why) => taken_back(why),
            Notice::NotKept { error } => {
                format!("a list is active but could not be cached for the next start: {error}")
            }
        }
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { count, trouble: wrong } = reply else { return };
        report.lists(101, "countries", *count, ("country", "countries"));
        wrong.iter().for_each(|it| report.trouble(trouble(it)));
    }

    fn about(reply: &Reply, about: &mut About) {
        let Reply::Held(held) = reply else { return };
        about.list(&ShownList { list: "country", held }, holds(held, about.now()));
    }

    fn audited(_record: &Record, value: &Value) -> Option<String> {
        let rules = CountryRules::deserialize(value).ok();
        let rules = rules.filter(|_| value.get("blocked").is_some())?;
        let list = |codes: &BTreeSet<CountryCode>| {
            codes.iter().map(CountryCode::as_str).collect::<Vec<_>>().join(" ")
        };
        Some(match (rules.blocked.is_empty(), rules.only.is_empty()) {
            (true, true) => "everywhere".to_owned(),
            (false, true) => format!("not {}", list(&rules.blocked)),
            (true, false) => format!("only {}", list(&rules.only)),
            (false, false) => format!("only {}, not {}", list(&rules.only), list(&rules.blocked)),
        })
    }
}

/// What came of a look at the source.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::None => String::new(),
        Outcome::Ranges { ranges, notes } => {
            let ranges = format!("{ranges} ranges");
            std::iter::once(ranges).chain(notes.iter().cloned()).collect::<Vec<_>>().join("; ")
        }
        Outcome::Kept { ranges } => format!("{ranges} ranges, from the cache"),
        Outcome::NothingNew => "nothing new".to_owned(),
        Outcome::Failed(reason) => reason.clone(),
        Outcome::Doubted(Doubt::Empty) => "it has no ranges".to_owned(),
        Outcome::Doubted(Doubt::Shrank { before, now }) => format!(
            "it shrank from {before} to {now} ranges: \"nightlatch country refresh --force\" accepts it"
        ),
        Outcome::Doubted(Doubt::Country { country, before, now }) => format!(
            "{} had {before} IPv4 addresses and would have {now}: \"nightlatch country refresh --force\" accepts it",
            name(*country).unwrap_or(country.as_str())
        ),
        Outcome::TakenBack(why) => taken_back(why),
    }
}

/// Why a change of the rules, or a table, is taken back.
pub(super) fn taken_back(why: &TakenBack) -> String {
    match why {
        TakenBack::ShutsOut { origin } => format!(
            "nothing was changed: this would lock you out ({origin}); allow {origin} in an account first, or add --force"
        ),
        TakenBack::NotKnown(came) => format!("nothing was changed: {}", outcome(came)),
    }
}

/// What is wrong with the table.
fn trouble(trouble: &Trouble) -> String {
    let Trouble { result, has_table, stale } = trouble;
    let missing = if *has_table { "" } else { ", so no country is blocked yet" };
    let old = if *stale { ", and the active version is stale" } else { "" };
    format!("the GeoIP table: {}{missing}{old}", outcome(result))
}

fn names(countries: &BTreeSet<CountryCode>) -> String {
    let named = countries.iter().map(|code| name(*code).unwrap_or(code.as_str()));
    named.collect::<Vec<_>>().join(", ")
}

/// What country rules mean, in a sentence or two.
fn describe(rules: &CountryRules) -> String {
    match (rules.blocked.is_empty(), rules.only.is_empty()) {
        (true, true) => "no country is blocked".to_owned(),
        (false, true) => format!("blocked: strangers from {}", names(&rules.blocked)),
        (true, false) => format!("strangers may connect only from {}", names(&rules.only)),
        (false, false) => format!(
            "strangers may connect only from {}; blocked: {}",
            names(&rules.only),
            names(&rules.blocked)
        ),
    }
}

/// A list that holds an address, in JSON.
#[derive(Serialize)]
struct ShownList<'a> {
    list: &'static str,
    #[serde(flatten)]
    held: &'a Held,
}

/// Adds to `who` the country of an address.
pub(super) fn add_place(place: &Place, about: &mut About) {
    let Place { range, country, from } = place;
    let name = name(*country).unwrap_or("a country without a name");
    about.line(60, format!("country   {name} ({country}): {range}, says {from}"));
    let (code, range) = (country.to_string(), range.to_string());
    about.field(
        115,
        "country",
        &json!({ "code": code, "name": name, "range": range, "source": from }),
    );
}

fn holds(held: &Held, now: Time) -> String {
    let age = held.fetched.map_or_else(
        || "of unknown age".to_owned(),
        |at| format!("read {} ago", show_span(now.since(at))),
    );
    let Some(code) = held.country else {
        return format!(
            "it belongs to no country, and only selected countries may connect: by the GeoIP table {age}"
        );
    };
    let name = name(code).unwrap_or("unknown country");
    let entry = held.entry.map_or_else(String::new, |entry| format!(" {entry},"));
    format!("strangers from {name} ({code}) are blocked:{entry} by the GeoIP table {age}")
}
