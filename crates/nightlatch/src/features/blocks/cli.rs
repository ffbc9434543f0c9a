//! `block`, `unblock`.

use std::time::Duration;

use nightlatch_core::AddrRange;
use nightlatch_core::api;
use nightlatch_core::features::blocks::{NewBlock, Request};
use nightlatch_core::time::parse_span;

use crate::features::context::{Context, Run};
use crate::shell::outcome::Outcome;

/// Block an address or network, including its established connections
#[derive(clap::Args, Debug)]
pub struct Block {
    /// The address, network or range
    pub(crate) address: AddrRange,
    /// How long to block, e.g. 7d; default: permanently
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
    pub(crate) lasts: Option<Duration>,
    /// The reason, shown by "nightlatch why"
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Block even if this cuts off the gateway, the DNS resolver or your own session
    #[arg(long)]
    pub(crate) force: bool,
}

impl Run for Block {
    fn run(&self, context: &Context) -> Outcome {
        let (range, lasts) = (self.address, self.lasts);
        let block = NewBlock { range, lasts, reason: self.reason.clone() };
        let request = api::Request::of(Request::Set(block)).forced(self.force);
        context.close(request, &[range], true)
    }
}

/// Remove a block
#[derive(clap::Args, Debug)]
pub struct Unblock {
    /// The address, network or range, exactly as it was blocked
    address: AddrRange,
}

impl Run for Unblock {
    fn run(&self, context: &Context) -> Outcome {
        context.change(api::Request::of(Request::Remove { range: self.address }))
    }
}
