//! `allow`, `remove`, `list`, `show`.

use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::AddrRange;
use nightlatch_core::api;
use nightlatch_core::features::Reply;
use nightlatch_core::features::accounts::{
    self, Account, AccountName, HostOptions, NewAccount, Request,
};
use nightlatch_core::service::Grant;
use nightlatch_core::time::parse_span;
use serde::Serialize;

use super::{io, wording};
use crate::features;
use crate::features::context::{Context, Run};
use crate::features::fields::Fields;
use crate::features::listing::Listing;
use crate::shell::outcome::{Failure, Outcome};
use crate::shell::{client, screen};

/// Let somebody in: make an account of addresses, networks or host names
#[derive(clap::Args, Debug)]
pub struct Allow {
    /// The account's name, such as "office"
    pub(crate) name: AccountName,
    /// Addresses, networks, ranges or host names
    #[arg(required = true, value_delimiter = ',', value_name = "ADDRESS|CIDR|HOST")]
    pub(crate) addresses: Vec<String>,
    /// The services it opens, such as sip,web ("nightlatch services" lists them); without, all of them, or
    /// telephony only if there is a host name
    #[arg(long, value_name = "LIST", value_parser = Grant::parse)]
    pub(crate) services: Option<Grant>,
    /// How long it holds, such as 8h; for ever without
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
    pub(crate) lasts: Option<Duration>,
    /// A note, shown by "nightlatch show"
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) note: String,
    /// Accept private addresses of host names, for a name server of your own
    #[arg(long = "allow-private")]
    pub(crate) private: bool,
}

impl Allow {
    /// The account to ask for.
    ///
    /// # Errors
    /// What is neither an address nor a host name.
    pub(crate) fn account(&self) -> Result<NewAccount, Failure> {
        let entries = self.addresses.iter().map(|text| io::entry(text));
        Ok(NewAccount {
            name: self.name.clone(),
            entries: entries.collect::<Result<_, _>>()?,
            services: self.services.clone().unwrap_or(Grant::All),
            lasts: self.lasts,
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
        let done = context.change(api::Request::of(Request::Allow(account)))?;
        if has_host && !context.json && screen::is_interactive() {
            super::hosts::show(context, &name);
        }
        Ok(done)
    }
}

/// Remove an account and end its running connections
#[derive(clap::Args, Debug)]
pub struct Remove {
    /// The account's name
    pub(crate) name: AccountName,
    /// Even if that ends your own session
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
    screen::say(format!("made      {} by {}", account.since, account.by));
    if !account.note.is_empty() {
        screen::say(format!("note      {}", screen::printable(&account.note)));
    }
}
