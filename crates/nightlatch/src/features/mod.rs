//! One folder per feature, registered by one line below: its name on the command line and the
//! arguments it takes. Help, manual pages and completions come from the same lines.

use std::process::ExitCode;

use nightlatch_core::AddrRange;
use nightlatch_core::api::{Reply, Request};

use crate::shell::outcome::Outcome;
use crate::shell::paths::Paths;
use crate::shell::{client, pbx_peers, screen};

pub mod accounts;
pub mod audit;
pub mod blocks;
pub mod boot;
pub mod check;
pub mod countries;
pub mod demo;
pub mod feeds;
pub mod generate;
pub mod modes;
pub mod oldnames;
pub mod peers;
pub mod status;
pub mod up;
pub mod why;

/// What every command gets.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where configuration, state and sockets are.
    pub paths: Paths,
    /// Whether to write JSON.
    pub json: bool,
}

impl Context {
    /// Asks the daemon for a change and shows the sentence it answers.
    pub(crate) fn change(&self, request: Request) -> Outcome {
        self.say_done(&client::change(&self.paths, request)?);
        Ok(ExitCode::SUCCESS)
    }

    /// Asks the daemon for a change that closes addresses, and shows its reply and what is left to do
    /// at the PBX: a call there continues, and costs money, until somebody ends it.
    pub(crate) fn close(&self, request: Request, ranges: &[AddrRange], trunks: bool) -> Outcome {
        let message = client::change(&self.paths, request)?;
        let remaining = pbx_peers::remaining(ranges, trunks);
        if self.json {
            let mut done = serde_json::json!({ "done": { "message": message } });
            if let (Some(done), false) = (done.as_object_mut(), remaining.is_empty()) {
                done.insert("at_the_pbx".to_owned(), serde_json::json!(remaining));
            }
            screen::say_json(&done);
        } else {
            screen::say(message);
            remaining.lines().iter().for_each(screen::say);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Shows what was done.
    pub(crate) fn say_done(&self, message: &str) {
        if self.json {
            screen::say_json(&Reply::Done { message: message.to_owned() });
        } else {
            screen::say(message);
        }
    }
}

/// A command of a feature.
pub trait Run {
    /// Does what the command says.
    ///
    /// # Errors
    /// What happened, to what, and what to do next, with the exit code.
    fn run(&self, context: &Context) -> Outcome;
}

macro_rules! commands {
    ($($(#[$attribute:meta])* $name:ident: $feature:ident::cli::$arguments:ident,)*) => {
        /// All commands. The text of each is the doc comment of its arguments.
        #[derive(clap::Subcommand, Debug)]
        pub enum Command {
            $(
                #[allow(missing_docs, reason = "its arguments say it")]
                $(#[$attribute])*
                $name($feature::cli::$arguments),
            )*
        }

        impl Run for Command {
            fn run(&self, context: &Context) -> Outcome {
                match self {
                    $(Command::$name(command) => command.run(context),)*
                }
            }
        }

        /// What the feature of each command says of itself: source of a manual page's text.
        const WRITTEN: &[(&str, &str)] = &[$((
            stringify!($name),
            include_str!(concat!(stringify!($feature), "/mod.rs")),
        ),)*];
    };
}

commands! {
    Up: up::cli::Up,
    Confirm: up::cli::Confirm,
    Rollback: up::cli::Rollback,
    Down: up::cli::Down,
    Status: status::cli::Status,
    #[command(visible_alias = "whitelist")]
    Allow: accounts::cli::Allow,
    Remove: accounts::cli::Remove,
    List: accounts::cli::List,
    Show: accounts::cli::Show,
    Why: why::cli::Why,
    #[command(visible_alias = "blacklist")]
    Block: blocks::cli::Block,
    Unblock: blocks::cli::Unblock,
    Peer: peers::cli::PeerCommand,
    Country: countries::cli::CountryCommand,
    Feed: feeds::cli::FeedCommand,
    Mode: modes::cli::SetMode,
    Services: modes::cli::Services,
    Log: audit::cli::Log,
    Check: check::cli::Check,
    Reload: check::cli::Reload,
    Demo: demo::cli::Demo,
    Daemon: boot::cli::Daemon,
    #[command(hide = true)]
    Boot: boot::cli::Boot,
    #[command(hide = true)]
    Generate: generate::cli::Generate,
}

/// The manual text of a command: the doc comment of its feature.
pub fn manual_of(command: &str) -> Option<String> {
    let found = WRITTEN.iter().find(|(name, _)| name.eq_ignore_ascii_case(command));
    found.map(|(_, source)| {
        let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
        lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
    })
}
