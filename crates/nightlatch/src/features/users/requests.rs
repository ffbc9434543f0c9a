//! What is said of credentials that were used.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nightlatch_core::features::users::{Counts, Kind, MAX_AGE, Unusable, UserName, Why};
use nightlatch_core::service::Ports;
use nightlatch_core::time::show_span;

use crate::features::report::Report;

/// A genuine credential was refused.
pub(super) fn refused(user: &UserName, credential: Kind, source: IpAddr, why: &Why) -> String {
    let what = match credential {
        Kind::Spa => "an SPA packet",
        Kind::Agent => "a SIP phone with the secret user agent",
        Kind::Knock => "a knock",
    };
    format!("{what} of user \"{user}\" from {source} was refused: {}", reason(user, why))
}

fn reason(user: &UserName, why: &Why) -> String {
    match why {
        Why::Gone => "the credential is no longer valid".to_owned(),
        Why::Unusable(Unusable::Malformed) => "it is authentic, but malformed".to_owned(),
        Why::Unusable(Unusable::Encryption) => {
            "it is authentic, but cannot be decrypted: compare KEY with that of the card".to_owned()
        }
        Why::Unusable(Unusable::Type(number)) => format!(
            "fwknop's message type {number} is not supported: use plain access messages (types 1 and 3), without commands and NAT access"
        ),
        Why::Clock { ahead } => {
            let by = show_span(std::time::Duration::from_secs(ahead.unsigned_abs()));
            let how = if *ahead < 0 { "behind" } else { "ahead" };
            format!(
                "the clock of the client is {by} {how} of this server's, and at most {} are accepted: set both clocks, or the packet was delayed on its way",
                show_span(MAX_AGE)
            )
        }
        Why::Replayed => {
            "it was used before: a captured packet was replayed, and nothing was opened".to_owned()
        }
        Why::Outdated { latest } => format!(
            "it is older than one that was used, of {latest}: if the clock was wrong then, \"nightlatch user rotate {user} --keys spa\" gives new credentials"
        ),
        Why::TooMany => {
            "there were too many of this user within two minutes: try again later".to_owned()
        }
        Why::OtherAddress { address } => format!(
            "it is for {address}, but came from another address: \"nightlatch user set {user} --any-address\" allows that"
        ),
        Why::NoAddress => format!(
            "it names no address, and this user's have to: use \"fwknop -a ADDRESS\" or \"-R\", or \"nightlatch user set {user} --require-address no\""
        ),
        Why::NotAPeer { address } => {
            format!("it is for {address}, which is this machine or no possible address of a peer")
        }
        Why::Blocked { address } => {
            format!("{address} is blocked: \"nightlatch why {address}\" says by what")
        }
        Why::OutsideHours => "the user's hours have not begun, or are over".to_owned(),
        Why::NoSip => format!(
            "the user may not use the telephone services: \"nightlatch user set {user} --services LIST\" sets the services"
        ),
        Why::NothingGranted { asked } => {
            let asked: Vec<String> = asked.iter().map(Ports::to_string).collect();
            format!(
                "it asks for {}, and the user may have none of that: \"nightlatch user show {user}\" shows the services",
                if asked.is_empty() { "nothing".to_owned() } else { asked.join(", ") }
            )
        }
    }
}

/// How often credentials were used since the start.
pub(super) fn report(used: &BTreeMap<Kind, Counts>, report: &mut Report) {
    if used.is_empty() {
        return;
    }
    report.field(88, "credentials", used);
    let each = used.iter().map(|(kind, Counts { accepted, refused })| {
        let refused = match refused {
            0 => String::new(),
            refused => format!(", refused {refused}"),
        };
        format!("{kind}: accepted {accepted}{refused}")
    });
    report.line(88, format!("used      {}", each.collect::<Vec<_>>().join("; ")));
}
