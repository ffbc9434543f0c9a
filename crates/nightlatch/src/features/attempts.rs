//! Why a source attacks, in words: bans and the trying out of logs say it alike.

use std::time::Duration;

use nightlatch_core::attack::{Evidence, Service};
use nightlatch_core::time::show_span;

use crate::shell::screen::{self, grouped};

/// So many accounts are named.
const MAX_NAMED: usize = 3;

/// What was seen, and the limit that it passes. Names that a client chose are in quotes.
///
/// `6 failed attempts at sip with 4 accounts ("100", "101", "102", ...) within 32s (limit: 5 within 10m)`
pub fn seen(evidence: &Evidence) -> String {
    let Evidence { service, attempts, since, last, threshold: (most, seconds), .. } = evidence;
    let accounts = accounts(evidence);
    let within = within(last.since(*since));
    let limit = show_span(Duration::from_secs(*seconds));
    if evidence.networks {
        let attack =
            if *attempts == 1 { "network within it attacks" } else { "networks within it attack" };
        return format!("{attempts} {attack}, {within}{accounts} (limit: {most} within {limit})");
    }
    format!(
        "{}{}{accounts} {within}{} (limit: {most} within {limit})",
        count((*attempts).into(), "failed attempt", "failed attempts"),
        at(*service),
        counted(evidence),
    )
}

/// What the attempts count, where that is another number.
fn counted(evidence: &Evidence) -> String {
    let Evidence { attempts, score, .. } = evidence;
    match score.cmp(attempts) {
        std::cmp::Ordering::Equal => String::new(),
        std::cmp::Ordering::Greater => {
            format!(
                ", counted as {score} because unknown accounts and invalid requests count twice"
            )
        }
        std::cmp::Ordering::Less => {
            format!(", counted as {score} because logins that are not completed count a quarter")
        }
    }
}

fn accounts(evidence: &Evidence) -> String {
    let named: Vec<String> =
        evidence.accounts.iter().take(MAX_NAMED).map(|name| screen::quoted(name)).collect();
    let tried = usize::try_from(evidence.accounts_tried).unwrap_or(usize::MAX);
    match (tried, named.len()) {
        (0, 0) => String::new(),
        (1, 0) => " with one account".to_owned(),
        (tried, 0) => format!(" with {tried} accounts"),
        (tried, shown) if tried > shown => {
            format!(" with {tried} accounts ({}, ...)", named.join(", "))
        }
        (_, 1) => format!(" with account {}", named.join("")),
        (..) => format!(" with accounts {}", named.join(", ")),
    }
}

fn within(span: Duration) -> String {
    if span.as_secs() == 0 {
        "within a second".to_owned()
    } else {
        format!("within {}", show_span(span))
    }
}

/// ` at sip`; nothing where the kind of the service is not known.
pub fn at(service: Service) -> &'static str {
    match service {
        Service::Sip => " at sip",
        Service::Iax => " at iax",
        Service::Ami => " at the manager interface",
        Service::Web => " at web",
        Service::Provisioning => " at provisioning",
        Service::Ssh => " at ssh",
        Service::Other => "",
    }
}

/// A number with the word that it needs.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number.into()), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use nightlatch_core::time::Time;

    use super::*;

    fn evidence(attempts: u32, score: u32, accounts: &[&str]) -> Evidence {
        Evidence {
            service: Service::Sip,
            attempts,
            score,
            networks: false,
            since: Time::from_millis(0),
            last: Time::from_millis(32_000),
            threshold: (5, 600),
            accounts_tried: u32::try_from(accounts.len()).unwrap(),
            accounts: accounts.iter().map(|name| (*name).to_owned()).collect(),
            lines: Vec::new(),
        }
    }

    #[test]
    fn a_reader_understands_why() {
        let check = |evidence: &Evidence, expected: &str| assert_eq!(seen(evidence), expected);
        check(
            &evidence(5, 5, &["204"]),
            "5 failed attempts at sip with account \"204\" within 32s (limit: 5 within 10m)",
        );
        check(
            &evidence(3, 6, &["1", "2"]),
            "3 failed attempts at sip with accounts \"1\", \"2\" within 32s, counted as 6 because unknown accounts and invalid requests count twice (limit: 5 within 10m)",
        );
        check(
            &evidence(20, 5, &[]),
            "20 failed attempts at sip within 32s, counted as 5 because logins that are not completed count a quarter (limit: 5 within 10m)",
        );
        check(
            &evidence(1500, 1500, &["1", "2", "3", "4\"\u{1b}"]),
            "1,500 failed attempts at sip with 4 accounts (\"1\", \"2\", \"3\", ...) within 32s (limit: 5 within 10m)",
        );
        let one = Evidence {
            service: Service::Other,
            last: Time::from_millis(900),
            threshold: (1, 86_400),
            ..evidence(1, 1, &["a\"b"])
        };
        check(&one, "1 failed attempt with account \"a'b\" within a second (limit: 1 within 1d)");
        let networks = Evidence { networks: true, threshold: (3, 604_800), ..evidence(3, 3, &[]) };
        check(&networks, "3 networks within it attack, within 32s (limit: 3 within 7d)");
    }
}
