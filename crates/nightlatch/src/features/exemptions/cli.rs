//! `exempt add`, `exempt remove`, `exempt list`.

use std::process::ExitCode;

use nightlatch_core::api::{self, Cause};
use nightlatch_core::entry::Entry;
use nightlatch_core::features::exemptions::{self, ExemptionName, Request};
use nightlatch_core::features::{Refusal, Reply};

use super::wording;
use crate::features::context::{Context, Run};
use crate::shell::outcome::{Failure, Outcome};
use crate::shell::{again, screen};

/// Exempt addresses from bans and lists, without allowing them anything
#[derive(clap::Args, Debug)]
pub struct ExemptCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Exempt addresses, networks or host names
    Add {
        /// A name for them, e.g. "monitor"
        name: ExemptionName,
        /// Addresses, networks, ranges or host names
        #[arg(required = true, value_delimiter = ',', value_name = "ADDRESS|CIDR|HOST")]
        addresses: Vec<Entry>,
        /// Exempt networks wider than a /16 (IPv4) or a /32 (IPv6) too
        #[arg(long)]
        force: bool,
    },
    /// Remove an exemption, or some of its addresses
    Remove {
        /// Its name
        name: ExemptionName,
        /// Only these addresses, exactly as they were exempted
        #[arg(value_delimiter = ',', value_name = "ADDRESS|CIDR|HOST")]
        addresses: Vec<Entry>,
        /// Proceed even if this ends your own session
        #[arg(long)]
        force: bool,
    },
    /// List all exemptions
    List,
}

impl Run for ExemptCommand {
    fn run(&self, context: &Context) -> Outcome {
        match &self.action {
            Action::Add { name, addresses, force } => {
                let request = Request::Add { name: name.clone(), entries: addresses.clone() };
                let request = api::Request::of(request).forced(*force);
                context.change(request).map_err(with_force)
            }
            Action::Remove { name, addresses, force } => {
                let request = Request::Remove { name: name.clone(), entries: addresses.clone() };
                context.change(api::Request::of(request).forced(*force))
            }
            Action::List => list(context),
        }
    }
}

fn list(context: &Context) -> Outcome {
    let replies = context.ask(vec![Request::List.into()])?;
    let all = replies.into_iter().find_map(|reply| match reply {
        Reply::Exemptions(exemptions::Reply::All(all)) => Some(all),
        _ => None,
    });
    let all = all.unwrap_or_default();
    if context.json {
        screen::say_json(&serde_json::json!({ "exemptions": all }));
    } else if all.is_empty() {
        screen::say("No exemptions. Create one with \"nightlatch exempt add NAME ADDRESS\".");
    } else {
        screen::table(wording::HEADER, &all.iter().map(wording::row).collect::<Vec<_>>());
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds the same command with `--force` to a refusal that asks for it.
fn with_force(failure: Failure) -> Failure {
    let why = failure.refusal.as_ref().map(|refusal| &refusal.why);
    let is_wide = matches!(why, Some(Cause::Feature(refusal))
        if matches!(**refusal, Refusal::Exemptions(exemptions::Refusal::Wide { .. })));
    if is_wide { again::with(failure, "--force") } else { failure }
}
