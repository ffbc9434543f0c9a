//! `who`.

use std::net::IpAddr;
use std::process::ExitCode;

use nightlatch_core::api::{Reply, Request};

use super::{io, wording};
use crate::features::context::{Context, Run};
use crate::shell::outcome::{Code, Outcome};
use crate::shell::{addresses, client, screen};

/// Show what is known about an address: accounts, providers, blocks, lists, reverse name
#[derive(clap::Args, Debug)]
pub struct Who {
    /// The address
    #[arg(value_parser = addresses::one)]
    address: IpAddr,
    /// Do not look up its reverse name in the DNS
    #[arg(long)]
    no_dns: bool,
}

impl Run for Who {
    fn run(&self, context: &Context) -> Outcome {
        let request = Request::Why { address: self.address, to: None };
        let Reply::Why(why) = client::ask(&context.paths, request)? else {
            return Ok(Code::Failed.exit());
        };
        let reverse = (!self.no_dns).then(|| io::reverse(self.address));
        let page = wording::page(&why, reverse.as_ref(), &context.paths);
        if context.json {
            screen::say_json(&page.fields);
        } else {
            page.lines.iter().for_each(screen::say);
        }
        Ok(if page.is_known { ExitCode::SUCCESS } else { Code::No.exit() })
    }
}
