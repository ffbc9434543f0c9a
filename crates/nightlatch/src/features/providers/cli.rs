//! `provider list`, `provider show`, `provider enable`, `provider disable`.

use std::process::ExitCode;

use nightlatch_core::AddrRange;
use nightlatch_core::api;
use nightlatch_core::features::Reply;
use nightlatch_core::features::providers::{self, ProviderName, Request, Shown};

use super::wording;
use crate::features::context::{Context, Run};
use crate::shell::outcome::{Failure, Outcome};
use crate::shell::{client, screen};

/// Allow carriers from a catalogue by name, for telephony only
#[derive(clap::Args, Debug)]
pub struct ProviderCommand {
    #[command(subcommand)]
    command: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List the catalogue, and which providers are enabled
    List,
    /// Show one provider: its servers, and where they are published
    Show {
        /// Its name in the catalogue, e.g. "twilio"
        name: ProviderName,
    },
    /// Allow a provider's servers
    Enable {
        /// Its name in the catalogue, e.g. "twilio"
        name: ProviderName,
        /// Allow it even if its addresses are not verified
        #[arg(long)]
        force: bool,
    },
    /// Stop allowing a provider, and end its established connections
    Disable {
        /// Its name in the catalogue
        name: ProviderName,
        /// Proceed even if this ends your own session
        #[arg(long)]
        force: bool,
    },
}

impl Run for ProviderCommand {
    fn run(&self, context: &Context) -> Outcome {
        match &self.command {
            Action::List => list(context),
            Action::Show { name } => {
                let shown = shown(context, name)?;
                if context.json {
                    screen::say_json(&shown);
                } else {
                    wording::one(&shown).iter().for_each(screen::say);
                }
                Ok(ExitCode::SUCCESS)
            }
            Action::Enable { name, force } => {
                let enable = api::Request::of(Request::Enable { name: name.clone() });
                context.change(enable.forced(*force))
            }
            Action::Disable { name, force } => {
                // Must be asked before; if it is not enabled, the daemon says so.
                let shown = shown(context, name).ok();
                let enabled = shown.and_then(|it| it.enabled);
                let ranges: Vec<AddrRange> =
                    enabled.iter().flat_map(providers::Enabled::ranges).collect();
                let disable = api::Request::of(Request::Disable { name: name.clone() });
                context.close(disable.forced(*force), &ranges, false)
            }
        }
    }
}

fn list(context: &Context) -> Outcome {
    let replies = context.ask(vec![Request::List.into()])?;
    let all = replies.into_iter().find_map(|reply| match reply {
        Reply::Providers(providers::Reply::All(all)) => Some(all),
        _ => None,
    });
    let all = all.ok_or_else(|| client::unfitting(&"provider list"))?;
    if context.json {
        screen::say_json(&serde_json::json!({ "providers": all }));
    } else {
        let rows: Vec<Vec<String>> = all.iter().map(wording::row).collect();
        screen::table(wording::HEADER, &rows);
        for line in wording::remarks(&all) {
            screen::say(line);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A provider of this name.
fn shown(context: &Context, name: &ProviderName) -> Result<Shown, Failure> {
    let replies = context.ask(vec![Request::Show { name: name.clone() }.into()])?;
    let shown = replies.into_iter().find_map(|reply| match reply {
        Reply::Providers(providers::Reply::One(shown)) => Some(*shown),
        _ => None,
    });
    shown.ok_or_else(|| client::unfitting(&name))
}
