//! `leases`, `close`.

use std::net::IpAddr;
use std::process::ExitCode;

use nightlatch_core::api;
use nightlatch_core::features::Reply;
use nightlatch_core::features::leases::{self, Request};

use super::wording;
use crate::features::context::{Context, Run};
use crate::shell::outcome::Outcome;
use crate::shell::{addresses, client, screen};

/// List the addresses that credentials of users have opened
#[derive(clap::Args, Debug)]
pub struct List {}

impl Run for List {
    fn run(&self, context: &Context) -> Outcome {
        let replies = context.ask(vec![Request::List.into()])?;
        let leases = replies.into_iter().find_map(|reply| match reply {
            Reply::Leases(leases::Reply::All(leases)) => Some(leases),
            _ => None,
        });
        let leases = leases.ok_or_else(|| client::unfitting(&"leases"))?;
        if context.json {
            screen::say_json(&serde_json::json!({ "leases": leases }));
        } else {
            wording::table(&leases);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// End the leases of an address and its established connections
#[derive(clap::Args, Debug)]
pub struct Close {
    /// The address
    #[arg(value_parser = addresses::one)]
    address: IpAddr,
    /// Proceed even if this ends your own session
    #[arg(long)]
    force: bool,
}

impl Run for Close {
    fn run(&self, context: &Context) -> Outcome {
        let close = api::Request::of(Request::Close { address: self.address });
        context.close(close.forced(self.force), &[self.address.into()], false)
    }
}
