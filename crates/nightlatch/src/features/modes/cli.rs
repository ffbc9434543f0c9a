//! `mode`, `services`.

use std::process::ExitCode;

use nightlatch_core::api::{Reply, Request, Services as Known};
use nightlatch_core::ledger::Mode;

use crate::features::{Context, Run};
use crate::shell::outcome::Outcome;
use crate::shell::{client, screen};

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
        context.change(Request::Mode { mode, force: self.force })
    }
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
