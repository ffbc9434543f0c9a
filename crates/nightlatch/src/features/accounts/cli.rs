//! `allow`, `account`, `remove`, `list`, `show`.

mod change;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::AddrRange;
use nightlatch_core::api::{self, Cause};
use nightlatch_core::features::accounts::{
    self, Account, AccountName, Ends, Entry, HostOptions, NewAccount, Request,
};
use nightlatch_core::features::{Refusal, Reply};
use nightlatch_core::hours::Within;
use nightlatch_core::service::Grant;
use nightlatch_core::time::{MomentError, parse_moment, parse_span};
use serde::Serialize;

pub use change::AccountCommand;

use super::{io, wording};
use crate::features;
use crate::features::context::{Context, Run};
use crate::features::fields::Fields;
use crate::features::listing::Listing;
use crate::shell::hours::HoursArgs;
use crate::shell::outcome::{Failure, Outcome};
use crate::shell::{again, client, screen};

/// Allow addresses, networks or host names, as a new account
#[derive(clap::Args, Debug)]
pub struct Allow {
    /// The account's name, e.g. "office"
    pub(crate) name: AccountName,
    #[command(flatten)]
    addresses: Addresses,
    /// The services to allow, e.g. sip,web ("nightlatch services" lists them); default: all, or telephony only if
    /// there is a host name
    #[arg(long, value_name = "LIST", value_parser = Grant::parse)]
    pub(crate) services: Option<Grant>,
    /// How long the account is valid, e.g. 8h; default: no expiry
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
    pub(crate) lasts: Option<Duration>,
    /// Until when it is valid: "2026-12-31 18:00" (UTC), or with an offset: "2026-12-31 18:00 +01:00"
    #[arg(long, value_name = "WHEN", value_parser = parse_ends, conflicts_with = "lasts")]
    until: Option<Ends>,
    #[command(flatten)]
    hours: HoursArgs,
    /// A note, shown by "nightlatch show"
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) note: String,
    /// Accept private addresses of host names, for a name server of your own
    #[arg(long = "allow-private")]
    pub(crate) private: bool,
    /// Allow networks wider than a /16 (IPv4) or a /32 (IPv6)
    #[arg(long)]
    force: bool,
}

/// The addresses that a command is about.
#[derive(clap::Args, Debug)]
struct Addresses {
    /// Addresses, networks, ranges or host names
    #[arg(
        required_unless_present = "from",
        value_delimiter = ',',
        value_name = "ADDRESS|CIDR|HOST"
    )]
    addresses: Vec<String>,
    /// Read more of them from a file, one per line ("#" starts a comment); "-" is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

impl Addresses {
    /// All of them. No host name has an address yet.
    ///
    /// # Errors
    /// One that is none; a file that cannot be read, with the line.
    fn entries(&self) -> Result<Vec<Entry>, Failure> {
        let mut entries = Vec::new();
        for text in &self.addresses {
            entries.push(io::entry(text)?);
        }
        if let Some(from) = &self.from {
            entries.extend(io::entries_of(from)?);
        }
        Ok(entries)
    }
}

/// Reads the end of something: a date and time, or `never`.
fn parse_ends(text: &str) -> Result<Ends, MomentError> {
    match text.trim() {
        "never" => Ok(Ends::Never),
        moment => parse_moment(moment).map(Ends::At),
    }
}

impl Allow {
    /// The account to ask for.
    ///
    /// # Errors
    /// What is neither an address nor a host name.
    pub(crate) fn account(&self) -> Result<NewAccount, Failure> {
        let until = match self.until {
            Some(Ends::At(until)) => Some(until),
            _ => None,
        };
        Ok(NewAccount {
            hours: self.hours.within()?.and_then(Within::hours),
            name: self.name.clone(),
            entries: self.addresses.entries()?,
            services: self.services.clone().unwrap_or(Grant::All),
            lasts: self.lasts,
            until,
            note: self.note.clone(),
            hosts: HostOptions {
                allow_private: self.private,
                services_unnamed: self.services.is_none(),
            },
        })
    }
}

impl Run for Allow {
    fn run(&self, context: &Context) -> Outcome {
        let account = self.account()?;
        let has_host = account.entries.iter().any(|entry| entry.host().is_some());
        let name = account.name.clone();
        let request = api::Request::of(Request::Allow(account)).forced(self.force);
        let done = context.change(request).map_err(with_force)?;
        if has_host && !context.json && screen::is_interactive() {
            super::hosts::show(context, &name);
        }
        Ok(done)
    }
}

/// Adds the same command with `--force` to a refusal that asks for it.
fn with_force(failure: Failure) -> Failure {
    let why = failure.refusal.as_ref().map(|refusal| &refusal.why);
    let asks = matches!(why, Some(Cause::Feature(refusal)) if matches!(
        **refusal,
        Refusal::Accounts(accounts::Refusal::Wide { .. } | accounts::Refusal::HostForAll { .. })
    ));
    if asks { again::with(failure, "--force") } else { failure }
}

/// Remove an account and end its established connections
#[derive(clap::Args, Debug)]
pub struct Remove {
    /// The account's name
    pub(crate) name: AccountName,
    /// Proceed even if this ends your own session
    #[arg(long)]
    pub(crate) force: bool,
}

impl Run for Remove {
    fn run(&self, context: &Context) -> Outcome {
        // Must be asked before the removal; if there is no such account, the removal reports it.
        let account = shown(context, &self.name);
        let ranges = account.iter().flat_map(Account::ranges).collect::<Vec<AddrRange>>();
        let remove = api::Request::of(Request::Remove { name: self.name.clone() });
        context.close(remove.forced(self.force), &ranges, false)
    }
}

/// List all accounts and blocks
#[derive(clap::Args, Debug)]
pub struct List {}

impl Run for List {
    fn run(&self, context: &Context) -> Outcome {
        let mut listing = Listing::default();
        for reply in context.ask(features::list())? {
            features::listed(&reply, &mut listing);
        }
        if context.json {
            screen::say_json(&Listed { list: &listing.fields });
        } else {
            listing.show();
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    list: &'a Fields,
}

/// Show one account
#[derive(clap::Args, Debug)]
pub struct Show {
    /// The account's name
    name: AccountName,
}

impl Run for Show {
    fn run(&self, context: &Context) -> Outcome {
        let account = shown(context, &self.name)?;
        if context.json {
            screen::say_json(&account);
        } else {
            show(&account);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// An account of this name.
pub(super) fn shown(context: &Context, name: &AccountName) -> Result<Account, Failure> {
    let replies = context.ask(vec![Request::Show { name: name.clone() }.into()])?;
    replies
        .into_iter()
        .find_map(|reply| match reply {
            Reply::Accounts(accounts::Reply::One(account)) => Some(account),
            _ => None,
        })
        .ok_or_else(|| client::unfitting(&name))
}

fn show(account: &Account) {
    screen::say(format!("account   {}", account.name));
    for entry in &account.entries {
        screen::say(format!("address   {entry}"));
    }
    screen::say(format!("services  {}", account.services));
    screen::say(format!("until     {}", wording::end(account.until)));
    if let Some(hours) = &account.hours {
        screen::say(format!("hours     {hours} {}", hours.zone()));
    }
    screen::say(format!("created   {} by {}", account.since, account.by));
    if !account.note.is_empty() {
        screen::say(format!("note      {}", screen::printable(&account.note)));
    }
}
