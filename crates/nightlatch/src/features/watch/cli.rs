//! `watch`.

use std::process::ExitCode;

use nightlatch_core::features::Reply;
use nightlatch_core::features::watch::{self, Request};

use crate::features::context::{Context, Run};
use crate::shell::outcome::Outcome;
use crate::shell::screen;

/// Show what logs tell of attempts to log in, and what is read
#[derive(clap::Args, Debug)]
pub struct WatchCommand {
    #[command(subcommand)]
    command: Watch,
}

#[derive(clap::Subcommand, Debug)]
enum Watch {
    /// List what is read, how far it is trusted, and what leaves no line
    List,
}

impl Run for WatchCommand {
    fn run(&self, context: &Context) -> Outcome {
        let Watch::List = self.command;
        let replies = context.ask(vec![Request::List.into()])?;
        let standing = replies.into_iter().find_map(|reply| match reply {
            Reply::Watch(watch::Reply::All(standing)) => Some(standing),
            _ => None,
        });
        screen::say_json(&standing.unwrap_or_default());
        Ok(ExitCode::SUCCESS)
    }
}
