//! `mode`, `services`.

use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::api;
use nightlatch_core::features::Reply;
use nightlatch_core::features::firewall::{self, Request, Services as Known};
use nightlatch_core::posture::Mode;
use nightlatch_core::service::ServiceName;
use serde::Serialize;
use serde_json::Value;

use crate::features::context::{Context, Run, ShownDone};
use crate::features::report::Report;
use crate::shell::clock::Stopwatch;
use crate::shell::outcome::{Failure, Outcome};
use crate::shell::{client, clock, pbx, screen};

/// Set or show the mode: allowlist (drop all strangers) or open (serve selected services)
#[derive(clap::Args, Debug)]
pub struct SetMode {
    /// allowlist or open
    mode: Option<Mode>,
    /// Proceed even if this ends your own session
    #[arg(long)]
    force: bool,
}

impl Run for SetMode {
    fn run(&self, context: &Context) -> Outcome {
        let Some(mode) = self.mode else {
            return tell(context);
        };
        let request = api::Request::of(Request::Mode { mode }).forced(self.force);
        if mode != Mode::Allowlist {
            return context.change(request);
        }
        let done = client::change(&context.paths, request)?;
        let denied = denied(context);
        if context.json {
            let denied = denied.into_iter().map(|(value, _)| value).collect();
            screen::say_json(&Closed { denied, done: ShownDone::of(&done) });
        } else {
            context.say_done(&done);
            denied.iter().for_each(|(_, sentence)| screen::say(sentence));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What came of closing signalling, in JSON.
#[derive(Serialize)]
struct Closed<'a> {
    denied: Vec<Value>,
    done: ShownDone<'a>,
}

/// How long to wait for the daemon to ask the PBX for its registered phones.
const PBX_TIMEOUT: Duration = Duration::from_secs(15);

fn report(context: &Context) -> Option<Report> {
    match client::ask(&context.paths, api::Request::Status) {
        Ok(api::Reply::Status(status)) => Some(Report::of(&status, clock::now())),
        _ => None,
    }
}

/// The addresses that are denied because they are registered at the PBX without an account. When
/// signalling is closed, the daemon asks the PBX, if one is running, and forgets earlier answers.
fn denied(context: &Context) -> Vec<(Value, String)> {
    if pbx::running().is_empty() {
        return Vec::new();
    }
    let started = Stopwatch::start();
    while started.elapsed() < PBX_TIMEOUT {
        let Some(report) = report(context) else { break };
        if report.pbx_answered.is_some() {
            return report.unlisted;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    screen::complain(
        "the PBX did not report its registered phones in time; phones without an account are denied once it does: see \"nightlatch status\"",
    );
    Vec::new()
}

/// List the services of this server with their ports
#[derive(clap::Args, Debug)]
pub struct Services {}

impl Run for Services {
    fn run(&self, context: &Context) -> Outcome {
        let known = services(context)?;
        if context.json {
            screen::say_json(&known);
        } else {
            show(&known);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn services(context: &Context) -> Result<Known, Failure> {
    let replies = context.ask(vec![Request::Services.into()])?;
    let known = replies.into_iter().find_map(|reply| match reply {
        Reply::Firewall(firewall::Reply::Services(known)) => Some(known),
        _ => None,
    });
    known.ok_or_else(|| client::unfitting(&"no services"))
}

fn tell(context: &Context) -> Outcome {
    let known = services(context)?;
    if context.json {
        screen::say_json(&serde_json::json!({ "mode": known.mode }));
    } else {
        screen::say(known.mode.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

fn show(known: &Known) {
    let rows: Vec<Vec<String>> = known
        .services
        .0
        .iter()
        .map(|(name, service)| {
            let mut ports: Vec<String> = service.ports.iter().map(ToString::to_string).collect();
            ports.extend(service.ping.then(|| "icmp echo".to_owned()));
            let brings: Vec<&str> = service.brings.iter().map(ServiceName::as_str).collect();
            let opened = if known.open.contains(name) { "yes" } else { "" };
            vec![name.to_string(), ports.join(" "), brings.join(" "), opened.to_owned()]
        })
        .collect();
    screen::say(format!("Services of {}, mode {}", known.product, known.mode));
    screen::table(&["SERVICE", "PORTS", "BRINGS", "OPEN TO STRANGERS IN MODE OPEN"], &rows);
}
