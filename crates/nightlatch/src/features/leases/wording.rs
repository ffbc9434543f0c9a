//! What is said about leases.

use nightlatch_core::audit::Record;
use nightlatch_core::features::leases::{Lease, Leases, Notice, Refusal, Reply, Shown};
use nightlatch_core::time::show_span;
use serde::Deserialize as _;
use serde_json::Value;

use crate::features::about::{About, Claim};
use crate::features::report::Report;
use crate::features::worded::Worded;
use crate::shell::{clock, screen};

impl Worded for Leases {
    fn say(reply: &Reply, _changed: bool) -> Option<String> {
        Some(match reply {
            Reply::Ended(leases) => {
                let ended: Vec<String> =
                    leases.iter().map(|lease| lease.key.address.to_string()).collect();
                format!(
                    "ended: {}; established connections and media streams are cut",
                    ended.join(", ")
                )
            }
            Reply::StaysBlocked { address, block } => format!(
                "warning: {address} stays blocked, because {block} is blocked, and a lease does not override that: use \"nightlatch allow NAME {address}\" or \"nightlatch unblock {block}\""
            ),
            Reply::All(_) | Reply::Report { .. } => return None,
        })
    }

    fn refuse(refusal: &Refusal) -> String {
        let Refusal::None { address } = refusal;
        format!("{address} has no lease: \"nightlatch leases\" lists all of them")
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::Opened(lease) => opened(lease),
            Notice::Expired(lease) => {
                format!(
                    "the lease of user \"{}\" for {} has ended",
                    lease.key.user, lease.key.address
                )
            }
        }
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { count } = reply else { return };
        report.count(86, "leases", *count);
    }

    fn about(reply: &Reply, about: &mut About) {
        let Reply::All(leases) = reply else { return };
        about.field_unless_empty(73, "leases", leases);
        for Shown { lease, in_force, last_packet, .. } in leases {
            let Lease { key, services, .. } = lease;
            let packet = match last_packet {
                _ if !in_force => ", no longer in force".to_owned(),
                Some(at) => format!(", last packet {} ago", show_span(about.now().since(*at))),
                None => ", no packet yet".to_owned(),
            };
            about.line(12, format!("lease     user {}: {services}{packet}", key.user));
            let because = format!(
                "lease of user \"{}\" ({services}), opened {} at {}{}",
                key.user,
                opened_by(lease),
                lease.since,
                limits(lease)
            );
            about.because(Claim::Allow(key.to_string()), because);
            let only = format!("the lease of user \"{}\" is for {services} only{packet}", key.user);
            about.because(Claim::AllowOnly, only);
        }
    }

    fn audited(_record: &Record, value: &Value) -> Option<String> {
        let lease = Lease::deserialize(value).ok()?;
        Some(format!("{}, {}{}", lease.services, opened_by(&lease), limits(&lease)))
    }
}

fn opened(lease: &Lease) -> String {
    let Lease { key, services, .. } = lease;
    format!(
        "{} is open for user \"{}\" ({services}), opened {}{}",
        key.address,
        key.user,
        opened_by(lease),
        limits(lease)
    )
}

/// `by hand`, `by knock`.
fn opened_by(lease: &Lease) -> String {
    match lease.credential.as_str() {
        by_hand if by_hand.starts_with("by ") => by_hand.to_owned(),
        credential => format!("by {credential}"),
    }
}

/// When a lease ends, and during which hours it counts.
fn limits(lease: &Lease) -> String {
    let until =
        lease.until.map_or_else(String::new, |until| format!(" and at {until} at the latest"));
    let hours = during(lease);
    format!(", ends {} after the last packet{until}{hours}", show_span(lease.idle()))
}

/// `, only Mon-Fri 07:00-19:00 (Europe/Berlin)`; nothing without hours.
fn during(lease: &Lease) -> String {
    let hours = lease.hours.as_ref();
    hours.map_or_else(String::new, |hours| format!(", only {hours} ({})", hours.zone()))
}

pub(super) fn table(leases: &[Shown]) {
    if leases.is_empty() {
        screen::say("No leases. \"nightlatch lease NAME ADDRESS\" opens an address for a user.");
        return;
    }
    let now = clock::now();
    let rows: Vec<Vec<String>> = leases
        .iter()
        .map(|Shown { lease, in_force, last_packet, in_call }| {
            let packet = match last_packet {
                _ if *in_call => "in a call".to_owned(),
                _ if !in_force => "no longer in force".to_owned(),
                Some(at) => format!("{} ago", show_span(now.since(*at))),
                None => "none yet".to_owned(),
            };
            vec![
                lease.key.address.to_string(),
                lease.key.user.to_string(),
                format!("{}{}", lease.services, during(lease)),
                lease.credential.clone(),
                lease.since.to_string(),
                lease.until.map_or_else(|| "no limit".to_owned(), |until| until.to_string()),
                packet,
            ]
        })
        .collect();
    let header = ["ADDRESS", "USER", "SERVICES", "CREDENTIAL", "SINCE", "UNTIL", "LAST PACKET"];
    screen::table(&header, &rows);
}
