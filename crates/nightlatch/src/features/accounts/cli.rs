//! `allow`, `remove`, `list`, `show`.

use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::api::{NewAccount, Reply, Request};
use nightlatch_core::ledger::{Account, AccountName, Block, Entry};
use nightlatch_core::service::Grant;
use nightlatch_core::time::{Time, parse_span};

use super::io;
use crate::features::{Context, Run};
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
    /// The services it opens, such as sip,web ("nightlatch services" lists them)
    #[arg(long, value_name = "LIST", default_value = "all", value_parser = Grant::parse)]
    pub(crate) services: Grant,
    /// How long it holds, such as 8h; for ever without
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
    pub(crate) lasts: Option<Duration>,
    /// A note, shown by "nightlatch show"
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) note: String,
}

impl Allow {
    /// The account to ask for, host names resolved.
    ///
    /// # Errors
    /// An address that is none, a name that cannot be resolved.
    pub(crate) fn account(&self) -> Result<NewAccount, Failure> {
        let entries = self.addresses.iter().map(|text| io::entry(text));
        Ok(NewAccount {
            name: self.name.clone(),
            entries: entries.collect::<Result<_, _>>()?,
            services: self.services.clone(),
            lasts: self.lasts,
            note: self.note.clone(),
        })
    }
}

impl Run for Allow {
    fn run(&self, context: &Context) -> Outcome {
        context.change(Request::Allow(self.account()?))
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
        let show = Request::Show { name: self.name.clone() };
        let ranges = match client::ask(&context.paths, show) {
            Ok(Reply::Account(account)) => account.ranges().collect(),
            _ => Vec::new(),
        };
        let remove = Request::Remove { name: self.name.clone(), force: self.force };
        context.close(remove, &ranges, false)
    }
}

/// List all accounts and blocks
#[derive(clap::Args, Debug)]
pub struct List {}

impl Run for List {
    fn run(&self, context: &Context) -> Outcome {
        let reply = client::ask(&context.paths, Request::List)?;
        if context.json {
            screen::say_json(&reply);
        } else if let Reply::List { accounts, blocks } = reply {
            list_accounts(&accounts);
            list_blocks(&blocks);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Show one account
#[derive(clap::Args, Debug)]
pub struct Show {
    /// The account's name
    name: AccountName,
}

impl Run for Show {
    fn run(&self, context: &Context) -> Outcome {
        let reply = client::ask(&context.paths, Request::Show { name: self.name.clone() })?;
        match reply {
            Reply::Account(account) if context.json => screen::say_json(&account),
            Reply::Account(account) => show(&account),
            _ => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list_accounts(accounts: &[Account]) {
    if accounts.is_empty() {
        screen::say("No accounts. \"nightlatch allow NAME ADDRESS\" makes one.");
        return;
    }
    let row = |account: &Account| {
        vec![
            account.name.to_string(),
            shortened(&account.entries),
            account.services.to_string(),
            end(account.until),
            account.note.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = accounts.iter().map(row).collect();
    screen::table(&["ACCOUNT", "ADDRESSES", "SERVICES", "UNTIL", "NOTE"], &rows);
}

fn list_blocks(blocks: &[Block]) {
    if blocks.is_empty() {
        return;
    }
    let row = |block: &Block| {
        vec![block.range.to_string(), end(block.until), block.by.clone(), block.reason.clone()]
    };
    let rows: Vec<Vec<String>> = blocks.iter().map(row).collect();
    screen::say("");
    screen::table(&["BLOCKED", "UNTIL", "BY", "REASON"], &rows);
}

fn show(account: &Account) {
    screen::say(format!("account   {}", account.name));
    for entry in &account.entries {
        screen::say(format!("address   {entry}"));
    }
    screen::say(format!("services  {}", account.services));
    screen::say(format!("until     {}", end(account.until)));
    screen::say(format!("made      {} by {}", account.since, account.by));
    if !account.note.is_empty() {
        screen::say(format!("note      {}", screen::printable(&account.note)));
    }
}

fn end(until: Option<Time>) -> String {
    until.map_or_else(|| "for ever".to_owned(), |until| until.to_string())
}

/// The first entries, and how many more there are.
fn shortened(entries: &[Entry]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = entries.iter().take(SHOWN).map(Entry::to_string).collect();
    let more = entries.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
