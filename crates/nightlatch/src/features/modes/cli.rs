//! `mode`, `services`.

use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::api::{Reply, Request, Services as Known, Status};
use nightlatch_core::ledger::{Denial, DenialCause, Mode};
use nightlatch_core::time::Time;

use crate::features::{Context, Run};
use crate::shell::clock::Stopwatch;
use crate::shell::outcome::Outcome;
use crate::shell::{client, pbx, screen};

/// Set what strangers meet: silence (allowlist), or chosen services (open); say it without either
#[derive(clap::Args, Debug)]
pub struct SetMode {
    /// allowlist or open
    mode: Option<Mode>,
    /// Even if that ends your own session
    #[arg(long)]
    force: bool,
}

impl Run for SetMode {
    fn run(&self, context: &Context) -> Outcome {
        let Some(mode) = self.mode else {
            return tell(context);
        };
        let request = Request::Mode { mode, force: self.force };
        if mode != Mode::Allowlist {
            return context.change(request);
        }
        let answered = status(context).and_then(|status| status.pbx_answered);
        let message = client::change(&context.paths, request)?;
        let denied = denied(context, answered);
        if context.json {
            screen::say_json(
                &serde_json::json!({ "done": { "message": message }, "denied": denied }),
            );
        } else {
            screen::say(message);
            denied.iter().for_each(say_denied);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// How long to wait for the daemon to ask the PBX for its registered phones.
const PBX_TIMEOUT: Duration = Duration::from_secs(15);

fn status(context: &Context) -> Option<Box<Status>> {
    match client::ask(&context.paths, Request::Status) {
        Ok(Reply::Status(status)) => Some(status),
        _ => None,
    }
}

/// The addresses that are denied because they are registered at the PBX without an account. When
/// signalling is closed, the daemon asks the PBX, if one is running.
fn denied(context: &Context, answered: Option<Time>) -> Vec<Denial> {
    if pbx::running().is_empty() {
        return Vec::new();
    }
    let started = Stopwatch::start();
    while started.elapsed() < PBX_TIMEOUT {
        let Some(status) = status(context) else { break };
        if status.pbx_answered != answered {
            let unlisted = |it: &Denial| matches!(it.cause, DenialCause::UnlistedContact { .. });
            return status.denials.into_iter().filter(unlisted).collect();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    screen::complain(
        "the PBX did not report its registered phones in time; phones without an account are denied once it does: see \"nightlatch status\"",
    );
    Vec::new()
}

fn say_denied(denial: &Denial) {
    let DenialCause::UnlistedContact { extension } = &denial.cause else { return };
    screen::say(format!(
        "{} at {} is registered at the PBX without an account and is denied{}; \"nightlatch allow NAME {} --services sip\" allows it",
        screen::printable(extension),
        denial.range,
        denial.exception(),
        denial.range
    ));
}

/// List the services of this server with their ports
#[derive(clap::Args, Debug)]
pub struct Services {}

impl Run for Services {
    fn run(&self, context: &Context) -> Outcome {
        match client::ask(&context.paths, Request::Services)? {
            Reply::Services(known) if context.json => screen::say_json(&known),
            Reply::Services(known) => show(&known),
            _ => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn tell(context: &Context) -> Outcome {
    if let Reply::Services(known) = client::ask(&context.paths, Request::Services)? {
        if context.json {
            screen::say_json(&serde_json::json!({ "mode": known.mode }));
        } else {
            screen::say(known.mode.to_string());
        }
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
            let brings: Vec<&str> =
                service.brings.iter().map(nightlatch_core::service::ServiceName::as_str).collect();
            let opened = if known.open.contains(name) { "yes" } else { "" };
            vec![name.to_string(), ports.join(" "), brings.join(" "), opened.to_owned()]
        })
        .collect();
    screen::say(format!("Services of {}, mode {}", known.product, known.mode));
    screen::table(&["SERVICE", "PORTS", "BRINGS", "OPEN TO STRANGERS IN MODE OPEN"], &rows);
}
