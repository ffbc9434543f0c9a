//! `ban`, `unban`, `bans`.

use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::AddrRange;
use nightlatch_core::api;
use nightlatch_core::features::Reply;
use nightlatch_core::features::bans::{self, NewBan, Request};
use nightlatch_core::time::parse_span;

use super::{io, wording};
use crate::features;
use crate::features::context::{Context, Run};
use crate::features::places::Places;
use crate::shell::outcome::Outcome;
use crate::shell::{client, screen};

/// Ban an address for a time, running connections too
#[derive(clap::Args, Debug)]
pub struct Ban {
    /// The address; an IPv6 address is banned with its network of 64 bits
    address: AddrRange,
    /// How long, e.g. 2h [default: 1d]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
    lasts: Option<Duration>,
    /// Why, shown by "nightlatch bans"
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    /// Even if that ends your own session
    #[arg(long)]
    force: bool,
}

impl Run for Ban {
    fn run(&self, context: &Context) -> Outcome {
        let (range, lasts) = (self.address, self.lasts);
        let ban = NewBan { range, lasts, reason: self.reason.clone() };
        let request = api::Request::of(Request::Ban(ban)).forced(self.force);
        context.change(request)
    }
}

/// End a ban early
#[derive(clap::Args, Debug)]
pub struct Unban {
    /// The address or network
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    address: Option<AddrRange>,
    /// End all bans
    #[arg(long)]
    all: bool,
}

impl Run for Unban {
    fn run(&self, context: &Context) -> Outcome {
        let request = self.address.map_or(Request::UnbanAll, |range| Request::Unban { range });
        context.change(api::Request::of(request))
    }
}

/// List the banned sources, with what was seen of each
#[derive(clap::Args, Debug)]
pub struct List {
    /// Instead the sources that attack and are limited, because they are not banned; and those that exceed a rate
    /// limit now
    #[arg(long)]
    limited: bool,
}

impl Run for List {
    fn run(&self, context: &Context) -> Outcome {
        let replies = context.ask(vec![Request::List.into()])?;
        let listed = replies.into_iter().find_map(|reply| match reply {
            Reply::Bans(bans::Reply::All { bans, count, limits }) => Some((bans, count, limits)),
            _ => None,
        });
        let (bans, count, limits) = listed.ok_or_else(|| client::unfitting(&"bans"))?;
        let over = match self.limited {
            true => Some(io::over_limits()?),
            false => None,
        };
        let is_quiet = over.as_ref().is_none_or(Vec::is_empty);
        // Reading the tables takes a moment.
        let places = match bans.is_empty() && limits.is_empty() && is_quiet {
            true => Places::of(Vec::new()),
            false => features::places(&context.paths),
        };
        if context.json {
            let listed = wording::json(&bans, count, &limits, over.as_deref(), &places);
            screen::say_json(&listed);
        } else if let Some(over) = over {
            wording::limits_table(&limits, &places);
            wording::over_table(&over, &places);
        } else {
            wording::table(&bans, count, &places);
        }
        Ok(ExitCode::SUCCESS)
    }
}
