//! The register of commands: one line for each, with the arguments that it takes. Help, manual pages and
//! completions come from the same lines.

use super::context::{Context, Run};
use super::{
    accounts, audit, bans, blocks, boot, check, countries, demo, exemptions, feeds, firewall,
    generate, leases, names, open, peers, providers, status, up, users, watch, who, why,
};
use crate::shell::outcome::Outcome;

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
    Account: accounts::cli::AccountCommand,
    Remove: accounts::cli::Remove,
    List: accounts::cli::List,
    Show: accounts::cli::Show,
    Why: why::cli::Why,
    Who: who::cli::Who,
    #[command(visible_alias = "blacklist")]
    Block: blocks::cli::Block,
    Unblock: blocks::cli::Unblock,
    Ban: bans::cli::Ban,
    Bans: bans::cli::List,
    Unban: bans::cli::Unban,
    Leases: leases::cli::List,
    Close: leases::cli::Close,
    Exempt: exemptions::cli::ExemptCommand,
    Names: names::cli::ListNames,
    Peer: peers::cli::PeerCommand,
    Provider: providers::cli::ProviderCommand,
    Country: countries::cli::CountryCommand,
    Feed: feeds::cli::FeedCommand,
    User: users::cli::UserCommand,
    Lease: users::cli::Lease,
    Open: open::cli::Open,
    Watch: watch::cli::WatchCommand,
    Mode: firewall::cli::SetMode,
    Services: firewall::cli::Services,
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
    found.map(|(_, source)| doc_comment(source))
}

/// The features of which no command tells, each with its manual text.
pub fn manuals_without_command() -> impl Iterator<Item = (&'static str, String)> {
    let is_told = |source: &str| WRITTEN.iter().any(|(_, told)| *told == source);
    let others = super::WRITTEN.iter().filter(move |(_, source)| !is_told(source));
    others.map(|(name, source)| (*name, doc_comment(source)))
}

/// The lines at the top of a file that begin with `//!`.
fn doc_comment(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}
