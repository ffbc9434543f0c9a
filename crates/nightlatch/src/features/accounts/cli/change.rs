//! `account add`, `account drop`, `account set`.

use std::time::Duration;

use nightlatch_core::AddrRange;
use nightlatch_core::api;
use nightlatch_core::entry::uncovered;
use nightlatch_core::features::accounts::{Account, AccountName, Edit, Ends, Entry, Request};
use nightlatch_core::service::{Grant, ServiceName};
use nightlatch_core::time::parse_span;

use super::{Addresses, parse_ends, shown, with_force};
use crate::features::context::{Context, Run};
use crate::shell::hours::HoursArgs;
use crate::shell::outcome::{Code, Failure, Outcome};

/// Change an account: add or drop addresses, set its services, expiry, hours, note or name
#[derive(clap::Args, Debug)]
pub struct AccountCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Add addresses, networks or host names to an account
    Add(Add),
    /// Drop addresses from an account, and end their established connections
    Drop(Drop),
    /// Set the services, expiry, hours, note or name of an account
    Set(Set),
}

impl Run for AccountCommand {
    fn run(&self, context: &Context) -> Outcome {
        match &self.action {
            Action::Add(command) => command.run(context),
            Action::Drop(command) => command.run(context),
            Action::Set(command) => command.run(context),
        }
    }
}

#[derive(clap::Args, Debug)]
struct Add {
    /// The account's name
    name: AccountName,
    #[command(flatten)]
    addresses: Addresses,
    /// Allow networks wider than a /16 (IPv4) or a /32 (IPv6)
    #[arg(long)]
    force: bool,
}

impl Run for Add {
    fn run(&self, context: &Context) -> Outcome {
        let entries = self.addresses.entries()?;
        let request = Request::Add { name: self.name.clone(), entries };
        context.change(api::Request::of(request).forced(self.force)).map_err(with_force)
    }
}

#[derive(clap::Args, Debug)]
struct Drop {
    /// The account's name
    name: AccountName,
    #[command(flatten)]
    addresses: Addresses,
    /// Proceed even if this ends your own session
    #[arg(long)]
    force: bool,
}

impl Run for Drop {
    fn run(&self, context: &Context) -> Outcome {
        let entries = self.addresses.entries()?;
        // Asked before the change, which forgets the addresses of host names.
        let ranges = closed_by(&shown(context, &self.name)?, &entries);
        let request = Request::Drop { name: self.name.clone(), entries };
        context.close(api::Request::of(request).forced(self.force), &ranges, false)
    }
}

/// The ranges that an account no longer covers without some entries.
fn closed_by(account: &Account, without: &[Entry]) -> Vec<AddrRange> {
    let ids: std::collections::BTreeSet<_> = without.iter().map(Entry::id).collect();
    let (going, staying): (Vec<&Entry>, Vec<&Entry>) =
        account.entries.iter().partition(|entry| ids.contains(&entry.id()));
    uncovered(going, staying)
}

#[derive(clap::Args, Debug)]
struct Set {
    /// The account's name
    name: AccountName,
    /// The services it allows from now on, e.g. sip,web ("nightlatch services" lists them)
    #[arg(long, value_name = "LIST", value_parser = Grant::parse)]
    services: Option<Grant>,
    /// For how long it is valid from now on, e.g. 8h
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
    lasts: Option<Duration>,
    /// Until when it is valid: "2026-12-31 18:00" (UTC), "2026-12-31 18:00 +01:00", or never
    #[arg(long, value_name = "WHEN", value_parser = parse_ends, conflicts_with = "lasts")]
    until: Option<Ends>,
    #[command(flatten)]
    hours: HoursArgs,
    /// A note, shown by "nightlatch show"
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// A new name; connections are not affected
    #[arg(long, value_name = "NAME")]
    rename: Option<AccountName>,
    /// Proceed even if this ends your own session
    #[arg(long)]
    force: bool,
}

impl Run for Set {
    fn run(&self, context: &Context) -> Outcome {
        let edit = Edit {
            services: self.services.clone(),
            ends: self.lasts.map(Ends::After).or(self.until),
            within: self.hours.within()?,
            note: self.note.clone(),
            rename: self.rename.clone(),
        };
        if edit == Edit::default() {
            let what =
                "nothing to change: add --services, --for, --until, --hours, --note or --rename";
            return Err(Failure::new(Code::Usage, what));
        }
        let mut closed = Vec::new();
        if let Some(services) = &self.services {
            let account = shown(context, &self.name)?;
            if loses_signalling(&account.services, services) {
                closed = account.ranges().collect();
            }
        }
        let request = Request::Set { name: self.name.clone(), edit };
        let request = api::Request::of(request).forced(self.force);
        match closed.is_empty() {
            true => context.change(request),
            false => context.close(request, &closed, false),
        }
    }
}

/// Whether phones that were allowed to register before are not any more: their contacts stay at the PBX.
fn loses_signalling(before: &Grant, after: &Grant) -> bool {
    let signals = |grant: &Grant| match grant {
        Grant::All => true,
        Grant::Some(names) => {
            let is_signalling =
                |name: &ServiceName| matches!(name.as_str(), "sip" | "sip-tls" | "iax" | "webrtc");
            names.iter().any(is_signalling)
        }
    };
    signals(before) && !signals(after)
}
