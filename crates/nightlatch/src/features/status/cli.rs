//! `status`.

use std::process::ExitCode;

use nightlatch_core::api::{Reply, Request, Status as Standing};
use nightlatch_core::ledger::{DenialCause, Mode, Protection};
use nightlatch_core::signalling::{LearnedBy, did};
use nightlatch_core::time::{Time, show_span};

use super::io;
use crate::features::{Context, Run};
use crate::shell::firewall::Seen;
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::{client, clock, screen};

/// Say how things stand; exit code 1 if the firewall is off or not what it should be
#[derive(clap::Args, Debug)]
pub struct Status {}

impl Run for Status {
    fn run(&self, context: &Context) -> Outcome {
        let standing = match client::ask(&context.paths, Request::Status) {
            Ok(Reply::Status(standing)) => *standing,
            Ok(other) => return Err(Failure::failed(format!("unfitting answer: {other:?}"))),
            Err(failure) if failure.code == Code::NotRunning && context.json => {
                let seen = io::seen();
                let table = seen.map(|seen| seen != Seen::Gone);
                screen::say_json(&match seen {
                    Some(seen @ (Seen::OnTrial | Seen::Open)) => serde_json::json!({
                        "running": false, "table": table, "open": seen == Seen::Open
                    }),
                    _ => serde_json::json!({ "running": false, "table": table }),
                });
                return Ok(failure.code.exit());
            }
            Err(failure) if failure.code == Code::NotRunning => {
                return Err(without_daemon(&failure));
            }
            // How things stand, everybody may know.
            Err(failure) if failure.code == Code::NotAllowed => {
                client::read_status(&context.paths)?
            }
            Err(failure) => return Err(failure),
        };
        if context.json {
            screen::say_json(&standing);
        } else {
            show(&standing);
        }
        let well = standing.protection.stands() && standing.intact;
        Ok(if well { ExitCode::SUCCESS } else { Code::No.exit() })
    }
}

/// The trunks that this host's registrations keep open, the known peers and the denials.
fn show_peers(standing: &Standing, now: Time) {
    const MAX_LINES: usize = 10;
    let registered = standing.known_peers.iter().filter(|known| {
        matches!(known.peer.by, LearnedBy::Registered | LearnedBy::RegisteredByTcp)
    });
    for known in registered.take(MAX_LINES) {
        screen::say(format!(
            "trunk     {}: {}, most recently {} ago",
            known.peer.address,
            did(known.peer.by),
            show_span(now.since(known.seen))
        ));
    }
    if standing.known_peer_count > 0 {
        screen::say(format!(
            "peers     {} known from this host's own requests (see \"nightlatch peer list\")",
            standing.known_peer_count
        ));
    }
    for denial in standing.denials.iter().take(MAX_LINES) {
        let why = match &denial.cause {
            DenialCause::AccountGone { account } if account.is_empty() => {
                "closed by an earlier version".to_owned()
            }
            DenialCause::AccountGone { account } => {
                format!("account \"{account}\" was removed or expired")
            }
            DenialCause::UnlistedContact { extension } => format!(
                "{} is registered at the PBX with this address, without an account{}",
                screen::printable(extension),
                denial.exception()
            ),
        };
        screen::say(format!("denied    {}: {why}", denial.range));
    }
    let more = standing.denial_count.saturating_sub(MAX_LINES);
    if more > 0 {
        screen::say(format!("denied    and {more} more"));
    }
}

/// The size of all lists together.
fn in_words(standing: &Standing) -> String {
    let many = |number: usize, one: &str, several: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {several}"),
    };
    let memory = match standing.listed_bytes {
        0 => String::new(),
        bytes if bytes < 1_000_000 => format!(", about {} kB of kernel memory", bytes / 1000 + 1),
        bytes => format!(", about {} MB of kernel memory", bytes / 1_000_000 + 1),
    };
    format!(
        "{} and {}: {} of IPv4, {} of IPv6{memory}",
        many(standing.feeds, "feed", "feeds"),
        many(standing.countries, "country", "countries"),
        many(standing.listed - standing.listed_v6.min(standing.listed), "range", "ranges"),
        standing.listed_v6,
    )
}

/// The daemon is gone: whether the firewall is too matters most.
fn without_daemon(failure: &Failure) -> Failure {
    let table = match io::seen() {
        Some(Seen::Stands) => {
            "THE DAEMON IS DOWN. The last good firewall stands in the kernel; nothing watches it, and nothing that was for a time ends."
        }
        Some(Seen::OnTrial) => {
            "THE DAEMON IS DOWN. The firewall stands in the kernel, ON TRIAL: when its time is over the kernel lets everything through, unless you run \"nightlatch confirm\"."
        }
        Some(Seen::Open) => {
            "THE DAEMON IS DOWN, AND THE TABLE IN THE KERNEL LETS EVERYTHING THROUGH: its trial is over, or it was never finished. Unless another firewall stands, this machine is open."
        }
        Some(Seen::Gone) => {
            "THE DAEMON IS DOWN AND ITS FIREWALL IS NOT IN THE KERNEL: unless another one stands, this machine is open."
        }
        None => "THE DAEMON IS DOWN; whether a firewall stands only root can see.",
    };
    Failure::new(failure.code, format!("{table}\n{}", failure.message))
}

fn show(standing: &Standing) {
    let now = clock::now();
    let since = |since| format!("since {since} ({})", show_span(now.since(since)));
    match &standing.protection {
        Protection::Off => screen::say(
            "OFF       THE FIREWALL IS OFF: everything this machine runs answers everybody; \"nightlatch up\" puts it up",
        ),
        Protection::On { since: at } => screen::say(format!("on        {}", since(*at))),
        Protection::Trial { until, .. } => screen::say(format!(
            "ON TRIAL  taken back in {} unless you run \"nightlatch confirm\"",
            show_span(until.since(now))
        )),
    }
    if !standing.intact {
        screen::say("BROKEN    THE KERNEL'S TABLE IS NOT WHAT IT SHOULD BE");
    }
    for warning in &standing.warnings {
        screen::say(format!("WARNING   {}", screen::printable(warning)));
    }
    let stands = standing.protection.stands();
    screen::say(format!(
        "mode      {}",
        match standing.mode {
            mode if !stands => format!("{mode}, once the firewall is up"),
            Mode::Allowlist => "allowlist: strangers meet silence".to_owned(),
            Mode::Open => "open: chosen services answer strangers".to_owned(),
        }
    ));
    for reached in &standing.strangers_reach {
        screen::say(format!("open      to all: {reached}"));
    }
    if stands {
        screen::say(format!(
            "reboot    {}",
            if standing.survives_reboot {
                "survives: an early unit puts the firewall up before the network"
            } else {
                "DOES NOT SURVIVE A REBOOT: no early unit is enabled (without systemd, start \"nightlatch boot\" before the network)"
            }
        ));
    }
    screen::say(format!("accounts  {}, blocks {}", standing.accounts, standing.blocks));
    show_peers(standing, now);
    if standing.feeds + standing.countries > 0 {
        screen::say(format!("lists     {}", in_words(standing)));
    }
    for trouble in &standing.feed_troubles {
        screen::say(format!("TROUBLE   {}", screen::printable(trouble)));
    }
    let count = |name: &str| standing.dropped.get(name).copied().unwrap_or(0);
    screen::say(format!(
        "dropped   {} packets of strangers, {} of blocked addresses, {} from or to denied addresses, {} of listed ones, {} over the rate limits",
        count("silent"),
        count("blocked"),
        count("denied"),
        count("listed"),
        count("limited")
    ));
    for ending in &standing.ending {
        screen::say(format!("soon      {} ends at {}", ending.what, ending.until));
    }
    if let Some(by) = &standing.restored_last {
        screen::say(format!(
            "restored  {} times since the daemon began, last after {}",
            standing.restored,
            screen::printable(by)
        ));
    }
}
