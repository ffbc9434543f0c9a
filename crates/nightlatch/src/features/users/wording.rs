//! What is said about users.

use std::collections::BTreeSet;

use nightlatch_core::audit::Record;
use nightlatch_core::features::users::{
    Kind, NotSecret, Notice, Opens, Refusal, Reply, User, UserName, Users,
};
use nightlatch_core::service::ServiceName;
use nightlatch_core::time::show_span;
use serde::Deserialize as _;
use serde_json::Value;

use super::requests;
use crate::features::report::Report;
use crate::features::worded::Worded;
use crate::shell::screen;

impl Worded for Users {
    fn say(reply: &Reply, changed: bool) -> Option<String> {
        Some(match reply {
            Reply::Added(user) => format!(
                "user \"{}\" created, with {} for {}",
                user.name,
                kinds_or_nothing(user.credentials.keys()),
                user.services
            ),
            Reply::Changed(user) if changed => {
                format!(
                    "user \"{}\" may open {} from now on{}, {}{}",
                    user.name,
                    user.services,
                    during(user),
                    limit(user),
                    addresses(user)
                )
            }
            Reply::Changed(user) => format!("user \"{}\" is already as requested", user.name),
            Reply::Permanent { permanent, changed, refused } => {
                permanently(*permanent, changed, refused)
            }
            Reply::Rotated { user, kinds } => format!(
                "user \"{}\" has new credentials ({}): the old ones are no longer valid and are erased. Addresses that they opened stay open; \"nightlatch user revoke\" would close them",
                user.name,
                kinds_or_nothing(kinds)
            ),
            Reply::Revoked(user) => format!(
                "user \"{}\" is revoked: what the credentials opened is closed, its connections are ended, the secrets are erased",
                user.name
            ),
            Reply::Card(card) => format!("the card of user \"{}\" is shown", card.user.name),
            Reply::Opened(opens) if changed => {
                let Opens { name, address, services, idle, longest } = opens;
                let is_shorter = longest.is_none_or(|longest| *idle < longest);
                let idle =
                    is_shorter.then(|| format!("until it sends nothing for {}", show_span(*idle)));
                let most = longest.map(|longest| {
                    format!("for {} at most, unless a call is running then", show_span(longest))
                });
                let ends: Vec<String> = idle.into_iter().chain(most).collect();
                format!(
                    "{address} is open for user \"{name}\" ({services}) {}",
                    ends.join(", and ")
                )
            }
            Reply::Opened(Opens { name, address, .. }) => {
                format!("nothing was changed for {address} of user \"{name}\"")
            }
            Reply::All(_) | Reply::One(_) | Reply::Report { .. } => return None,
        })
    }

    fn hint(reply: &Reply) -> Option<String> {
        let (Reply::Added(user) | Reply::Rotated { user, .. }) = reply else { return None };
        if user.credentials.is_empty() {
            return Some(format!(
                "\"nightlatch lease {} ADDRESS\" opens an address by hand",
                user.name
            ));
        }
        let card = format!("\"nightlatch user card {}\" shows, once, what to hand over", user.name);
        Some(card)
    }

    fn refuse(refusal: &Refusal) -> String {
        match refusal {
            Refusal::Unknown { name, near: Some(near) } => {
                format!("there is no user \"{name}\": did you mean \"{near}\"?")
            }
            Refusal::Unknown { name, near: None } => {
                format!("there is no user \"{name}\": \"nightlatch user list\" shows all of them")
            }
            Refusal::Exists(there) => format!(
                "user \"{0}\" exists already, for {1}: \"nightlatch user set {0}\" changes it, \"nightlatch user rotate {0}\" gives it new credentials",
                there.name, there.services
            ),
            Refusal::TooMany { most } => {
                format!("there are {most} users already, and no more are possible: revoke one first")
            }
            Refusal::NoServices => "name at least one service, e.g. --services sip".to_owned(),
            Refusal::AllServices => "name the services of a user one by one, e.g. --services sip,web: \"all\" is not accepted, because whoever gets the card gets all of it".to_owned(),
            Refusal::NoSuchService { name, known } => {
                let known: Vec<&str> = known.iter().map(ServiceName::as_str).collect();
                format!(
                    "there is no service \"{name}\" on this server: use one or more of {}",
                    known.join(", ")
                )
            }
            Refusal::NotSecret(why) => not_secret(why),
            Refusal::LongNote { most } => format!("the note is longer than {most} characters: shorten it"),
            Refusal::Limit { least, most } => format!(
                "write a time from {} to {}; \"lease-max\" in the configuration sets the most",
                show_span(*least),
                show_span(*most)
            ),
            Refusal::NothingToSet => {
                "nothing to change: add --services, --lease, --permanent, --hours, --any-address, --require-address or --note".to_owned()
            }
            Refusal::NoCredentials { name } => format!(
                "user \"{name}\" has no credentials: \"nightlatch user rotate {name} --keys spa\" creates some"
            ),
            Refusal::NoEntropy => {
                "nothing was changed: the kernel gave no random bytes for the credentials; try again".to_owned()
            }
            Refusal::NoPorts => "nothing was changed: no ports are left for the credentials that belong to no service and to no other user: give services fewer ports, or revoke users".to_owned(),
            Refusal::Shown { name, at } => format!(
                "the card of user \"{name}\" was shown at {at}: to show it once more, which is recorded, add --again; for new credentials, \"nightlatch user rotate {name}\""
            ),
            Refusal::NotGranted { name, services } => {
                let services: Vec<&str> = services.iter().map(ServiceName::as_str).collect();
                let services = services.join(",");
                format!(
                    "user \"{name}\" does not have {services}, and nothing was changed: \"nightlatch user set {name} --services LIST\" sets the services of a user"
                )
            }
            Refusal::NoneUnnamed { name } => format!(
                "ssh and web are opened permanently only if they are named, and user \"{name}\" has nothing else: add --services"
            ),
            Refusal::NobodyElse { address } => format!(
                "{address} is loopback, unspecified, multicast or reserved: no peer can have such an address"
            ),
            Refusal::Own { address } => {
                format!("{address} is an address of this machine: name that of the person")
            }
        }
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::Refused { user, credential, source, why } => {
                requests::refused(user, *credential, *source, why)
            }
            Notice::WrongKnocks { source, tries } => format!(
                "{source} has begun {tries} wrong knock sequences within an hour: a port scan, a person with an old card, or somebody who guesses; \"nightlatch block {source}\" blocks it"
            ),
            Notice::KnocksFull => knocks_full(),
        }
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { count, used, shadowed, full_at } = reply else { return };
        report.count(85, "users", *count);
        requests::report(used, report);
        if !shadowed.is_empty() {
            report.field(87, "cannot_knock", shadowed);
        }
        for name in shadowed {
            report.warning(cannot_knock(name));
        }
        if let Some(at) = full_at {
            report.field(89, "knocks_full_at", at);
            report.warning(knocks_full());
        }
    }

    fn audited(record: &Record, value: &Value) -> Option<String> {
        if !record.action.starts_with("user-") {
            return None;
        }
        let user = User::deserialize(value).ok()?;
        let credentials = user.credentials.iter();
        let credentials: Vec<String> =
            credentials.map(|(kind, it)| format!("{kind} {}", it.fingerprint)).collect();
        let credentials = match credentials.is_empty() {
            true => "no credentials".to_owned(),
            false => credentials.join(", "),
        };
        let card = if user.card_shown.is_some() { ", card shown" } else { "" };
        let note = match user.note.is_empty() {
            true => String::new(),
            false => format!(" ({})", user.note),
        };
        let hours = during(&user);
        let addresses = addresses(&user);
        Some(format!(
            "{}{hours}, {}{addresses}, {credentials}{card}{note}",
            user.services,
            limit(&user)
        ))
    }
}

/// Why a user agent that was chosen is not taken.
fn not_secret(why: &NotSecret) -> String {
    match why {
        NotSecret::Length { least, most } => {
            format!("the user agent must have between {least} and {most} characters")
        }
        NotSecret::Characters => {
            "the user agent must be one line of letters, digits, spaces and signs of ASCII"
                .to_owned()
        }
        NotSecret::Known { begins } => format!(
            "the user agent is not a secret: real phones or scanners send one that begins with \"{begins}\"; choose a random text"
        ),
        NotSecret::OfAnother => "another user has this user agent: choose a random text".to_owned(),
    }
}

fn kinds_or_nothing<'a>(kinds: impl IntoIterator<Item = &'a Kind>) -> String {
    let kinds: BTreeSet<&Kind> = kinds.into_iter().collect();
    match kinds.is_empty() {
        true => "no credentials".to_owned(),
        false => kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// A service has got a port of the user's knock sequence.
fn cannot_knock(name: &UserName) -> String {
    format!(
        "user \"{name}\" cannot knock: one of the ports on the card now belongs to a service; \"nightlatch user rotate {name} --keys knock\" creates another sequence, for a new card"
    )
}

/// Nobody else can begin to knock.
fn knocks_full() -> String {
    format!(
        "{} addresses have begun to knock within {} seconds: no others can knock now; the addresses are probably forged. What is open stays open; SPA packets are not affected",
        nightlatch_core::knock::MAX_BEGUN,
        nightlatch_core::knock::TIMEOUT.as_secs()
    )
}

/// For whom knocks open addresses permanently from now on.
fn permanently(permanent: bool, changed: &[UserName], refused: &[UserName]) -> String {
    let names = |names: &[UserName]| {
        let names: Vec<&str> = names.iter().map(UserName::as_str).collect();
        names.join(", ")
    };
    let mut text = match (permanent, changed.is_empty()) {
        (true, true) => "nothing was changed".to_owned(),
        (true, false) => format!(
            "a knock opens an address for as long as it is used, until 30 days without a packet: {}",
            names(changed)
        ),
        (false, true) => "no user's knock opens an address for longer than usual".to_owned(),
        (false, false) => {
            format!("a knock opens an address for the usual time: {}", names(changed))
        }
    };
    if !refused.is_empty() {
        text += &format!(
            "; not for {}: ssh and web are never opened permanently by a knock",
            names(refused)
        );
    }
    text
}

fn limit(user: &User) -> String {
    if user.permanent {
        return "a knock opens as long as it is used".to_owned();
    }
    match user.idle() {
        Some(idle) => format!("until {} without a packet", show_span(idle)),
        None => "with the usual limit".to_owned(),
    }
}

/// The header of the list of users.
pub(super) const HEADER: &[&str] = &["USER", "SERVICES", "KEYS", "LEASE", "CARD", "NOTE"];

/// A row of the list of users.
pub(super) fn row(user: &User) -> Vec<String> {
    let card = match (user.credentials.is_empty(), user.card_shown) {
        (true, _) => "-",
        (false, Some(_)) => "shown",
        (false, None) => "not yet",
    };
    vec![
        user.name.to_string(),
        format!("{}{}", user.services, during(user)),
        kinds_or_nothing(user.credentials.keys()),
        user.idle().map_or_else(|| "usual".to_owned(), show_span),
        card.to_owned(),
        screen::printable(&user.note),
    ]
}

/// `, only Mon-Fri 07:00-19:00 (Europe/Berlin)`; nothing without hours.
fn during(user: &User) -> String {
    let hours = user.hours.as_ref();
    hours.map_or_else(String::new, |hours| format!(", only {hours} ({})", hours.zone()))
}

/// For which addresses SPA packets count, if not as usual.
fn addresses(user: &User) -> String {
    let any = if user.any_address { ", for any address" } else { "" };
    let named = if user.require_address { ", only for an address that is named" } else { "" };
    format!("{any}{named}")
}

/// All that is public of a user.
pub(super) fn lines(user: &User) -> Vec<String> {
    let mut lines = vec![
        format!("user      {}", user.name),
        format!("services  {}{}", user.services, during(user)),
        format!("lease     {}{}", limit(user), addresses(user)),
    ];
    for (kind, credential) in &user.credentials {
        let kind = kind.to_string();
        lines.push(format!("{kind:<9} {} since {}", credential.fingerprint, credential.since));
    }
    if let Some(at) = user.card_shown {
        lines.push(format!("card      shown at {at}"));
    }
    lines.push(format!("created   {} by {}", user.since, user.by));
    if !user.note.is_empty() {
        lines.push(format!("note      {}", screen::printable(&user.note)));
    }
    lines
}

/// The QR code does not fit.
pub(super) fn too_narrow(columns: usize, needed: usize, name: &UserName) -> String {
    format!(
        "The terminal has {columns} columns, and the QR code needs {needed}: widen it and run \"nightlatch user card {name} --again\", or write the card to a file with --svg FILE."
    )
}

/// Where the card is.
pub(super) fn written(path: &std::path::Path, name: &UserName) -> String {
    format!("the card of user \"{name}\" is in {}, which only root can read", path.display())
}

/// The address of the server is one that not everybody reaches.
pub(super) fn private_host(host: &str) -> String {
    format!(
        "warning: {host} is a private address: if the person comes from outside, add --host with the name or address of this server on the internet"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No two fields have one number: the later one would replace the other.
    #[test]
    fn all_of_the_report_is_in_it() {
        let used = [(Kind::Knock, nightlatch_core::features::users::Counts::default())].into();
        let shadowed = vec!["anna".parse().unwrap()];
        let full_at = Some(nightlatch_core::time::Time::from_millis(7));
        let reply = Reply::Report { count: 3, used, shadowed, full_at };
        let mut report = Report::default();
        Users::report(&reply, &mut report);
        let fields = serde_json::to_value(&report.fields).unwrap();
        let expected = ["users", "cannot_knock", "credentials", "knocks_full_at"];
        for name in expected {
            assert!(!fields[name].is_null(), "{name}: {fields}");
        }
    }
}
