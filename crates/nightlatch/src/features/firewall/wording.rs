//! What is said about the firewall.

use nightlatch_core::audit::Record;
use nightlatch_core::features::firewall::{Firewall, Notice, Reached, Refusal, Reply};
use nightlatch_core::posture::{Mode, Protection, Site};
use nightlatch_core::service::ServiceName;
use nightlatch_core::time::{Time, show_span};
use serde::Deserialize as _;
use serde_json::Value;

use crate::features::report::Report;
use crate::features::worded::Worded;

impl Worded for Firewall {
    fn say(reply: &Reply, changed: bool) -> Option<String> {
        Some(match reply {
            Reply::Up { .. } if !changed => {
                "the firewall is active already: nothing to change".to_owned()
            }
            Reply::Up { trial: Some(until), mode, at } => format!(
                "the firewall is active in mode {mode}, on trial: in {} it is rolled back unless you run \"nightlatch confirm\"",
                show_span(until.since(*at))
            ),
            Reply::Up { trial: None, mode, .. } => format!("the firewall is active in mode {mode}"),
            Reply::Confirmed => "confirmed: the firewall stays active".to_owned(),
            Reply::TakenBack { to: None } => {
                "rolled back: the firewall is off, as it was before".to_owned()
            }
            Reply::TakenBack { to: Some(mode) } => format!("rolled back: the mode is {mode} again"),
            Reply::Down => "the firewall is off: every service of this machine is reachable by everybody; accounts are kept, \"nightlatch up\" turns the firewall on again".to_owned(),
            Reply::OffAlready => "the firewall is off already".to_owned(),
            Reply::ModeSet { mode: Mode::Allowlist, .. } => "the mode is allowlist now: strangers are dropped, including their established signalling; media streams to which this host sends continue".to_owned(),
            Reply::ModeSet { mode: Mode::Open, open } => {
                let open: Vec<&str> = open.iter().map(ServiceName::as_str).collect();
                format!("the mode is open now: strangers can reach {}, under rate limits", open.join(", "))
            }
            Reply::ModeAlready { mode } => format!("the mode is {mode} already"),
            Reply::ConfigurationRead => "configuration reloaded".to_owned(),
            Reply::Services(_) | Reply::Protection { .. } | Reply::Report { .. } => return None,
        })
    }

    fn refuse(refusal: &Refusal) -> String {
        match refusal {
            Refusal::NothingToConfirm { stands: true } => {
                "there is nothing to confirm: the firewall is active and not on trial".to_owned()
            }
            Refusal::NothingToConfirm { stands: false } => "there is nothing to confirm: the firewall is not active (or was rolled back already); \"nightlatch up\" turns it on".to_owned(),
            Refusal::TooLate => {
                "too late: the trial has expired and the firewall is being rolled back; \"nightlatch up\" turns it on again"
                    .to_owned()
            }
            Refusal::NothingToTakeBack => "nothing to roll back: there is no unconfirmed change; \"nightlatch down\" turns the firewall off".to_owned(),
        }
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::NotConfirmed => "not confirmed in time: the firewall is rolled back".to_owned(),
            Notice::Off { by } => format!("{by} turned the firewall off"),
        }
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { protection, mode, strangers_reach } = reply else { return };
        let stands = protection.stands();
        let reached: Vec<String> = match stands {
            true => strangers_reach.iter().map(reached).collect(),
            false => vec!["everything".to_owned()],
        };
        report.set_stands(stands);
        report.field(10, "protection", protection);
        report.field(20, "mode", mode);
        report.field(60, "strangers_reach", &reached);
        report.line(10, shown(protection, report.now()));
        let mode = match mode {
            mode if !stands => format!("{mode}, once the firewall is active"),
            Mode::Allowlist => "allowlist: strangers are dropped".to_owned(),
            Mode::Open => "open: selected services are open to strangers".to_owned(),
        };
        report.line(40, format!("mode      {mode}"));
        for reached in reached {
            report.line(50, format!("open      to all: {reached}"));
        }
    }

    fn audited(record: &Record, value: &Value) -> Option<String> {
        if let Ok(protection) = Protection::deserialize(value) {
            return Some(match protection {
                Protection::Off => "off".to_owned(),
                Protection::Trial { until, .. } => format!("on trial until {until}"),
                Protection::On { since } => format!("on since {since}"),
            });
        }
        let site = Site::deserialize(value).ok().filter(|_| record.action == "survey")?;
        Some(known_of(&site))
    }
}

/// A service that strangers reach: `sip (udp/5060, tcp/5060), under rate limits`.
fn reached(reached: &Reached) -> String {
    let ports: Vec<String> = reached.ports.iter().map(ToString::to_string).collect();
    let limited = if reached.limited { ", under rate limits" } else { "" };
    let hours = reached.hours.as_ref();
    let hours = hours.map(|hours| format!(", only {hours} ({})", hours.zone()));
    let hours = hours.unwrap_or_default();
    format!("{} ({}){limited}{hours}", reached.service, ports.join(", "))
}

fn shown(protection: &Protection, now: Time) -> String {
    match protection {
        Protection::Off => "OFF       THE FIREWALL IS OFF: every service of this machine is reachable by everybody; \"nightlatch up\" turns it on".to_owned(),
        Protection::On { since } => {
            format!("on        since {since} ({})", show_span(now.since(*since)))
        }
        Protection::Trial { until, .. } => format!(
            "ON TRIAL  rolled back in {} unless you run \"nightlatch confirm\"",
            show_span(until.since(now))
        ),
    }
}

/// What `up` found out about the server.
fn known_of(site: &Site) -> String {
    let services = site.services.iter().map(|(name, ports)| {
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        format!("{name} at {}", ports.join(" "))
    });
    let guarded = site.guarded.iter().map(|(range, what)| format!("{range} is {what}"));
    let all: Vec<String> =
        std::iter::once(site.product.to_string()).chain(services).chain(guarded).collect();
    all.join(", ")
}
