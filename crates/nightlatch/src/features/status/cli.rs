//! `status`.

use std::process::ExitCode;

use nightlatch_core::api::{Reply, Request};

use super::{io, wording};
use crate::features::context::{Context, Run};
use crate::shell::firewall::Seen;
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::{client, clock, screen};

/// Show the status of the firewall; exit code 1 if it is off or not as configured
#[derive(clap::Args, Debug)]
pub struct Status {}

impl Run for Status {
    fn run(&self, context: &Context) -> Outcome {
        let standing = match client::ask(&context.paths, Request::Status) {
            Ok(Reply::Status(standing)) => *standing,
            Ok(other) => {
                return Err(Failure::failed(format!(
                    "unexpected reply from the daemon: {other:?}"
                )));
            }
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
        let report = wording::report(&standing, clock::now());
        if context.json {
            screen::say_json(&report.fields);
        } else {
            report.lines.iter().for_each(|(_, line)| screen::say(line));
        }
        let well = report.stands && standing.trouble.is_none();
        Ok(if well { ExitCode::SUCCESS } else { Code::No.exit() })
    }
}

/// The daemon is gone: whether the firewall is too matters most.
fn without_daemon(failure: &Failure) -> Failure {
    let table = match io::seen() {
        Some(Seen::Stands) => {
            "THE DAEMON IS NOT RUNNING. The last good firewall is loaded in the kernel, but nothing monitors it, and accounts and blocks with an expiry do not expire (bans and leases do)."
        }
        Some(Seen::OnTrial) => {
            "THE DAEMON IS NOT RUNNING. The firewall is loaded in the kernel, ON TRIAL: when the trial expires, the kernel accepts everything, unless you run \"nightlatch confirm\"."
        }
        Some(Seen::Open) => {
            "THE DAEMON IS NOT RUNNING, AND THE TABLE IN THE KERNEL ACCEPTS EVERYTHING: its trial has expired, or it was never completed. Unless another firewall is active, this machine is open."
        }
        Some(Seen::Gone) => {
            "THE DAEMON IS NOT RUNNING, AND ITS FIREWALL IS NOT IN THE KERNEL: unless another one is active, this machine is open."
        }
        None => "THE DAEMON IS NOT RUNNING; only root can see whether a firewall is loaded.",
    };
    Failure::new(failure.code, format!("{table}\n{}", failure.message))
}
